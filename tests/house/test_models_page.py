"""The page of models is what its script makes of the configs, and forgets none asked for."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from model_configs.config import all_configs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models() -> ModuleType:
    spec = importlib.util.spec_from_file_location("models", ROOT / "docs/models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(models: ModuleType) -> None:
    found = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert found == models.page(), "run `python docs/models.py`"


def test_every_model_asked_for_is_here_or_has_a_reason() -> None:
    asked = tomllib.loads((ROOT / "docs/models.toml").read_text(encoding="utf-8"))
    offered, missing = asked["offered"], asked["missing"]
    assert len(offered) + len(missing) == 68
    assert not set(offered) & set(missing)
    known = {config.id for config in all_configs()}
    assert [id for id in offered.values() if id not in known] == []
    assert len(set(offered.values())) == len(offered)
    assert all(len(reason) > 20 for reason in missing.values())

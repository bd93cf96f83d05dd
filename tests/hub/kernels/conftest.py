"""The devices kernels are tried on: every profile on lavapipe, those it can take on SwiftShader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from hub.kernels import PROFILES
from tests.hub.kernels.adapter_process import AdapterProcess
from tests.hub.kernels.matrix_emulation import MatrixEmulator
from tests.hub.kernels.trial import Trial

PAIRS = (
    *(("lavapipe", name) for name, profile in PROFILES.items() if not profile.matrix),
    ("swiftshader", "software"),
    ("swiftshader", "base"),
)


@pytest.fixture(scope="session")
def adapters() -> Iterator[dict[str, AdapterProcess]]:
    """One process a driver, started once."""
    started = {driver: AdapterProcess(driver) for driver in ("lavapipe", "swiftshader")}
    yield started
    for adapter in started.values():
        adapter.close()


def params(pairs: Iterable[tuple[str, str]]) -> list[Any]:
    return [pytest.param(pair, id="-".join(pair), marks=pytest.mark.gpu) for pair in pairs]


@pytest.fixture(scope="session", params=params(PAIRS))
def trial(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> Trial:
    """A driver and a profile to run ops on."""
    driver, profile = request.param
    return Trial(adapters[driver], PROFILES[profile])


@pytest.fixture(scope="session", params=params(p for p in PAIRS if not PROFILES[p[1]].software))
def gpu_trial(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> Trial:
    """As `trial`, for ops that only GPU profiles have."""
    driver, profile = request.param
    return Trial(adapters[driver], PROFILES[profile])


@pytest.fixture(scope="session", params=params(p for p in PAIRS if p[1] == "base"))
def base_trial(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> Trial:
    """As `trial`, for kernels whose text is the same in every GPU profile."""
    driver, profile = request.param
    return Trial(adapters[driver], PROFILES[profile])


@pytest.fixture(scope="session", params=params([("lavapipe", "matrix")]))
def matrix_trial(request: pytest.FixtureRequest, adapters: dict[str, AdapterProcess]) -> Trial:
    """Kernels on subgroup matrices, which no software driver has, in emulation."""
    driver, profile = request.param
    return Trial(MatrixEmulator(adapters[driver]), PROFILES[profile])

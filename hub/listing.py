"""The table of `modelpress list`: configured models and what is built of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_configs.config import ModelConfig
from runtime.manifest import ModelEntry, Registry

from .registry import REGISTRY


def built_schemes(root: Path) -> dict[str, ModelEntry]:
    """What the hub at `root` holds, by id; empty when nothing was built."""
    path = root / REGISTRY
    if not path.is_file():
        return {}
    return {model.id: model for model in Registry.loads(path.read_bytes(), str(path)).models}


def rows(configs: Sequence[ModelConfig], built: Mapping[str, ModelEntry]) -> list[dict[str, Any]]:
    """One plain row a model: the configured ones, then those built under other ids."""
    listed = [_configured(config, built.get(config.id)) for config in configs]
    known = {config.id for config in configs}
    return listed + [_adopted(entry) for id, entry in built.items() if id not in known]


def _configured(config: ModelConfig, entry: ModelEntry | None) -> dict[str, Any]:
    return {
        "id": config.id,
        "name": config.name,
        "family": config.family,
        "parameters": config.parameters,
        "schemes": list(config.schemes),
        "licence": config.licence.spdx,
        "requires_acceptance": config.licence.requires_acceptance,
        "source": config.source.repo or "local",
        "verified": config.source.verified or config.source.folder is not None,
        "tasks": list(config.tasks),
        **_built(entry),
    }


def _adopted(entry: ModelEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "name": entry.name,
        "family": entry.family,
        "parameters": entry.parameters,
        "schemes": [item.scheme for item in entry.schemes],
        "licence": entry.licence,
        "requires_acceptance": False,
        "source": "local",
        "verified": True,
        "tasks": [entry.task],
        **_built(entry),
    }


def _built(entry: ModelEntry | None) -> dict[str, Any]:
    schemes = [] if entry is None else [item.scheme for item in entry.schemes]
    return {"built": schemes, "synthetic": entry is not None and entry.synthetic}


def print_listing(listed: Sequence[Mapping[str, Any]]) -> None:
    """The rows as a table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("model", "family", "size", "schemes", "licence", "built"):
        table.add_column(name, no_wrap=True, justify="right" if name == "size" else "left")
    for row in listed:
        built = ", ".join(row["built"]) + (" (synthetic)" if row["synthetic"] else "")
        table.add_row(
            f"[bold]{row['id']}[/]" + " [dim]?[/]" * (not row["verified"]),
            row["family"],
            short_count(row["parameters"]),
            ", ".join(row["schemes"]),
            short_licence(row["licence"]) + "*" * row["requires_acceptance"],
            f"[{'green' if row['built'] else 'dim'}]{built or 'no'}[/]",
        )
    console = Console()
    console.print(table)
    if not all(row["verified"] for row in listed):
        console.print("? its source was not compared yet; building and verifying does", style="dim")
    if any(row["requires_acceptance"] for row in listed):
        console.print("* accept the licence where the model is published first", style="dim")


def short_licence(spdx: str) -> str:
    """LicenseRef-Llama-3.2-Community as Llama-3.2."""
    return spdx.removeprefix("LicenseRef-").removesuffix("-Community")


def short_count(parameters: int) -> str:
    """11015040 as 11 M, 1235814400 as 1.2 B."""
    if parameters >= 999.5e6:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M"

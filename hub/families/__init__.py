"""Model families: each reads its config.json, names its weights and builds its Relax module."""

from __future__ import annotations

from .family import Family, FamilyConfig
from .llama import Llama

FAMILIES: dict[str, Family] = {"llama": Llama()}

__all__ = ["FAMILIES", "Family", "FamilyConfig"]

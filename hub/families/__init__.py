"""Model families: each reads its config.json, names its weights and builds its Relax module."""

from __future__ import annotations

from .family import Family, FamilyConfig
from .llama import LLAMA
from .phi3 import PHI3
from .qwen2 import QWEN2

FAMILIES: dict[str, Family] = {family.name: family for family in (LLAMA, PHI3, QWEN2)}

__all__ = ["FAMILIES", "Family", "FamilyConfig"]

"""Model families: each reads its config.json, names its weights and builds its Relax module."""

from __future__ import annotations

from .bert import BERT
from .family import Family, FamilyConfig
from .gemma import GEMMA
from .gemma4 import GEMMA4
from .gpt2 import GPT2
from .gpt_neox import GPT_NEOX
from .llama import LLAMA
from .ministral import MINISTRAL
from .olmo2 import OLMO2
from .olmoe import OLMOE
from .phi import PHI
from .phi3 import PHI3
from .qwen2 import QWEN2
from .qwen3 import QWEN3
from .qwen3_5 import QWEN3_5
from .qwen3_moe import QWEN3_MOE
from .smollm3 import SMOLLM3
from .stablelm import STABLELM

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        BERT,
        GEMMA,
        GEMMA4,
        GPT2,
        GPT_NEOX,
        LLAMA,
        MINISTRAL,
        OLMO2,
        OLMOE,
        PHI,
        PHI3,
        QWEN2,
        QWEN3,
        QWEN3_5,
        QWEN3_MOE,
        SMOLLM3,
        STABLELM,
    )
}

__all__ = ["FAMILIES", "Family", "FamilyConfig"]

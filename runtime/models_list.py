"""The models endpoint: OpenAI's model objects; the registry's facts ride along."""

from __future__ import annotations

from typing import Any

from . import codec
from .manifest import ModelEntry, Registry


def list_models(registry: Registry) -> dict[str, Any]:
    """OpenAI's list, first the model that visitors meet first."""
    return {"object": "list", "data": [model_object(entry) for entry in registry.models]}


def model_object(entry: ModelEntry) -> dict[str, Any]:
    """One model; its entry of the registry is under `modelpress`."""
    facts = {"id": entry.id, "object": "model", "created": 0, "owned_by": "modelpress"}
    return facts | {"modelpress": codec.encode(entry)}

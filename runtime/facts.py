"""What the engine tells of itself, as JSON values: the device, the model, what was chosen."""

from __future__ import annotations

from typing import Any

from . import codec
from .assessment import Verdict
from .encoder import ENCODE, Encoder
from .executor import DeviceInfo
from .fit import dispatches_per_token, memory_by_role
from .loading import LoadedModel
from .placement import Placement
from .plan import Plan
from .self_test import BOUND
from .session import Session


def device_name(device: DeviceInfo) -> str:
    """One line that says what the device is."""
    words = [device.description or device.vendor, device.architecture, f"({device.kind})"]
    return " ".join(dict.fromkeys(w for w in words if w))


def device_facts(device: DeviceInfo) -> dict[str, Any]:
    """The adapter's facts and a name for people."""
    return {
        "name": device_name(device),
        "kind": device.kind,
        "vendor": device.vendor,
        "architecture": device.architecture,
        "description": device.description,
        "driver": device.driver,
        "features": sorted(device.features),
        "limits": dict(device.limits),
    }


def model_facts(loaded: LoadedModel) -> dict[str, Any]:
    """The loaded model: what it is, what it takes, and why its kernels are trusted."""
    documents, runner = loaded.documents, loaded.runner
    plan = runner.plan
    return {
        "id": documents.entry.id,
        "name": documents.entry.name,
        "scheme": documents.scheme.scheme,
        "task": documents.manifest.task,
        "variant": plan.variant,
        "context": runner.context,
        "synthetic": loaded.synthetic,
        "depth": runner.depth,
        "memory": memory_by_role(plan, runner.context),
        "dispatches_per_token": _dispatches(runner),
        "kernels": loaded.kernels,
        "self_test": self_test_facts(loaded.verdict),
        "choices": choice_facts(plan, loaded.verdict),
        "processor": _processor_facts(documents.placement),
        "refused": [codec.encode(refusal) for refusal in documents.refused],
        "suggestions": list(documents.manifest.suggestions),
        "embedding": documents.manifest.embedding and codec.encode(documents.manifest.embedding),
    }


def _processor_facts(placement: Placement) -> dict[str, Any] | None:
    """Why it runs on the processor, when it does."""
    seat = placement.seat
    return {"reason": seat.reason} if seat.is_processor else None


def _dispatches(runner: Session | Encoder) -> int:
    """Of one decode step, or of one run of texts."""
    if isinstance(runner, Encoder):
        return len(runner.plan.entries[ENCODE].steps)
    return dispatches_per_token(runner.plan, runner.decode_entry)


def self_test_facts(verdict: Verdict) -> dict[str, Any]:
    """What the self-test saw; `largest_difference` is that of the entries in use."""
    differences = verdict.record.differences
    used = [differences[entry] for entry in verdict.choices.values()]
    return {
        "tested": verdict.record.tested,
        "remembered": verdict.remembered,
        "largest_difference": max(difference for difference in used if difference is not None),
        "bound": BOUND,
        "differences": dict(differences),
    }


def choice_facts(plan: Plan, verdict: Verdict) -> dict[str, Any]:
    """For "prefill" and "decode": the entry in use, and what it was chosen from."""
    times = verdict.record.milliseconds
    return {
        name: {
            "entry": entry,
            "forced": name in verdict.forced,
            "remembered": verdict.remembered,
            "milliseconds": {
                rival: times[rival]
                for rival in (name, *plan.alternatives.get(name, ()))
                if rival in times
            },
        }
        for name, entry in verdict.choices.items()
    }

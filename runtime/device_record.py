"""What was found out about a plan on a device, kept between visits.

A record is good for one plan on one adapter under one browser or driver: its key is made of them,
and it says them again, so that a record that is damaged or lies in the wrong place is not believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from . import codec
from .candidates import TASKS, Candidates
from .errors import FormatError
from .executor import DeviceInfo
from .notes import Notes
from .self_test import is_right

RECORD_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """Differences and times by entry of the plan, and what was chosen from them."""

    format: int
    device: str
    """`identity` of the device."""
    plan: str
    """sha256 of the plan's document."""
    tested: str
    """When, in UTC (ISO 8601)."""
    differences: Mapping[str, float | None]
    """What `self_test.find_differences` gave."""
    milliseconds: Mapping[str, float]
    """What `tuning.time_entries` gave; nothing where there was no choice."""
    choices: Mapping[str, str]
    """For "prefill" and "decode", the entry to use; empty when the plan must not be used."""

    def covers(self, candidates: Candidates) -> bool:
        """Whether nothing about these candidates is left to find out."""
        return all(entry in self.differences for e in candidates.values() for entry in e)


def identity(device: DeviceInfo) -> str:
    """Adapter and driver in words; kernels that are right here may be wrong under another."""
    return "\n".join((device.vendor, device.architecture, device.description, device.driver))


def record_key(device: str, plan_sha256: str) -> str:
    """Where the record of a plan on a device (its `identity`) is kept."""
    return f"devices/{plan_sha256}/{hashlib.sha256(device.encode()).hexdigest()[:16]}"


async def recall(notes: Notes, device: DeviceInfo, plan_sha256: str) -> DeviceRecord | None:
    """The record of this plan on this device, when there is one that can be believed."""
    name = identity(device)
    text = await notes.read(record_key(name, plan_sha256))
    if text is None:
        return None
    try:
        record = codec.loads(DeviceRecord, text, "device record")
    except FormatError:
        return None  # Damaged, or of an older version: found out again.
    fits = (record.format, record.device, record.plan) == (RECORD_FORMAT, name, plan_sha256)
    return record if fits and _is_sound(record) else None


async def remember(notes: Notes, record: DeviceRecord) -> None:
    """Keep `record` for `recall`."""
    await notes.write(record_key(record.device, record.plan), codec.dumps(record))


def _is_sound(record: DeviceRecord) -> bool:
    """Nothing is chosen that failed."""
    chosen = record.choices.values()
    return set(record.choices) in (*map(set, TASKS), set()) and all(
        is_right(record.differences.get(entry)) for entry in chosen
    )

"""The assessment of a plan on a device: what to prepare, whether it is right, what is fastest.

    assessment = await begin(...)            # from the record of an earlier visit, if there is one
    failed = await executor.prepare(..., entries=assessment.entries, spare=assessment.spare)
    verdict = await assessment.finish(...)   # tests and measures what is not known yet

Whatever is found out is remembered, failures too: a plan is tested once per adapter and driver.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .candidates import TASKS, Candidates, entries_to_prepare, find_candidates, is_open
from .device_record import RECORD_FORMAT, DeviceRecord, identity, recall, remember
from .encoder import ENCODE
from .encoder_test import find_encoder_difference
from .errors import ModelpressError
from .executor import DeviceInfo
from .host import Host
from .manifest import GoldenVector
from .options import EngineOptions
from .plan import Plan
from .progress import OnProgress, Progress
from .self_test import BOUND, find_differences, is_right, probe_length
from .tuning import fastest, time_entries


@dataclass(frozen=True, slots=True)
class Refusal:
    """A variant that this device computes wrongly, and how far off (None: no usable numbers)."""

    variant: str
    difference: float | None


class UntrustedVariant(ModelpressError):
    """A variant that must not be used on this device (code "unsupported_device")."""

    def __init__(self, message: str, refusal: Refusal) -> None:
        details = {"variant": refusal.variant, "difference": refusal.difference, "bound": BOUND}
        super().__init__("unsupported_device", message, details=details)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is used of a plan, and why it is trusted."""

    record: DeviceRecord
    choices: Mapping[str, str]
    """For "prefill" and "decode", the entry that computes it."""
    remembered: bool
    """Whether an earlier load found it out."""
    forced: frozenset[str]
    """The names whose entry the user asked for."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known before a plan is prepared."""

    plan: Plan
    plan_sha256: str
    device: DeviceInfo
    candidates: Candidates
    forced: Mapping[str, str]
    record: DeviceRecord | None
    golden: GoldenVector | None = None
    """What an encoder must compute, where that is known."""

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries to prepare: of those that compute the same, the chosen one if it is known."""
        if self.record is None:
            return entries_to_prepare(self.plan, self.candidates)
        chosen = {name: (entry,) for name, entry in self._choices(self.record).items()}
        return entries_to_prepare(self.plan, chosen)

    @property
    def spare(self) -> frozenset[str]:
        """Those that may turn out not to compile here."""
        others = {entry for entries in self.candidates.values() for entry in entries[1:]}
        return frozenset(others.intersection(self.entries)) if self.record is None else frozenset()

    async def finish(
        self, host: Host, *, failed: Collection[str], pages: int, on_progress: OnProgress
    ) -> Verdict:
        """Test, measure and remember what is not known yet.

        The plan is prepared, but for the entries in `failed`, and its weights are on the device.
        Raises UntrustedVariant when it must not be used here.
        """
        record = self.record or await self._find_out(host, failed, pages, on_progress)
        choices = self._choices(record)
        if not record.choices or not all(is_right(record.differences[e]) for e in choices.values()):
            raise _untrusted(self.plan, record)
        remembered = self.record is not None
        return Verdict(record, choices, remembered, frozenset(self.forced))

    async def give_up(self, host: Host, reason: ModelpressError) -> UntrustedVariant:
        """Remember that the plan does not even compile here; `reason` as an error that says so."""
        record = self._record({}, {}, {})
        await self._keep(host, record)
        return UntrustedVariant(reason.message, refusal_of(self.plan.variant, record))

    def _choices(self, record: DeviceRecord) -> dict[str, str]:
        return {**record.choices, **self.forced}

    async def _find_out(
        self, host: Host, failed: Collection[str], pages: int, on_progress: OnProgress
    ) -> DeviceRecord:
        executor, plan = host.executor, self.plan
        compiled = _without(self.candidates, failed)
        on_progress(Progress("self-test", 0, 1, "tests"))
        if ENCODE in plan.entries:
            differences = await find_encoder_difference(executor, plan, self.golden)
        else:
            length = probe_length(plan, self.device.kind)
            differences = await find_differences(
                executor, plan, compiled, pages=pages, length=length
            )
        differences |= dict.fromkeys(failed)
        on_progress(Progress("self-test", 1, 1, "tests"))
        wrong = {entry for entry, difference in differences.items() if not is_right(difference)}
        right = _without(compiled, wrong)
        milliseconds, choices = {}, {}
        if _is_trusted(self.candidates, wrong):
            if is_open(right):
                milliseconds = await time_entries(
                    executor, plan, right, pages=pages, clock=host.clock, on_progress=on_progress
                )
            choices = {name: fastest(entries, milliseconds) for name, entries in right.items()}
        record = self._record(differences, milliseconds, choices)
        await self._keep(host, record)
        return record

    def _record(
        self,
        differences: Mapping[str, float | None],
        milliseconds: Mapping[str, float],
        choices: Mapping[str, str],
    ) -> DeviceRecord:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        device = identity(self.device)
        return DeviceRecord(
            RECORD_FORMAT, device, self.plan_sha256, now, differences, milliseconds, choices
        )

    async def _keep(self, host: Host, record: DeviceRecord) -> None:
        # With forced entries, others were left out: no ground for a later visit to choose. Without
        # a golden vector, an encoder was compared with itself alone.
        weak = ENCODE in self.plan.entries and self.golden is None
        if not self.forced and not weak:
            await remember(host.notes, record)


async def begin(
    host: Host,
    device: DeviceInfo,
    plan: Plan,
    plan_sha256: str,
    options: EngineOptions,
    golden: GoldenVector | None = None,
) -> Assessment:
    """What is known about `plan` here; `golden` is for its self-test.

    Raises UntrustedVariant when it is known to be wrong, "bad_request" for choices that it does
    not have.
    """
    candidates = find_candidates(plan, device.kind, options.choices)
    record = None if options.retune else await recall(host.notes, device, plan_sha256)
    if record is not None and not record.choices:
        raise _untrusted(plan, record)
    if record is not None and not record.covers(candidates):
        record = None
    return Assessment(plan, plan_sha256, device, candidates, options.choices, record, golden)


async def known_refusal(
    host: Host, device: DeviceInfo, variant: str, plan_sha256: str, options: EngineOptions
) -> Refusal | None:
    """The refusal of a variant, when its plan was found wrong here and need not be tried again."""
    if options.retune:
        return None
    record = await recall(host.notes, device, plan_sha256)
    return refusal_of(variant, record) if record is not None and not record.choices else None


def refusal_of(variant: str, record: DeviceRecord) -> Refusal:
    """A record that speaks against a variant, as a refusal."""
    own = {"greedy", "sample", *(name for names in TASKS for name in names)}
    wrong = [d for entry, d in record.differences.items() if entry in own and not is_right(d)]
    known = [difference for difference in wrong if difference is not None]
    return Refusal(variant, max(known) if known and len(known) == len(wrong) else None)


def _untrusted(plan: Plan, record: DeviceRecord) -> UntrustedVariant:
    refusal = refusal_of(plan.variant, record)
    difference = refusal.difference
    far = "no usable numbers" if difference is None else f"logits off by {difference:.1%}"
    message = (
        f"this device computes {plan.model} wrongly in the variant {plan.variant!r} (self-test: "
        f"{far}, {BOUND:.0%} allowed). Update the browser or the graphics driver, or ask for the "
        'variant "auto"'
    )
    return UntrustedVariant(message, refusal)


def _is_trusted(candidates: Candidates, wrong: Collection[str]) -> bool:
    needed = {"greedy", "sample", *(entries[0] for entries in candidates.values())}
    return not needed.intersection(wrong)


def _without(candidates: Candidates, entries: Collection[str]) -> Candidates:
    return {
        name: tuple(entry for entry in known if entry not in entries)
        for name, known in candidates.items()
    }

"""Candidates: the entries of a plan that a device may use for `prefill` and for `decode`.

A plan names alternatives that compute the same with other kernels. Which of them come into
question is decided here, from the plan, the kind of device and what the user asked for; which one
is right and fast is found out in `self_test.py` and `tuning.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from .plan import Plan
from .sampling import bad_param

TUNED = ("prefill", "decode")
"""The entries whose alternatives can be told right from wrong: those that leave logits."""
TASKS = (TUNED, ("encode",))
"""What plans are there for: a chat, or vectors of texts."""
Candidates = Mapping[str, tuple[str, ...]]
"""For each of `tuned_entries`, the entries to try; all others must agree with the first."""


def find_candidates(plan: Plan, kind: str, forced: Mapping[str, str]) -> Candidates:
    """What comes into question on a device of `kind`; `forced` entries stand alone.

    A processor takes the plan's own entries: there, compiling the others costs more than it gains.
    Raises ModelpressError "bad_request" when `forced` names what is not in the plan.
    """
    _check_forced(plan, forced)
    found = {}
    for name in tuned_entries(plan):
        others = () if kind == "cpu" else plan.alternatives.get(name, ())
        found[name] = (forced[name],) if name in forced else (name, *others)
    return found


def tuned_entries(plan: Plan) -> tuple[str, ...]:
    """The entries of this plan that the self-test looks at."""
    (names,) = (names for names in TASKS if names[0] in plan.entries)
    return names


def is_open(candidates: Candidates) -> bool:
    """Whether there is anything to choose."""
    return any(len(entries) > 1 for entries in candidates.values())


def entries_to_prepare(plan: Plan, wanted: Candidates) -> tuple[str, ...]:
    """The plan's entries in order, without the alternatives that nobody wants."""
    kept = {entry for entries in wanted.values() for entry in entries}
    rivals = {*TUNED, *(e for others in plan.alternatives.values() for e in others)}
    return tuple(name for name in plan.entries if name in kept or name not in rivals)


def _check_forced(plan: Plan, forced: Mapping[str, str]) -> None:
    tuned = tuned_entries(plan)
    for name, entry in forced.items():
        known = (name, *plan.alternatives.get(name, ())) if name in tuned else ()
        if not known:
            raise bad_param(
                "choices", f"there is no choice for {name!r}; there is for: {', '.join(tuned)}"
            )
        if entry not in known:
            raise bad_param(
                "choices",
                f"{plan.model} ({plan.variant}) has no {entry!r} for {name!r}; "
                f"there are: {', '.join(known)}",
            )

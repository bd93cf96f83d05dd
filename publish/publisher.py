"""Publishing, rolling back and collecting garbage, over any Store.

A publish that stops halfway leaves the release before it in service, and the next one continues
from what is already there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from runtime.progress import OnProgress, Progress, ignore_progress

from .documents import Channel, Release
from .errors import ConflictError, PublishError, ReleaseError
from .plan import (
    GcPlan,
    Phase,
    Plan,
    document_uploads,
    plan_gc,
    plan_release,
    sample,
)
from .site import read_site
from .store import Pointer, Store

VERIFIED = 32
"""How many blobs a publish asks the store about afterwards; documents are all asked about."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and the state of the target that it was made for."""

    plan: Plan
    pointer: Pointer | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A release at the target. `place` is its place in the history, 0 being served, None unused."""

    release: Release
    place: int | None


def prepare_publish(root: Path, store: Store, on_progress: OnProgress) -> Prepared:
    """Read the site and the target and say what publishing would do. Writes nothing."""
    store.read_pointer()  # a target that is not there should not cost the reading of gigabytes
    site = read_site(root, on_progress)
    return _prepare(Release.of(site.files), root, store)


def prepare_rollback(id: str, store: Store) -> Prepared:
    """What serving an older release again would do; `id` may be shortened. Writes nothing.

    Raises ReleaseError when there is no such release or garbage collection took its parts.
    """
    prepared = _prepare(store.read_release(find_release(id, store)), None, store)
    if prepared.plan.blobs:
        missing = len(prepared.plan.blobs)
        raise ReleaseError(
            f"release {prepared.plan.release.id} cannot be restored: {missing} of its parts are "
            f"gone from {store.target}; build that version again and publish it"
        )
    return prepared


def execute(prepared: Prepared, store: Store, on_progress: OnProgress) -> None:
    """Do what was planned: blobs, then documents, then the channel; then ask the store."""
    plan = prepared.plan
    if not plan.moves:
        return
    if plan.damaged:
        store.delete(plan.damaged)
    store.put_blobs(plan.blobs, on_progress)
    with store.exclusive():
        if store.read_pointer() != prepared.pointer:
            raise ConflictError(
                f"somebody else published to {store.target} meanwhile; "
                "look with `modelpress releases` and publish again if yours should be served"
            )
        _send_collected(plan, store, on_progress)
        _serve(plan, store, prepared.pointer, on_progress)
    on_progress(Progress("verify", 0, 1, "samples"))
    store.verify((*sample((*plan.present, *plan.blobs), VERIFIED), *plan.placements))
    on_progress(Progress("verify", 1, 1, "samples"))


def list_releases(store: Store) -> tuple[Listed, ...]:
    """Releases at the target, the one being served first, those never finished last."""
    pointer = store.read_pointer()
    history = pointer.channel.history if pointer else ()
    unused = tuple(id for id in store.release_ids() if id not in history)
    served = [Listed(store.read_release(id), place) for place, id in enumerate(history)]
    return (*served, *(Listed(store.read_release(id), None) for id in unused))


def find_release(id: str, store: Store) -> str:
    """The full id that starts with `id`. Raises ReleaseError saying which there are."""
    known = store.release_ids()
    found = [known_id for known_id in known if known_id.startswith(id)]
    if len(found) == 1:
        return found[0]
    problem = "is not at" if not found else "stands for several releases at"
    listing = ", ".join(found or known) or "none"
    raise ReleaseError(f"release {id!r} {problem} {store.target}; there are: {listing}")


def prepare_gc(store: Store, keep: int) -> tuple[GcPlan, Pointer]:
    """What keeping only the newest `keep` releases would delete. Writes nothing."""
    pointer = _require_published(store)
    ids = sorted({*store.release_ids(), *pointer.channel.history})
    releases = {id: store.read_release(id) for id in ids}
    blobs = store.inventory(()).blobs
    return plan_gc(pointer.channel, releases, blobs=blobs, keep=keep), pointer


def collect(store: Store, keep: int) -> GcPlan:
    """Delete what the newest `keep` releases do not use, while no publisher can start."""
    _require_published(store)
    with store.exclusive():
        plan, pointer = prepare_gc(store, keep)
        if plan.kept != pointer.channel.history:
            store.flip(plan.channel, pointer)
        store.delete(plan.paths)
    return plan


def _require_published(store: Store) -> Pointer:
    pointer = store.read_pointer()
    if pointer is None:
        raise ReleaseError(f"nothing has been published to {store.target} yet")
    return pointer


def _prepare(release: Release, root: Path | None, store: Store) -> Prepared:
    pointer = store.read_pointer()
    held = store.inventory(document_uploads(release, root))
    before = pointer.channel if pointer else None
    return Prepared(plan_release(release, root, held=held, before=before), pointer)


def _send_collected(plan: Plan, store: Store, on_progress: OnProgress) -> None:
    """Send again what garbage collection took between planning and locking."""
    held = store.inventory(()).blobs
    wanted = (*plan.present, *plan.blobs)
    gone = tuple(blob for blob in wanted if blob.content.sha256 not in held)
    if not gone or store.atomic:
        return
    if any(blob.source is None for blob in gone):
        raise ReleaseError(
            f"parts of release {plan.release.id} were collected from {store.target} just now; "
            "build that version again and publish it"
        )
    store.put_blobs(gone, on_progress)


def _serve(plan: Plan, store: Store, pointer: Pointer | None, on_progress: OnProgress) -> None:
    store.put_release(plan.release)
    try:
        placed = 0
        for phase in (Phase.ASSETS, Phase.ENTRIES, Phase.REGISTRY):
            documents = [d for d in plan.placements if d.phase is phase]
            store.place(documents, _continuing(on_progress, placed, len(plan.placements)))
            placed += len(documents)
        store.flip(plan.channel, pointer)
    except BaseException as error:
        if plan.before is not None and not store.atomic:
            _restore_or_explain(plan.before, store, error)
        raise


def _continuing(on_progress: OnProgress, before: int, total: int) -> OnProgress:
    """Progress of one phase shown as part of all phases."""
    return lambda step: on_progress(replace(step, done=before + step.done, total=total))


def _restore_or_explain(channel: Channel, store: Store, error: BaseException) -> None:
    try:
        _restore(channel, store)
    except PublishError as failed:
        raise type(failed)(
            f"{error}. Then restoring the release before failed too ({failed}), so {store.target} "
            "mixes documents of two releases: publish again, or go back with "
            f"`modelpress rollback {store.target} {channel.release}`"
        ) from error


def _restore(channel: Channel, store: Store) -> None:
    """Point documents at the release still being served, when placing another one's failed."""
    pointer = store.read_pointer()
    if pointer is None or pointer.channel != channel:
        return
    documents = document_uploads(store.read_release(channel.release), None)
    current = store.inventory(documents).current
    store.place([d for d in documents if d.path not in current], ignore_progress)

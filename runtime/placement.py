"""Placement: on which device of a host a model runs, and by which of its variants.

A host may have two: what speaks WebGPU, and the processor. A graphics card comes first, a processor
that only pretends to be one comes second, and whoever names a variant gets that one or an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .assessment import Refusal, known_refusal
from .errors import ModelpressError
from .executor import DeviceInfo, Executor
from .host import Host
from .manifest import Manifest, Variant, choose_variant, lacking, named_variant
from .options import EngineOptions
from .processor import is_for_processors

Reason = Literal["", "asked", "no_webgpu", "software", "unfit", "self_test", "device_lost", "only"]
"""Why a model runs on the processor: somebody asked for it, there is no WebGPU, or it is computed
by the processor anyway, or lacks what every other variant needs, or computed them wrongly, or was
lost again and again; or the host has nothing else. Empty for a model on WebGPU."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A device, and why it would be taken if it were."""

    executor: Executor
    device: DeviceInfo
    reason: Reason

    @property
    def is_processor(self) -> bool:
        """Whether it runs plans for processors, and no others."""
        return is_for_processors(self.device.features)


@dataclass(frozen=True, slots=True)
class Placement:
    """A variant on a device, and the better variants that computed wrongly."""

    seat: Seat
    variant: Variant
    refused: tuple[Refusal, ...] = ()


async def place(
    host: Host,
    manifest: Manifest,
    options: EngineOptions,
    refused: tuple[Refusal, ...] = (),
    *,
    losses: bool = False,
) -> Placement:
    """The best device and variant but for those `refused`, now or by an earlier load.

    After `losses` of the graphics device, that is the processor where there is one. Raises
    "unsupported_device" and "no_webgpu" when there is nothing.
    """
    if options.variant != "auto":
        return await _named(host, manifest, options.variant)
    seats = await find_seats(host, losses=losses)
    for seat in seats:
        variant, refused = await _best(host, seat, manifest, options, refused)
        if variant is not None:
            # The processor after a graphics device: there must have been something wrong with it.
            wrong = seat.reason == "unfit" and refused
            return Placement(replace(seat, reason="self_test") if wrong else seat, variant, refused)
    raise _nothing(manifest, seats, refused)


async def find_seats(host: Host, *, losses: bool = False) -> tuple[Seat, ...]:
    """The devices of `host` that there are, the best one first."""
    if host.processor is None:
        device = await host.executor.device()
        return (Seat(host.executor, device, "only" if is_for_processors(device.features) else ""),)
    if losses:
        return (Seat(host.processor, await host.processor.device(), "device_lost"),)
    try:
        graphics = Seat(host.executor, await host.executor.device(), "")
    except ModelpressError as error:
        if error.code != "no_webgpu":
            raise
        return (await _instead(host.processor, error),)
    try:
        processor = Seat(host.processor, await host.processor.device(), "unfit")
    except ModelpressError as error:
        if error.code != "unsupported_device":
            raise
        return (graphics,)
    if graphics.device.kind == "cpu":
        return (replace(processor, reason="software"), graphics)
    return (graphics, processor)


async def _instead(processor: Executor, error: ModelpressError) -> Seat:
    """The processor where there is no WebGPU, or that error when it is of no use either."""
    try:
        return Seat(processor, await processor.device(), "no_webgpu")
    except ModelpressError as other:
        if other.code != "unsupported_device":
            raise
        raise ModelpressError(error.code, f"{error.message}. {other.message}") from other


async def _named(host: Host, manifest: Manifest, name: str) -> Placement:
    """The variant `name` on the device that it is for."""
    wanted = next((v for v in manifest.variants if v.name == name), None)
    on_processor = wanted is not None and is_for_processors(wanted.features)
    if on_processor and host.processor is not None:
        seat = Seat(host.processor, await host.processor.device(), "asked")
    else:
        device = await host.executor.device()
        seat = Seat(host.executor, device, "asked" if is_for_processors(device.features) else "")
    features, limits = seat.device.features, seat.device.limits
    return Placement(seat, named_variant(manifest.variants, name, features, limits))


async def _best(
    host: Host,
    seat: Seat,
    manifest: Manifest,
    options: EngineOptions,
    refused: tuple[Refusal, ...],
) -> tuple[Variant | None, tuple[Refusal, ...]]:
    """The best variant for one device that is not known to be wrong there, and all refusals."""
    device = seat.device
    while True:
        wrong = {refusal.variant for refusal in refused}
        left = tuple(v for v in manifest.variants if v.name not in wrong)
        if all(lacking(v, device.features, device.limits) for v in left):
            return None, refused
        variant = choose_variant(left, device.features, device.limits, device.kind)
        known = await known_refusal(host, device, variant.name, variant.plan.sha256, options)
        if known is None:
            return variant, refused
        refused = (*refused, known)


def _nothing(
    manifest: Manifest, seats: tuple[Seat, ...], refused: tuple[Refusal, ...]
) -> ModelpressError:
    if refused:
        return _none_is_right(manifest, refused)
    if seats[0].reason == "no_webgpu":
        return ModelpressError(
            "no_webgpu",
            f"this browser offers no WebGPU here, and {manifest.id} was not built for the "
            "processor. Choose another model, or use a recent Chrome, Edge, Firefox or Safari",
        )
    device = seats[0].device
    missing = {v.name: lacking(v, device.features, device.limits) for v in manifest.variants}
    return ModelpressError(
        "unsupported_device",
        f"this device cannot run the model: it lacks {missing}. "
        "Try a smaller model, or another browser or device.",
        details={"lacking": missing},
    )


def _none_is_right(manifest: Manifest, refused: tuple[Refusal, ...]) -> ModelpressError:
    names = [refusal.variant for refusal in refused]
    return ModelpressError(
        "unsupported_device",
        f"this device computes {manifest.id} wrongly in every variant that it can run "
        f"({', '.join(names)}). Update the browser or the graphics driver, or try another device",
        details={"refused": names},
    )

"""The executor: the one interface between the engine and a device.

Two implementations replay plans: `native` over wgpu-py, `browser` over the TypeScript object.
Everything is made once in `prepare`; a step evaluates a few expressions, writes one uniform
buffer and submits one list of dispatches. It knows buffers and symbols, not tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .errors import ModelpressError
from .plan import Plan
from .progress import OnProgress
from .weights import WeightIndex

if TYPE_CHECKING:
    # Manifests are checked against devices, and files are described by manifests.
    from .storage import Storage

TIMESTAMPS = "timestamp-query"
"""The WebGPU feature that `Executor.profile` needs."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What the device is. `kind` is "cpu" for an adapter known to be software, else "gpu";
    `driver` names what compiles and runs kernels there: a browser, or a library and its driver."""

    kind: str
    vendor: str
    architecture: str
    description: str
    features: frozenset[str]
    limits: Mapping[str, int]
    driver: str = ""


class Executor(Protocol):
    """One device holding at most one prepared plan.

    Errors are ModelpressError with codes `no_webgpu`, `device_lost`, `out_of_memory`,
    `unsupported_device`, `internal`.
    """

    async def device(self) -> DeviceInfo:
        """The adapter's facts; opens the device on first use."""
        ...

    async def prepare(
        self,
        plan: Plan,
        text: str,
        *,
        pages: int,
        on_progress: OnProgress,
        entries: Sequence[str] | None = None,
        spare: Collection[str] = (),
    ) -> frozenset[str]:
        """Make every buffer (`pages` sizes the KV cache), and what `entries` (None: all) dispatch.

        `text` is the document `plan` was decoded from (the browser hands it on unparsed). A plan
        prepared before is released first. Entries in `spare` may have kernels that do not compile
        here: they are returned, and cannot be submitted. Any other such kernel is
        "unsupported_device" and names the kernel in `details`.
        """
        ...

    async def upload(
        self, index: WeightIndex, text: str, storage: Storage, *, on_progress: OnProgress
    ) -> None:
        """Fetch, verify and write every chunk into the weight buffers; `text` is index's document.

        May run while `prepare` compiles; buffers of the plan exist once `prepare` has started.
        Progress counts bytes.
        """
        ...

    def write(self, buffer: str, data: bytes, *, offset: int = 0) -> None:
        """Queue a write, ordered with submits; `data` and `offset` are multiples of 4 bytes."""
        ...

    def submit(self, entries: Sequence[str], symbols: Mapping[str, int]) -> None:
        """Queue the dispatches of `entries` in order, as one submit."""
        ...

    def step(self, entries: Sequence[str], symbols: Mapping[str, int], read: str) -> Awaitable[int]:
        """`submit`, then read the first i32 of buffer `read` as it is after these entries.

        Returns at once; several steps may be in flight (at most 8), and resolve in order. The
        awaitable may be dropped, and may be awaited again after a task that awaited it was
        cancelled.
        """
        ...

    async def profile(
        self, entries: Sequence[str], symbols: Mapping[str, int]
    ) -> list[tuple[str, float]]:
        """Run `entries` with every dispatch in a pass of its own: its kernel, and microseconds.

        "unsupported_device" when the device has no timestamp queries. A browser may round them.
        """
        ...

    async def read(self, buffer: str, nbytes: int, *, offset: int = 0) -> bytes:
        """Bytes of a buffer after everything queued so far."""
        ...

    async def synchronize(self) -> None:
        """Return when everything queued so far has run."""
        ...

    async def release(self) -> None:
        """Free the plan's buffers and pipelines; the device stays."""
        ...

    async def close(self) -> None:
        """Free everything."""
        ...


def require_timestamps(device: DeviceInfo) -> None:
    """ModelpressError "unsupported_device" unless kernels can be timed on `device`."""
    if TIMESTAMPS not in device.features:
        raise ModelpressError(
            "unsupported_device",
            f"this device cannot time its kernels: it does not offer {TIMESTAMPS}. "
            "Measure without a profile, or in another browser or on another device",
            details={"lacking": [TIMESTAMPS]},
        )

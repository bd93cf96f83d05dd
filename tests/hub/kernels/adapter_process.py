"""A process of its own for each Vulkan driver: the loader picks the driver once per process."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from numpy.typing import NDArray

from hub.kernels import KernelSequence, LibraryKernel
from hub.kernels.device import driver_file

Array = NDArray[Any]


class AdapterProcess:
    """Runs kernels on the driver called "lavapipe" or "swiftshader"."""

    def __init__(self, driver: str) -> None:
        path = driver_file(driver)
        assert path is not None, f"no Vulkan driver {driver} on this machine: `make test` gets it"
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _environment(VK_ICD_FILENAMES=str(path), XDG_RUNTIME_DIR=tempfile.gettempdir()):
            self._process.start()
        theirs.close()
        self.description, self.features = self._answer()

    def run(
        self,
        kernel: LibraryKernel | KernelSequence,
        arrays: Sequence[Array],
        symbols: Mapping[str, int],
    ) -> list[Array]:
        """The written arrays after one run; a failure there is raised here with its text."""
        self._connection.send((kernel, list(arrays), dict(symbols)))
        result: list[Array] = self._answer()
        return result

    def close(self) -> None:
        self._connection.send(None)
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()
        self._process.close()

    def _answer(self) -> Any:
        done, value = self._connection.recv()
        assert done, value
        return value


def _serve(connection: Connection) -> None:
    from hub.kernels.device import KernelDevice

    device = KernelDevice()
    connection.send((True, (device.description, device.features)))
    while (job := connection.recv()) is not None:
        try:
            connection.send((True, device.run(*job)))
        except Exception:
            connection.send((False, traceback.format_exc()))


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value

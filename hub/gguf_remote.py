"""The head of a GGUF file on the Hub, read by ranges: some megabytes instead of the file."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SourceError
from .gguf_config import architecture_of, read_config
from .gguf_header import GgufHeader, parse_header
from .gguf_types import check_readable, dequantized
from .source import translated

BLOCK_NBYTES = 1 << 20


@dataclass
class RemoteFile:
    """Bytes of one file of a repository, fetched as they are asked for, from the start on."""

    repo: str
    commit: str
    name: str
    size: int = 0
    _held: io.BytesIO = field(default_factory=io.BytesIO)
    _position: int = 0

    def open(self) -> RemoteFile:
        """Fetch the first block, which tells the size; SourceError when it is not there."""
        self._held.write(self.range(0, BLOCK_NBYTES))
        return self

    def read(self, count: int, /) -> bytes:
        """The next `count` bytes, or what is left of the file."""
        end = min(self._position + count, self.size)
        while (held := self._held.seek(0, io.SEEK_END)) < end:
            wanted = max(BLOCK_NBYTES, end - held)
            self._held.write(self.range(held, min(held + wanted, self.size)))
        self._held.seek(self._position)
        data = self._held.read(end - self._position)
        self._position = end
        return data

    def range(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop); fewer where the file ends."""
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            hf_raise_for_status,
        )

        with translated(self.repo, self.commit):
            headers = {**build_hf_headers(), "Range": f"bytes={start}-{stop - 1}"}
            url = hf_hub_url(self.repo, self.name, revision=self.commit)
            response = get_session().get(url, headers=headers)
            hf_raise_for_status(response)
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code != 206 or not total.isdigit():
            raise SourceError(
                f"{self.repo}: the host gives no parts of files; download {self.name} and add it "
                "with `modelpress build ID --checkpoint FILE`"
            )
        self.size = int(total)
        data: bytes = response.content
        return data


def read_remote(repo: str, commit: str, name: str) -> tuple[GgufHeader, dict[str, Any]]:
    """The head of a file and the config.json it stands for; SourceError, CheckpointError, or
    UnsupportedError naming what is not read."""
    remote = RemoteFile(repo, commit, name).open()
    header = parse_header(remote, remote.size, f"{repo}/{name}")
    architecture_of(header)
    return header, read_config(header, lambda key: _vector(remote, header, key))


def _vector(remote: RemoteFile, header: GgufHeader, name: str) -> NDArray[np.float32]:
    tensor = header.tensors[name]
    check_readable(name, tensor.dtype)
    raw = remote.range(tensor.offset, tensor.offset + tensor.nbytes)
    flat = np.frombuffer(raw, np.uint8).reshape(1, -1)
    return dequantized(name, tensor.dtype, flat).reshape(-1)

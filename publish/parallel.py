"""Many transfers at once, stopping at the first that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from runtime.progress import OnProgress, Progress

from .plan import Upload

WORKERS = 8


def transfer(uploads: Sequence[Upload], move: Callable[[Upload], None]) -> Iterator[Upload]:
    """Call `move` for each upload on `WORKERS` threads, yielding those that are done.

    The first error ends it: what has not started is dropped, what runs is waited for.
    """
    pool = ThreadPoolExecutor(max_workers=WORKERS)
    try:
        futures = {pool.submit(move, upload): upload for upload in uploads}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def send(blobs: Sequence[Upload], move: Callable[[Upload], None], on_progress: OnProgress) -> None:
    """Transfer blobs; progress counts the bytes of finished ones."""
    total = sum(blob.content.nbytes for blob in blobs)
    done = 0
    for blob in transfer(blobs, move):
        done += blob.content.nbytes
        on_progress(Progress("send blobs", done, total, "bytes"))

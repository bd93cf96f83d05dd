"""Many transfers at once, with progress, stopping at the first that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from runtime.progress import OnProgress, Progress

from .plan import Upload

WORKERS = 8


def transfer(
    uploads: Sequence[Upload], move: Callable[[Upload], None], stage: str, on_progress: OnProgress
) -> None:
    """Call `move` for each upload on `WORKERS` threads; progress in bytes of finished ones.

    The first error ends it: what has not started is dropped, what runs is waited for.
    """
    total = sum(upload.content.nbytes for upload in uploads)
    done = 0
    pool = ThreadPoolExecutor(max_workers=WORKERS)
    try:
        futures = {pool.submit(move, upload): upload for upload in uploads}
        for future in as_completed(futures):
            future.result()
            done += futures[future].content.nbytes
            on_progress(Progress(stage, done, total, "bytes"))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""hub folder -> site folder, the whole story."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runtime import codec
from runtime.manifest import File
from runtime.progress import OnProgress, Progress, ignore_progress

from . import write
from .bundle import bundle_pages
from .errors import SiteError
from .hub import Hub, check_blobs, read_hub
from .links import check_links
from .plan import Asset, plan_site
from .render import render
from .shell import SHELL, describe, make_shell

BuildEngine = Callable[[Path], object]
"""Leaves the engine's files (client.js, worker, Python, service_worker.js) in a folder."""

SERVICE_WORKER = "service_worker.js"


@dataclass(frozen=True, slots=True)
class Built:
    """What was written, for the summary."""

    out: Path
    models: int
    pages: int
    files: int
    nbytes: int
    engine_nbytes: int


def build_site(
    hub_folder: Path,
    out: Path,
    *,
    build_engine: BuildEngine,
    base_url: str | None = None,
    strict: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Built:
    """Generate the site that offers `hub_folder` in `out`, replacing a former one in one step.

    `strict` also hashes every weight chunk and refuses dead links. Raises SiteError; the former
    site is untouched then.
    """
    write.check_target(out, hub_folder)
    address = normal_base_url(base_url)
    hub = read_hub(hub_folder)
    if strict:
        _hash_blobs(hub, on_progress)
    building = write.begin(out)
    try:
        built = _fill(building, hub, build_engine, address, strict, on_progress)
        write.swap(building, out)
    except OSError as error:
        raise write.translate(error, out) from error
    finally:
        write.abandon(building)
    return Built(out, len(hub.models), *built)


def normal_base_url(url: str | None) -> str | None:
    """The address with a final slash; raises SiteError when it is not a web address."""
    if url is None:
        return None
    parts = urlsplit(url)
    plain = re.fullmatch(r"https?://[^\s\"'<>]+", url)
    if not plain or not parts.netloc or parts.query or parts.fragment:
        raise SiteError(f"{url!r} is not an address a site can have, like https://host/path/")
    return url if url.endswith("/") else url + "/"


def _fill(
    folder: Path,
    hub: Hub,
    build_engine: BuildEngine,
    base_url: str | None,
    strict: bool,
    on_progress: OnProgress,
) -> tuple[int, int, int, int]:
    on_progress(Progress("building the engine", 0, 1, "steps"))
    engine = _engine_files(folder, build_engine)
    on_progress(Progress("writing pages", 0, 1, "steps"))
    plan = plan_site(hub, bundle_pages(), base_url)
    pages = tuple(render(page, plan) for page in plan.pages)
    own = (*pages, *plan.assets)
    listed = [describe(asset.path, asset.data) for asset in own]
    shell = codec.dumps(make_shell((*listed, *engine))).encode()
    write.write_assets(folder, (*own, Asset(SHELL, shell)))
    files = (*hub.blobs, *hub.documents)
    if strict:
        check_links(pages, {f.path for f in (*listed, *engine, *files)} | {SHELL})
    write.place_hub_files(folder, hub.root, files, on_progress)
    everything = (*listed, *engine, *files)
    total = sum(file.nbytes for file in everything) + len(shell)
    return len(pages), len(everything) + 1, total, sum(file.nbytes for file in engine)


def _engine_files(folder: Path, build_engine: BuildEngine) -> tuple[File, ...]:
    """Build the engine in place; its service worker moves to the root, to govern all pages."""
    engine = folder / "engine"
    build_engine(engine)
    if not (engine / "client.js").is_file() or not (engine / SERVICE_WORKER).is_file():
        raise SiteError(f"the engine's build left no client.js or {SERVICE_WORKER}; build it again")
    (engine / SERVICE_WORKER).rename(folder / "sw.js")
    return tuple(_described(folder))


def _described(folder: Path) -> Iterator[File]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield describe(path.relative_to(folder).as_posix(), path.read_bytes())


def _hash_blobs(hub: Hub, on_progress: OnProgress) -> None:
    total, done = sum(file.nbytes for file in hub.blobs), 0

    def count(file: File) -> None:
        nonlocal done
        done += file.nbytes
        on_progress(Progress("checking weights", done, total, "bytes"))

    check_blobs(hub, on_file=count)

"""`modelpress verify`: is a built model whole, and does it compute what it should?

Every check gives a Finding; nothing is repaired. The last two need TVM, and the very last one
needs transformers: a check that cannot run here says what is missing.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from model_configs.config import all_configs
from runtime.errors import FormatError
from runtime.manifest import File, GoldenVector, Manifest, Registry
from runtime.plan import Plan
from runtime.weights import WeightIndex

from .build import check_index
from .errors import HubError, OutputError
from .files import read_file
from .registry import REGISTRY
from .shards import read_chunk

State = Literal["ok", "failed", "skipped"]
TOLERANCE = 1e-3
"""Largest difference of logits to transformers, relative to the largest logit."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one model; `detail` says what was found, and the remedy when it failed."""

    check: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Built:
    """A model of a hub folder with its documents decoded."""

    root: Path
    manifest: Manifest
    index: WeightIndex
    plans: tuple[Plan, ...]


def read_registry(root: Path) -> Registry:
    """The registry of a hub folder; OutputError when there is none."""
    path = root / REGISTRY
    if not path.is_file():
        raise OutputError(f"{root}: holds no {REGISTRY}; run `modelpress build` first")
    return Registry.loads(path.read_bytes(), str(path))


def audit(root: Path, id: str, scheme: str | None = None) -> Iterator[tuple[str, Finding]]:
    """(scheme, finding) for every check of a model; all its schemes unless one is named."""
    entry = read_registry(root).find(id)
    known = [item.scheme for item in entry.schemes]
    if scheme is not None and scheme not in known:
        raise OutputError(f"{id} is not built in {scheme!r}; it is in: {', '.join(known)}")
    for item in entry.schemes:
        if scheme in (None, item.scheme):
            for finding in _audit(root, item.manifest):
                yield item.scheme, finding


def _audit(root: Path, manifest_file: File) -> Iterator[Finding]:
    try:
        manifest = Manifest.loads(read_file(root, manifest_file), manifest_file.path)
        plans_and_code = ((v.plan, *v.modules) for v in manifest.variants)
        files = (*manifest.files.values(), *(file for both in plans_and_code for file in both))
        contents = {f.path: read_file(root, f) for f in (*files, manifest.weights)}
        if manifest.licence.text is not None:
            read_file(root, manifest.licence.text)
        index = WeightIndex.loads(contents[manifest.weights.path], manifest.weights.path)
        plans = tuple(Plan.loads(contents[v.plan.path], v.plan.path) for v in manifest.variants)
    except (HubError, FormatError) as error:
        yield Finding("documents", "failed", str(error))
        return
    yield Finding("documents", "ok", f"{len(contents) + 1} files match their sha256")
    built = Built(root, manifest, index, plans)
    checks: Sequence[tuple[str, Callable[[Built], Finding]]] = (
        ("chunks", _chunks),
        ("shapes", _shapes),
        ("source", _source),
        ("golden", _golden),
        ("reference", _reference),
    )
    for name, check in checks:
        try:
            yield check(built)
        except (HubError, FormatError) as error:
            yield Finding(name, "failed", str(error))
            return


def _chunks(built: Built) -> Finding:
    for chunk in built.index.chunks:
        read_chunk(built.root, chunk)
    megabytes = built.index.nbytes / 1e6
    count = len(built.index.chunks)
    return Finding("chunks", "ok", f"{count} chunks, {megabytes:.1f} MB, match their sha256")


def _shapes(built: Built) -> Finding:
    check_index(built.index, built.plans, synthetic=built.manifest.synthetic)
    return Finding("shapes", "ok", f"weights are what the {len(built.plans)} plans ask for")


def _source(built: Built) -> Finding:
    """Whether the model was built from what its config names; the build compared their shapes."""
    manifest, id = built.manifest, built.manifest.id
    config = next((config for config in all_configs() if config.id == id), None)
    if config is None or manifest.synthetic:
        return Finding("source", "skipped", "built synthetic, or no config names its source")
    named, found = config.source, manifest.source
    if found.repo not in (named.repo, f"model_configs/{named.path}"):
        return Finding("source", "skipped", f"built from {found.repo}, not from {named.repo}")
    if named.revision in (None, found.revision):
        return Finding("source", "ok", f"built from {found.repo} as its config says, same shape")
    if re.fullmatch("[0-9a-f]{40}", named.revision or ""):
        detail = f"built from commit {found.revision}, its config says {named.revision}"
        return Finding("source", "failed", f"{detail}; build it again, or correct the config")
    detail = f"{named.revision} of {found.repo} is {found.revision}, with the shape of its config"
    return Finding("source", "ok", f"{detail}: write it there as revision, with verified = true")


def _golden(built: Built) -> Finding:
    if built.manifest.golden_vector is not None:
        return _golden_vector(built, built.manifest.golden_vector)
    expected = built.manifest.golden
    if expected is None:
        return Finding("golden", "skipped", "built without golden tokens (synthetic or large)")
    tokens = _open(built)[1].greedy(expected.prompt, len(expected.tokens))
    if tuple(tokens) != expected.tokens:
        return Finding("golden", "failed", "llvm gives other tokens; build the model again")
    return Finding("golden", "ok", f"{len(tokens)} greedy tokens are the same on llvm")


def _golden_vector(built: Built, expected: GoldenVector) -> Finding:
    from .llvm_encoder import open_encoder

    manifest = built.manifest
    _, encoder = open_encoder(built.root, manifest.id, manifest.quantization.scheme)
    found, wanted = encoder.embed(expected.tokens), np.array(expected.values, np.float32)
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    if not error <= TOLERANCE:
        detail = f"llvm gives a vector that is {error:.2g} off (relative); build the model again"
        return Finding("golden", "failed", detail)
    return Finding("golden", "ok", f"the vector of a text is the same on llvm (within {error:.1e})")


def _reference(built: Built) -> Finding:
    expected = built.manifest.golden
    if expected is None:
        return Finding("reference", "skipped", "needs golden tokens")
    if not all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
        return Finding("reference", "skipped", "install torch and transformers to compare")
    from .transformers_check import logits

    ours = _open(built)[1].logits(expected.prompt)
    theirs = logits(built.root, built.manifest, built.index, expected.prompt)
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not error <= TOLERANCE:
        return Finding("reference", "failed", f"logits are {error:.2g} off transformers (relative)")
    return Finding("reference", "ok", f"logits within {error:.1e} of transformers (relative)")


def _open(built: Built) -> Any:
    from .llvm import open_built

    return open_built(built.root, built.manifest.id, built.manifest.quantization.scheme)


def passed(findings: Sequence[Finding]) -> bool:
    """No check failed."""
    return all(finding.state != "failed" for finding in findings)


def as_rows(findings: Mapping[str, Sequence[Finding]]) -> list[dict[str, str]]:
    """Plain rows for `--json`."""
    return [
        {"scheme": scheme, "check": item.check, "state": item.state, "detail": item.detail}
        for scheme, items in findings.items()
        for item in items
    ]

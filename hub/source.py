"""Checkpoints from the Hugging Face Hub, by its own client and into its own cache.

The client brings resume, parallel files, tokens, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE; here its
errors are translated into SourceError with what to do, and its progress into ours.
"""

from __future__ import annotations

import errno
import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_configs.config import GGUF
from runtime.progress import OnProgress, Progress, ignore_progress

from . import embedding_files
from .errors import SourceError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

DOCUMENTS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "mlc-chat-config.json",
    "LICENSE*",
    *embedding_files.DOCUMENTS,
)
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "tensor-cache.json",
    "ndarray-cache.json",
    "params_shard_*.bin",
)
"""All a build reads beside the documents: weights in other formats stay where they are."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A downloaded checkpoint folder and the commit it is."""

    folder: Path
    commit: str


def fetch(
    repo: str,
    revision: str,
    on_progress: OnProgress = ignore_progress,
    *,
    file: str | None = None,
) -> Fetched:
    """Download what a build needs of `repo` at a branch, tag or commit; cached files stay.

    With `file`, a GGUF file of the repository, no other weights. Raises SourceError saying what to
    do when the repository is missing, gated, offline or broken, or its files must be chosen from.
    """
    fetched = download(repo, revision, [*DOCUMENTS, *((file,) if file else WEIGHTS)], on_progress)
    if file is None and not any(next(fetched.folder.glob(p), None) for p in WEIGHTS):
        _ask_for_file(repo, fetched.commit)
    elif file is not None and not (fetched.folder / file).is_file():
        raise SourceError(f"{repo}@{fetched.commit} has no file {file!r}; see its list of files")
    return fetched


def download(
    repo: str, revision: str, patterns: Sequence[str], on_progress: OnProgress = ignore_progress
) -> Fetched:
    """Download the files of `repo` that match `patterns`; SourceError as for `fetch`."""
    with translated(repo, revision):
        from huggingface_hub import snapshot_download

        folder = snapshot_download(
            repo,
            revision=revision,
            allow_patterns=list(patterns),
            tqdm_class=_bar_class(on_progress),
        )
    return Fetched(Path(folder), Path(folder).name)


def _ask_for_file(repo: str, commit: str) -> None:
    """SourceError naming the GGUF files of a repository without other weights, if it has any."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return
    with translated(repo, commit):
        names = HfApi().list_repo_files(repo, revision=commit)
    found = [name for name in names if re.fullmatch(GGUF, name)]
    if found:
        raise SourceError(f"{repo} holds GGUF files; name one with --file: {', '.join(found)}")


@contextmanager
def translated(repo: str, revision: str) -> Iterator[None]:
    """Errors of the client as SourceError that says what to do."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    where = f"{repo}@{revision}"
    try:
        yield
    except HFValidationError as error:
        raise SourceError(f"{repo!r} is not a repository name; write OWNER/NAME") from error
    except LocalEntryNotFoundError as error:
        raise _unreachable(where) from error
    except HfHubHTTPError as error:
        raise _refused(repo, revision, error) from error
    except httpx2.HTTPError as error:
        raise _unreachable(where) from error
    except OSError as error:
        raise _broken(where, error) from error


def _unreachable(where: str) -> SourceError:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return SourceError(
            f"{where} is not complete in the local cache, and HF_HUB_OFFLINE forbids the network; "
            "unset it for one build, or give a folder with --checkpoint"
        )
    return SourceError(
        f"{where} cannot be fetched: {constants.ENDPOINT} does not answer; check the network and "
        "HF_ENDPOINT, then run the same command again (whole files are kept)"
    )


def _refused(repo: str, revision: str, error: HfHubHTTPError) -> SourceError:
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{repo}"
    if isinstance(error, GatedRepoError):
        token = (
            "check that HF_TOKEN belongs to an account that was granted access"
            if get_token()
            else "set HF_TOKEN to a token of that account (or run `hf auth login`)"
        )
        return SourceError(f"{repo} is gated: accept its licence at {page}, then {token}")
    if isinstance(error, RevisionNotFoundError):
        return SourceError(f"{repo} has no revision {revision!r}; see {page}/commits/main")
    status = error.response.status_code
    if isinstance(error, RepositoryNotFoundError):
        return SourceError(
            f"{repo} does not exist, or is private; check the name, or set HF_TOKEN to a token "
            "that may read it"
        )
    if status in (401, 403):
        return SourceError(f"{repo}: the token was refused ({status}); set HF_TOKEN to a valid one")
    return SourceError(
        f"{repo}@{revision}: {constants.ENDPOINT} answered {status}; try again later"
    )


def _broken(where: str, error: OSError) -> SourceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(
            f"{where}: the disk of the download cache is full; free some space, or set HF_HOME to "
            "a folder on another disk"
        )
    return SourceError(f"{where}: the download failed ({error}); run the same command again")


def _bar_class(on_progress: OnProgress) -> type[Any]:
    """A tqdm that draws nothing and reports the bytes written to disk as Progress."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

    lock = threading.Lock()

    class Bar(tqdm):  # type: ignore[misc, unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            desc = kwargs.get("desc")
            # The client draws a second bar for network bytes, which compression makes fewer.
            self.reports = kwargs.get("unit") == "B" and desc != "Downloading bytes"
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "mininterval": 0.1})

        def display(self, *args: Any, **kwargs: Any) -> None:
            if self.reports and self.total:
                with lock:
                    on_progress(Progress("download", int(self.n), int(self.total), "bytes"))

    return Bar

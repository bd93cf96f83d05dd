"""Checkpoints from the Hugging Face Hub, by its own client and into its own cache.

The client brings resume, parallel files, tokens, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE; here its
errors are translated into SourceError with what to do, and its progress into ours.
"""

from __future__ import annotations

import errno
import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.progress import OnProgress, Progress, ignore_progress

from . import embedding_files
from .errors import SourceError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "LICENSE*",
    *embedding_files.DOCUMENTS,
)
"""All a build reads: weights in other formats stay where they are."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A downloaded checkpoint folder and the commit it is."""

    folder: Path
    commit: str


def fetch(repo: str, revision: str, on_progress: OnProgress = ignore_progress) -> Fetched:
    """Download what a build needs of `repo` at a branch, tag or commit; cached files stay.

    Raises SourceError saying what to do when the repository is missing, gated, offline or broken.
    """
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    where = f"{repo}@{revision}"
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            allow_patterns=list(FILES),
            tqdm_class=_bar_class(on_progress),
        )
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
    return Fetched(Path(folder), Path(folder).name)


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

"""What huggingface_hub raises, translated into PublishErrors with remedies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import errors as client_errors

from .errors import (
    AccessError,
    ConflictError,
    FullError,
    PublishError,
    TargetError,
    UnavailableError,
)

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
SIGN_IN = "sign in with `hf auth login` or set HF_TOKEN to a token that may write"
BY_STATUS: dict[int, tuple[type[PublishError], str]] = {
    400: (TargetError, "the Hub did not accept the content; see its answer"),
    401: (AccessError, SIGN_IN),
    403: (AccessError, f"this token may not write there; {SIGN_IN}"),
    409: (ConflictError, "the repository changed meanwhile; publish again"),
    412: (ConflictError, "the repository changed meanwhile; publish again"),
    413: (FullError, "the storage of this account is used up; free some or raise the plan"),
    429: (UnavailableError, "too many requests; wait five minutes and publish again"),
    507: (FullError, "the storage of this account is used up; free some or raise the plan"),
}


def is_transient(error: Exception) -> bool:
    """Whether trying the same request again may help."""
    if isinstance(error, client_errors.HfHubHTTPError):
        return error.response.status_code in TRANSIENT_STATUS
    return isinstance(error, httpx2.TransportError)


@contextmanager
def translating(target: str, create: str) -> Iterator[None]:
    """Turn what the client raises into PublishErrors; `create` is the command that makes a repo."""
    try:
        yield
    except PublishError:
        raise
    except Exception as error:
        translated = _translated(error, target, create)
        if translated is None:
            raise
        raise translated from error


def _translated(error: BaseException, target: str, create: str) -> PublishError | None:
    if isinstance(error, client_errors.OfflineModeIsEnabled):
        return UnavailableError(f"{target}: HF_HUB_OFFLINE is set; unset it and publish again")
    if isinstance(error, client_errors.LocalTokenNotFoundError):
        return AccessError(f"{target}: no Hugging Face token on this machine; {SIGN_IN}")
    if isinstance(error, client_errors.GatedRepoError):
        return AccessError(f"{target} is gated; accept its terms on its page, then {SIGN_IN}")
    if isinstance(error, client_errors.RepositoryNotFoundError):
        return TargetError(
            f"{target} does not exist or this token cannot see it; create it with `{create}`, "
            f"or {SIGN_IN}"
        )
    if isinstance(error, client_errors.HfHubHTTPError):
        return _refused(error, target)
    if isinstance(error, httpx2.TransportError):
        return _unreachable(error, target)
    if isinstance(error, client_errors.HFValidationError):
        return TargetError(f"{target}: {error}; write hf://spaces/OWNER/NAME")
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return _translated(error.__cause__, target, create)
    if isinstance(error, RuntimeError | OSError | ValueError):
        return UnavailableError(f"{target}: the upload failed ({error}); publish again")
    return None


def _unreachable(error: Exception, target: str) -> PublishError:
    return UnavailableError(
        f"cannot reach the Hub for {target} ({error}); check the network and the endpoint "
        "(--endpoint-url or HF_ENDPOINT), then publish again: it continues"
    )


def _refused(error: client_errors.HfHubHTTPError, target: str) -> PublishError:
    status = error.response.status_code
    said = error.server_message or error.response.reason_phrase
    answer = f"{target}: the Hub answered {status} ({said})"
    kind, remedy = BY_STATUS.get(
        status, (UnavailableError, "look at the Hub's status page, then publish again")
    )
    return kind(f"{answer}; {remedy}")

"""What boto3 and S3-compatible stores raise, translated into PublishErrors with remedies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as client_errors

from .errors import (
    AccessError,
    ConflictError,
    FullError,
    IntegrityError,
    PublishError,
    TargetError,
    UnavailableError,
)

TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
TRANSIENT_CODES = frozenset(
    {"ConditionalRequestConflict", "InternalError", "OperationAborted", "RequestTimeout"}
    | {"ServiceUnavailable", "SlowDown", "Throttling", "TooManyRequests"}
)
UNREACHABLE = (
    client_errors.ConnectionError,
    client_errors.HTTPClientError,
    client_errors.ResponseStreamingError,
)
NO_CREDENTIALS = (
    client_errors.NoCredentialsError,
    client_errors.PartialCredentialsError,
    client_errors.CredentialRetrievalError,
    client_errors.ProfileNotFound,
    client_errors.SSOError,
)
CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a profile with AWS_PROFILE"
)

REMEDIES: dict[str, tuple[type[PublishError], str]] = {
    "AccessDenied": (
        AccessError,
        "these credentials may not do this; they need s3:ListBucket on the bucket and "
        "s3:GetObject, s3:PutObject and s3:DeleteObject below the prefix",
    ),
    "AuthorizationHeaderMalformed": (
        TargetError,
        "the bucket is in another region; set AWS_DEFAULT_REGION to it",
    ),
    "BadDigest": (IntegrityError, "the bytes were damaged on the way; publish again"),
    "EntityTooLarge": (FullError, "the store does not take files of this size"),
    "ExpiredToken": (AccessError, f"the credentials have expired; sign in again or {CREDENTIALS}"),
    "InvalidAccessKeyId": (AccessError, f"the store does not know this access key; {CREDENTIALS}"),
    "InvalidBucketName": (TargetError, "use 3 to 63 lower-case letters, digits, dots and dashes"),
    "NoSuchBucket": (TargetError, "the bucket does not exist; create it or correct the name"),
    "NoSuchKey": (ConflictError, "somebody else removed it meanwhile; publish again"),
    "NotImplemented": (TargetError, "the store lacks an operation that publishing needs"),
    "PermanentRedirect": (
        TargetError,
        "the bucket is in another region; set AWS_DEFAULT_REGION to it",
    ),
    "PreconditionFailed": (ConflictError, "somebody else published meanwhile; publish again"),
    "QuotaExceeded": (FullError, "the quota is used up; free space with `modelpress gc`"),
    "RequestTimeTooSkewed": (
        AccessError,
        "this machine's clock is wrong by more than 15 minutes; set it and publish again",
    ),
    "SignatureDoesNotMatch": (AccessError, f"the secret key is wrong; {CREDENTIALS}"),
    "XMinioStorageFull": (FullError, "the store is full; free space with `modelpress gc`"),
}
REMEDIES |= {
    "403": REMEDIES["AccessDenied"],
    "AllAccessDisabled": REMEDIES["AccessDenied"],
    "ContentSHA256Mismatch": REMEDIES["BadDigest"],
    "InvalidDigest": REMEDIES["BadDigest"],
    "InvalidToken": REMEDIES["ExpiredToken"],
    "TokenRefreshRequired": REMEDIES["ExpiredToken"],
    "XAmzContentChecksumMismatch": REMEDIES["BadDigest"],
    "XAmzContentSHA256Mismatch": REMEDIES["BadDigest"],
}
BY_STATUS = {
    401: REMEDIES["AccessDenied"],
    403: REMEDIES["AccessDenied"],
    412: REMEDIES["PreconditionFailed"],
    507: REMEDIES["QuotaExceeded"],
}


def error_code(error: Exception) -> str:
    """The store's word for what went wrong; empty when it gave none."""
    if isinstance(error, client_errors.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def error_status(error: Exception) -> int:
    """The HTTP status of the store's answer; 0 when there was none."""
    if isinstance(error, client_errors.ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0


def is_missing(error: Exception) -> bool:
    """Whether an object (not its bucket) does not exist."""
    return error_code(error) in {"404", "NoSuchKey", "NotFound"}


def is_transient(error: Exception) -> bool:
    """Whether trying the same request again may help."""
    if isinstance(error, client_errors.ProxyConnectionError | client_errors.SSLError):
        return False
    if isinstance(error, UNREACHABLE):
        return True
    return error_code(error) in TRANSIENT_CODES or error_status(error) in TRANSIENT_STATUS


def lacks_conditions(error: BaseException | None) -> bool:
    """Whether the store knows no conditional writes."""
    return isinstance(error, Exception) and error_code(error) == "NotImplemented"


@contextmanager
def translating(target: str) -> Iterator[None]:
    """Turn what the client raises into PublishErrors that name `target`."""
    try:
        yield
    except client_errors.ClientError as error:
        raise _refused(error, target) from error
    except NO_CREDENTIALS as error:
        raise AccessError(f"no credentials for {target} ({error}); {CREDENTIALS}") from error
    except UNREACHABLE as error:
        raise UnavailableError(
            f"cannot reach the store of {target} ({error}); check the network and the endpoint "
            "(--endpoint-url or AWS_ENDPOINT_URL), then publish again: it continues"
        ) from error
    except (client_errors.BotoCoreError, ValueError) as error:
        raise TargetError(
            f"{target}: {error}; check the target, the endpoint and the AWS settings"
        ) from error


def _refused(error: client_errors.ClientError, target: str) -> PublishError:
    code, status = error_code(error), error_status(error)
    said = error.response.get("Error", {}).get("Message", "")
    answer = f"{target}: {error.operation_name} was answered {code or status}"
    answer += f" ({said})" if said and said != code else ""
    found = REMEDIES.get(code) or BY_STATUS.get(status)
    if found:
        kind, remedy = found
        return kind(f"{answer}; {remedy}")
    return UnavailableError(
        f"{answer}; look at the store's status, then publish again: it continues"
    )

"""Errors of publishing, each with the remedy in its message and a stable `code`.

PublishError
├── SiteError            the folder to publish is missing, incomplete, or changes meanwhile
├── TargetError          the target does not exist or is not one of ours
├── AccessError          credentials are missing, wrong or not allowed to write
├── UnavailableError     the store cannot be reached, or keeps failing
├── FullError            no space or quota left at the target
├── ConflictError        somebody else published meanwhile
├── IntegrityError       the store holds other bytes than were sent
└── ReleaseError         the release asked for is not at the target
"""

from __future__ import annotations


class PublishError(Exception):
    """Base of everything that keeps a site from being published."""

    code = "publish"


class SiteError(PublishError):
    """The folder to publish is missing, incomplete, or changed while it was being read."""

    code = "site"


class TargetError(PublishError):
    """The target is misspelt, does not exist, or holds something that is not a modelpress site."""

    code = "target"


class TargetSyntaxError(TargetError):
    """What was typed as a target is none; the message lists what is."""


class AccessError(PublishError):
    """Credentials are missing, wrong, expired, or lack a permission."""

    code = "access"


class UnavailableError(PublishError):
    """The store cannot be reached or keeps answering with errors of its own."""

    code = "unavailable"


class FullError(PublishError):
    """The target has no space left; what it served before still serves."""

    code = "full"


class ConflictError(PublishError):
    """Another publisher holds the target or has moved it on."""

    code = "conflict"


class IntegrityError(PublishError):
    """The bytes at the target are not the bytes that were sent."""

    code = "integrity"


class ReleaseError(PublishError):
    """The release asked for is not at the target."""

    code = "release"

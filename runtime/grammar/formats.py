"""Strings of a known `format`, as patterns that match some of them and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from .json_text import in_string
from .regex import parse_pattern
from .rules import Expression

# February ends on the 28th, and no second is the 60th: what is written must be right in every year.
_DAY = (
    r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    r"|02-(0[1-9]|1\d|2[0-8]))"
)
_DATE = rf"(19|2\d)\d\d-{_DAY}"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_TIME = rf"{_CLOCK}(\.\d{{1,6}})?(Z|[+\-]([01]\d|2[0-3]):[0-5]\d)"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_LABEL = r"[a-z0-9]([a-z0-9\-]*[a-z0-9])?"
_HOST = rf"({_LABEL}\.)+[a-z][a-z]+"
_PATH = r"[A-Za-z0-9._~\-]*"

FORMATS: Mapping[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}T{_TIME}",
    "duration": r"P((\d{1,4}D|\d{1,4}M(\d{1,4}D)?|\d{1,4}Y(\d{1,4}M(\d{1,4}D)?)?)"
    r"(T(\d{1,4}S|\d{1,4}M(\d{1,4}S)?|\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?))?"
    r"|T(\d{1,4}S|\d{1,4}M(\d{1,4}S)?|\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?)|\d{1,4}W)",
    "email": rf"[A-Za-z0-9_+\-]+(\.[A-Za-z0-9_+\-]+)*@{_HOST}",
    "hostname": rf"{_LABEL}(\.{_LABEL})*",
    "ipv4": rf"({_BYTE}\.){{3}}{_BYTE}",
    "ipv6": r"([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "uri": rf"(https?|ftp)://{_HOST}(:[1-9]\d{{0,3}})?(/{_PATH})*"
    r"(\?[A-Za-z0-9._~=&\-]*)?(#[A-Za-z0-9._~\-]*)?",
    "json-pointer": r"(/([A-Za-z0-9_.\-]|~0|~1)*)*",
}


def formatted(name: str, param: str) -> Expression:
    """The inside of a string of the format `name`, which is in FORMATS."""
    return parse_pattern(FORMATS[name], param, in_string).whole()

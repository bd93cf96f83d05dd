"""`$ref`: places inside a schema's own document, by pointer or by `$anchor`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from .errors import refused

VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords that hold plain values: what looks like a schema there is none."""


def resolve(document: Any, param: str, reference: str, path: str) -> tuple[Any, str]:
    """What `reference` of the schema at `path` means, and its path; `param` is the document's.

    RFC 6901 for pointers. GrammarError for places outside the document, and for those not there.
    """
    where = f"{path}.$ref"
    if not reference.startswith("#"):
        raise refused(where, "only references inside the document: '#', '#/...' or '#anchor'")
    pointer = unquote(reference[1:])
    if pointer and not pointer.startswith("/"):
        return _anchored(document, param, pointer, where)
    found, place = document, param
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        place = f"{place}.{name[:60]}"
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name in map(str, range(len(found))):
            found = found[int(name)]
        else:
            raise refused(where, f"there is nothing at {reference[:80]!r}")
    return found, place


def _anchored(document: Any, param: str, anchor: str, where: str) -> tuple[Any, str]:
    waiting = [(document, param)]
    while waiting:
        schema, place = waiting.pop()
        if isinstance(schema, dict):
            if schema.get("$anchor") == anchor:
                return schema, place
            waiting += [
                (one, f"{place}.{str(name)[:60]}")
                for name, one in schema.items()
                if name not in VALUES
            ]
        elif isinstance(schema, list):
            waiting += [(one, f"{place}[{index}]") for index, one in enumerate(schema)]
    raise refused(where, f"there is no $anchor {anchor[:60]!r}")

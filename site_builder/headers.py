"""What a deployment says about its files: content security policy, types, cache lifetimes.

The same policy goes into every page (as a meta element, for hosts that cannot set headers), into
`_headers` (for hosts that read one) and out of `modelpress serve`.
"""

from __future__ import annotations

import mimetypes
import re

CSP = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self'",
    "connect-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "object-src": "'none'",
    "form-action": "'none'",
}
"""The policy. `wasm-unsafe-eval` allows WebAssembly (Python in the page) and nothing else."""

FOREVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jinja": "text/plain; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".whl": "application/octet-stream",
    ".xml": "application/xml",
    ".zip": "application/zip",
}

_HASHED = re.compile(
    r"(?:^|/)(?:assets/[^/]+\.[0-9a-f]{12}\.[a-z0-9]+|blobs/sha256/../[0-9a-f]{64})$"
)


def content_security_policy(*, framing: bool = True) -> str:
    """The policy's text; with `framing`, the part that only a header may carry."""
    parts = [f"{name} {value}" for name, value in CSP.items()]
    return "; ".join([*parts, "frame-ancestors 'none'"] if framing else parts)


def content_type(path: str) -> str:
    """The media type a host should send for a file of the site."""
    name = path.rsplit("/", 1)[-1]
    suffix = "." + name.rsplit(".", 1)[-1] if "." in name else ""
    return TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def cache_control(path: str) -> str:
    """How long a file may be kept: for ever when its name is its content, else ask each time."""
    return FOREVER if _HASHED.fullmatch(path) else ASK_EACH_TIME


def response_headers(path: str) -> dict[str, str]:
    """Everything a careful deployment sends with a file, COOP and COEP left to the operator."""
    return {
        "Content-Type": content_type(path),
        "Cache-Control": cache_control(path),
        "Content-Security-Policy": content_security_policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def headers_file() -> str:
    """`_headers`, read by several static hosts: the same headers by path pattern."""
    common = {
        "Content-Security-Policy": content_security_policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    lines = ["/*", *(f"  {name}: {value}" for name, value in common.items())]
    lines += ["/blobs/*", f"  Cache-Control: {FOREVER}"]
    return "\n".join(lines) + "\n"

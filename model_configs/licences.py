"""Licences by the names that model cards give them."""

from __future__ import annotations

from collections.abc import Mapping

from .config import Licence

_APACHE = Licence(
    "Apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0", False
)
_MIT = Licence("MIT", "MIT License", "https://opensource.org/license/mit", False)


def _llama(version: str, page: str) -> Licence:
    return Licence(
        f"LicenseRef-Llama-{version}-Community",
        f"Llama {version} Community License Agreement",
        f"https://www.llama.com/{page}/license/",
        True,
    )


LICENCES: Mapping[str, Licence] = {
    "apache-2.0": _APACHE,
    "mit": _MIT,
    "gemma": Licence(
        "LicenseRef-Gemma", "Gemma Terms of Use", "https://ai.google.dev/gemma/terms", True
    ),
    "llama2": Licence(
        "LicenseRef-Llama-2-Community",
        "Llama 2 Community License Agreement",
        "https://ai.meta.com/llama/license/",
        True,
    ),
    "llama3": _llama("3", "llama3"),
    "llama3.1": _llama("3.1", "llama3_1"),
    "llama3.2": _llama("3.2", "llama3_2"),
    "llama3.3": _llama("3.3", "llama3_3"),
    "qwen-research": Licence(
        "LicenseRef-Qwen-Research",
        "Qwen Research License Agreement",
        "https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE",
        False,
    ),
    "cc-by-nc-4.0": Licence(
        "CC-BY-NC-4.0",
        "Creative Commons Attribution-NonCommercial 4.0",
        "https://creativecommons.org/licenses/by-nc/4.0/",
        False,
    ),
    "bsd-3-clause": Licence(
        "BSD-3-Clause", "BSD 3-Clause License", "https://opensource.org/license/bsd-3-clause", False
    ),
}
"""By `license`, or `license_name` where that says "other"."""

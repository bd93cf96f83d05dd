"""Grammars over the `xgrammar` package, by its compiled module alone.

The package as a whole imports torch; nothing here needs that, so it is installed without its
dependencies (see the Makefile) and its module loaded from where it lies. It is of the release
that the browser has, so that both hosts read the same grammars.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.metadata
import importlib.util
from array import array
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ModelpressError
from ..grammar.matcher import Vocabulary
from ..token_text import TokenText
from ..tokenizer import Tokenizer

VERSION = "0.1.27"
MODULE = "xgrammar_bindings"
RAW = 0
"""The kind of vocabulary that is given as bytes."""
NO_TOKEN = b""
"""What the package takes for a special token, which no text holds."""
KEPT = 64
"""Compiled grammars kept for the next request."""


class XgrammarMatcher:
    """See `Matcher`."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher = matcher
        self._mask = array("i", bytes(4 * -(-size // 32)))

    async def mask(self) -> bytes:
        """The tokens allowed next."""
        if not self._matcher.fill_next_token_bitmask(memoryview(self._mask), 0, False):
            # All are, and then nothing was written.
            return b"\xff" * (4 * len(self._mask))
        return self._mask.tobytes()

    def accept(self, token: int) -> bool:
        """Go on with `token`."""
        accepted: bool = self._matcher.accept_token(token, False)
        return accepted

    def forced_text(self) -> str:
        """What must come next."""
        try:
            text: str = self._matcher.find_jump_forward_string()
        except UnicodeDecodeError:
            # What must come ends, or begins, within a character.
            return ""
        return text


class XgrammarGrammars:
    """See `Grammars`."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self._module = xgrammar_module()
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._compiler: Any = None
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    async def matcher(self, grammar: str) -> XgrammarMatcher:
        """A fresh matcher."""
        if grammar not in self._compiled:
            self._compiled[grammar] = await asyncio.to_thread(self._compile, grammar)
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(grammar)
        compiled = self._compiled[grammar]
        matcher = self._module.GrammarMatcher(compiled, None, False, -1)
        return XgrammarMatcher(matcher, self._vocabulary.size)

    def _compile(self, grammar: str) -> Any:
        if self._compiler is None:
            stops = sorted(self._vocabulary.stop_ids)
            tokens = token_bytes(self._tokenizer, self._vocabulary)
            info = self._module.TokenizerInfo(tokens, RAW, len(tokens), stops, False)
            self._compiler = self._module.GrammarCompiler(info, 1, False, -1)
        try:
            return self._compiler.compile_grammar(grammar, "root")
        except RuntimeError as error:
            raise ModelpressError(
                "internal", f"the grammar could not be compiled: {error}"
            ) from error


def token_bytes(tokenizer: Tokenizer, vocabulary: Vocabulary) -> list[bytes]:
    """How each token is written; special ones and ids without a token are NO_TOKEN."""
    texts = TokenText(tokenizer)
    silent = (tokenizer.special_ids() | vocabulary.stop_ids) - vocabulary.spelled.keys()
    return [
        NO_TOKEN if token in silent else texts.bytes_of(token) for token in range(vocabulary.size)
    ]


@cache
def xgrammar_module() -> Any:
    """The package's compiled module; "internal" with the remedy when it is not there."""
    try:
        distribution = importlib.metadata.distribution("xgrammar")
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing("is not installed") from error
    if distribution.version != VERSION:
        raise _missing(f"is installed in the release {distribution.version}")
    files = [file for file in distribution.files or () if MODULE in file.name]
    if not files:
        raise _missing("has no compiled module for this machine")
    path = str(Path(str(distribution.locate_file(files[0]))))
    loader = importlib.machinery.ExtensionFileLoader(MODULE, path)
    spec = importlib.util.spec_from_loader(MODULE, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _missing(what: str) -> ModelpressError:
    return ModelpressError(
        "unsupported_device",
        f"structured output needs the package xgrammar {VERSION}, which {what}: "
        f"`pip install --no-deps xgrammar=={VERSION}` (without --no-deps it brings torch)",
    )

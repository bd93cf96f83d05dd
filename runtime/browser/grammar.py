"""Grammars over the TypeScript object of host_grammar.ts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pyodide.ffi import to_js

from ..errors import ModelpressError
from ..grammar.matcher import GrammarFactory, Vocabulary
from ..token_text import TokenText
from ..tokenizer import Tokenizer
from .errors import Translator
from .tokenizer import BrowserTokenizer

OpenGrammars = Callable[..., Awaitable[Any]]
"""host_grammar.ts `hostGrammars`."""


class BrowserMatcher:
    """See `Matcher`. `host` is a Matcher of grammar.ts."""

    def __init__(self, host: Any, translator: Translator) -> None:
        self._host, self._translator = host, translator

    async def mask(self) -> bytes:
        with self._translator:
            mask: bytes = (await self._host.mask()).to_bytes()
            return mask

    def accept(self, token: int) -> bool:
        with self._translator:
            accepted: bool = self._host.accept(token)
            return accepted

    def forced_text(self) -> str:
        with self._translator:
            text: str = self._host.forcedText()
            return text

    def __del__(self) -> None:
        # Its memory is the library's, which nobody else clears.
        self._host.dispose()


class BrowserGrammars:
    """See `Grammars`. The library is loaded at the first grammar, and anew after it failed."""

    def __init__(
        self,
        open_: OpenGrammars,
        translator: Translator,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary,
    ) -> None:
        assert isinstance(tokenizer, BrowserTokenizer)
        self._open, self._translator = open_, translator
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._host: Any = None

    async def matcher(self, grammar: str) -> BrowserMatcher:
        try:
            with self._translator:
                if self._host is None:
                    self._host = await self._opened()
                return BrowserMatcher(await self._host.matcher(grammar), self._translator)
        except ModelpressError:
            self._host = None
            raise

    async def _opened(self) -> Any:
        vocabulary = self._vocabulary
        return await self._open(
            self._tokenizer.host,
            vocabulary.size,
            TokenText(self._tokenizer).spelling,
            to_js(sorted(vocabulary.stop_ids)),
            to_js(sorted(vocabulary.spelled)),
        )


def grammar_factory(open_: OpenGrammars, translator: Translator) -> GrammarFactory:
    """The host's GrammarFactory."""

    def factory(tokenizer: Tokenizer, vocabulary: Vocabulary) -> BrowserGrammars:
        return BrowserGrammars(open_, translator, tokenizer, vocabulary)

    return factory

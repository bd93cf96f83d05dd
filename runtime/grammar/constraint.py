"""A sequence held to a grammar: the `Constraint` that the session asks before every token."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ModelpressError
from ..token_text import TokenText
from ..tokenizer import Tokenizer
from .matcher import Grammars, Matcher


class GrammarConstraint:
    """See `runtime.constraint.Constraint`. The grammar is compiled when the first mask is asked
    for: by then the device computes the prompt."""

    def __init__(self, grammars: Grammars, grammar: str, tokenizer: Tokenizer) -> None:
        self._grammars, self._grammar = grammars, grammar
        self._tokenizer, self._texts = tokenizer, TokenText(tokenizer)
        self._matcher: Matcher | None = None

    def forced(self) -> Sequence[int]:
        """The tokens of the text that must come, but for the last one.

        That one may be a longer token's beginning, which the model would rather write.
        """
        if self._matcher is None:
            return ()
        text = self._matcher.forced_text()
        if len(text) < 2 or "\ufffd" in text:
            # Nothing that is worth it, or a text that is cut within a character.
            return ()
        ids = self._tokenizer.encode(text)[:-1]
        # A tokenizer may write a space before a text, or other bytes for the same characters.
        written = b"".join(map(self._texts.bytes_of, ids))
        return tuple(ids) if text.encode().startswith(written) else ()

    async def mask(self) -> bytes | None:
        """What may come next."""
        if self._matcher is None:
            self._matcher = await self._grammars.matcher(self._grammar)
        return await self._matcher.mask()

    def accept(self, token: int) -> None:
        """Go on with `token`; "internal" when the grammar does not allow it."""
        if self._matcher is None or not self._matcher.accept(token):
            raise ModelpressError(
                "internal",
                f"token {token} was drawn, which the grammar of this answer does not allow; "
                "the device computes wrongly: try another variant of the model",
                details={"token": token},
            )

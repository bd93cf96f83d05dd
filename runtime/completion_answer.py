"""A text to be continued, or a gap in it to be filled, made into a prompt.

Models that were trained to fill in the middle (arXiv 2207.14255) have tokens for it; each family
orders and names them in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

from .answer import AnswerPlan, Ask, model_tokenizer
from .chat_answer import check_abilities, reading_hooks
from .completion_request import CompletionRequest, Prompt
from .errors import ModelpressError
from .loading import Documents
from .reader import Reader, ReaderOptions
from .sampling import SamplingParams, bad_param
from .session import Generation
from .tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class FillMarks:
    """The tokens around a gap, and whether the text behind it is told first."""

    prefix: str
    suffix: str
    middle: str
    suffix_first: bool = False

    def ids(self, tokenizer: Tokenizer) -> tuple[int, ...] | None:
        """The marks' ids, without an empty one; None where the vocabulary has them not."""
        found = [tokenizer.encode(mark) for mark in (self.prefix, self.suffix, self.middle) if mark]
        if any(len(ids) != 1 for ids in found):
            return None
        ids = tuple(token for (token,) in found)
        names = [mark for mark in (self.prefix, self.suffix, self.middle) if mark]
        is_known = all(tokenizer.piece(i) == n for i, n in zip(ids, names, strict=True))
        return ids if is_known else None

    def written(self, before: str, after: str) -> str:
        """The prompt that asks for what stands between."""
        if self.suffix_first:
            return f"{self.suffix}{after}{self.prefix}{before}{self.middle}"
        return f"{self.prefix}{before}{self.suffix}{after}{self.middle}"


FILL_MARKS = (
    FillMarks("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    FillMarks("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    FillMarks("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    FillMarks("▁<PRE>", "▁<SUF>", "▁<MID>"),
    FillMarks("[PREFIX]", "[SUFFIX]", "", suffix_first=True),
)


@dataclass(frozen=True, slots=True)
class CompletionAsk:
    """One choice of one prompt."""

    request: CompletionRequest
    prompt: Prompt
    choice: int = 0
    ranked: bool = False
    """Whether probabilities are wanted to find the best of several."""

    @property
    def model(self) -> str | None:
        """Who is asked."""
        return self.request.model

    @property
    def turns(self) -> int:
        """A text has none."""
        return 0

    def without(self, turns: int) -> Ask:
        """There is nothing to leave out."""
        return self

    def plan(self, documents: Documents) -> AnswerPlan:
        """Raises "bad_request" for token ids and fields that the model does not know."""
        request, manifest = self.request, documents.manifest
        tokenizer = model_tokenizer(documents)
        top = 0 if self.ranked and request.logprobs is None else request.logprobs
        check_abilities(documents, top, request.logit_bias)
        prompt, ends = completion_prompt(documents, self.prompt, request.suffix)
        options = ReaderOptions(
            stop_ids=frozenset(manifest.stop_token_ids) | ends,
            stops=request.stop,
            top_logprobs=top,
            bias=request.logit_bias,
        )
        reader = Reader(tokenizer, options)
        defaults = SamplingParams.from_defaults(manifest.sampling)
        generation = Generation(
            prompt=prompt,
            params=request.params(defaults, self.choice),
            stop_ids=options.stop_ids,
            max_tokens=request.max_tokens,
            hooks=reading_hooks(reader, options),
        )
        return AnswerPlan(generation, reader)


def completion_prompt(
    documents: Documents, prompt: Prompt, suffix: str | None
) -> tuple[tuple[int, ...], frozenset[int]]:
    """The prompt's token ids, and further ids that end what is filled in."""
    vocab = documents.plan.vocab_size
    if not isinstance(prompt, str):
        if any(token >= vocab for token in prompt):
            raise bad_param("prompt", f"prompt holds a token outside the vocabulary of {vocab}")
        return prompt, frozenset()
    tokenizer = model_tokenizer(documents)
    if suffix is None:
        return _begun(documents, tokenizer, prompt), frozenset()
    for marks in FILL_MARKS:
        ids = marks.ids(tokenizer)
        if ids is not None:
            return _begun(documents, tokenizer, marks.written(prompt, suffix)), frozenset(ids)
    raise ModelpressError(
        "bad_request",
        f"{documents.entry.id} was not trained to fill in the middle: its vocabulary has no tokens "
        "for that. Leave out suffix, or take a model for code",
        details={"param": "suffix"},
    )


def _begun(documents: Documents, tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """The text's tokens behind what its model was trained to see before a text.

    What a tokenizer puts behind a text would end it. An empty text begins with the token that
    begins or, where there is none, ends texts.
    """
    bare, whole = tokenizer.encode(text), tokenizer.encode_whole(text)
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    ids = (*(whole[:start] if bare else ()), *bare)
    if ids:
        return ids
    manifest = documents.manifest
    first = manifest.bos_token_id
    if first is None:
        first = next(iter(manifest.stop_token_ids), None)
    if first is None:
        raise bad_param("prompt", "this model cannot begin with an empty prompt")
    return (first,)

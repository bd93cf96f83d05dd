"""The host: everything the engine needs from where it runs, passed in by whoever boots it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .executor import Executor
from .grammar.matcher import GrammarFactory
from .notes import MemoryNotes, Notes
from .storage import Storage
from .tokenizer import Tokenizer

TokenizerFactory = Callable[[str, str | None], Tokenizer]
"""Makes a tokenizer from the texts of tokenizer.json and, when there is one,
tokenizer_config.json; raises ModelpressError "bad_format" when they are not what they say."""


@dataclass(frozen=True, slots=True)
class Host:
    """A device, a place with files, a way to read tokenizers, a memory, and a clock (seconds).

    `processor` runs the plans for processors where `executor`, which speaks WebGPU, is not there
    or not to be trusted. A host of nothing but a processor has that as its executor.
    `grammars` is what structured output takes; None where that is not to be had.
    """

    executor: Executor
    storage: Storage
    tokenizer: TokenizerFactory
    notes: Notes = field(default_factory=MemoryNotes)
    clock: Callable[[], float] = time.perf_counter
    processor: Executor | None = None
    grammars: GrammarFactory | None = None

    @property
    def executors(self) -> tuple[Executor, ...]:
        """All devices."""
        return (self.executor,) if self.processor is None else (self.executor, self.processor)

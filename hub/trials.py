"""A model tried out while it is built: what its matrices meet, and what its scheme loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.manifest import Loss
from runtime.plan import Plan
from runtime.progress import OnProgress, Progress
from runtime.weights import WeightIndex

from .errors import UnsupportedError
from .loss import Moments, StoredRows, measure, read_all
from .order import Order, Toolchain
from .rounding import Floats
from .schemes import SCHEMES, Schemes
from .texts import LENGTH, OWN, QUESTIONS, Texts, answered, questions, read_texts
from .tokenizer_files import TokenizerFiles

if TYPE_CHECKING:
    from .families import FamilyConfig

SMALL_PARAMETERS = 200_000_000
"""Larger models are measured when somebody asks: it takes minutes, and answers take longer."""


class Trials:
    """The trials of one build; without texts there are none.

    Small models answer their own questions in float32; a large one is measured, when that is
    asked for, on the questions alone. A calibration text serves both.
    """

    def __init__(self, order: Order, shape: FamilyConfig, toolchain: Toolchain) -> None:
        """SourceError and UnsupportedError for a calibration text that cannot be used."""
        self._order, self._shape, self._toolchain = order, shape, toolchain
        self._length = min(LENGTH, order.context)
        self._walk: Any = None
        self.texts = self._texts()

    def importance(self) -> dict[str, Floats]:
        """f32[cols] of every matrix that the calibration texts meet; nothing without any."""
        if self.texts is None or not self.texts.calibration:
            return {}
        moments = Moments()
        read_all(self._over(SCHEMES["f32"], observe=moments), self.texts.calibration)
        return moments.importance()

    def loss(
        self, schemes: Schemes, importance: Mapping[str, Floats], on_progress: OnProgress
    ) -> Loss | None:
        """What `schemes` lose against float32 on the texts; None without any."""
        if self.texts is None:
            return None
        on_progress(Progress("measure", 0, 1, "texts"))
        exact, stored = self._over(SCHEMES["f32"]), self._over(schemes, importance)
        loss = measure(exact, stored, self.texts.measured, self.texts.name)
        on_progress(Progress("measure", 1, 1, "texts"))
        return loss

    def rounding(self, plans: Sequence[Plan], index: WeightIndex, root: Path) -> dict[str, Loss]:
        """By variant, what rounding in a plan for the processor loses on the texts, with the
        weights that are stored under `root`."""
        if self.texts is None or self._toolchain.measure_losses is None:
            return {}
        return self._toolchain.measure_losses(plans, index, root, self.texts)

    def _texts(self) -> Texts | None:
        order, shape = self._order, self._shape
        chat = order.material.chat
        able = order.material.checkpoint is not None and self._toolchain.walk is not None
        if not able or chat is None or order.embedding is not None:
            if order.calibration is not None:
                raise UnsupportedError(
                    f"{order.model.id}: a calibration text needs a checkpoint with a tokenizer, "
                    "of a model that continues texts; build without --calibration"
                )
            return None
        if order.calibration is not None:
            texts = read_texts(order.calibration, chat, self._length)
            if not texts.within(shape.vocab_size):
                raise UnsupportedError(
                    f"{order.model.id}: tokenizer.json does not fit the {shape.vocab_size} tokens "
                    "of config.json; build without --calibration"
                )
            return texts
        small = shape.parameters < SMALL_PARAMETERS
        return self._own(chat, answer=small) if small or order.measure else None

    def _own(self, chat: TokenizerFiles, *, answer: bool) -> Texts | None:
        """The model's questions, and where wanted its answers."""
        model = self._order.model
        asked = questions(chat, model.system_prompt, model.suggestions, self._length // 2)
        texts = Texts(QUESTIONS, (), tuple(text for text in asked if text))
        if not texts.within(self._shape.vocab_size) or not answer:
            return texts if texts.within(self._shape.vocab_size) else None
        exact, said = self._over(SCHEMES["f32"]), []
        for text in texts.measured:
            exact.restart()
            said.append(answered(text, exact.logits, chat.stop_token_ids, self._length))
        return replace(texts, name=OWN, measured=tuple(said))

    def _over(
        self,
        schemes: Schemes,
        importance: Mapping[str, Floats] | None = None,
        observe: Moments | None = None,
    ) -> Any:
        """A walk over the model's weights as they are under `schemes`."""
        order = self._order
        assert order.material.checkpoint is not None and self._toolchain.walk is not None
        rows = StoredRows(order.material.checkpoint, schemes, importance)
        if self._walk is None:
            family = self._toolchain.families[order.model.family]
            context, tokens = order.context, self._length
            self._walk = self._toolchain.walk(
                family, self._shape, rows, context=context, tokens=tokens
            )
        return self._walk.over(rows, observe)

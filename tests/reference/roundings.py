"""Prints the table of docs/quantization.md: what roundings of the same weights lose.

    python -m tests.reference.roundings

Every row is the demo model with its matrices rounded in one way; a token is one of the answers
that the model gives in float32 to questions it was not trained on. Calibrated rows are chosen by
answers to other questions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hub.build import bits_per_weight
from hub.checkpoint import Checkpoint
from hub.families import FAMILIES
from hub.forward import Walk
from hub.golden import golden_prompt
from hub.loss import Moments, StoredRows, measure, read_all
from hub.mixing import MIXED, settle
from hub.rounding import Floats
from hub.schemes import GROUP, SCHEMES, Schemes
from hub.source_rows import read_rows
from hub.texts import LENGTH, Text, answered
from hub.tokenizer_files import TokenizerFiles
from hub.weight_specs import WeightSpec
from tests.reference.checkpoints import press_guide_folder

CONTEXT = 1024
HELD_OUT = press_guide_folder().parent / "held_out"
HEAD = (
    "| rounding | bits per weight | error of rounding | KL divergence | same next token |\n"
    "| --- | --- | --- | --- | --- |"
)
Round = Callable[[Floats], Floats]
"""Groups [n, size] to what they are rounded to."""


def absmax(groups: Floats, high: int) -> Floats:
    """MLC's q4f16_1 (high 7) and q3f16_1 (high 3): the scale is the largest magnitude / high."""
    scale = (np.abs(groups).max(axis=1, keepdims=True) / high).astype(np.float16)
    used = scale.astype(np.float32)
    inverse = np.divide(1, used, out=np.zeros_like(used), where=used != 0)
    return np.asarray(np.clip(np.rint(groups * inverse), -high, high) * used, np.float32)


def signed_max(groups: Floats) -> Floats:
    """GGUF's Q4_0: the scale is the largest element, with its sign, / -8."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)
    exact = largest / np.float32(-8)
    inverse = np.divide(1, exact, out=np.zeros_like(exact), where=exact != 0)
    integers = np.minimum(15, np.trunc(groups * inverse + np.float32(8.5))) - 8
    return np.asarray(integers * exact.astype(np.float16).astype(np.float32), np.float32)


class RoundedRows:
    """Weights of a checkpoint, every group of `size` elements of a row rounded by `round_group`."""

    def __init__(self, source: Checkpoint, round_group: Round, size: int = GROUP) -> None:
        self.source, self.round, self.size = source, round_group, size
        self.exact = StoredRows(source)

    def rows(self, spec: WeightSpec, start: int, stop: int) -> Floats:
        rows = self.exact.rows(spec, start, stop)
        if spec.kind != "matrix" or spec.pinned is not None:
            return rows
        padded = np.pad(rows, ((0, 0), (0, -spec.cols % self.size)))
        return self.round(padded.reshape(-1, self.size)).reshape(padded.shape)[:, : spec.cols]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a rounding, its size, and the weights a walk reads."""

    name: str
    bits: float
    rows: Any


def main() -> None:
    folder = press_guide_folder()
    source, family = Checkpoint.open(folder), FAMILIES["llama"]
    config = family.read(source.config)
    exact = Walk(family, config, StoredRows(source), context=CONTEXT, tokens=LENGTH)
    chat = TokenizerFiles.open(folder, source.config)
    measured, calibration = (texts(exact, chat, index) for index in (0, 1))
    moments = Moments()
    read_all(exact.over(StoredRows(source), moments), calibration)
    said = Recorded(exact, measured)
    specs = family.weights(config, CONTEXT)
    count = sum(len(text) for text in measured)
    print(f"Measured on {count:,} tokens of {len(measured)} answers.\n\n{HEAD}")
    for row in (*others(source), *ours(source, specs, moments.importance())):
        loss = measure(said, exact.over(row.rows), measured, "")
        cells = [
            row.name,
            f"{row.bits:.2f}",
            f"{100 * error(row.rows, specs, source):.2f} %",
            f"{loss.kl_divergence:.5f}",
            f"{100 * loss.top1_agreement:.2f} %",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def texts(exact: Walk, chat: TokenizerFiles, index: int) -> list[Text]:
    """The question of that number of every third fact, with the model's answer."""
    files = [tomllib.loads(file.read_text()) for file in sorted(HELD_OUT.glob("*.toml"))]
    found = []
    for asked in [questions for file in files for questions in file.values()][::3]:
        exact.restart()
        prompt = golden_prompt(chat, None, [asked[index]])
        found.append(answered(tuple(prompt), exact.logits, chat.stop_token_ids, LENGTH))
    return found


class Recorded:
    """What a walk says of texts, computed once; it is asked for them in order, again and again."""

    def __init__(self, walk: Walk, texts: Sequence[Text]) -> None:
        self._logits, self._current = [], -1
        for text in texts:
            walk.restart()
            self._logits.append(walk.logits(text))

    def restart(self) -> None:
        self._current = (self._current + 1) % len(self._logits)

    def logits(self, tokens: Sequence[int], pos: int = 0) -> Floats:
        return self._logits[self._current][pos : pos + len(tokens)]


def others(source: Checkpoint) -> list[Row]:
    """Roundings of other projects, as their formats store them."""
    return [
        Row("MLC q3f16_1", 3.6, RoundedRows(source, lambda g: absmax(g, 3), 40)),
        Row("MLC q4f16_1", 4.5, RoundedRows(source, lambda g: absmax(g, 7))),
        Row("GGUF Q4_0", 4.5, RoundedRows(source, signed_max)),
        Row("GGUF Q8_0", 8.5, RoundedRows(source, lambda g: absmax(g, 127))),
    ]


def ours(
    source: Checkpoint, specs: tuple[WeightSpec, ...], importance: Mapping[str, Floats]
) -> list[Row]:
    """Every scheme with and without a calibration text."""
    known: Mapping[str, Schemes] = {**SCHEMES, **MIXED}
    rows = []
    for name in ("q3", "q3m", "q4", "q4m", "q8"):
        for text, columns in (("", {}), (", calibrated", importance)):
            schemes = settle(known[name], specs, source, columns)
            bits = bits_per_weight(specs, schemes)
            rows.append(Row(f"`{name}`{text}", bits, StoredRows(source, schemes, columns)))
    return rows


def error(rows: Any, specs: tuple[WeightSpec, ...], source: Checkpoint) -> float:
    """||W - Q(W)|| / ||W|| over all matrices that are rounded."""
    wrong = norm = 0.0
    for spec in specs:
        if spec.kind == "matrix" and spec.pinned is None:
            exact = read_rows(spec, source, 0, spec.rows)
            found = rows.rows(spec, 0, spec.rows)
            wrong += float(np.square(found - exact, dtype=np.float64).sum())
            norm += float(np.square(exact, dtype=np.float64).sum())
    return float(np.sqrt(wrong / norm))


if __name__ == "__main__":
    main()

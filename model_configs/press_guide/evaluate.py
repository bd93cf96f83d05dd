"""Accuracy on the held-out questions: greedy answers of transformers, checked for key facts.

Measures the checkpoint as it is and with its matrices rounded to int4, since the site ships q4.
Run `python -m model_configs.press_guide.evaluate --checkpoint DIR`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from .architecture import END_OF_TURN_ID, PAD_ID
from .exchanges import Exchange
from .quantization import rounded_by_search
from .questions import PROJECT, Case, held_out_cases
from .tokenizer import render

BATCH = 1024
LONGEST_ANSWER = 224


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case and what the model answered."""

    case: Case
    answer: str

    @property
    def right(self) -> bool:
        return self.case.target.check.passes(self.answer)


def main() -> None:
    """Evaluate a checkpoint and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--every", type=int, default=1, help="ask only every n-th question")
    options = parser.parse_args()
    cases = held_out_cases()[:: options.every]
    report = evaluate(options.checkpoint, options.device, cases)
    print(json.dumps(report, indent=2))


def evaluate(checkpoint: Path, device: str, cases: Sequence[Case]) -> dict[str, Any]:
    """Scores by precision and category, with the wrong answers printed."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    report: dict[str, Any] = {"format": 1}
    for precision in ("f16", "q4"):
        model = load(checkpoint, precision).to(device)
        outcomes = tuple(answer_all(model, tokenizer, cases))
        report[precision] = scores(outcomes)
        print_table(precision, outcomes)
    return report


def load(checkpoint: Path, precision: str) -> LlamaForCausalLM:
    """The model in float32, its matrices rounded to int4 for precision q4."""
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    if precision == "q4":
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() == 2:
                    weight.copy_(rounded_by_search(weight))
    return model


def answer_all(
    model: LlamaForCausalLM, tokenizer: Tokenizer, cases: Sequence[Case]
) -> Iterator[Outcome]:
    """Greedy answers, in batches of cases with prompts of like length."""
    encoded = [(case, tokenizer.encode(render(case.messages())).ids) for case in cases]
    encoded.sort(key=lambda pair: (pair[0].category == "stories", len(pair[1])))
    for first in range(0, len(encoded), BATCH):
        batch = encoded[first : first + BATCH]
        replies = greedy(model, [ids for _, ids in batch])
        for (case, _), reply in zip(batch, replies, strict=True):
            yield Outcome(case, tokenizer.decode(reply))


def greedy(model: LlamaForCausalLM, prompts: Sequence[list[int]]) -> list[list[int]]:
    """The most likely continuation of each prompt, up to the end of the turn."""
    width = max(map(len, prompts))
    padded = [[PAD_ID] * (width - len(ids)) + ids for ids in prompts]
    shown = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
    device = model.device
    with torch.inference_mode():
        output = model.generate(
            torch.tensor(padded, device=device),
            attention_mask=torch.tensor(shown, device=device),
            max_new_tokens=LONGEST_ANSWER,
            do_sample=False,
            eos_token_id=END_OF_TURN_ID,
            pad_token_id=PAD_ID,
        )
    return [_until_end(row) for row in output[:, width:].tolist()]


def _until_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(END_OF_TURN_ID)] if END_OF_TURN_ID in ids else ids


def scores(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Right and asked by category, and for all project questions together."""
    asked = Counter(outcome.case.category for outcome in outcomes)
    right = Counter(outcome.case.category for outcome in outcomes if outcome.right)
    table = {name: _score(right[name], asked[name]) for name in asked}
    project = [name for name in PROJECT if name in asked]
    table["project, all"] = _score(sum(right[n] for n in project), sum(asked[n] for n in project))
    return table


def _score(right: int, asked: int) -> dict[str, float | int]:
    return {"right": right, "asked": asked, "share": round(right / max(asked, 1), 4)}


def print_table(precision: str, outcomes: Sequence[Outcome]) -> None:
    """The scores as text, then wrong answers of every category."""
    for name, score in sorted(scores(outcomes).items()):
        counts = f"{score['right']:5} / {score['asked']:5} {score['share']:.3f}"
        print(f"{precision:4} {name:20} {counts}")
    shown: Counter[str] = Counter()
    for outcome in outcomes:
        limit = 40 if outcome.case.category == "project" else 4
        if not outcome.right and shown[outcome.case.category] < limit:
            shown[outcome.case.category] += 1
            print(_complaint(outcome.case.target, outcome))


def _complaint(target: Exchange, outcome: Outcome) -> str:
    answer = outcome.answer[:90].replace("\n", "\\n")
    subject = target.intent or outcome.case.category
    return f"  wrong: {subject}: {target.question[:90]!r} -> {answer!r}"


if __name__ == "__main__":
    main()

"""Computes the committed reference with transformers, or checks that it is still what they say.

    python -m tests.reference.make_reference            # write tests/reference/data
    python -m tests.reference.make_reference --check    # compute again and compare

Needs the `reference` extra (torch, transformers). Quantized schemes run transformers in float32 on
the weights that the quantizer's codes stand for.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from .answers import (
    COMMON,
    DATA,
    NEW_TOKENS,
    Answers,
    digest,
    prompt_for,
    read_answers,
    relative_error,
    write_answers,
)
from .checkpoints import GUIDE_QUESTION, PRESS_GUIDE, dequantized, press_guide_folder
from .tiny import TINY, TinyModel
from .tiny_families import TINY_FAMILIES

Weights = Mapping[str, NDArray[np.float32]]
ALLOWED_DRIFT = 1e-5
"""Between two machines running the same torch: other vector widths, other orders of addition."""
SMALLEST_MARGIN = 1.5e-3
"""The closest greedy choice, relative to the largest logit: else identity would test luck."""
FAMILY_POSITIONS = {"f32": (0, 11, 23), "q4": (0, 23)}
POSITIONS = {
    "f32": tuple(range(24)),
    "f16": (0, 23),
    "q8": (0, 11, 23),
    "q4": (0, 5, 17, 23),
    "q3": (0, 23),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    parser.add_argument("--margins", action="store_true", help="only print the greedy margins")
    parser.add_argument("models", nargs="*", help="only these; all when none is named")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    problems = []
    for model, answers, margin in all_answers(arguments.models):
        print(f"{model}: closest greedy choice {margin:.1e}", flush=True)
        if margin < SMALLEST_MARGIN:
            problems.append(f"{model}: closest greedy choice {margin:.1e}; choose another seed")
        elif arguments.check:
            problems += list(compare(model, answers))
        elif not arguments.margins:
            write_answers(DATA, model, answers)
    print("\n".join(problems) or f"{'equal' if arguments.check else 'written'}: {DATA}")
    return 1 if problems else 0


def all_answers(
    models: Sequence[str] = (),
) -> Iterator[tuple[str, dict[str, Answers], float]]:
    """(model, answers by scheme, smallest greedy margin) of the models named, or of all."""
    with tempfile.TemporaryDirectory() as scratch:
        for tiny in (*TINY, *TINY_FAMILIES):
            if models and tiny.name not in models:
                continue
            folder = tiny.write(Path(scratch) / tiny.name)
            known = POSITIONS if isinstance(tiny, TinyModel) else FAMILY_POSITIONS
            positions = {scheme: known[scheme] for scheme in tiny.schemes}
            yield tiny.name, *answers_of(folder, prompt_for(tiny.vocab), positions)
    if models and PRESS_GUIDE not in models:
        return
    prompt = guide_prompt(press_guide_folder())
    positions = dict.fromkeys(COMMON, (0, len(prompt) // 2, len(prompt) - 1))
    yield PRESS_GUIDE, *answers_of(press_guide_folder(), prompt, positions)


def guide_prompt(folder: Path) -> tuple[int, ...]:
    """The question to the demo model, as transformers renders and encodes it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": GUIDE_QUESTION}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def answers_of(
    folder: Path, prompt: tuple[int, ...], positions: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Answers], float]:
    """What transformers says about the checkpoint in `folder`, under the schemes of `positions`."""
    answers, margins = {}, []
    for scheme in positions:
        weights = load_weights(folder) if scheme == "f32" else dequantized(folder, scheme)
        logits, tokens, margin = run(folder, weights, prompt)
        chosen = positions[scheme]
        answers[scheme] = Answers(prompt, chosen, logits[list(chosen)], tokens, digest(weights))
        margins.append(margin)
    return answers, min(margins)


def load_weights(folder: Path) -> Weights:
    """The checkpoint as it is, in float32."""
    return {
        name: array.astype(np.float32)
        for name, array in load_file(folder / "model.safetensors").items()
    }


def run(
    folder: Path, weights: Weights, prompt: tuple[int, ...]
) -> tuple[NDArray[np.float32], tuple[int, ...], float]:
    """Logits f32[prompt, vocab], 64 greedy tokens, and the smallest margin of a greedy choice."""
    with torch.inference_mode():
        return _generate(open_model(folder, weights), prompt)


def _generate(
    model: Any, prompt: tuple[int, ...]
) -> tuple[NDArray[np.float32], tuple[int, ...], float]:
    output = model(torch.tensor([prompt]), use_cache=True)
    logits = output.logits[0].numpy().copy()
    last, cache = output.logits[0, -1], output.past_key_values
    tokens, margins = [], []
    for _ in range(NEW_TOKENS):
        best, second = torch.topk(last, 2).values.tolist()
        margins.append((best - second) / float(last.abs().max()))
        tokens.append(int(last.argmax()))
        output = model(torch.tensor([[tokens[-1]]]), past_key_values=cache, use_cache=True)
        last = output.logits[0, -1]
    return logits, tuple(tokens), min(margins)


def open_model(folder: Path, weights: Weights) -> Any:
    """A float32 transformers model holding exactly `weights`."""
    config = AutoConfig.from_pretrained(folder)
    if any(".experts." in name for name in weights):
        return read_model(folder, weights)
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", dtype=torch.float32
    )
    state = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    assert set(missing) <= tied and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval()


def read_model(folder: Path, weights: Weights) -> Any:
    """The same by way of a checkpoint: transformers joins experts as it reads them."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(folder / "config.json", scratch)
        save_file(dict(weights), Path(scratch) / "model.safetensors")
        model, report = AutoModelForCausalLM.from_pretrained(
            scratch, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
        )
    assert not any(report.values()), report
    return model.eval()


def compare(model: str, answers: Mapping[str, Answers]) -> Iterator[str]:
    """Every difference between fresh answers and the committed ones, in words."""
    for scheme, fresh in answers.items():
        try:
            kept = read_answers(model, scheme)
        except (OSError, KeyError) as missing:
            yield f"{model} {scheme}: not in the committed reference ({missing})"
            continue
        if kept.weights_sha256 != fresh.weights_sha256:
            yield f"{model} {scheme}: the weights changed; write the reference again"
        elif (kept.prompt, kept.positions) != (fresh.prompt, fresh.positions):
            yield f"{model} {scheme}: the prompt changed; write the reference again"
        elif kept.tokens != fresh.tokens:
            yield f"{model} {scheme}: the greedy tokens differ"
        elif (drift := relative_error(kept.logits, fresh.logits)) > ALLOWED_DRIFT:
            yield f"{model} {scheme}: the logits differ by {drift:.1e}"


if __name__ == "__main__":
    sys.exit(main())

"""Train press-guide from scratch: `python -m model_configs.press_guide.train --out DIR`.

Dialogues, tokenizer, weights and evaluation are all made afresh from fixed seeds. The first
phase learns from rows of 512 tokens; the second lengthens them to 1024 and moves the matrices
to their int4 rounding in two steps of three, so that q4 answers as well as f16.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .architecture import PRESS_GUIDE
from .checkpoint import write_descriptions, write_evaluation
from .corpus import Rows, encode_dialogues, pack, text_of
from .dialogues import SEED, dialogues
from .tokenizer import train_tokenizer

try:
    import torch
    from safetensors.torch import save_file
    from torch import Tensor

    from .evaluate import evaluate
    from .network import Batch, Network
    from .questions import held_out_cases
except ImportError as error:
    sys.exit(f"training needs torch and transformers ({error}): pip install torch transformers")

TOKENIZER_DIALOGUES = 30_000


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training; learning rates are at its start and its end."""

    steps: int
    row_tokens: int
    rates: tuple[float, float]
    dropout: float
    rounding: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result."""

    dialogues: int = 600_000
    step_tokens: int = 65_536
    warmup_steps: int = 200
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    phases: tuple[Phase, ...] = (
        Phase(5200, 512, (2e-3, 8e-4), 0.1, False),
        Phase(2200, 1024, (8e-4, 0.0), 0.0, True),
    )


RECIPE = Recipe()


def main() -> None:
    """Make everything, from dialogues to evaluation, in one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps to train")
    parser.add_argument("--dialogues", type=int, default=RECIPE.dialogues)
    parser.add_argument("--step-tokens", type=int, default=RECIPE.step_tokens)
    parser.add_argument("--every", type=int, default=1, help="evaluate every n-th question")
    options = parser.parse_args()
    recipe = replace(RECIPE, dialogues=options.dialogues, step_tokens=options.step_tokens)
    recipe = replace(recipe, phases=scaled(recipe.phases, options.scale))
    started = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    encoded = prepare(options.out, recipe)
    print(
        f"{len(encoded)} dialogues, {sum(map(len, encoded))} tokens, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )
    network = train(encoded, options.out, recipe, options.device)
    save(network, options.out)
    seconds = round(time.monotonic() - started)
    report = evaluate(options.out, options.device, held_out_cases()[:: options.every])
    write_evaluation(options.out, report | {"training": _summary(recipe, encoded, seconds)})


def scaled(phases: tuple[Phase, ...], share: float) -> tuple[Phase, ...]:
    """The phases with their steps multiplied by `share`."""
    return tuple(replace(phase, steps=max(1, round(phase.steps * share))) for phase in phases)


def prepare(out: Path, recipe: Recipe) -> list[np.ndarray[Any, Any]]:
    """Write the tokenizer and the descriptions, and return the encoded dialogues."""
    texts = (text_of(dialogue) for dialogue in dialogues(0, TOKENIZER_DIALOGUES, SEED))
    tokenizer = train_tokenizer(texts)
    tokenizer.save(str(out / "tokenizer.json"))
    write_descriptions(out)
    workers = os.cpu_count() or 1
    return list(encode_dialogues(out / "tokenizer.json", recipe.dialogues, SEED, workers))


def train(encoded: list[np.ndarray[Any, Any]], out: Path, recipe: Recipe, device: str) -> Network:
    """Run the phases one after the other."""
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    network: Network = Network(PRESS_GUIDE, 0.0).to(device)
    optimizer = _optimizer(network, recipe, device)
    done = 0
    for phase in recipe.phases:
        rows = pack(encoded, phase.row_tokens, _assistant_id(out))
        print(f"{phase}: {len(rows.tokens)} rows", flush=True)
        run_phase(network, optimizer, rows, phase, recipe, done)
        done += phase.steps
    return network


def run_phase(
    network: Network,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    phase: Phase,
    recipe: Recipe,
    done: int,
) -> None:
    """All steps of one phase; `done` steps came before."""
    device = next(network.parameters()).device
    network.dropout = phase.dropout
    network.train()
    step_rows = max(1, recipe.step_tokens // phase.row_tokens)
    torch.compiler.reset()
    compiled = torch.compile(network) if device.type == "cuda" else network
    started = time.monotonic()
    for step, batch in enumerate(batches(rows, step_rows, phase.steps, device)):
        rate = learning_rate(phase, step, done + step, recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rounding = phase.rounding and step % 3 < 2
        strength = torch.tensor(float(rounding), device=device)
        with torch.autocast(device.type, torch.bfloat16):
            loss = compiled(batch, strength)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == phase.steps - 1:
            speed = step * recipe.step_tokens / max(time.monotonic() - started, 1e-9)
            print(
                f"step {done + step} loss {loss.item():.4f} rate {rate:.2e} "
                f"{time.monotonic() - started:.0f} s {speed:,.0f} tok/s",
                flush=True,
            )


def batches(rows: Rows, count: int, steps: int, device: torch.device) -> Iterator[Batch]:
    """`steps` batches of `count` rows, in a new order each time round."""
    held = [
        torch.from_numpy(part).to(device)
        for part in (rows.tokens, rows.dialogue, rows.position, rows.weight)
    ]
    rng = np.random.default_rng(SEED)
    order: np.ndarray[Any, Any] = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        while len(order) < count:
            order = np.concatenate((order, rng.permutation(len(rows.tokens))))
        chosen = torch.from_numpy(order[:count]).to(device)
        order = order[count:]
        tokens, dialogue, position, weight = (part[chosen] for part in held)
        yield Batch(tokens.long(), dialogue, position, weight)


def learning_rate(phase: Phase, step: int, overall: int, recipe: Recipe) -> float:
    """A warm-up at the very start, else half a cosine from the phase's first rate to its last."""
    first, last = phase.rates
    share = (1 + math.cos(math.pi * step / phase.steps)) / 2
    return (last + (first - last) * share) * min(1.0, (overall + 1) / recipe.warmup_steps)


def _optimizer(network: Network, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    matrices: list[Tensor] = [p for p in network.parameters() if p.dim() == 2]
    vectors: list[Tensor] = [p for p in network.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=recipe.betas, fused=device == "cuda")


def _assistant_id(out: Path) -> int:
    vocabulary = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return int(vocabulary["assistant"])


def save(network: Network, out: Path) -> None:
    """Write `model.safetensors` in f16."""
    tensors = {name: weight.half().contiguous().cpu() for name, weight in network.tensors().items()}
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})


def _summary(recipe: Recipe, encoded: list[np.ndarray[Any, Any]], seconds: int) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe),
        "seed": SEED,
        "corpus_tokens": int(sum(map(len, encoded))),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()

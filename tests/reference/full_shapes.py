"""The plans of whole models against the reference on the processor, at the sizes they ship in.

    VK_ICD_FILENAMES=... python -m tests.reference.full_shapes ID... [--variants V...] [--layers N]

By hand: it takes minutes a model. Weights are the synthetic ones, read back from the device that
made them, so no checkpoint is needed; `llvm` computes with the same ones. Prints the largest
difference of logits relative to the largest logit, after a prefill and after tokens decoded every
way the plan offers, and whether the likeliest token is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.compile import VARIANTS, compile_plans
from hub.families import FAMILIES
from hub.llvm import Reference
from hub.material import from_shapes
from hub.schemes import SCHEMES
from model_configs.config import load
from runtime.native.executor import WgpuExecutor
from runtime.plan import Plan
from runtime.progress import ignore_progress

from .answers import relative_error
from .device import without_matrices

Array = NDArray[Any]
CONTEXT = 64
SEED = 1
PREFILL, DECODED = 9, 3
DTYPES = {"f32": np.float32, "u32": np.uint32}


def main() -> None:
    """A line for each model, variant and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="+")
    parser.add_argument("--scheme", choices=SCHEMES, default="q4")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--layers", type=int, help="of the model's, to save time; all by default")
    arguments = parser.parse_args()
    for id in arguments.ids:
        model = load(id)
        config = dict(from_shapes(model).config)
        if arguments.layers:
            config["num_hidden_layers"] = arguments.layers
        asyncio.run(compare(id, model.family, config, arguments.scheme, arguments.variants))


async def compare(
    id: str, family: str, config: Mapping[str, Any], scheme: str, variants: Sequence[str]
) -> None:
    """Every variant of one model; the weights are read back once."""
    references: dict[str, list[Array]] = {}
    tensors: dict[str, Array] | None = None
    for variant in variants:
        (plan,) = compile_plans(
            model_id=id,
            family=family,
            config=config,
            scheme=SCHEMES[scheme],
            context=CONTEXT,
            variants=(variant,),
        )
        executor = WgpuExecutor()
        plan = without_matrices(plan)
        await prepare(executor, plan)
        if tensors is None:
            tensors = await weights(executor, family, config, scheme)
        kept = next(buffer.dtype for buffer in plan.buffers if buffer.role == "kv")
        if kept not in references:
            on_llvm = Reference(
                family, config, SCHEMES[scheme], tensors, context=CONTEXT, kv_dtype=kept
            )
            references[kept] = expected(on_llvm, plan.vocab_size)
            del on_llvm
        for way, found in (await answers(executor, plan)).items():
            report(f"{id} {scheme} {variant} {way}", found, references[kept])
        await executor.close()


async def prepare(executor: WgpuExecutor, plan: Plan) -> None:
    """The plan ready to run, with its weights made on the device."""
    pages = CONTEXT // plan.page_size
    await executor.prepare(plan, plan.dumps(), pages=pages, on_progress=ignore_progress)
    executor.submit(("synthesize",), {"seed": SEED})
    table = np.arange(pages, dtype=np.int32)[::-1]
    executor.write("page_table", table.tobytes())


async def weights(
    executor: WgpuExecutor, family: str, config: Mapping[str, Any], scheme: str
) -> dict[str, Array]:
    """Every weight buffer as the device has it."""
    reader = FAMILIES[family]
    tensors = {}
    for spec in reader.weights(reader.read(config), CONTEXT):
        for name, dtype, shape in spec.tensors(SCHEMES[scheme]):
            data = await executor.read(name, 4 * math.prod(shape))
            tensors[name] = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    return tensors


def prompt(vocab: int) -> list[int]:
    """Tokens from all over the vocabulary."""
    return [(7919 * i + 13) % vocab for i in range(PREFILL + DECODED)]


def expected(reference: Reference, vocab: int) -> list[Array]:
    """f32[vocab] after the prefill and after every decoded token."""
    tokens = prompt(vocab)
    found = [reference.prefill(tokens[:PREFILL], 0)]
    return found + [reference.decode(tokens[pos], pos) for pos in range(PREFILL, len(tokens))]


async def answers(executor: WgpuExecutor, plan: Plan) -> dict[str, list[Array]]:
    """The same of a device, by the way to decode."""
    tokens, found = prompt(plan.vocab_size), {}
    for way in ("decode", *plan.alternatives.get("decode", ())):
        executor.write("tokens", np.array(tokens[:PREFILL], np.int32).tobytes())
        executor.submit(("prefill",), {"n": PREFILL, "pos": 0})
        rows = [await logits(executor, plan)]
        for pos in range(PREFILL, len(tokens)):
            executor.write("token", np.array([tokens[pos]], np.int32).tobytes())
            executor.submit((way,), {"pos": pos})
            rows.append(await logits(executor, plan))
        found[way] = rows
    return found


async def logits(executor: WgpuExecutor, plan: Plan) -> Array:
    data = await executor.read("logits", 4 * plan.vocab_size)
    return np.frombuffer(data, np.float32).copy()


def report(what: str, found: Sequence[Array], wanted: Sequence[Array]) -> None:
    """One line: the worst of prefill and of decoding, and the likeliest tokens."""
    errors = [relative_error(one, other) for one, other in zip(found, wanted, strict=True)]
    pairs = zip(found, wanted, strict=True)
    same = all(int(np.argmax(one)) == int(np.argmax(other)) for one, other in pairs)
    tokens = "same tokens" if same else "OTHER TOKENS"
    print(f"{what}: prefill {errors[0]:.1e}, decode {max(errors[1:]):.1e}, {tokens}", flush=True)


if __name__ == "__main__":
    main()

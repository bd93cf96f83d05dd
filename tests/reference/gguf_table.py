"""Files of GGUF against transformers' own reading of them: `python -m tests.reference.gguf_table`.

Runs by hand in the environment of the reference, with `pip install gguf accelerate`. Each tiny
model is written as a file in a quantization, pressed from it, and computed by TVM; transformers
reads the same file by its own code. Printed: the largest difference of logits, relative to the
largest logit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

from hub.gguf_checkpoint import GgufCheckpoint
from hub.llvm import Reference
from hub.schemes import SCHEMES
from hub.stream import press
from tests.hub.gguf_files import write_gguf
from tests.hub.gguf_models import representable
from tests.reference.answers import prompt_for
from tests.reference.checkpoints import CONTEXT, family_of

MODELS = ("tiny-grouped", "tiny-tied", "tiny-wide-head", "tiny-qwen2", "tiny-qwen3-moe")
"""Those of which transformers reads every tensor from a file."""
TOLD = ("tiny-qwen3-moe",)
"""Of which it does not read every option: it is given the config.json."""
CASES = ((Kind.F32, "f32"), (Kind.Q4_0, "q4"), (Kind.Q8_0, "q8"))


def main() -> None:
    """Print a row a model."""
    print("| model |", " | ".join(f"{kind.name} as {scheme}" for kind, scheme in CASES), "|")
    for name in MODELS:
        errors = [_error(representable(name), kind, scheme) for kind, scheme in CASES]
        print(f"| {name} |", " | ".join(errors), "|", flush=True)


def _error(tiny: Any, kind: Kind, scheme: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = write_gguf(Path(folder) / "m.gguf", tiny.config(), tiny.weights(), kind)
        theirs = _transformers(Path(folder), file.name, tiny)
        ours = _ours(file, scheme, tiny.config()["vocab_size"])
    return f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.0e}"


def _transformers(folder: Path, name: str, tiny: Any) -> np.ndarray[Any, Any]:
    config = tiny.config()
    given = {"config": transformers.AutoConfig.for_model(**config)} if tiny.name in TOLD else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, attn_implementation="eager", **given
    )
    prompt = torch.tensor([prompt_for(config["vocab_size"])])
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model(prompt).logits[0].numpy()
    return logits


def _ours(file: Path, scheme: str, vocab: int) -> np.ndarray[Any, Any]:
    from hub.families import FAMILIES

    checkpoint, _ = GgufCheckpoint.open(file)
    name = family_of(checkpoint.config)
    specs = FAMILIES[name].weights(FAMILIES[name].read(checkpoint.config), CONTEXT)
    buffers = {b.name: b.data for b in press(specs, SCHEMES[scheme], checkpoint)}
    reference = Reference(name, checkpoint.config, SCHEMES[scheme], buffers, context=CONTEXT)
    return reference.logits(prompt_for(vocab))


if __name__ == "__main__":
    main()

"""The table of the processor's kernels: which noun module makes the kernel of which op."""

from __future__ import annotations

from collections.abc import Callable

from ...kernels.kernel import Op
from .attention import attention
from .copy import copy_words
from .draw import argmax, count, reset, sample
from .encoder import encoder_attention
from .fill import fill
from .kernel import CpuKernel, CpuProfile, CpuSequence
from .linear import linear
from .rope import rope_append
from .rows import layer_norm, rms_norm
from .tokens import bias, chosen, logprobs, mask

KERNELS: dict[str, Callable[[Op, CpuProfile], CpuKernel | CpuSequence | None]] = {
    "argmax": argmax,
    "attention": attention,
    "attention_rows": attention,
    "bias": bias,
    "chosen": chosen,
    "copy_words": copy_words,
    "count": count,
    "encoder_attention": encoder_attention,
    "fill": fill,
    "gate_up": linear,
    "layer_norm": layer_norm,
    "logprobs": logprobs,
    "mask": mask,
    "matmul": linear,
    "reset": reset,
    "rms_norm": rms_norm,
    "rope_append": rope_append,
    "rope_append_rows": rope_append,
    "sample": sample,
}


def kernel_for(op: Op, profile: CpuProfile) -> CpuKernel | CpuSequence | None:
    """The library's kernel or kernels for `op`; None leaves the op to TVM's plain lowering."""
    make = KERNELS.get(op.name)
    return None if make is None else make(op, profile)

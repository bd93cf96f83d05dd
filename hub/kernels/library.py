"""The library's table: which noun module makes the kernel of which op."""

from __future__ import annotations

from collections.abc import Callable

from .attention import attention
from .decode_attention import decode_attention
from .embedding import embedding
from .encoder import encoder_attention, pool
from .experts import expert_down, expert_gate_up, route
from .fill import fill
from .kernel import KernelSequence, LibraryKernel, Op, Profile
from .linear import gate_up, matmul
from .linear_attention import causal_conv, delta_rule, gated_norm
from .logprobs import bias, chosen, logprobs
from .mask import mask
from .packed import pack, pack_layer_norm, packed_gate_up, packed_matmul
from .rope import rope_append
from .rows import add_positions, copy_words, gate_inputs, last_row, layer_norm, rms_norm
from .sampling import argmax, count, reset, sample

KERNELS: dict[str, Callable[[Op, Profile], LibraryKernel | KernelSequence]] = {
    "add_positions": add_positions,
    "add_positions_rows": add_positions,
    "argmax": argmax,
    "attention": attention,
    "attention_rows": attention,
    "bias": bias,
    "chosen": chosen,
    "copy_words": copy_words,
    "causal_conv": causal_conv,
    "count": count,
    "decode_attention": decode_attention,
    "delta_rule": delta_rule,
    "embedding": embedding,
    "encoder_attention": encoder_attention,
    "expert_down": expert_down,
    "expert_gate_up": expert_gate_up,
    "fill": fill,
    "gate_inputs": gate_inputs,
    "gate_up": gate_up,
    "gated_norm": gated_norm,
    "last_row": last_row,
    "layer_norm": layer_norm,
    "logprobs": logprobs,
    "mask": mask,
    "matmul": matmul,
    "pack": pack,
    "pack_layer_norm": pack_layer_norm,
    "packed_gate_up": packed_gate_up,
    "packed_matmul": packed_matmul,
    "pool": pool,
    "reset": reset,
    "rms_norm": rms_norm,
    "rope_append": rope_append,
    "rope_append_rows": rope_append,
    "route": route,
    "sample": sample,
}


def kernel_for(op: Op, profile: Profile) -> LibraryKernel | KernelSequence | None:
    """The library's kernel or kernels for `op` on `profile`; None leaves the op to TVM.

    Attributes an op's kernel cannot honour are a mistake of the caller (AssertionError, KeyError).
    """
    make = KERNELS.get(op.name)
    return None if make is None else make(op, profile)

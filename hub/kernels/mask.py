"""The kernel `mask`: takes tokens that a grammar forbids out of a draw.

In numpy, with bits counted from the lowest of word 0:

    bits = np.unpackbits(allowed.view(np.uint8), bitorder="little")[:vocab]
    logits = np.where(bits, logits, LEAST)

A forbidden logit becomes `LEAST` and not -inf, which a penalty or a temperature may make a NaN of.
"""

from __future__ import annotations

from runtime.plan import Expr

from .kernel import LibraryKernel, Op, Profile, ceil_div, folded
from .template import render

LEAST = -3e38


def mask(op: Op, profile: Profile) -> LibraryKernel:
    """allowed u32[ceil(vocab / 32)], logits f32[vocab]: logits whose bit is 0 become `LEAST`."""
    vocab = op.integer("vocab")
    return render(
        op,
        profile,
        template="mask",
        values={"vocab": vocab, "least": f"{LEAST:.0e}".replace("+", "")},
        grid=folded(ceil_div(Expr(vocab), 64)),
        writes=(1,),
    )

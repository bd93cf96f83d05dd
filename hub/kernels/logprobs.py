"""Kernels beside the draw: `logprobs` and `chosen` (what a draw was chosen from), and `bias`.

The record of `logprobs` and `chosen`, u32[42] (`runtime/logprobs.py` reads it):

    word 0        f32 bits of the logarithm of the sum of exp(logits)
    word 1        f32 bits of the logit of the token drawn last (`chosen`)
    words 2-21    f32 bits of the 20 largest logits, largest first, the lowest index among equals
    words 22-41   their tokens

NaN counts as no logit. Where there are fewer than 20, the rest are -inf and token 0xFFFFFFFF.

`bias` holds u32 pairs (token, f32 bits) with distinct tokens: each float is added to its token's
logit. A token outside the vocabulary makes a pair nothing; so 0xFFFFFFFF marks those unused.

The order in a step is: decode, `logprobs`, `bias`, whatever else changes logits, the draw,
`chosen`. So `logprobs` sees the model's own distribution, and word 1 the changed logit.
"""

from __future__ import annotations

from runtime.logprobs import BIAS_PAIRS, TOP
from runtime.plan import Expr

from .kernel import KernelSequence, LibraryKernel, Op, Profile
from .sampling import SOFTWARE_THREADS, shares
from .template import render

_ONE = Expr(1)
_ALONE = (_ONE, _ONE, _ONE)


def logprobs(op: Op, profile: Profile) -> KernelSequence:
    """logits f32[vocab], record u32[42]: all of the record but word 1.

    Each workgroup sorts the best of its share of the vocabulary, one workgroup merges them.
    """
    cut = shares(op.integer("vocab"))
    parts = cut["parts"]
    if profile.software:
        each = cut["each"] * cut["threads"] // SOFTWARE_THREADS
        cut |= {"threads": SOFTWARE_THREADS, "each": each}
    cut |= {"top": TOP, "rows": -(-parts // cut["threads"])}
    share = render(
        op,
        profile,
        template="logprobs_share",
        values=cut,
        grid=(Expr(parts), _ONE, _ONE),
        writes=(1,),
        part="share",
    )
    merge = render(
        op,
        profile,
        template="logprobs_merge",
        values=cut,
        grid=_ALONE,
        writes=(1,),
        part="merge",
    )
    return KernelSequence(((share, (0, 2)), (merge, (2, 1))), (parts * (TOP + 1) * 8,))


def chosen(op: Op, profile: Profile) -> LibraryKernel:
    """logits f32[vocab], token i32[1], record u32[42]: word 1 is the logit of the token."""
    values = {"vocab": op.integer("vocab")}
    return render(op, profile, template="chosen", values=values, grid=_ALONE, writes=(2,))


def bias(op: Op, profile: Profile) -> LibraryKernel:
    """bias u32[2 * pairs], logits f32[vocab]: each pair's float is added to its token's logit."""
    values = {"vocab": op.integer("vocab"), "pairs": BIAS_PAIRS}
    grid = (Expr(-(-BIAS_PAIRS // 64)), _ONE, _ONE)
    return render(op, profile, template="bias", values=values, grid=grid, writes=(1,))

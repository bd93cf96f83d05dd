"""Kernels that pick the next token and keep its counts: `argmax`, `sample`, `count`, `reset`.

The sampler record is u32[16]: temperature, top_p, min_p, frequency, presence and repetition
penalty (f32 bits), top_k (0 = all), seed low, seed high. A count holds how often a token was
generated in its low 31 bits; bit 31 says that the prompt has it.

The generator is counter-based, so a draw depends on (seed, pos, token index) and nothing else:

    stream = mix(mix(mix(low + 0x9E3779B9) ^ high) ^ pos);  salt = mix(stream + 0x85EBCA6B)
    word(index) = mix(mix(stream ^ index) + salt)
    u = (word >> 9 + 1/2) / 2^23;  score = logit - log(-log(u));  the largest score wins

with all integers u32 and wrapping. 23 bits and a half are what a float32 below 1 holds exactly.
`mix` is a 32-bit finalizer of two multiplications (constants 0x7FEB352D and 0x846CA68B).
"""

from __future__ import annotations

from runtime.plan import Expr, Uniform

from .kernel import Grid, KernelSequence, LibraryKernel, Op, Profile, ceil_div, folded, symbols
from .template import render

_ONE = Expr(1)
_ALONE = (_ONE, _ONE, _ONE)
THREADS = 256
HELD = 1024
"""Candidates of a draw that its workgroup keeps at hand."""
WIDE = 4
"""Candidates that a thread loads at once."""
SOFTWARE_THREADS = 64


def argmax(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """logits f32[vocab], token i32[1]: the lowest index among the largest; NaN is smallest.

    A GPU looks at shares of the vocabulary first, then at the best of each.
    """
    if profile.software:
        values = {"vocab": op.integer("vocab"), "threads": SOFTWARE_THREADS}
        return render(op, profile, template="argmax", values=values, grid=_ALONE, writes=(1,))
    cut = shares(op.integer("vocab"))
    share = render(
        op,
        profile,
        template="argmax_share",
        values=cut,
        grid=(Expr(cut["parts"]), _ONE, _ONE),
        writes=(1,),
        part="share",
    )
    merge = render(
        op,
        profile,
        template="argmax_merge",
        values=cut,
        grid=_ALONE,
        writes=(1,),
        part="merge",
    )
    return KernelSequence(((share, (0, 2)), (merge, (2, 1))), (cut["parts"] * 8,))


def shares(vocab: int) -> dict[str, int]:
    """How a vocabulary is cut: no more workgroups than the threads of the one that ends it."""
    each = max(4, -(-vocab // THREADS**2))
    parts = -(-vocab // (each * THREADS))
    return {"vocab": vocab, "threads": THREADS, "each": each, "parts": parts}


def sample(op: Op, profile: Profile) -> LibraryKernel | KernelSequence:
    """logits f32[vocab], sampler u32[16], counts u32[vocab], token i32[1]; uniform pos.

    Repetition, frequency and presence penalty, temperature, top-k (ties kept), top-p of the rest,
    min-p, then a Gumbel-max draw; `counts[token] += 1`. A GPU adjusts all logits, sorts them into
    bins and draws, each step once.
    """
    if profile.software:
        return render(
            op,
            profile,
            template="sample",
            values={
                "vocab": op.integer("vocab"),
                "threads": SOFTWARE_THREADS,
                # lavapipe ends all loops of a shader after 65,535 turns; a draw takes 23 passes.
                "each": -(-op.integer("vocab") // (SOFTWARE_THREADS * 2048)),
            },
            grid=_ALONE,
            writes=(2, 3),
            uniforms=symbols("pos"),
        )
    return _sample_in_steps(op, profile, shares(op.integer("vocab")))


def _sample_in_steps(op: Op, profile: Profile, shares: dict[str, int]) -> KernelSequence:
    parts, tokens = shares["parts"], shares["parts"] * shares["each"] * THREADS

    def step(
        part: str, grid: Grid, writes: tuple[int, ...], uniforms: tuple[Uniform, ...]
    ) -> LibraryKernel:
        return render(
            op,
            profile,
            template=f"sample_{part}",
            values=shares | {"held": HELD, "wide": WIDE},
            grid=grid,
            writes=writes,
            uniforms=uniforms,
            part=part,
        )

    wide = (Expr(parts), _ONE, _ONE)
    # Temporaries: 4 values, 5 what each workgroup found, 6 sorted tokens, 7 where each workgroup
    # has a bin's, 8 numbers and masses of the bins over all workgroups, then peak and mass.
    return KernelSequence(
        (
            (step("adjust", wide, (3, 4, 5), ()), (0, 1, 2, 4, 5, 8)),
            (step("sort", wide, (3, 4, 5), symbols("pos")), (1, 4, 5, 6, 7, 8)),
            (step("draw", _ALONE, (1, 2), symbols("pos")), (1, 2, 3, 6, 7, 8)),
        ),
        (tokens * 4, parts * 16, tokens * 8, parts * THREADS * 16, (2 * THREADS + 4) * 4),
    )


def count(op: Op, profile: Profile) -> LibraryKernel:
    """tokens i32[chunk], counts u32[vocab]: sets bit 31 of the first n ids' counts."""
    return render(
        op,
        profile,
        template="count",
        values={"vocab": op.integer("vocab", 0)},
        grid=folded(ceil_div(op.tokens, 64)),
        writes=(1,),
        uniforms=symbols("n") if op.dynamic else (),
    )


def reset(op: Op, profile: Profile) -> LibraryKernel:
    """counts u32[vocab] = 0."""
    vocab = op.integer("vocab")
    return render(
        op,
        profile,
        template="reset",
        values={"vocab": vocab},
        grid=folded(ceil_div(Expr(vocab), 64)),
        writes=(0,),
    )

"""Merges of a SentencePiece BPE vocabulary, which stores scores alone."""

from __future__ import annotations

from collections.abc import Mapping


def merges_of_scores(scores: Mapping[str, float]) -> list[str]:
    """ "LEFT RIGHT" of every way to put a piece together from two, best piece first.

    SentencePiece joins, of all neighbours that make a piece, those whose piece has the highest
    score (Kudo and Richardson, arXiv 1808.06226); a list of merges in that order does the same.
    Pieces with spaces in them cannot be written so, and are only ever matched whole.
    """
    order = {piece: index for index, piece in enumerate(scores)}
    found = [
        (-score, order[piece], order[left], left, right)
        for piece, score in scores.items()
        if " " not in piece
        for left, right in ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        if left in order and right in order
    ]
    return [f"{left} {right}" for *_, left, right in sorted(found)]

"""Symmetric int4 in groups of 32, as a rounding of float weights: for training and measuring.

The site's real quantizer lives in the hub; this one only imitates its error.
"""

import torch
from torch import Tensor

GROUP = 32
LARGEST = 7
SHRINKS = tuple(1.0 - 0.03 * step for step in range(16))


def rounded(weight: Tensor) -> Tensor:
    """`weight` as int4 would keep it; the scale is refined twice by least squares."""
    groups = weight.detach().float().unflatten(-1, (-1, GROUP))
    scale = groups.abs().amax(-1, keepdim=True).clamp(min=1e-8) / LARGEST
    for _ in range(2):
        codes = (groups / scale).round().clamp(-LARGEST, LARGEST)
        power = (codes * codes).sum(-1, keepdim=True)
        scale = ((groups * codes).sum(-1, keepdim=True) / power.clamp(min=1.0)).clamp(min=1e-8)
    codes = (groups / scale).round().clamp(-LARGEST, LARGEST)
    return (codes * scale).flatten(-2)


def rounded_by_search(weight: Tensor) -> Tensor:
    """`weight` as int4 would keep it, with f16 scales found by a search for the least error."""
    groups = weight.detach().float().unflatten(-1, (-1, GROUP))
    largest = groups.abs().amax(-1, keepdim=True).clamp(min=1e-6) / LARGEST
    best, error = torch.zeros_like(groups), torch.full_like(largest, float("inf"))
    for shrink in SHRINKS:
        scale = (largest * shrink).half().float()
        kept = (groups / scale).round().clamp(-LARGEST, LARGEST) * scale
        loss = ((kept - groups) ** 2).sum(-1, keepdim=True)
        best, error = torch.where(loss < error, kept, best), torch.minimum(loss, error)
    return best.flatten(-2)


def with_rounding(weight: Tensor, strength: Tensor) -> Tensor:
    """`weight` moved towards its rounding by `strength`; the gradient passes straight through."""
    return weight + (rounded(weight) - weight.detach()) * strength

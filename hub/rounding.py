"""Groups of floats to small integers and one f16 scale, by least squares.

For each group the scale is searched over ratios to the signed largest element, refitted to the
rounded integers by least squares, rounded to f16, and only then used to round: the error counted
is the error the shader sees. Plain absmax rounding is always among the candidates, so the result
is never worse than it. Arrays are [group size, groups]: sums over a group are sums of whole rows,
which is fast and adds in one fixed order on every processor.

Where the importance of columns is known (the mean square of what they are multiplied by), errors
count by it: that is the error of the product, as far as columns are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """Integers `low`..`high` and the ratios of largest element to scale that are tried."""

    low: int
    high: int
    ratios: tuple[float, ...]


SMALLEST = np.float16(2.0**-24)

GRIDS = {
    4: Grid(-8, 7, (-8.9, -8.45, -8.0, -7.6, -7.2)),
    3: Grid(-4, 3, (-4.8, -4.4, -4.0, -3.7, -3.4)),
    8: Grid(-128, 127, (-128.0, -126.5, -125.0, -123.5, -122.0)),
}


@dataclass(frozen=True, slots=True)
class Rounded:
    """`values` int8[group size, groups], `scales` f16[groups], `error` float32[groups]:
    the squared error of each group, each element's by its importance where that was given."""

    values: NDArray[np.int8]
    scales: NDArray[np.float16]
    error: Floats


class ScaleOverflow(ValueError):
    """A group is too large for an f16 scale."""


def round_groups(x: Floats, grid: Grid, importance: Floats | None = None) -> Rounded:
    """The best integers and scale of each group of finite `x` [group size, groups]; `importance`
    has its shape and is positive."""
    extreme = signed_extreme(x)
    fitted = _with_scale(x, _refit(x, extreme, grid, importance), grid, importance)
    absmax: Floats = np.divide(np.abs(extreme), grid.high, dtype=np.float32)
    plain = _with_scale(x, absmax, grid, importance)
    better = plain.error < fitted.error
    best = Rounded(
        np.where(better, plain.values, fitted.values),
        np.where(better, plain.scales, fitted.scales),
        np.where(better, plain.error, fitted.error),
    )
    if not np.isfinite(best.error).all():
        raise ScaleOverflow
    return best


def signed_extreme(x: Floats) -> Floats:
    """The element of largest magnitude of each group, with its sign; NaN or inf when x has any."""
    high, low = x.max(axis=0), x.min(axis=0)
    extreme: Floats = np.where(high >= -low, high, low)
    return extreme


def _refit(x: Floats, extreme: Floats, grid: Grid, importance: Floats | None) -> Floats:
    """Least-squares scales of the best ratio; zero for groups that are all zero.

    With integers q fixed, the scale sum(qx)/sum(qq) leaves the error sum(xx) - sum(qx)^2/sum(qq),
    so the ratio that maximises the second term wins.
    """
    inverse = np.divide(1.0, extreme, out=np.zeros_like(extreme), where=np.abs(extreme) > 1e-30)
    unit = x * inverse
    scale, score = np.zeros_like(extreme), np.full_like(extreme, -1.0)
    q, weighed, product = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    for ratio in grid.ratios:
        np.multiply(unit, np.float32(ratio), out=q)
        _to_grid(q, grid)
        hq = q if importance is None else np.multiply(q, importance, out=weighed)
        qx = np.multiply(hq, unit, out=product).sum(axis=0)
        qq = np.multiply(hq, q, out=product).sum(axis=0)
        fit = np.divide(qx, qq, out=np.zeros_like(qx), where=qq > 0)
        better = qx * fit > score
        score = np.where(better, qx * fit, score)
        scale = np.where(better, fit, scale)
    fitted: Floats = scale * extreme
    return fitted


def _with_scale(x: Floats, scale: Floats, grid: Grid, importance: Floats | None) -> Rounded:
    """Round `x` by `scale` as f16; the error is infinite where f16 cannot hold the scale."""
    with np.errstate(over="ignore"):
        half = scale.astype(np.float16)
        # A scale that underflows becomes the smallest one: rounding by it beats all zeros.
        half = np.where((half == 0) & (scale != 0), np.copysign(SMALLEST, half), half)
        fits = np.isfinite(half)
        used = np.where(fits, half, np.float16(0)).astype(np.float32)
        inverse = np.divide(1.0, used, out=np.zeros_like(used), where=used != 0)
        q = x * inverse
        _to_grid(q, grid)
        difference = q * used
        difference -= x
        np.multiply(difference, difference, out=difference)
        if importance is not None:
            np.multiply(difference, importance, out=difference)
        error = np.where(fits, difference.sum(axis=0), np.float32(np.inf))
    return Rounded(q.astype(np.int8), np.where(used != 0, half, np.float16(0)), error)


def _to_grid(q: Floats, grid: Grid) -> None:
    np.rint(q, out=q)
    np.clip(q, np.float32(grid.low), np.float32(grid.high), out=q)

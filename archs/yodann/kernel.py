"""The compiled end of a block: channel sums to Q2.9 partial images, added up as the host does."""

from typing import Any

import numba as nb
import numpy as np

from workloads.network import Array

STRETCH = 256
"""Pixels at a time: they stay in the first cache from the bound to the addition."""


@nb.njit(cache=True, nogil=True)
def finish(
    sums: Array,
    reach: Array,
    weight: Array,
    columns: Array,
    start: int,
    taps: int,
    alpha: Array,
    beta: Array,
    shift: int,
    wrap: bool,
    clamp_host: bool,
    total: Array,
) -> tuple[int, int]:
    """Scale, truncate and clamp channel sums of m pixels, and add them to those from `start` on of `total` int32 [co, n].

    `sums` [parts, co, m] are exact sums of consecutive channels, without any saturation on the way; `reach` [parts, 1 or
    co, n] are the sums of |terms|, int32 or, where sums need it, int64. Within a part the positive terms add up to
    (reach + sum) / 2 and the negative ones to -(reach - sum) / 2, so every prefix of the chip's order lies between these
    two beyond the parts before. Only where that leaves Q7.9 are sums taken again in order, channel by channel, from
    `weight` [co, channels * taps] and `columns` [channels * taps, n]. Returns (summer saturations, output clamps).
    """
    saturated, clamped, pixels = 0, 0, np.uint64(sums.shape[2])
    flat, reached, put = sums.reshape(-1), reach.reshape(-1), total.reshape(-1)
    # the scaled sum needs 29 bits: int32 holds it, and all loops but one become vector code
    held = np.empty(STRETCH, np.int32)
    base = np.empty(STRETCH, reach.dtype)
    most = reach.dtype.type(2 * ((1 << (16 + shift)) - 1))
    for o in range(len(total)):
        row = o if reach.shape[1] > 1 else 0
        factor, offset = np.int32(alpha[o]), np.int32(beta[o]) << np.int32(9)
        for first in range(start, start + sums.shape[2], STRETCH):
            count: Any = np.uint64(min(STRETCH, start + sums.shape[2] - first))
            beyond = reach.dtype.type(0)
            for p in range(count):
                base[p] = 0
            for g in range(len(sums)):
                mine: Any = np.uint64(g * len(total) + o) * pixels + np.uint64(first - start)
                theirs: Any = np.uint64((g * reach.shape[1] + row) * total.shape[1] + first)
                beyond += _add(flat, mine, reached, theirs, most, base, count)
            if wrap:
                _wrap(base, shift, held, count)
            elif beyond > 0:
                saturated += _ordered(weight[o], columns, first, taps, shift, held[:count])
            else:
                for p in range(count):
                    held[p] = np.int32(base[p] >> shift)
            at: Any = np.uint64(o * total.shape[1] + first)
            clamped += _scale(held, factor, offset, clamp_host, put, at, count)
    return saturated, clamped


@nb.njit(cache=True, inline="always")
def _add(sums: Array, mine: int, reach: Array, reached: int, most: Any, base: Array, count: int) -> Any:
    """Add a part to `base`; at how many pixels a prefix may go beyond `most` / 2."""
    beyond = base.dtype.type(0)
    for p in range(count):
        part = base.dtype.type(sums[mine + p])
        beyond += base.dtype.type(abs(base[p] + base[p] + part) + reach[reached + p] > most)
        base[p] += part
    return beyond


@nb.njit(cache=True)
def _wrap(sums: Array, shift: int, held: Array, count: int) -> None:
    one = np.int64(1) << (16 + shift)
    for p in range(count):
        held[p] = np.int32((((np.int64(sums[p]) + one) & (2 * one - 1)) - one) >> shift)


@nb.njit(cache=True)
def _ordered(weight: Array, columns: Array, start: int, taps: int, shift: int, held: Array) -> int:
    """The sums of a stretch of pixels again in the chip's order, limited after every channel; returns saturations."""
    saturated = np.int32(0)
    low, high = columns.dtype.type(-(1 << (16 + shift))), columns.dtype.type((1 << (16 + shift)) - 1)
    acc = np.zeros(len(held), columns.dtype)
    for first in range(0, len(weight), taps):
        for t in range(first, first + taps):
            w, column = weight[t], columns[t, start : start + len(held)]
            for p in range(len(acc)):
                acc[p] += w * column[p]
        for p in range(len(acc)):
            limited = min(max(acc[p], low), high)
            saturated += np.int32(limited != acc[p])
            acc[p] = limited
    for p in range(len(acc)):
        held[p] = np.int32(np.int64(acc[p]) >> shift)
    return int(saturated)


@nb.njit(cache=True, inline="always")
def _scale(held: Array, alpha: Any, beta: Any, clamp_host: bool, total: Array, at: int, count: int) -> int:
    """alpha * sum + beta, floor, clamp, add; returns clamps."""
    clamped = np.int32(0)
    for p in range(count):
        y = (held[p] * alpha + beta) >> np.int32(9)
        z = min(max(y, np.int32(-2048)), np.int32(2047))
        clamped += np.int32(y != z)
        total[at + p] += z
    if clamp_host:
        for p in range(count):
            total[at + p] = min(max(total[at + p], np.int32(-2048)), np.int32(2047))
    return int(clamped)


@nb.njit(cache=True, nogil=True)
def quantise(real: Array, scale: float, floor: bool, whole: Array) -> int:
    """`real` times `scale` as the whole numbers of Q2.9, by floor or to the nearest; returns how many it clamped."""
    clamped, factor = 0, real.dtype.type(scale)
    for p in range(len(real)):
        exact = np.floor(real[p] * factor) if floor else np.rint(real[p] * factor)
        kept = min(max(exact, -2048), 2047)
        clamped += exact != kept
        whole[p] = kept
    return clamped


@nb.njit(cache=True, nogil=True)
def magnitudes(image: Array, starts: Array, planes: Array, squares: Array) -> None:
    """Sums of |pixels| and of their squares over channels `starts[n]` up to `starts[n+1]`: [parts, height * width]."""
    for n in range(len(planes)):
        for c in range(starts[n], starts[n + 1]):
            pixels, plane, square = image[c], planes[n], squares[n]
            for p in range(len(pixels)):
                plane[p] += abs(pixels[p])
                square[p] += pixels[p] * pixels[p]

"""The compiled end of a block: channel sums to Q2.9 partial images, added up as the host does."""

import numba as nb
import numpy as np

from workloads.network import Array

STRETCH = 256
"""Pixels at a time: they stay in the first cache from the bound to the addition."""


@nb.njit(cache=True)
def finish(
    sums: Array,
    reach: Array,
    weight: Array,
    columns: Array,
    taps: int,
    alpha: Array,
    beta: Array,
    shift: int,
    wrap: bool,
    clamp_host: bool,
    total: Array,
) -> tuple[int, int]:
    """Scale, truncate and clamp `sums` [co, n] and add them to `total` int32 [co, n].

    `sums` are exact, without any saturation on the way. `reach` [1 or co, n] is the sum of |terms|: the positive terms
    of an output add up to (reach + sum) / 2 and the negative ones to -(reach - sum) / 2, so every prefix of the chip's
    order lies between them. Only where that leaves Q7.9 are sums taken again in order, channel by channel, from
    `weight` [co, channels * taps] and `columns` [channels * taps, n]. Returns (summer saturations, output clamps).
    """
    saturated, clamped = 0, 0
    # the scaled sum needs 29 bits: int32 holds it, and the loops below become vector code
    held = np.empty(STRETCH, np.int32)
    for o in range(sums.shape[0]):
        row = o if reach.shape[0] > 1 else 0
        factor, offset = np.int32(alpha[o]), np.int32(beta[o]) << np.int32(9)
        for first in range(0, sums.shape[1], STRETCH):
            s = sums[o, first : first + STRETCH]
            h = held[: len(s)]
            if wrap:
                _wrap(s, shift, h)
            elif _beyond(s, reach[row, first : first + STRETCH], shift):
                saturated += _ordered(weight[o], columns[:, first : first + STRETCH], taps, shift, h)
            else:
                _whole(s, shift, h)
            clamped += _scale(h, factor, offset, clamp_host, total[o, first : first + STRETCH])
    return saturated, clamped


@nb.njit(cache=True)
def _beyond(sums: Array, reach: Array, shift: int) -> bool:
    """Whether any prefix of any sum may leave Q7.9."""
    most = sums.dtype.type(2 * ((1 << (16 + shift)) - 1))
    count = np.int32(0)
    for p in range(len(sums)):
        count += np.int32(reach[p] + abs(sums[p]) > most)
    return bool(count > 0)


@nb.njit(cache=True)
def _whole(sums: Array, shift: int, held: Array) -> None:
    if shift == 0:
        for p in range(len(sums)):
            held[p] = np.int32(sums[p])
    else:
        for p in range(len(sums)):
            held[p] = np.int32(np.int64(sums[p]) >> shift)


@nb.njit(cache=True)
def _wrap(sums: Array, shift: int, held: Array) -> None:
    one = np.int64(1) << (16 + shift)
    for p in range(len(sums)):
        held[p] = np.int32((((np.int64(sums[p]) + one) & (2 * one - 1)) - one) >> shift)


@nb.njit(cache=True)
def _ordered(weight: Array, columns: Array, taps: int, shift: int, held: Array) -> int:
    """The sums of a stretch of pixels again in the chip's order, limited after every channel; returns saturations."""
    saturated = np.int32(0)
    low, high = columns.dtype.type(-(1 << (16 + shift))), columns.dtype.type((1 << (16 + shift)) - 1)
    acc = np.zeros(len(held), columns.dtype)
    for first in range(0, len(weight), taps):
        for t in range(first, first + taps):
            w, column = weight[t], columns[t]
            for p in range(len(acc)):
                acc[p] += w * column[p]
        for p in range(len(acc)):
            limited = min(max(acc[p], low), high)
            saturated += np.int32(limited != acc[p])
            acc[p] = limited
    for p in range(len(acc)):
        held[p] = np.int32(np.int64(acc[p]) >> shift)
    return int(saturated)


@nb.njit(cache=True)
def _scale(held: Array, alpha: np.int32, beta: np.int32, clamp_host: bool, total: Array) -> int:
    """alpha * sum + beta, floor, clamp, add; returns clamps."""
    clamped = np.int32(0)
    for p in range(len(held)):
        y = (held[p] * alpha + beta) >> np.int32(9)
        z = min(max(y, np.int32(-2048)), np.int32(2047))
        clamped += np.int32(y != z)
        total[p] += z
    if clamp_host:
        for p in range(len(held)):
            total[p] = min(max(total[p], np.int32(-2048)), np.int32(2047))
    return int(clamped)

"""The convolution of one tile, compiled. Every output sums its products in the order kernel row, kernel column, input map.

Maps are [rows, columns, maps] so that neighbouring output maps fill a vector register; no sum is split or reordered.
"""

import os
from threading import Thread

import numba
import numpy as np
from numba.misc.special import literally

from archs.fused.vectors import BYTES, PIXELS, VECTORS, add_products
from workloads.tensor import Array

THREADS = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
PRODUCTS = 512
"""Products that a sum takes in one go: so many rows of weights stay in the second-level cache."""
LINES = 16
"""Output maps whose weights are turned at a time: their lines stay in the first-level cache."""
THREADED_MACS = 1 << 24
"""Multiply-accumulates of a tile from which two threads share its pixels."""


def convolve(x: Array, weight: Array, steps: tuple[int, int], spread: tuple[int, int], out: Array) -> None:
    """`out[r, c, m] += sum of x[r*sr + i*dr, c*sc + j*dc, n] * weight[i, j, n, m]`, for one tile, group by group.

    `weight` is [groups, rows, columns, inputs, outputs], or [rows, columns, maps] depthwise; `out` is contiguous.
    """
    if weight.ndim == 3:
        depthwise(x, weight, steps, spread, out)
        return
    groups, high, wide, inputs, outputs = weight.shape
    x = np.ascontiguousarray(x, weight.dtype)
    row, column = x.shape[1] * x.shape[2], x.shape[2]
    starts = _places(out.shape[0], steps[0] * row, out.shape[1], steps[1] * column)
    taps = _places(high, spread[0] * row, wide, spread[1] * column)
    offsets = np.add.outer(taps, np.arange(inputs)).ravel()
    sums, values = out.reshape(len(starts), -1), x.reshape(-1)
    for g in range(groups):
        matrix = weight[g].reshape(-1, outputs)
        _shared(values[g * inputs :], starts, offsets, matrix, sums, g * outputs)


def _places(rows: int, row: int, columns: int, column: int) -> Array:
    """Where the pixels of a grid are."""
    return np.add.outer(np.arange(rows) * row, np.arange(columns) * column).ravel()


def _shared(x: Array, starts: Array, offsets: Array, weight: Array, out: Array, base: int) -> None:
    """`dense`, its pixels on two threads where that is worth a thread."""
    if THREADS == 1 or len(starts) * weight.size < THREADED_MACS:
        dense(x, starts, offsets, weight, out, base)
        return
    half = len(starts) // (2 * PIXELS) * PIXELS
    other = Thread(target=dense, args=(x, starts[:half], offsets, weight, out[:half], base))
    other.start()
    dense(x, starts[half:], offsets, weight, out[half:], base)
    other.join()


@numba.njit(cache=True, nogil=True)
def dense(x: Array, starts: Array, offsets: Array, weight: Array, out: Array, base: int) -> None:
    """`out[q, base + m] += x[starts[q] + offsets[k]] * weight[k, m]`, k after k; x, weight and out are of one type."""
    products, maps = weight.shape
    lanes = BYTES // weight.itemsize
    wide, full = maps - maps % (VECTORS * lanes), maps - maps % lanes
    for first in range(0, products, PRODUCTS):
        last = min(products, first + PRODUCTS)
        for m in range(0, wide, VECTORS * lanes):
            _stripe(VECTORS, x, starts, offsets, first, last, weight, m, out, base + m)
        for m in range(wide, full, lanes):
            _stripe(1, x, starts, offsets, first, last, weight, m, out, base + m)
        if full < maps:
            _rest(x, starts, offsets, first, last, weight, full, out, base)


@numba.njit(cache=True, nogil=True)
def _stripe(
    vectors: int, x: Array, starts: Array, offsets: Array, first: int, last: int,
    weight: Array, column: int, out: Array, place: int,
) -> None:  # fmt: skip
    """All pixels for so many vectors of output maps."""
    literally(vectors)
    even = len(starts) - len(starts) % PIXELS
    for q in range(0, even, PIXELS):
        add_products(PIXELS, vectors, x, starts, q, offsets, first, last, weight, column, out, place)
    for q in range(even, len(starts)):
        add_products(1, vectors, x, starts, q, offsets, first, last, weight, column, out, place)


@numba.njit(cache=True, nogil=True)
def _rest(
    x: Array, starts: Array, offsets: Array, first: int, last: int, weight: Array, column: int, out: Array, base: int
) -> None:
    """All pixels for the output maps from `column` on, fewer than a vector has lanes."""
    for q in range(len(starts)):
        total = out[q]
        for k in range(first, last):
            value, line = x[starts[q] + offsets[k]], weight[k]
            for m in range(column, weight.shape[1]):
                total[base + m] += value * line[m]


@numba.njit(cache=True, nogil=True)
def depthwise(x: Array, weight: Array, steps: tuple[int, int], spread: tuple[int, int], out: Array) -> None:
    """One input map for each output map: weight [i, j, m]."""
    rows, columns, outputs = out.shape
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            line = weight[i, j]
            for r in range(rows):
                for c in range(columns):
                    value = x[r * steps[0] + i * spread[0], c * steps[1] + j * spread[1]]
                    total = out[r, c]
                    for m in range(outputs):
                        total[m] += value[m] * line[m]


def arranged(weight: Array, groups: int) -> Array:
    """A weight (outputs, inputs, rows, columns) as the kernel reads it."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    if inputs == 1 and outputs == 1 and groups > 1:
        return np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))
    parts = weight.reshape(groups, outputs, inputs, *weight.shape[2:]).transpose(0, 3, 4, 2, 1)
    found = np.empty(parts.shape, weight.dtype)
    for first in range(0, outputs, LINES):
        found[..., first : first + LINES] = parts[..., first : first + LINES]
    return found

"""Counting bits of packed words, compiled: the arithmetic core of a matrix unit, word by word.

Words `[vectors, words]` meet words `[words, rows]`; the sums fit 32 bits by far (64 per word).
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from workloads.formats.bits import Words
from workloads.tensor import Array


@intrinsic
def _set_bits(typingctx: Any, word: Any) -> Any:
    """Set bits of one uint64, as the processor counts them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_ones: Any = _set_bits


@njit(cache=True, nogil=True)
def _differ(x: Any, w: Any, out: Any) -> None:
    line = np.empty(w.shape[1], np.uint64)
    for v in range(x.shape[0]):
        line[:] = 0
        for k in range(x.shape[1]):
            word = x[v, k]
            for m in range(w.shape[1]):
                line[m] += _ones(word ^ w[k, m])
        for m in range(w.shape[1]):
            out[v, m] = line[m]


@njit(cache=True, nogil=True)
def _overlap(x: Any, w: Any, out: Any) -> None:
    line = np.empty(w.shape[1], np.uint64)
    for v in range(x.shape[0]):
        line[:] = 0
        for k in range(x.shape[1]):
            word = x[v, k]
            for m in range(w.shape[1]):
                line[m] += _ones(word & w[k, m])
        for m in range(w.shape[1]):
            out[v, m] = line[m]


def differ(x: Words, w: Words) -> Array:
    """Bits in which every vector of x `[vectors, words]` differs from every row of w `[rows, words]`."""
    return _count(_differ, x, w)


def overlap(x: Words, w: Words) -> Array:
    """Bits set in both."""
    return _count(_overlap, x, w)


def _count(kernel: Any, x: Words, w: Words) -> Array:
    out = np.empty((len(x), len(w)), np.int32)
    kernel(np.ascontiguousarray(x), np.ascontiguousarray(w.T), out)
    return out


def ones(x: Words) -> Array:
    """Set bits of each vector."""
    count: Array = np.bitwise_count(x).sum(axis=-1, dtype=np.int32)
    return count

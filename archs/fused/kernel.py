"""The convolution of one tile, compiled. Every output sums its products in the order kernel row, kernel column, input map.

Maps are [rows, columns, maps] so that neighbouring output maps fill a vector register; no sum is split or reordered.
"""

import numba
import numpy as np

from workloads.tensor import Array


@numba.njit(cache=True)
def dense(x: Array, weight: Array, steps: tuple[int, int], spread: tuple[int, int], out: Array) -> None:
    """`out[r, c, m] += sum of x[r*sr + i*dr, c*sc + j*dc, n] * weight[i, j, n, m]`.

    Four input maps at a time, added one after the other: a sum is loaded and stored once for all of them.
    """
    rows, columns, outputs = out.shape
    inputs = weight.shape[2]
    for r in range(rows):
        for i in range(weight.shape[0]):
            for j in range(weight.shape[1]):
                line = x[r * steps[0] + i * spread[0]]
                for n in range(0, inputs - 3, 4):
                    first, second, third, fourth = (
                        weight[i, j, n],
                        weight[i, j, n + 1],
                        weight[i, j, n + 2],
                        weight[i, j, n + 3],
                    )
                    for c in range(columns):
                        pixel = line[c * steps[1] + j * spread[1]]
                        p, q, s, t = pixel[n], pixel[n + 1], pixel[n + 2], pixel[n + 3]
                        total = out[r, c]
                        for m in range(outputs):
                            total[m] = (((total[m] + p * first[m]) + q * second[m]) + s * third[m]) + t * fourth[m]
                for n in range(inputs - inputs % 4, inputs):
                    last = weight[i, j, n]
                    for c in range(columns):
                        value = line[c * steps[1] + j * spread[1], n]
                        total = out[r, c]
                        for m in range(outputs):
                            total[m] += value * last[m]


@numba.njit(cache=True)
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


def convolve(x: Array, weight: Array, steps: tuple[int, int], spread: tuple[int, int], out: Array) -> None:
    """A tile's convolution. `weight` is [groups, rows, columns, inputs, outputs], or [rows, columns, maps] depthwise."""
    if weight.ndim == 3:
        depthwise(x, weight, steps, spread, out)
        return
    groups, inputs, outputs = weight.shape[0], weight.shape[3], weight.shape[4]
    if groups == 1:
        dense(x, weight[0], steps, spread, out)
        return
    for g in range(groups):
        part = np.zeros((*out.shape[:2], outputs), out.dtype)
        dense(np.ascontiguousarray(x[:, :, g * inputs : (g + 1) * inputs]), weight[g], steps, spread, part)
        out[:, :, g * outputs : (g + 1) * outputs] = part


def arranged(weight: Array, groups: int) -> Array:
    """A weight (outputs, inputs, rows, columns) as the kernel reads it."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    if inputs == 1 and outputs == 1 and groups > 1:
        return np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))
    parts = weight.reshape(groups, outputs, inputs, *weight.shape[2:])
    return np.ascontiguousarray(parts.transpose(0, 3, 4, 2, 1))

"""A layer's numbers the fast way: one BLAS product a channel block, then the chip's own steps on its sums.

Exact because of bounds, not hope: a product adds at most 32 x 49 terms of at most 2^11 (binary weights), so every partial
sum in any order is an integer below 2^22 and float32 holds it; the 12-bit baseline stays below 2^33, which needs float64.
Saturation depends on order: `kernel.finish` proves for each sum that none can happen, or takes it again in order.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from archs.yodann.arithmetic import Filters
from archs.yodann.geometry import Cut, Pass
from archs.yodann.kernel import finish
from workloads.network import Array

BAND_BYTES = 64 * 2**20


def convolve(cut: Cut, filters: Filters, pixels: Array) -> tuple[Array, int]:
    """Output of one image, int32 (co, height, width) in steps of 2^-9, and how often the chip saturated or clamped.

    `pixels` (ci, height, width) are Q2.9 steps. Without host clamping outputs may leave Q2.9.
    """
    total = np.zeros((cut.outputs, *cut.out), np.int32)
    limited = 0
    dtype = np.float32 if filters.shift == 0 else np.float64
    for number, each in enumerate(cut.passes):
        window = _window(each, pixels.astype(dtype, copy=False))
        weight = _part(each, filters.weight).astype(dtype, copy=False)
        for group in range(cut.groups):
            ins, outs = (_range(size, cut.groups, group) for size in (cut.inputs, cut.outputs))
            chosen = Filters(weight[outs], filters.alpha[outs], filters.beta[outs], filters.shift, True)
            limited += _group(cut, each, chosen, window[ins], total[outs], number == 0)
    return total, limited


def _group(cut: Cut, each: Pass, filters: Filters, image: Array, total: Array, bias: bool) -> int:
    """One pass of one group: add to `total` (co, height, width); returns saturations and clamps."""
    limited = 0
    taps = each.part.height * each.part.width
    size, wrap, clamp = cut.spec.channels * taps, cut.spec.summer == "wrap", cut.spec.host_add == "clamp"
    weight = filters.weight.reshape(len(filters.weight), -1)
    weights = [np.ascontiguousarray(weight[:, first : first + size]) for first in range(0, weight.shape[1], size)]
    reaches = [_reach(cut, each, image[n * cut.spec.channels :][: cut.spec.channels]) for n in range(len(weights))]
    silent = np.zeros_like(filters.beta)
    for rows, columns in _columns(cut, each, image):
        part = np.ascontiguousarray(total[:, rows]).reshape(len(total), -1)
        for number, w in enumerate(weights):
            block = columns[number * size : (number + 1) * size]
            reach = reaches[number][:, rows].reshape(1, -1) if filters.shift == 0 else np.abs(w) @ np.abs(block)
            beta = filters.beta if bias and number == 0 else silent
            sums = w @ block
            limited += sum(finish(sums, reach, w, block, taps, filters.alpha, beta, filters.shift, wrap, clamp, part))
        total[:, rows] = part.reshape(len(total), -1, total.shape[2])
    return limited


def _reach(cut: Cut, each: Pass, block: Array) -> Array:
    """Sum of |pixels| in the window of every output, (1, height, width): that of |terms| where weights are +-1."""
    plane = np.abs(block).sum(axis=0)
    view = sliding_window_view(plane, (each.part.height, each.part.width))[:: cut.stride[0], :: cut.stride[1]]
    reach: Array = np.zeros((1, *view.shape[:2]), block.dtype)
    for y in range(each.part.height):
        for x in range(each.part.width):
            reach += view[:, :, y, x]
    return reach


def _columns(cut: Cut, each: Pass, image: Array) -> Iterator[tuple[slice, Array]]:
    """Bands of output rows and their unrolled windows, (channels * taps, pixels), contiguous."""
    view = sliding_window_view(image, (each.part.height, each.part.width), axis=(1, 2))
    view = view[:, :: cut.stride[0], :: cut.stride[1]].transpose(0, 3, 4, 1, 2)
    row_bytes = view[..., 0, :].size * image.itemsize
    band = max(1, BAND_BYTES // max(1, row_bytes))
    for first in range(0, cut.out[0], band):
        rows = view[..., first : first + band, :]
        yield slice(first, first + rows.shape[3]), rows.reshape(-1, rows.shape[3] * rows.shape[4])


def _window(each: Pass, pixels: Array) -> Array:
    top, left, bottom, right = each.padding
    inner = pixels[:, each.top : each.top + each.height, each.left : each.left + each.width]
    return np.pad(inner, ((0, 0), (top, bottom), (left, right)))


def _part(each: Pass, weight: Array) -> Array:
    part = each.part
    return weight[:, :, part.row : part.row + part.height, part.column : part.column + part.width]


def _range(size: int, groups: int, group: int) -> slice:
    return slice(size // groups * group, size // groups * (group + 1))

"""A layer's numbers the fast way: one BLAS product a channel block, then the chip's own steps on its sums.

Exact because of bounds, not hope: a product adds at most 32 x 49 terms of at most 2^11 (binary weights), so every partial
sum in any order is an integer below 2^22 and float32 holds it; the 12-bit baseline stays below 2^33, which needs float64.
Saturation depends on order: `kernel.finish` proves for each sum that none can happen, or takes it again in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from archs.yodann.arithmetic import SUM, Filters
from archs.yodann.geometry import Cut, Pass
from archs.yodann.kernel import finish, magnitudes
from workloads.network import Array

BAND_BYTES = 64 * 2**20
SUM_BYTES = 8 * 2**20
PARTS = 4


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
    wrap, clamp = cut.spec.summer == "wrap", cut.spec.host_add == "clamp"
    blocks = _blocks(cut, each, filters, image)
    silent = np.zeros_like(filters.beta)
    room = np.empty(max(SUM_BYTES // image.itemsize, PARTS * len(total)), image.dtype)
    for rows, columns in _columns(cut, each, image):
        part = np.ascontiguousarray(total[:, rows]).reshape(len(total), -1)
        for number, block in enumerate(blocks):
            held = columns[block.first * taps :][: block.weight.shape[1]]
            reach, beta = block.reaches(held, rows), filters.beta if bias and number == 0 else silent
            span = max(1, SUM_BYTES // (len(block.ends) * len(total) * held.itemsize))
            for start in range(0, held.shape[1], span):
                sums = block.sums(held[:, start : start + span], taps, room)
                limited += sum(
                    finish(
                        sums,
                        reach,
                        block.weight,
                        held,
                        start,
                        taps,
                        filters.alpha,
                        beta,
                        filters.shift,
                        wrap,
                        clamp,
                        part,
                    )
                )
        if not np.may_share_memory(part, total):  # a copy of some rows
            total[:, rows] = part.reshape(len(total), -1, total.shape[2])
    return limited


@dataclass(frozen=True, eq=False)
class Channels:
    """A block of input channels, from channel `first` on, and the parts whose sums are taken one by one.

    `reach` (parts, height, width) is the sum of |pixels| in the window of every output: that of |terms| where weights
    are +-1. More parts prove more sums free of saturation, and cost more products.
    """

    first: int
    weight: Array
    ends: tuple[int, ...]
    reach: Array | None

    def sums(self, columns: Array, taps: int, room: Array) -> Array:
        """(parts, co, pixels), written to `room`."""
        shape = len(self.ends), len(self.weight), columns.shape[1]
        sums = room[: prod(shape)].reshape(shape)
        for part, (start, end) in zip(sums, pairwise((0, *self.ends)), strict=True):
            np.matmul(self.weight[:, start * taps : end * taps], columns[start * taps : end * taps], out=part)
        return sums

    def reaches(self, columns: Array, rows: slice) -> Array:
        """(parts, 1 or co, pixels)."""
        if self.reach is not None:
            return np.ascontiguousarray(self.reach[:, rows], np.int32).reshape(len(self.reach), 1, -1)
        reach: Array = np.abs(self.weight) @ np.abs(columns)
        return reach.astype(np.int64)[None]


def _blocks(cut: Cut, each: Pass, filters: Filters, image: Array) -> list[Channels]:
    """The blocks of input channels of a group, each in as few parts as seem to prove its sums free of saturation."""
    size, taps = cut.spec.channels, each.part.height * each.part.width
    firsts = range(0, len(image), size)
    weights = [np.ascontiguousarray(filters.weight[:, f : f + size].reshape(len(filters.weight), -1)) for f in firsts]
    if filters.shift:
        ends = [(min(size, len(image) - f),) for f in firsts]
        return [Channels(f, w, e, None) for f, w, e in zip(firsts, weights, ends, strict=True)]
    starts = [f + np.unique(np.arange(PARTS) * min(size, len(image) - f) // PARTS) for f in firsts]
    planes, squares = np.zeros((2, sum(map(len, starts)), *image.shape[1:]), image.dtype)
    flat = (len(planes), -1)
    magnitudes(
        image.reshape(len(image), -1),
        np.append(np.concatenate(starts), len(image)),
        planes.reshape(flat),
        squares.reshape(flat),
    )
    energy = np.add.reduceat(squares.reshape(flat).mean(axis=1), np.cumsum([0, *map(len, starts[:-1])])) * taps
    planes = _reach(cut, each, planes)
    found, done = [], 0
    for first, weight, start, spread in zip(firsts, weights, starts, np.sqrt(energy), strict=True):
        parts = _parts(planes[done : done + len(start)], float(spread))
        bounds = [*start[:: len(start) // parts], first + weight.shape[1] // taps]
        reach = np.add.reduceat(planes[done : done + len(start)], range(0, len(start), len(start) // parts), axis=0)
        found.append(Channels(first, weight, tuple(int(end) - first for end in bounds[1:]), reach))
        done += len(start)
    return found


def _parts(planes: Array, spread: float) -> int:
    """How many parts to sum one by one. A guess that costs time where it is wrong, and nothing else."""
    whole = float(planes.sum(axis=0).max())
    for parts in (1, 2):
        # three deviations of what the parts before and half of this one add up to, beside half its reach
        if len(planes) % parts == 0 and whole / (2 * parts) + 3 * spread * (1 - 0.75 / parts) ** 0.5 < SUM[1]:
            return parts
    return len(planes)


def _reach(cut: Cut, each: Pass, planes: Array) -> Array:
    """Sums of the planes in the window of every output, (planes, height, width)."""
    (down, right), (height, width) = cut.stride, (each.part.height, each.part.width)
    rows, columns = planes.shape[1] - height + 1, planes.shape[2] - width + 1
    wide: Array = reduce(np.add, (planes[:, :, x : x + columns : right] for x in range(width)))
    return reduce(np.add, (wide[:, y : y + rows : down] for y in range(height)))


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

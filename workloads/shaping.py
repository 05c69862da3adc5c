"""Layer kinds that move values and compute nothing: constants, reshapes, transposes, cuts, padding, resizing.

Axes count from 0 without the batch; every kind is exact. Imported networks are full of them; accelerators pass them by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sim.errors import InputError
from workloads.execute import _forward
from workloads.ops import Op, reach, windows
from workloads.tensor import Array, Shape


@dataclass(frozen=True, slots=True)
class Constant(Op):
    """The parameter `value`, the same for every image."""

    shape: tuple[int, ...]
    kind: ClassVar[str] = "constant"
    arity: ClassVar[tuple[int, int]] = (0, 0)

    def output(self, *inputs: Shape) -> Shape:
        return self.shape

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"value": self.shape}


@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """The same values in memory order, in another shape."""

    shape: tuple[int, ...]
    kind: ClassVar[str] = "reshape"

    def output(self, *inputs: Shape) -> Shape:
        if prod(inputs[0]) != prod(self.shape):
            raise InputError(f"{prod(inputs[0])} values do not fill shape {self.shape}")
        return self.shape


@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """Output axis i is input axis axes[i]."""

    axes: tuple[int, ...]
    kind: ClassVar[str] = "transpose"

    def output(self, *inputs: Shape) -> Shape:
        if sorted(self.axes) != list(range(len(inputs[0]))):
            raise InputError(f"axes {self.axes} do not fit shape {inputs[0]}")
        return tuple(inputs[0][axis] for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Slice(Op):
    """Along every axis, `counts` values from `starts` on in `steps` (negative ones run backwards)."""

    starts: tuple[int, ...]
    counts: tuple[int, ...]
    steps: tuple[int, ...]
    kind: ClassVar[str] = "slice"

    def output(self, *inputs: Shape) -> Shape:
        _for_every_axis(inputs[0], self.starts, self.counts, self.steps)
        for size, start, count, step in zip(inputs[0], self.starts, self.counts, self.steps, strict=True):
            if not (0 <= start < size and 0 <= start + (count - 1) * step < size):
                raise InputError(f"a cut from {start} of {count} by {step} leaves {size} values")
        return self.counts


@dataclass(frozen=True, slots=True)
class Pad(Op):
    """Values around every axis; negative counts cut."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: Literal["constant", "edge", "reflect", "wrap"] = "constant"
    value: float = 0.0
    kind: ClassVar[str] = "pad"

    def output(self, *inputs: Shape) -> Shape:
        _for_every_axis(inputs[0], self.before, self.after)
        return tuple(size + b + a for size, b, a in zip(inputs[0], self.before, self.after, strict=True))


@dataclass(frozen=True, slots=True)
class Broadcast(Op):
    """Axes of size 1 repeated to `shape`."""

    shape: tuple[int, ...]
    kind: ClassVar[str] = "broadcast"

    def output(self, *inputs: Shape) -> Shape:
        try:
            return tuple(np.broadcast_shapes(inputs[0], self.shape))
        except ValueError:
            raise InputError(f"{inputs[0]} does not broadcast to {self.shape}") from None


def _for_every_axis(shape: Shape, *settings: tuple[int, ...]) -> None:
    for setting in settings:
        if len(setting) != len(shape):
            raise InputError(f"found {len(setting)} numbers {setting} for the {len(shape)} axes of {shape}")


@dataclass(frozen=True, slots=True)
class Tile(Op):
    """The whole tensor repeated along every axis."""

    repeats: tuple[int, ...]
    kind: ClassVar[str] = "tile"

    def output(self, *inputs: Shape) -> Shape:
        _for_every_axis(inputs[0], self.repeats)
        return tuple(size * times for size, times in zip(inputs[0], self.repeats, strict=True))


@dataclass(frozen=True, slots=True)
class Gather(Op):
    """Along `axis`, the slices whose numbers are in the parameter `indices` (of any shape)."""

    axis: int
    shape: tuple[int, ...]
    kind: ClassVar[str] = "gather"

    def output(self, *inputs: Shape) -> Shape:
        return (*inputs[0][: self.axis], *self.shape, *inputs[0][self.axis + 1 :])

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"indices": self.shape}


@dataclass(frozen=True, slots=True)
class Embed(Op):
    """Rows of the parameter `weight` (entries, *row), looked up by the integers of the input."""

    entries: int
    row: tuple[int, ...]
    kind: ClassVar[str] = "embed"

    def output(self, *inputs: Shape) -> Shape:
        return (*inputs[0], *self.row)

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"weight": (self.entries, *self.row)}


@dataclass(frozen=True, slots=True)
class Unroll(Op):
    """Windows of (channels, *space) as rows: (positions, channels * kernel), zeros for padding (im2col)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...] = (1, 1)
    kind: ClassVar[str] = "unroll"

    def output(self, *inputs: Shape) -> Shape:
        space = windows(inputs[0][1:], reach(self.kernel, self.dilation), self.stride, self.padding)
        return (prod(space), inputs[0][0] * prod(self.kernel))


@dataclass(frozen=True, slots=True)
class Resize(Op):
    """Interpolation to `shape`, axis by axis; the names of modes are ONNX's."""

    shape: tuple[int, ...]
    scales: tuple[float, ...]
    mode: Literal["nearest", "linear", "cubic"] = "nearest"
    coordinate: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: float = -0.75
    kind: ClassVar[str] = "resize"

    def output(self, *inputs: Shape) -> Shape:
        if len(self.shape) != len(inputs[0]):
            raise InputError(f"shape {inputs[0]} cannot be resized to {self.shape}")
        return self.shape


@_forward.register
def _(op: Constant, params: Mapping[str, Array]) -> Array:
    return params["value"][None]


@_forward.register
def _(op: Reshape, params: Mapping[str, Array], x: Array) -> Array:
    return x.reshape(len(x), *op.shape)


@_forward.register
def _(op: Transpose, params: Mapping[str, Array], x: Array) -> Array:
    return x.transpose(0, *(axis + 1 for axis in op.axes))


@_forward.register
def _(op: Slice, params: Mapping[str, Array], x: Array) -> Array:
    for axis, (start, count, step) in enumerate(zip(op.starts, op.counts, op.steps, strict=True), 1):
        if (start, count, step) != (0, x.shape[axis], 1):
            x = x.take(start + step * np.arange(count), axis=axis)
    return x


@_forward.register
def _(op: Pad, params: Mapping[str, Array], x: Array) -> Array:
    cut = tuple(
        slice(max(0, -b), size - max(0, -a)) for b, a, size in zip(op.before, op.after, x.shape[1:], strict=True)
    )
    edges = [(0, 0), *((max(0, b), max(0, a)) for b, a in zip(op.before, op.after, strict=True))]
    x = x[(slice(None), *cut)]
    return np.pad(x, edges, constant_values=op.value) if op.mode == "constant" else np.pad(x, edges, mode=op.mode)


@_forward.register
def _(op: Broadcast, params: Mapping[str, Array], x: Array) -> Array:
    shape = op.output(x.shape[1:])
    return np.broadcast_to(x.reshape(len(x), *[1] * (len(shape) + 1 - x.ndim), *x.shape[1:]), (len(x), *shape))


@_forward.register
def _(op: Tile, params: Mapping[str, Array], x: Array) -> Array:
    return np.tile(x, (1, *op.repeats))


@_forward.register
def _(op: Gather, params: Mapping[str, Array], x: Array) -> Array:
    return x.take(params["indices"], axis=op.axis + 1)


@_forward.register
def _(op: Embed, params: Mapping[str, Array], x: Array) -> Array:
    if x.size and not -op.entries <= x.min() <= x.max() < op.entries:
        raise InputError(f"numbers {x.min()} .. {x.max()} look beyond {op.entries} entries")
    return params["weight"][x.astype(np.int64)]


@_forward.register
def _(op: Unroll, params: Mapping[str, Array], x: Array) -> Array:
    half = len(op.kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(op.padding[:half], op.padding[half:], strict=True)])
    view = sliding_window_view(padded, reach(op.kernel, op.dilation), axis=tuple(range(2, half + 2)))
    steps = (*(slice(None, None, s) for s in op.stride), *(slice(None, None, d) for d in op.dilation))
    view = view[(slice(None), slice(None), *steps)]
    axes = (0, *range(2, half + 2), 1, *range(half + 2, 2 * half + 2))
    return view.transpose(axes).reshape(len(x), *op.output(x.shape[1:]))


@_forward.register
def _(op: Resize, params: Mapping[str, Array], x: Array) -> Array:
    for axis, (size, scale) in enumerate(zip(op.shape, op.scales, strict=True), 1):
        if (size, scale) == (x.shape[axis], 1.0):
            continue
        taps, weights = _taps(op, x.shape[axis], size, scale)
        along = (1, -1, *[1] * (x.ndim - axis - 1))
        parts = [
            x.take(tap, axis=axis) * w.reshape(along).astype(x.dtype) for tap, w in zip(taps, weights, strict=True)
        ]
        x = x.take(taps[0], axis=axis) if op.mode == "nearest" else np.sum(parts, axis=0)
    return x


def _taps(op: Resize, old: int, new: int, scale: float) -> tuple[list[Array], list[Array]]:
    """Where each of `new` values along an axis comes from: source positions and their weights."""
    at = _source(op.coordinate, np.arange(new), old, new, scale)
    if op.mode == "nearest":
        return [np.clip(_rounded(op.rounding, at), 0, old - 1).astype(np.int64)], [np.ones(new)]
    low = np.floor(at).astype(np.int64)
    part = at - low
    if op.mode == "linear":
        part, low = np.clip(at, 0, old - 1) - np.clip(low, 0, old - 1), np.clip(low, 0, old - 1)
        return [low, np.minimum(low + 1, old - 1)], [1 - part, part]
    near = [_cubic(np.abs(part - offset), op.cubic) for offset in range(-1, 3)]
    return [np.clip(low + offset, 0, old - 1) for offset in range(-1, 3)], near


def _source(coordinate: str, x: Array, old: int, new: int, scale: float) -> Array:
    """Position in the old axis of each position of the new one, by ONNX's coordinate transformation modes."""
    if coordinate == "asymmetric":
        found = x / scale
    elif coordinate == "align_corners":
        found = x * ((old - 1) / (new - 1)) if new > 1 else x * 0.0
    elif coordinate == "pytorch_half_pixel" and new == 1:
        found = x * 0.0
    elif coordinate == "half_pixel_symmetric":
        adjusted = old / 2 * (1 - new / (scale * old))
        found = adjusted + (x + 0.5) / scale - 0.5
    else:
        found = (x + 0.5) / scale - 0.5
    return np.asarray(found)


def _rounded(rounding: str, at: Array) -> Array:
    if rounding == "floor":
        return np.floor(at)
    if rounding == "ceil":
        return np.ceil(at)
    return np.floor(at + 0.5) if rounding == "round_prefer_ceil" else np.ceil(at - 0.5)


def _cubic(distance: Array, a: float) -> Array:
    inner = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    outer = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, inner, np.where(distance < 2, outer, 0.0))

"""The numpy reference of every layer kind, on decoded tensors; arrays are [images, *shape].

Integer arrays stay integers and are exact; float arrays keep their precision. Nothing here knows an encoding or a
machine, so it can be the witness of both.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from math import prod

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view

from sim.errors import InputError, nearest
from workloads import ops
from workloads.network import Network
from workloads.tensor import Array, Tensor, decode

COLUMN_BYTES = 64 << 20
PIECE = 1 << 20  # numbers that are converted at a time
"""Images of a convolution are unrolled in bands of rows of about this size."""


def execute(network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Every layer's output, by name, for inputs `[images, *shape]` by name."""
    values = {name: check_input(network, name, inputs) for name in network.inputs}
    for layer in network.layers:
        values[layer.name] = forward(layer.op, layer.params, [values[source] for source in layer.inputs])
    return {layer.name: values[layer.name] for layer in network.layers}


def check_input(network: Network, name: str, inputs: Mapping[str, Array]) -> Array:
    """The input `name`, its shape checked."""
    if name not in inputs:
        raise InputError(f"{network.name} needs an input {name}, {nearest(name, inputs) if inputs else 'none given'}")
    array = np.asarray(inputs[name])
    if array.shape[1:] != network.inputs[name]:
        raise InputError(f"shape {array.shape} does not fit (images, *{network.inputs[name]})", setting=name)
    return array


def forward(op: ops.Op, params: Mapping[str, Tensor], arrays: Sequence[Array]) -> Array:
    """Output of one layer for its inputs."""
    shapes = [array.shape[1:] for array in arrays]
    missing = [name for name in op.parameters(*shapes) if name not in params]
    if missing:
        raise InputError(f"a {op.kind} layer without {missing[0]} has shapes only and cannot be computed")
    decoded = {name: decode(tensor) for name, tensor in params.items()}
    return _forward(op, decoded, *arrays)


@singledispatch
def _forward(op: ops.Op, params: Mapping[str, Array], *arrays: Array) -> Array:
    raise InputError(f"no reference for layers of kind {op.kind}")


@_forward.register
def _(op: ops.Linear, params: Mapping[str, Array], x: Array) -> Array:
    return _biased(matmul(x, params["weight"].T), params, (-1,))


@_forward.register
def _(op: ops.Conv, params: Mapping[str, Array], x: Array) -> Array:
    weight = params["weight"].reshape(op.groups, op.outputs // op.groups, -1)
    y = np.stack([_convolve(op, weight, image) for image in x]) if len(x) else _none(op, x)
    return _biased(y, params, (-1, *[1] * len(op.kernel)))


@_forward.register
def _(op: ops.Pool, params: Mapping[str, Array], x: Array) -> Array:
    return _maximum(op, x) if op.mode == "max" else _average(op, x)


@_forward.register
def _(op: ops.Relu, params: Mapping[str, Array], x: Array) -> Array:
    return np.maximum(x, 0)


@_forward.register
def _(op: ops.Sign, params: Mapping[str, Array], x: Array) -> Array:
    return np.where(x >= 0, 1, -1).astype(x.dtype)


@_forward.register
def _(op: ops.Add, params: Mapping[str, Array], *arrays: Array) -> Array:
    total = arrays[0] + arrays[1]
    for array in arrays[2:]:
        total = total + array
    return total


@_forward.register
def _(op: ops.Concat, params: Mapping[str, Array], *arrays: Array) -> Array:
    images = max(len(array) for array in arrays)
    return np.concatenate([np.broadcast_to(a, (images, *a.shape[1:])) for a in arrays], axis=op.axis + 1)


@_forward.register
def _(op: ops.BatchNorm, params: Mapping[str, Array], x: Array) -> Array:
    gain = params["gamma"] / np.sqrt(params["var"] + op.epsilon)
    per_channel = (-1, *[1] * (x.ndim - 2))
    return (x - params["mean"].reshape(per_channel)) * gain.reshape(per_channel) + params["beta"].reshape(per_channel)


@_forward.register
def _(op: ops.Lrn, params: Mapping[str, Array], x: Array) -> Array:
    before = (op.size - 1) // 2
    edges = [(0, 0), (before, op.size - 1 - before)] + [(0, 0)] * (x.ndim - 2)
    energy = sliding_window_view(np.pad(x * x, edges), op.size, axis=1).sum(axis=-1)
    scaled: Array = x / (op.k + op.alpha / op.size * energy) ** op.beta
    return scaled


@_forward.register
def _(op: ops.Flatten, params: Mapping[str, Array], x: Array) -> Array:
    return x.reshape(len(x), prod(x.shape[1:]))


@_forward.register
def _(op: ops.Shuffle, params: Mapping[str, Array], x: Array) -> Array:
    return x.reshape(len(x), op.groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


@_forward.register
def _(op: ops.Lstm, params: Mapping[str, Array], x: Array, *state: Array) -> Array:
    steps = x if x.ndim == 3 else x[:, None]
    zero = np.zeros((len(x), op.hidden), dtype=x.dtype)
    h, c = state if len(state) == 2 else (state[0] if state else zero, zero)
    outputs = []
    for step in range(steps.shape[1]):
        gates = matmul(steps[:, step], params["weight"].T) + matmul(h, params["recurrent"].T)
        i, f, o, g = np.split(_biased(gates, params, (-1,)), 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * (np.tanh(c) if op.tanh else c)
        outputs.append(np.concatenate([h, c], axis=1) if op.cell else h)
    return np.stack(outputs, axis=1) if x.ndim == 3 else outputs[-1]


@_forward.register
def _(op: ops.Gru, params: Mapping[str, Array], x: Array, *state: Array) -> Array:
    h = state[0] if state else np.zeros((len(x), op.hidden), dtype=x.dtype)
    zero = np.zeros(3 * op.hidden, dtype=x.dtype)
    bias, inner = params.get("bias", zero), params.get("recurrent_bias", zero)
    split = 2 * op.hidden
    outputs = []
    for step in range(x.shape[1]):
        drive = matmul(x[:, step], params["weight"].T) + bias
        gates = drive[:, :split] + matmul(h, params["recurrent"][:split].T) + inner[:split]
        z, r = np.split(sigmoid(gates), 2, axis=1)
        last, late = params["recurrent"][split:].T, inner[split:]
        memory = r * (matmul(h, last) + late) if op.late else matmul(r * h, last) + late
        h = (1 - z) * np.tanh(drive[:, split:] + memory) + z * h
        outputs.append(h)
    return np.stack(outputs, axis=1)


@_forward.register
def _(op: ops.Rnn, params: Mapping[str, Array], x: Array, *state: Array) -> Array:
    h = state[0] if state else np.zeros((len(x), op.hidden), dtype=x.dtype)
    outputs = []
    for step in range(x.shape[1]):
        drive = _biased(matmul(x[:, step], params["weight"].T) + matmul(h, params["recurrent"].T), params, (-1,))
        h = np.tanh(drive) if op.function == "tanh" else np.maximum(drive, 0)
        outputs.append(h)
    return np.stack(outputs, axis=1)


@_forward.register
def _(op: ops.Einsum, params: Mapping[str, Array], *arrays: Array) -> Array:
    terms, result = op.equation.split("->")
    images = max(len(array) for array in arrays)
    level = [np.broadcast_to(array, (images, *array.shape[1:])) for array in arrays]
    batched = ",".join("..." + term for term in terms.split(",")) + "->..." + result
    y = np.einsum(batched, *level, optimize=len(level) > 2)
    return np.asarray(y).reshape(images, *op.output(*(array.shape[1:] for array in arrays)))


@_forward.register
def _(op: ops.Matmul, params: Mapping[str, Array], a: Array, b: Array) -> Array:
    rank = max(a.ndim, b.ndim)
    a, b = (array.reshape(len(array), *[1] * (rank - array.ndim), *array.shape[1:]) for array in (a, b))
    return matmul(a, b)


@_forward.register
def _(op: ops.ConvTranspose, params: Mapping[str, Array], x: Array) -> Array:
    half = len(op.kernel)
    weight = params["weight"].reshape(op.groups, x.shape[1] // op.groups, -1)
    parts = matmul(weight.swapaxes(1, 2), x.reshape(len(x), op.groups, x.shape[1] // op.groups, -1))
    parts = parts.reshape(len(x), op.outputs, *op.kernel, *x.shape[2:])
    extents = ops.reach(op.kernel, op.dilation)
    full = [(n - 1) * s + k + e for n, s, k, e in zip(x.shape[2:], op.stride, extents, op.extra, strict=True)]
    y = np.zeros((len(x), op.outputs, *full), dtype=parts.dtype)
    for position in np.ndindex(*op.kernel):
        starts = [p * d for p, d in zip(position, op.dilation, strict=True)]
        cut = (slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, x.shape[2:], op.stride, strict=True))
        y[(slice(None), slice(None), *cut)] += parts[(slice(None), slice(None), *position)]
    keep = (slice(b, n - e) for b, e, n in zip(op.padding[:half], op.padding[half:], full, strict=True))
    return _biased(y[(slice(None), slice(None), *keep)], params, (-1, *[1] * half))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow, and with its full precision far below zero."""
    return np.asarray(scipy.special.expit(x))


def matmul(a: Array, b: Array) -> Array:
    """a @ b. Integers go through float64 BLAS where its 53 bits hold every partial sum, so they stay exact.

    A large `b` of another type is converted some columns at a time, never as a whole.
    """
    if not (np.issubdtype(a.dtype, np.integer) and np.issubdtype(b.dtype, np.integer)):
        if a.dtype == b.dtype or b.ndim != 2 or b.size <= PIECE:
            return a @ b
        wide, step = np.result_type(a, b), max(1, PIECE // len(b))
        return np.concatenate([a @ b[:, n : n + step].astype(wide) for n in range(0, b.shape[1], step)], axis=-1)
    if _peak(a) * _peak(b) * a.shape[-1] < 2**53:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a.astype(np.int64) @ b.astype(np.int64)


def _peak(array: Array) -> int:
    return max(abs(int(array.min())), abs(int(array.max()))) if array.size else 0


def _biased(y: Array, params: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    return y + params["bias"].reshape(shape) if "bias" in params else y


def _none(op: ops.Conv, x: Array) -> Array:
    return np.zeros((0, *op.output(x.shape[1:])), dtype=x.dtype)


def _convolve(op: ops.Conv, weight: Array, image: Array) -> Array:
    """One image (channels, *space); weight is (groups, outputs, inputs * kernel)."""
    half = len(op.padding) // 2
    padded = np.pad(image, [(0, 0), *zip(op.padding[:half], op.padding[half:], strict=True)])
    view = sliding_window_view(padded, ops.reach(op.kernel, op.dilation), axis=tuple(range(1, half + 1)))
    view = view[(slice(None), *(slice(None, None, s) for s in op.stride), *(slice(None, None, d) for d in op.dilation))]
    if weight.shape[2] == prod(op.kernel):
        return _depthwise(weight, view, half)
    rows, row_values = view.shape[1], prod(view.shape) // view.shape[1]
    band = max(1, COLUMN_BYTES // max(1, row_values * image.itemsize))
    parts = [_unrolled(weight, view[:, row : row + band], half) for row in range(0, rows, band)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _depthwise(weight: Array, view: Array, axes: int) -> Array:
    """One input channel a group: a sum of shifted images, far quicker than as many small products."""
    wide = (slice(None), slice(None), *[None] * axes)
    dtype = np.result_type(np.int64, weight, view) if view.dtype.kind in "iu" else np.result_type(weight, view)
    weight = weight.astype(dtype)
    y = np.zeros((*weight.shape[:2], *view.shape[1 : axes + 1]), dtype=dtype)
    for number, position in enumerate(np.ndindex(*view.shape[axes + 1 :])):
        y += weight[:, :, number][wide] * view[(slice(None), *[slice(None)] * axes, *position)][:, None]
    return y.reshape(-1, *view.shape[1 : axes + 1])


def _unrolled(weight: Array, view: Array, axes: int) -> Array:
    """Weights times the unrolled windows of some rows; `view` is (channels, *space, *kernel)."""
    space = view.shape[1 : axes + 1]
    order = (0, *range(axes + 1, 2 * axes + 1), *range(1, axes + 1))
    columns = view.transpose(order).reshape(len(weight), -1, prod(space))
    return matmul(weight, columns).reshape(-1, *space)


def _pooled(op: ops.Pool, x: Array, fill: float, reduce: Callable[[Array, Array], Array]) -> Array:
    """Reduce every window, one kernel position at a time; beyond the image stands `fill`."""
    half, space = len(op.kernel), op.output(x.shape[1:])[1:]
    begins = op.padding[:half]
    extents = ops.reach(op.kernel, op.dilation)
    needed = [(n - 1) * s + k for n, s, k in zip(space, op.stride, extents, strict=True)]
    ends = [max(0, r - b - size) for r, b, size in zip(needed, begins, x.shape[2:], strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *zip(begins, ends, strict=True)], constant_values=fill)
    result: Array | None = None
    for position in np.ndindex(*op.kernel):
        offset = [p * d for p, d in zip(position, op.dilation or (1,) * half, strict=True)]
        cut = tuple(slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offset, space, op.stride, strict=True))
        part = padded[(slice(None), slice(None), *cut)]
        result = part.copy() if result is None else reduce(result, part)
    assert result is not None
    return result


def _maximum(op: ops.Pool, x: Array) -> Array:
    lowest = np.iinfo(x.dtype).min if np.issubdtype(x.dtype, np.integer) else -np.inf
    return _pooled(op, x, lowest, np.maximum)


def _average(op: ops.Pool, x: Array) -> Array:
    """Sum over each window by the number of values in it; an integer average is a float."""
    half = len(op.kernel)
    ones = np.ones((1, 1, *x.shape[2:]), dtype=np.int64)
    if op.include_pad:
        edges = zip(op.padding[:half], op.padding[half:], strict=True)
        ones = np.pad(ones, [(0, 0), (0, 0), *edges], constant_values=1)
        op_ones = ops.Pool("avg", op.kernel, op.stride, (0,) * (2 * half), op.ceil, dilation=op.dilation)
        space = op.output(x.shape[1:])[1:]
        counts = _pooled(op_ones, ones, 0, np.add)[(slice(None), slice(None), *(slice(0, n) for n in space))]
    else:
        counts = _pooled(op, ones, 0, np.add)
    mean: Array = _pooled(op, x, 0, np.add) / counts.astype(np.float32 if x.dtype == np.float32 else np.float64)
    return mean

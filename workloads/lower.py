"""Ways to compute a convolution: direct, im2col, MEC, Winograd, FFT. What each costs, and a datapath that computes it.
Whole networks in another machine's terms, too: convolutions as matrices (`lowered`), products as convolutions.

Costs are of one image. Integer inputs give exactly the integers of the direct sum in every way: Winograd's fractions are
scaled away and divided out again, an FFT is rounded after a check that it may be. (Chellapilla 2006; Cho & Brand 2017;
Lavin & Gray 2016; Mathieu 2013.)

The numbers of a network in other terms stay what they were; what the other form costs (windows written out, a kernel as
large as the map, a filter load for one pixel) is for whoever runs it to charge. Weights are written out for this, so an
encoding is lost and found again by the machine that encodes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view

from sim.errors import InputError
from workloads.execute import forward, matmul
from workloads.formats.dense import Dense
from workloads.load import Workload
from workloads.network import Layer, Network
from workloads.ops import Concat, Conv, Flatten, Linear, Op
from workloads.shaping import Reshape, Slice, Transpose, Unroll
from workloads.tensor import Array, Shape, Tensor, decode

LARGEST_KERNEL = 7
"""Maps up to this size are met by a kernel of their own size; larger ones are flattened into channels first."""

WAYS = ("direct", "im2col", "mec", "winograd2", "winograd4", "fft")

TRANSFORMS = {
    2: (
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
        np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
        2,
    ),
    4: (
        np.array([[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
                  [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]),
        np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]),
        np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
        24,
    ),
}  # fmt: skip
"""Tile size -> (input, weight and output transform, what the weight transform was multiplied by to be whole)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiplications (real ones; a complex product counts 4, or 3 where it says so), and values of buffer beside inputs."""

    multiplications: int
    buffer_values: int


def cost(way: str, op: Conv, shape: Shape) -> Cost:
    """What one image costs; InputError where the way does not take the convolution."""
    check(way, op)
    out, macs = op.output(shape), op.macs(shape)
    channels, kernel = shape[0], prod(op.kernel)
    match way:
        case "im2col":
            return Cost(macs, prod(out[1:]) * kernel * channels)
        case "mec":
            rows = shape[1] + op.padding[0] + op.padding[2]
            return Cost(macs, out[2] * rows * op.kernel[1] * channels)
        case "winograd2" | "winograd4":
            tile = int(way[-1])
            tiles = -(-out[1] // tile) * -(-out[2] // tile)
            products = tiles * (tile + 2) ** 2
            return Cost(products * op.outputs * channels // op.groups, products * (channels + op.outputs))
        case "fft":
            rows, columns = _spectrum(op, shape)
            half = rows * (columns // 2 + 1)
            complex_products = half * op.outputs * channels // op.groups
            kernels = op.outputs * channels // op.groups
            return Cost(4 * complex_products, 2 * half * (channels + op.outputs + kernels))
        case _:
            return Cost(macs, 0)


def check(way: str, op: Conv) -> None:
    """Raise an InputError where a way does not take a convolution."""
    if way not in WAYS:
        raise InputError(f"found {way}; allowed: {', '.join(WAYS)}", setting="lower")
    if way == "direct":
        return
    if len(op.kernel) != 2:
        raise InputError(f"{way} is for two dimensions, not a kernel {op.kernel}", setting="lower")
    if way.startswith("winograd") and (op.kernel != (3, 3) or op.stride != (1, 1) or op.dilation != (1, 1)):
        raise InputError(f"{way} is for 3 x 3 kernels of stride 1, not {op.kernel} of {op.stride}", setting="lower")
    if way in ("fft", "mec") and op.dilation != (1, 1):
        raise InputError(f"{way} is for kernels without dilation", setting="lower")


def compute(way: str, op: Conv, params: Mapping[str, Tensor], x: Array) -> Array:
    """The convolution of [images, channels, height, width], computed that way."""
    check(way, op)
    if way == "direct":
        return forward(op, params, [x])
    weight = decode(params["weight"])
    top, left, bottom, right = op.padding
    padded = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])
    size = op.output(x.shape[1:])[1:]
    ways: dict[str, Callable[[Conv, Array, Array, Shape], Array]] = {"im2col": _im2col, "mec": _mec, "fft": _fft}
    one = ways.get(way, _winograd(int(way[-1])) if way.startswith("winograd") else _im2col)
    parts = [
        one(op, part, padded[:, group * part.shape[1] : (group + 1) * part.shape[1]], size)
        for group, part in enumerate(np.split(weight, op.groups))
    ]
    y = np.concatenate(parts, axis=1)
    return y + decode(params["bias"]).reshape(-1, 1, 1) if "bias" in params else y


def lowered(network: Network, names: set[str] | None = None) -> Network:
    """The network with convolutions (all, or those named) as unrolled windows times a matrix: what a matrix-vector
    machine runs. The linear layer keeps the convolution's name and weights; its inputs are (positions, window)."""
    layers: list[Layer] = []
    renamed: dict[str, str] = {}
    for layer in network.layers:
        layer = replace(layer, inputs=tuple(renamed.get(source, source) for source in layer.inputs))
        chosen = isinstance(layer.op, Conv) and (names is None or layer.name in names)
        made = _matrices(network, layer, layer.op) if chosen and isinstance(layer.op, Conv) else [layer]
        renamed[layer.name] = made[-1].name
        layers += made
    return Network(network.name, network.inputs, layers, network.notes)


def _matrices(network: Network, layer: Layer, op: Conv) -> list[Layer]:
    """Unroll, one linear layer for every group, and the result back as (channels, *space)."""
    shape = network.sources(layer.name)[0]
    space = op.output(shape)[1:]
    window, outputs = prod(op.kernel) * shape[0] // op.groups, op.outputs // op.groups
    params = {key: decode(tensor) for key, tensor in layer.params.items()}
    made: list[Layer] = []

    def add(suffix: str, kind: Op, sources: tuple[str, ...], own: Mapping[str, Tensor] | None = None) -> str:
        made.append(replace(layer, name=f"{layer.name}{suffix}", op=kind, inputs=sources, params=dict(own or {})))
        return made[-1].name

    unrolled = add(".windows", Unroll(op.kernel, op.stride, op.padding, op.dilation), layer.inputs)
    products = []
    for group in range(op.groups):
        source, suffix = unrolled, "" if op.groups == 1 else f".{group}"
        if op.groups > 1:
            cut = Slice((0, group * window), (prod(space), window), (1, 1))
            source = add(f".windows{suffix}", cut, (unrolled,))
        rows = slice(group * outputs, (group + 1) * outputs)
        own = {
            key: array[rows].reshape(outputs, -1) if key == "weight" else array[rows] for key, array in params.items()
        }
        products.append(add(suffix, Linear(outputs, op.bias), (source,), own))
    joined = products[0] if op.groups == 1 else add(".joined", Concat(1), tuple(products))
    turned = add(".turned", Transpose((1, 0)), (joined,))
    add(".out", Reshape((op.outputs, *space)), (turned,))
    return made


def convolutions(work: Workload) -> Workload:
    """Every matrix-vector product as a convolution over one position.

    A product behind a flattened map of up to 7 x 7 takes a kernel of the map's size; any other is 1x1 over channels.
    """
    network, shapes, layers = work.network, dict(work.network.inputs), []
    ends: dict[str, str] = {}
    inputs = dict(work.inputs)
    for entry in network.inputs:  # a flattened input: the same values, as channels of one pixel
        if all(isinstance(network.layer(user).op, Flatten) for user in network.graph.successors(entry)):
            shapes[entry] = (prod(network.inputs[entry]), 1, 1)
            inputs[entry] = inputs[entry].reshape(len(inputs[entry]), *shapes[entry])
    known: dict[str, Shape] = dict(shapes)
    for layer in network.layers:
        sources = tuple(ends.get(source, source) for source in layer.inputs)
        if isinstance(layer.op, Flatten):
            shape = known[sources[0]]
            if len(shape) == 3 and max(shape[1:]) <= LARGEST_KERNEL:
                ends[layer.name] = sources[0]
                continue
            layer = replace(layer, op=Reshape((prod(shape), 1, 1)), inputs=sources)
        elif isinstance(layer.op, Linear):
            layer = _convolution(layer, sources, known[sources[0]])
        else:
            layer = replace(layer, inputs=sources)
        known[layer.name] = layer.op.output(*(known[source] for source in layer.inputs))
        layers.append(layer)
    made = Network(network.name, shapes, layers, notes=network.notes)
    for layer in layers:  # activations given for a layer: the same values, in the shape that it takes now
        if layer.name in inputs:
            inputs[layer.name] = inputs[layer.name].reshape(-1, *made.sources(layer.name)[0])
    return replace(work, network=made, inputs=inputs)


def _convolution(layer: Layer, sources: tuple[str, ...], shape: Shape) -> Layer:
    assert isinstance(layer.op, Linear)
    if len(shape) != 3:
        raise InputError(f"{layer.name}: a product over {shape} has no map to convolve")
    op = Conv(layer.op.outputs, shape[1:], bias=layer.op.bias)
    params = dict(layer.params)
    if "weight" in params:
        params["weight"] = Dense.encode(layer.array("weight").reshape(layer.op.outputs, *shape))
    return replace(layer, op=op, inputs=sources, params=params)


def _im2col(op: Conv, weight: Array, x: Array, size: Shape) -> Array:
    unroll = Unroll(op.kernel, op.stride, (0, 0, 0, 0), op.dilation)
    columns = forward(unroll, {}, [x])
    product = matmul(columns, weight.reshape(len(weight), -1).T)
    return product.swapaxes(1, 2).reshape(len(x), len(weight), *size)


def _mec(op: Conv, weight: Array, x: Array, size: Shape) -> Array:
    """Columns are unrolled once, over the width only; every output row multiplies a shifted part of the same buffer."""
    (height, width), (step, stride) = op.kernel, op.stride
    strips = sliding_window_view(x, width, axis=3)[:, :, :, ::stride]
    buffer = np.ascontiguousarray(strips.transpose(0, 3, 2, 1, 4))  # images, columns, rows, channels, kernel width
    matrix = weight.transpose(2, 1, 3, 0).reshape(-1, len(weight))
    rows = [
        matmul(buffer[:, :, row * step : row * step + height].reshape(len(x), size[1], -1), matrix)
        for row in range(size[0])
    ]
    return np.stack(rows, axis=2).transpose(0, 3, 2, 1)


def _winograd(tile: int) -> Callable[[Conv, Array, Array, Shape], Array]:
    """F(tile x tile, 3 x 3): whole-number transforms, so that integers stay integers."""
    from_input, from_weight, to_output, scale = TRANSFORMS[tile]

    def run(op: Conv, weight: Array, x: Array, size: Shape) -> Array:
        counts = [-(-extent // tile) for extent in size]
        missing = [count * tile + 2 - extent for count, extent in zip(counts, x.shape[2:], strict=True)]
        padded = np.pad(x, [(0, 0), (0, 0), *((0, max(0, m)) for m in missing)])
        views = sliding_window_view(padded, (tile + 2, tile + 2), axis=(2, 3))
        tiles = views[:, :, ::tile, ::tile][:, :, : counts[0], : counts[1]]
        data = np.einsum("ij,nchwjk,lk->ilnchw", from_input, tiles, from_input)
        kernels = np.einsum("ij,ocjk,lk->iloc", from_weight, weight, from_weight)
        flat = data.reshape(*data.shape[:2], *data.shape[2:4], -1)
        products = matmul(kernels[:, :, None], flat).reshape(*data.shape[:3], len(weight), *counts)
        result = np.einsum("ai,bj,ijnohw->nohawb", to_output, to_output, products)
        whole = result.reshape(len(x), len(weight), counts[0] * tile, counts[1] * tile)[:, :, : size[0], : size[1]]
        return np.asarray(whole // scale**2 if whole.dtype.kind in "iu" else whole / scale**2)

    return run


def _fft(op: Conv, weight: Array, x: Array, size: Shape) -> Array:
    """Products of spectra; integers are rounded back, which the size of the sums must allow."""
    whole = weight.dtype.kind in "iu" and x.dtype.kind in "iu"
    bound = float(np.abs(weight).max(initial=0)) * float(np.abs(x).max(initial=0)) * prod(weight.shape[1:])
    if whole and bound > 2**40:
        raise InputError("sums too great to be rounded back from an FFT", setting="lower")
    space = x.shape[2:]
    spectrum = scipy.fft.rfft2(x.astype(np.float64))
    kernels = np.conj(scipy.fft.rfft2(weight.astype(np.float64), s=space))
    y = scipy.fft.irfft2(np.einsum("nchw,ochw->nohw", spectrum, kernels, optimize=True), s=space)
    y = y[:, :, :: op.stride[0], :: op.stride[1]][:, :, : size[0], : size[1]]
    return np.rint(y).astype(np.int64) if whole else y.astype(np.result_type(x, weight))


def _spectrum(op: Conv, shape: Shape) -> tuple[int, int]:
    top, left, bottom, right = op.padding
    return shape[1] + top + bottom, shape[2] + left + right

"""One network in another machine's terms: matrix products as convolutions, convolutions as matrix products.

The numbers stay what they were; what the other form costs (a kernel as large as the map, a patch gathered for every
pixel) is for whoever runs it to charge. Weights are written out for this, so an encoding is lost and found again by the
machine that encodes them.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np

from sim.errors import InputError
from workloads.execute import execute
from workloads.formats.dense import Dense
from workloads.load import Workload
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear
from workloads.shaping import Reshape
from workloads.tensor import Array, Shape

LARGEST_KERNEL = 7
"""Maps up to this size are met by a kernel of their own size; larger ones are flattened into channels first."""


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
    lowered = Network(network.name, shapes, layers, notes=network.notes)
    return replace(work, network=lowered, inputs=inputs)


def _convolution(layer: Layer, sources: tuple[str, ...], shape: Shape) -> Layer:
    assert isinstance(layer.op, Linear)
    if len(shape) != 3:
        raise InputError(f"{layer.name}: a product over {shape} has no map to convolve")
    op = Conv(layer.op.outputs, shape[1:], bias=layer.op.bias)
    params = dict(layer.params)
    if "weight" in params:
        params["weight"] = Dense.encode(layer.array("weight").reshape(layer.op.outputs, *shape))
    return replace(layer, op=op, inputs=sources, params=params)


def vectors(network: Network) -> int:
    """Matrix-vector products of one image once its convolutions are products: one an output pixel."""
    convs = (layer for layer in network.layers if isinstance(layer.op, Conv))
    return sum(prod(network.shapes[layer.name][1:]) for layer in convs)


def products(work: Workload) -> Workload:
    """Every convolution, and every product, as a product of its own with given inputs: the patches under its kernel.

    The layers stand side by side, each with an input of its own that the reference computed; what lies between them
    (pools, activations) is the host's.
    """
    network = work.network
    arrays = dict(work.inputs) | execute(network, work.inputs)
    inputs: dict[str, Array] = {}
    layers: list[Layer] = []
    for layer in network.layers:
        x = arrays[layer.inputs[0]] if layer.inputs else None
        if isinstance(layer.op, Conv) and x is not None:
            if layer.op.groups != 1:
                raise InputError(f"{layer.name}: {layer.op.groups} groups are {layer.op.groups} products a pixel")
            inputs[f"{layer.name}_patches"] = patches(layer.op, x)
            layers.append(_product(layer))
        elif isinstance(layer.op, Linear) and x is not None:
            inputs[f"{layer.name}_patches"] = x
            layers.append(replace(layer, inputs=(f"{layer.name}_patches",)))
    shapes: Mapping[str, Shape] = {name: array.shape[1:] for name, array in inputs.items()}
    return replace(work, network=Network(network.name, shapes, layers), inputs=inputs, labels=None)


def _product(layer: Layer) -> Layer:
    assert isinstance(layer.op, Conv)
    params = {name: tensor for name, tensor in layer.params.items() if name != "weight"}
    if "weight" in layer.params:
        params["weight"] = Dense.encode(layer.array("weight").reshape(layer.op.outputs, -1))
    op = Linear(layer.op.outputs, bias=layer.op.bias)
    return replace(layer, op=op, inputs=(f"{layer.name}_patches",), params=params)


def patches(op: Conv, x: Array) -> Array:
    """What lies under the kernel at every output pixel: `[images, pixels, channels * kernel]` of `x` [images, c, h, w]."""
    top, left, bottom, right = op.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = tuple((size - 1) * step + 1 for size, step in zip(op.kernel, op.dilation, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), -1, x.shape[1] * prod(op.kernel)))

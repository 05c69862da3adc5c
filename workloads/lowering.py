"""One network in another machine's terms: matrix products as convolutions.

The numbers stay what they were; what the other form costs (a kernel as large as the map, a filter load for one pixel) is
for whoever runs it to charge. Weights are written out for this, so an encoding is lost and found again by the
machine that encodes them.
"""

from dataclasses import replace
from math import prod

from sim.errors import InputError
from workloads.formats.dense import Dense
from workloads.load import Workload
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear
from workloads.shaping import Reshape
from workloads.tensor import Shape

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

"""Networks: layers, what feeds what, shapes, multiply-accumulates and parameters.

A shape is that of one image, without the batch: `(features,)` or `(channels, height, width)`. 1 MAC = 2 operations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import networkx as nx

from sim.errors import InputError, nearest
from workloads.ops import Op
from workloads.tensor import MAX_VALUES, Array, Encoded, Shape, Tensor, decode

__all__ = ["Array", "Encoded", "Layer", "Network", "Shape", "Tensor", "decode"]

UNTRAINED = ("mean", "var")
"""Statistics that a layer carries but that are not counted among its parameters."""


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """One op, the names it takes its inputs from, and its tensors by name (empty: a network of shapes only).

    `bits` and `density` are what is known of tensors that may not be there: stored bits per value and the non-zero
    fraction, under the parameter's name, "activation" (the layer's input) or "index".
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    params: Mapping[str, Tensor] = field(default_factory=dict)
    bits: Mapping[str, int] | None = None
    density: Mapping[str, float] | None = None

    def array(self, name: str) -> Array:
        """The decoded parameter `name`."""
        return decode(self.params[name])


class Network:
    """Layers in an order in which every one comes after its inputs; the shapes of all of them.

    `notes` say in words what was approximated on the way in.
    """

    def __init__(
        self, name: str, inputs: Mapping[str, Shape], layers: Iterable[Layer], notes: tuple[str, ...] = ()
    ) -> None:
        self.name, self.inputs, self.notes = name, dict(inputs), notes
        self.layers = tuple(layers)
        self.shapes: dict[str, Shape] = {}
        for entry, shape in self.inputs.items():
            self.shapes[entry] = _positive(entry, shape)
        self._layers: dict[str, Layer] = {}
        for layer in self.layers:
            self.shapes[layer.name] = self._infer(layer)
            self._layers[layer.name] = layer
        self.graph: nx.DiGraph[str] = nx.DiGraph()
        self.graph.add_nodes_from(self.shapes)
        self.graph.add_edges_from((source, layer.name) for layer in self.layers for source in layer.inputs)

    def layer(self, name: str) -> Layer:
        """The layer called `name`."""
        if name not in self._layers:
            raise InputError(f"{self.name} has no layer {name}, {nearest(name, self._layers)}")
        return self._layers[name]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Layers that feed no other."""
        return tuple(layer.name for layer in self.layers if not self.graph.out_degree(layer.name))

    def sources(self, name: str) -> tuple[Shape, ...]:
        """Shapes of a layer's inputs."""
        return tuple(self.shapes[source] for source in self.layer(name).inputs)

    def macs(self, name: str) -> int:
        """Multiply-accumulates of one layer for one image, zeros and padding included."""
        return self.layer(name).op.macs(*self.sources(name))

    def params(self, name: str) -> int:
        """Trained parameters of one layer (running means and variances are not)."""
        shapes = self.layer(name).op.parameters(*self.sources(name))
        return sum(prod(shape) for key, shape in shapes.items() if key not in UNTRAINED)

    def replace(self, layers: Mapping[str, Layer]) -> "Network":
        """The same network with some layers exchanged by name."""
        return Network(
            self.name, self.inputs, [layers.get(layer.name, layer) for layer in self.layers], notes=self.notes
        )

    def with_params(self, params: Mapping[str, Mapping[str, Tensor]]) -> "Network":
        """The same network with tensors added to some layers, `{layer: {parameter: tensor}}`."""
        new = {name: {**self.layer(name).params, **tensors} for name, tensors in params.items()}
        return self.replace({name: replace(self.layer(name), params=tensors) for name, tensors in new.items()})

    def _infer(self, layer: Layer) -> Shape:
        """Output shape of `layer`, whose inputs must be known by now."""
        if layer.name in self.shapes:
            raise InputError("the name is taken", where=self.name, setting=layer.name)
        for source in layer.inputs:
            if source not in self.shapes:
                raise InputError(f"its input {source} does not come before it", where=self.name, setting=layer.name)
        inputs = [self.shapes[source] for source in layer.inputs]
        least, most = layer.op.arity
        if not least <= len(inputs) <= most:
            raise InputError(f"{layer.op.kind} cannot take {len(inputs)} inputs", where=self.name, setting=layer.name)
        try:
            shape = _positive(layer.name, layer.op.output(*inputs))
            for key, wanted in (parameters := layer.op.parameters(*inputs)).items():
                _positive(key, wanted)
            self._check_params(layer, parameters)
        except InputError as error:
            raise InputError(error.message, where=self.name, setting=layer.name) from None
        return shape

    @staticmethod
    def _check_params(layer: Layer, wanted: Mapping[str, Shape]) -> None:
        for name, tensor in layer.params.items():
            if name not in wanted:
                raise InputError(f"{layer.op.kind} has no parameter {name}, {nearest(name, wanted)}")
            if tuple(tensor.shape) != wanted[name]:
                raise InputError(f"{name} has shape {tuple(tensor.shape)}, the layer needs {wanted[name]}")


def _positive(name: str, shape: Shape) -> Shape:
    if not shape or min(shape) < 1:
        raise InputError(f"shape {shape} of {name} is empty")
    if prod(shape) > MAX_VALUES:
        raise InputError(f"shape {shape} of {name} has more than {MAX_VALUES} values")
    return tuple(int(size) for size in shape)

"""ONNX networks: every node becomes a layer, is approximated by name, or is listed as unsupported. Never nothing.

A value of ONNX shape (1, ...) is a layer output without that first axis; any other shape stays whole, as one image.
What each operator becomes stands in `onnx_layers` (weights) and `onnx_arrays` (the rest). QONNX adds its own table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import networkx as nx
import numpy as np

from sim.errors import InputError
from workloads.network import Layer, Network
from workloads.onnx_model import Foreign, Model, Node, Value, read_model
from workloads.ops import Op, Unsupported
from workloads.shaping import Constant, Reshape
from workloads.tensor import Array, Shape, Tensor


class NotTaken(Exception):
    """Raised by a handler for a form of its operator that it does not take; says why."""


Handler = Callable[["Importer", Node], None]


@dataclass(frozen=True, eq=False, slots=True)
class Imported:
    """A network, what was approximated (node -> why), what is not supported (node, operator), and where outputs are."""

    network: Network
    approximated: Mapping[str, str]
    unsupported: tuple[tuple[str, str], ...]
    outputs: Mapping[str, str]


def read_onnx(
    path: str | Path,
    shapes: Mapping[str, Shape] | None = None,
    handlers: Mapping[str, Handler] | None = None,
    foreign: Mapping[str, Foreign] | None = None,
) -> Imported:
    """Import the model; `shapes` pins open axes. `handlers` and `foreign` add operators of other domains."""
    from workloads import onnx_arrays, onnx_integer, onnx_layers

    model = read_model(Path(path), shapes or {}, foreign)
    table = {**onnx_arrays.HANDLERS, **onnx_layers.HANDLERS, **onnx_integer.HANDLERS, **(handlers or {})}
    try:
        return Importer(model, table).run()
    except InputError as error:
        raise error if error.where else InputError(error.message, where=str(path), setting=error.setting) from None


def stripped(shape: Shape) -> Shape:
    """The layer shape of an ONNX shape: without a first axis of 1; a scalar is one value."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape or (1,)


def leads(shape: Shape) -> bool:
    """Whether the first ONNX axis is the batch."""
    return len(shape) > 1 and shape[0] == 1


class Importer:
    """The network under construction: layers in order, and the layer that holds each ONNX value."""

    def __init__(self, model: Model, handlers: Mapping[str, Handler]) -> None:
        self.model, self.handlers = model, handlers
        self.layers: dict[str, Layer] = {}
        self.shapes: dict[str, Shape] = {}
        self.holders: dict[str, str] = {}
        self.approximated = dict(model.approximated)
        self.unsupported: list[tuple[str, str]] = list(model.unsupported)

    def run(self) -> Imported:
        entries = {}
        for value in self.model.inputs:
            entries[value.name] = self.shapes[value.name] = stripped(_known(value))
            self.holders[value.name] = value.name
        for node in self.model.nodes:
            self._import(node)
        outputs = {
            name: self.holder(v) for name, v in self.model.outputs.items() if v.shape is not None and self._held(v)
        }
        network = Network(self.model.name, entries, self._alive(entries, set(outputs.values())))
        return Imported(network, self.approximated, tuple(self.unsupported), outputs)

    def _held(self, value: Value) -> bool:
        return value.name in self.holders or (value.const is not None and value.const.size > 0)

    def _alive(self, entries: Mapping[str, Shape], outputs: set[str]) -> list[Layer]:
        """The layers on a way to an output, and those that no one reads because what follows is unsupported."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from([*entries, *self.layers])
        graph.add_edges_from((source, layer.name) for layer in self.layers.values() for source in layer.inputs)
        lost = {name for name, _ in self.unsupported}
        ends = (outputs | {name for name in self.layers if name in lost} | self._cut) & set(graph)
        alive = ends.union(*(nx.ancestors(graph, end) for end in ends)) if ends else set(self.layers)
        return [layer for name, layer in self.layers.items() if name in alive]

    @property
    def _cut(self) -> set[str]:
        """Layers that feed a node which became no layer."""
        names = {name for name, _ in self.unsupported}
        nodes = (node for node in self.model.nodes if node.name in names and node.name not in self.layers)
        return {self.holders[v.name] for node in nodes for v in node.inputs if v is not None and v.name in self.holders}

    def _import(self, node: Node) -> None:
        missing = (v for v in node.inputs if v is not None and v.const is None)
        unknown = [v.name for v in missing if v.shape is None or v.name not in self.holders]
        if unknown:
            self._refuse(node, f"its input {unknown[0]} is not known")
            return
        handler = self.handlers.get(node.op)
        before, held = dict(self.layers), dict(self.holders)
        try:
            if handler is None:
                raise NotTaken("no layer kind for it")
            handler(self, node)
        except (NotTaken, InputError) as error:
            self.layers, self.holders = before, held
            self._refuse(node, str(error))
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            self.layers, self.holders = before, held
            self._refuse(node, f"its attributes and inputs do not fit: {error}")

    def _refuse(self, node: Node, why: str) -> None:
        """List the node; where its results' shapes are known they stay in the network as opaque layers."""
        self.unsupported.append((node.name, node.op))
        self.approximated.pop(node.name, None)
        sources = [self.holders[v.name] for v in node.inputs if v is not None and v.name in self.holders]
        for index, value in enumerate(node.outputs):
            if value.name and value.shape is not None and min(value.shape, default=1) > 0:
                name = node.name if not index else f"{node.name}:{index}"
                op = Unsupported(f"{node.op}: {why}", stripped(value.shape))
                self.holders[value.name] = self.add(name, op, sources, value.shape)

    # ---- what handlers call

    def holder(self, value: Value) -> str:
        """The layer that holds a value; constants become layers when first asked for."""
        if value.name not in self.holders:
            if value.const is None:
                raise NotTaken(f"{value.name} is not known")
            shape = stripped(_known(value))
            if not min(shape):
                raise NotTaken(f"{value.name} is empty")
            name = self._free(value.name or "constant")
            self.layers[name] = Layer(name, Constant(shape), (), {"value": value.const.reshape(shape)})
            self.shapes[name] = shape
            self.holders[value.name] = name
        return self.holders[value.name]

    def whole(self, value: Value) -> str:
        """The layer that holds a value in its full ONNX shape, the first axis of 1 included."""
        name, shape = self.holder(value), _known(value) or (1,)
        return name if self.shapes[name] == shape else self.add(f"{name}_whole", Reshape(shape), [name], shape, True)

    def add(self, name: str, op: Op, sources: list[str], shape: Shape, whole: bool = False,
            params: Mapping[str, Tensor] | None = None) -> str:  # fmt: skip
        """Add a layer whose ONNX result has `shape`; a Reshape follows where the layer's own shape differs."""
        name = self._free(name)
        found = op.output(*(self.shapes[source] for source in sources))
        self.layers[name] = Layer(name, op, tuple(sources), dict(params or {}))
        self.shapes[name] = found
        wanted = shape if whole else stripped(shape)
        return name if found == wanted else self.add(f"{name}_shape", Reshape(wanted), [name], wanted, True)

    def put(self, node: Node, op: Op, sources: list[str], params: Mapping[str, Tensor] | None = None,
            name: str = "", index: int = 0) -> None:  # fmt: skip
        """Add a layer that is the node's output number `index`."""
        value = node.outputs[index]
        self.holders[value.name] = self.add(name or node.name, op, sources, _known(value), params=params)

    def alias(self, node: Node, value: Value) -> None:
        """The node's first output is `value` itself, perhaps in another shape."""
        shape, source = stripped(_known(node.outputs[0])), self.holder(value)
        self.holders[node.outputs[0].name] = (
            source if self.shapes[source] == shape else self.add(node.name, Reshape(shape), [source], shape, True)
        )

    def along(self, value: Value, axes: list[int]) -> tuple[str, tuple[int, ...]]:
        """The layer that holds `value`, and its axes for ONNX `axes`; whole where the first axis is among them."""
        rank = len(_known(value))
        axes = [axis % rank if rank else 0 for axis in axes]
        if not leads(_known(value)):
            return self.holder(value), tuple(axes)
        return (self.whole(value), tuple(axes)) if 0 in axes else (self.holder(value), tuple(axis - 1 for axis in axes))

    def extend(self, name: str, op: Op, params: Mapping[str, Tensor]) -> None:
        """Exchange a layer's op for one of the same output shape, and add parameters."""
        self.layers[name] = replace(self.layers[name], op=op, params={**self.layers[name].params, **params})

    def sole(self, value: Value) -> bool:
        """Whether only one node reads the value, and it is no output of the network."""
        return self.model.uses[value.name] == 1

    def approximate(self, node: Node, why: str) -> None:
        self.approximated[node.name] = why

    def _free(self, name: str) -> str:
        """`name`, with a number behind it where it is taken."""
        free, number = name, 1
        while free in self.shapes:
            number += 1
            free = f"{name}#{number}"
        return free


def _known(value: Value) -> Shape:
    if value.shape is None:
        raise NotTaken(f"the shape of {value.name} is not known before the run")
    return value.shape


def shape_of(value: Value) -> Shape:
    """The ONNX shape of a value; NotTaken where it is not known."""
    return _known(value)


def given(node: Node, index: int) -> Value | None:
    """Input number `index`, None where it was left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def required(node: Node, index: int) -> Value:
    value = given(node, index)
    if value is None:
        raise NotTaken(f"input {index} is missing")
    return value


def constant(node: Node, index: int, what: str) -> Array:
    """Input number `index` as numbers; NotTaken where it is computed in the network."""
    value = required(node, index)
    if value.const is None:
        raise NotTaken(f"{what} computed in the network")
    return value.const


def integers(node: Node, index: int, name: str, default: list[int] | None = None) -> list[int] | None:
    """A list of integers that newer operator versions take as an input and older ones as an attribute."""
    if given(node, index) is not None:
        return [int(v) for v in np.atleast_1d(constant(node, index, name))]
    found = node.attribute(name, default)
    return None if found is None else [int(v) for v in np.atleast_1d(np.asarray(found))]

"""From a network to the stack of layers that this machine fuses: what it takes, in which units it can be cut.

A *node* is one network layer with the window it looks through (1 x 1 for element-wise layers). A *unit* is what
`partition` counts: one convolution or pool with the element-wise layers, sums and concatenations that follow it (LRN,
ReLU, batch norm are not layers of their own). A *group* is a run of consecutive units computed in one pass. Nothing
here knows tiles or time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sim.errors import InputError, nearest
from workloads import ops
from workloads.network import Layer, Network
from workloads.tensor import Array, Shape, decode

WINDOWED = ("conv", "pool")
POINTWISE = ("relu", "sign", "batchnorm", "lrn", "add")


@dataclass(frozen=True, slots=True)
class Window:
    """What one output value looks at along one axis: `reach` values, `stride` apart, from `-before` on."""

    reach: int = 1
    stride: int = 1
    before: int = 0
    after: int = 0


ONE = Window()


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One layer of the stack, (maps, rows, columns) of its `sources` and its output `shape`.

    An operand is a row of maps that stand one after another: concatenation moves nothing, it only says which maps a
    reader takes together.
    """

    layer: Layer
    windows: tuple[Window, Window]
    operands: tuple[tuple[str, ...], ...]
    sources: tuple[Shape, ...]
    shape: Shape

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def kind(self) -> str:
        return self.layer.op.kind

    @property
    def inputs(self) -> tuple[str, ...]:
        """All maps it reads."""
        return tuple(dict.fromkeys(name for operand in self.operands for name in operand))


@dataclass(frozen=True, eq=False)
class Group:
    """Nodes computed in one pass, in topological order. `exits` are the outputs that somebody outside reads.

    `known` has the shape of every map of the network.
    """

    nodes: tuple[Node, ...]
    exits: tuple[str, ...]
    known: Mapping[str, Shape]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def entries(self) -> dict[str, Shape]:
        """Maps that come from outside, with their shapes, in order of first use."""
        found: dict[str, Shape] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name not in self.by_name:
                    found.setdefault(name, self.known[name])
        return found

    @cached_property
    def readers(self) -> dict[str, tuple[Node, ...]]:
        """For every map (entry or output) the nodes of the group that read it."""
        found: dict[str, list[Node]] = {name: [] for name in (*self.entries, *self.by_name)}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        return {**self.entries, **{node.name: node.shape for node in self.nodes}}

    @cached_property
    def wanted(self) -> dict[str, int]:
        """For every map the pixels that what leaves the group depends on, without those that only lie between."""
        seen = {name: np.zeros(shape[1:], np.bool_) for name, shape in self.shapes.items()}
        for node in reversed(self.nodes):
            if node.name in self.exits or not self.readers[node.name]:
                seen[node.name][:] = True
            for name in node.inputs:
                seen[name] |= _looked_at(node, seen[node.name], seen[name].shape)
        return {name: int(mask.sum()) for name, mask in seen.items()}

    @property
    def last(self) -> Node:
        return self.nodes[-1]

    @property
    def convs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind == "conv")

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the convolutions and pools: the layers that `partition` counts."""
        return tuple(node.name for node in self.nodes if node.kind in WINDOWED)


def _looked_at(node: Node, out: Array, size: tuple[int, ...]) -> Array:
    """Which pixels of an input the windows of the output pixels `out` look at."""
    taps = getattr(node.layer.op, "kernel", (1, 1))
    apart = getattr(node.layer.op, "dilation", ()) or (1, 1)
    looks = []
    for axis, window in enumerate(node.windows):
        first = np.arange(out.shape[axis])[:, None] * window.stride - window.before
        places = first + np.arange(taps[axis]) * apart[axis]
        looks.append((places[:, :, None] == np.arange(size[axis])).any(axis=1).astype(np.float32))
    found: Array = looks[0].T @ out @ looks[1] > 0
    return found


@dataclass(frozen=True, eq=False)
class Stack:
    """The units of a network's range, in order; `skipped` says why the other layers are left out.

    `parts` are the concatenations of the range: the maps that each one puts together.
    """

    network: Network
    units: tuple[tuple[Node, ...], ...]
    skipped: dict[str, str]
    parts: dict[str, tuple[str, ...]]

    @cached_property
    def wanted(self) -> dict[str, set[str]]:
        """Who reads each map, seen through concatenations; "" stands for a reader that is not of the stack."""
        found: dict[str, set[str]] = {}
        nodes = {node.name for unit in self.units for node in unit}
        for layer in self.network.layers:
            if layer.name in self.parts:
                continue
            for name in _resolve(layer.inputs, self.parts):
                found.setdefault(name, set()).add(layer.name if layer.name in nodes else "")
        for name in self.network.outputs:
            for part in self.parts.get(name, (name,)):
                found.setdefault(part, set()).add("")
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The head of every unit, in order."""
        return tuple(_head(unit) for unit in self.units)

    def group(self, first: int, last: int) -> Group:
        """Units `first` to `last` (exclusive) as one group."""
        nodes = tuple(node for unit in self.units[first:last] for node in unit)
        inside = {node.name for node in nodes}
        exits = tuple(node.name for node in nodes if not inside.issuperset(self.wanted.get(node.name, {""})))
        return Group(nodes, exits, self.network.shapes)

    def groups(self, sizes: Sequence[int]) -> tuple[Group, ...]:
        """Consecutive groups of these sizes."""
        if sum(sizes) != len(self.units) or min(sizes, default=0) < 1:
            raise InputError(
                f"{list(sizes)} adds up to {sum(sizes)}; allowed: positive sizes that add up to the "
                f"{len(self.units)} layers {', '.join(self.names)}",
                setting="partition",
            )
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        return tuple(self.group(end - size, end) for size, end in zip(sizes, ends, strict=True))


def stack(network: Network, layers: str = "", groups: int = 0) -> Stack:
    """The stack of `network`: all layers the machine takes, or those of the range `first..last` (`layers`).

    `groups=1` keeps one group of a network with grouped convolutions, as the paper's AlexNet figures do.
    """
    inside = _range(network, layers)
    skipped = {layer.name: f"outside layers={layers}" for layer in network.layers if layer.name not in inside}
    if groups:
        network = one_group(network, inside, groups)
    nodes: list[Node] = []
    parts: dict[str, tuple[str, ...]] = {}
    for layer in network.layers:
        reason = skipped.get(layer.name) or _unfit(network, layer)
        if reason:
            skipped[layer.name] = reason
        elif layer.op.kind == "concat":
            parts[layer.name] = _resolve(layer.inputs, parts)
        else:
            nodes.append(_node(network, layer, parts))
    units = _units(nodes, skipped)
    if not any(node.kind == "conv" for unit in units for node in unit):
        raise InputError(f"{network.name}: no convolution in {layers or 'the network'}", setting="layers")
    return Stack(network, units, skipped, parts)


def _resolve(names: Iterable[str], parts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """`names` with every concatenation replaced by what it puts together."""
    return tuple(part for name in names for part in parts.get(name, (name,)))


def _head(unit: Iterable[Node]) -> str:
    return next(node.name for node in unit if node.kind in WINDOWED)


def _units(nodes: Sequence[Node], skipped: dict[str, str]) -> tuple[tuple[Node, ...], ...]:
    """Cut before every convolution and pool; what comes before the first one joins it."""
    units: list[list[Node]] = []
    early: list[Node] = []
    for node in nodes:
        if node.kind in WINDOWED:
            units.append([*early, node])
            early = []
        elif units:
            units[-1].append(node)
        else:
            early.append(node)
    for node in early:
        skipped[node.name] = "no convolution or pool before or after it"
    return tuple(tuple(unit) for unit in units)


def _range(network: Network, layers: str) -> set[str]:
    """Names in `first..last` in network order, with the element-wise layers that follow `last` and need nothing else."""
    names = [layer.name for layer in network.layers]
    if not layers:
        return set(names)
    first, dots, last = layers.partition("..")
    last = last if dots else first
    for name in (first, last):
        if name not in names:
            raise InputError(f"{network.name} has no layer {name!r}, {nearest(name, names)}", setting="layers")
    low, high = names.index(first), names.index(last)
    if low > high:
        raise InputError(f"{first} comes after {last} in {network.name}", setting="layers")
    inside = set(names[low : high + 1])
    for layer in network.layers[high + 1 :]:
        if layer.op.kind not in (*POINTWISE, "concat") or not inside.issuperset(layer.inputs):
            break
        inside.add(layer.name)
    return inside


def _unfit(network: Network, layer: Layer) -> str:
    """Why the machine does not take a layer; empty where it does."""
    kind = layer.op.kind
    if kind not in (*WINDOWED, *POINTWISE, "concat"):
        return f"{kind} layers are not fused: the machine computes convolutions, pools and element-wise layers"
    if any(len(shape) != 3 for shape in (*network.sources(layer.name), network.shapes[layer.name])):
        return f"{kind} over {network.sources(layer.name)[0]}: the machine takes (maps, rows, columns)"
    if isinstance(layer.op, ops.Concat) and layer.op.axis != 0:
        return "concatenation along rows or columns"
    return ""


def _node(network: Network, layer: Layer, parts: Mapping[str, tuple[str, ...]]) -> Node:
    op, windows = layer.op, (ONE, ONE)
    operands = tuple(_resolve((name,), parts) for name in layer.inputs)
    if isinstance(op, ops.Conv | ops.Pool):
        spread = op.dilation if isinstance(op, ops.Conv) else (1, 1)
        windows = (_window(op, spread, 0), _window(op, spread, 1))
    return Node(layer, windows, operands, network.sources(layer.name), network.shapes[layer.name])


def _window(op: ops.Conv | ops.Pool, spread: Sequence[int], axis: int) -> Window:
    reach = (op.kernel[axis] - 1) * spread[axis] + 1
    return Window(reach, op.stride[axis], op.padding[axis], op.padding[axis + 2])


def one_group(network: Network, inside: set[str], groups: int) -> Network:
    """The part of a grouped network that one group computes: each convolution keeps the first of `g` equal shares.

    Layers outside the range are cut at its border. An ungrouped convolution that reads a grouped one's maps needs both
    halves, so it cannot follow.
    """
    if groups != 1:
        raise InputError(f"found {groups}; allowed: 0 (the network as it is) or 1 (one group of it)", setting="groups")
    shares = {layer.op.groups for layer in network.layers if layer.name in inside and isinstance(layer.op, ops.Conv)}
    share = max(shares, default=1)
    if shares - {1, share}:
        raise InputError(f"{network.name} mixes groups of {sorted(shares)}", setting="groups")
    cut: set[str] = set()
    layers: list[Layer] = []
    inputs = dict(network.inputs)
    for layer in network.layers:
        if layer.name in inside:
            layers.append(_share(layer, share, cut, network))
            cut.add(layer.name)
            for source in layer.inputs:
                if source not in cut and source not in inputs:
                    inputs[source] = network.shapes[source]
    return Network(network.name, inputs, layers, notes=network.notes)


def _share(layer: Layer, share: int, cut: set[str], network: Network) -> Layer:
    op = layer.op
    params = {name: decode(tensor) for name, tensor in layer.params.items()}
    if not isinstance(op, ops.Conv):
        keep = network.shapes[layer.name][0] // share if layer.inputs[0] in cut else None
        return replace(layer, params={name: values[:keep] for name, values in params.items()})
    if op.groups == 1 and layer.inputs[0] in cut and share > 1:
        raise InputError(f"{layer.name} reads the maps of all groups; end the range before it", setting="groups")
    if op.groups > 1 and layer.inputs[0] not in cut:
        raise InputError(f"{layer.name} is grouped and comes first; start the range before it", setting="groups")
    outputs = op.outputs // share
    if "weight" in params:
        params = {**params, **{name: values[:outputs] for name, values in params.items()}}
    return replace(layer, op=replace(op, outputs=outputs, groups=1), params=params)

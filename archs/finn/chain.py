"""A network as a chain of FINN units: what runs on the host, matrix units (MVAU) with their thresholds, pooling units.

Knows shapes, precisions and folding-free facts only; cycles are `units`, numbers are `datapath`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from sim.errors import InputError
from workloads.formats.bits import PeWords
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear, Pool
from workloads.quantised import Quantise, Threshold
from workloads.tensor import Tensor, decode

HOST = ("flatten", "quantise", "threshold", "sign")
"""What the host may do to an image before it enters the machine."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """What one activation is on a wire: one bipolar bit (-1, +1), or `bits` of plain or two's complement binary."""

    bits: int
    signed: bool = True

    @property
    def bipolar(self) -> bool:
        return self.bits == 1 and self.signed


@dataclass(frozen=True, eq=False, slots=True)
class Matrix:
    """A matrix-vector-threshold unit's work: `rows` x `columns`, once per output pixel.

    `source` (channels, height, width) or (features,) is its input image; `output` the name its result carries.
    """

    name: str
    output: str
    op: Conv | Linear
    source: tuple[int, ...]
    out: tuple[int, ...]
    weight_bits: int
    incoming: Carrier
    outgoing: Carrier
    weight: Tensor | None = None
    thresholds: Tensor | None = None
    rule: Threshold | None = None

    @property
    def rows(self) -> int:
        return self.op.outputs

    @property
    def columns(self) -> int:
        return self.source[0] * (prod(self.op.kernel) if isinstance(self.op, Conv) else 1)

    @property
    def vectors(self) -> int:
        """Matrix-vector products per image."""
        return prod(self.out[1:])

    @property
    def slides(self) -> bool:
        """Whether a sliding window unit feeds it."""
        return isinstance(self.op, Conv)

    @property
    def levels(self) -> int:
        """Thresholds per row; 0 without."""
        return self.rule.levels if self.rule else 0

    @property
    def xnor(self) -> bool:
        """Binary weights meet binary activations: the accumulator counts matches."""
        return self.weight_bits == 1 and self.incoming.bipolar


@dataclass(frozen=True, eq=False, slots=True)
class Pooling:
    """A max pooling unit over (channels, height, width)."""

    name: str
    output: str
    window: int
    source: tuple[int, ...]
    out: tuple[int, ...]
    incoming: Carrier

    @property
    def outgoing(self) -> Carrier:
        return self.incoming


Unit = Matrix | Pooling


@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """Layers the host applies, then units in stream order."""

    network: Network
    host: tuple[Layer, ...]
    units: tuple[Unit, ...]

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return tuple(unit for unit in self.units if isinstance(unit, Matrix))

    @property
    def entry(self) -> Unit:
        return self.units[0]


def chain(network: Network, precision: Mapping[str, int | None] | None = None) -> Chain:
    """The chain a network makes. `precision` gives weight, activation and input bits where the network does not say."""
    wanted = dict(precision or {})
    layers = _line(network)
    split = next((at for at, layer in enumerate(layers) if isinstance(layer.op, Conv | Linear)), len(layers))
    if split == len(layers):
        raise InputError("no convolution or fully connected layer", where=network.name)
    host = layers[:split]
    for layer in host:
        if layer.op.kind not in HOST:
            raise InputError(f"a {layer.op.kind} layer before the first matrix", where=network.name, setting=layer.name)
    entry = _entry(host, wanted, (layers[split].bits or {}).get("activation"))
    return Chain(network, tuple(host), tuple(_units(network, layers[split:], entry, wanted)))


def _line(network: Network) -> list[Layer]:
    """The layers of a network without branches."""
    for name in network.graph.nodes:
        if network.graph.out_degree(name) > 1 or network.graph.in_degree(name) > 1:
            raise InputError("a branch; the FINN model takes chains of layers", where=network.name, setting=name)
    if len(network.inputs) != 1:
        raise InputError(f"{len(network.inputs)} inputs; allowed: one", where=network.name)
    return list(network.layers)


def _entry(host: list[Layer], wanted: Mapping[str, int | None], stated: int | None) -> Carrier:
    """What enters the machine after the host is done."""
    for layer in reversed(host):
        if isinstance(layer.op, Threshold):
            return carrier(layer.op)
        if isinstance(layer.op, Quantise):
            return _range(layer.op.low, layer.op.high)
        if layer.op.kind == "sign":
            return Carrier(1)
    bits = wanted.get("input") or stated or 8
    return Carrier(bits)


def carrier(rule: Threshold) -> Carrier:
    """How a threshold unit's outcome travels."""
    if rule.levels == 1 and (rule.base, rule.step) == (-1, 2):
        return Carrier(1)
    return _range(rule.base, rule.base + rule.levels * rule.step)


def _range(low: int, high: int) -> Carrier:
    if low >= 0:
        return Carrier(max(1, high.bit_length()), signed=False)
    return Carrier(max(2, (-low - 1).bit_length() + 1, high.bit_length() + 1))


def _units(network: Network, layers: list[Layer], incoming: Carrier, wanted: Mapping[str, int | None]) -> list[Unit]:
    units: list[Unit] = []
    for layer in layers:
        try:
            _take(units, layer, network, incoming, wanted)
        except InputError as error:
            raise InputError(error.message, where=network.name, setting=layer.name) from None
        incoming = units[-1].outgoing
    return units


def _take(
    units: list[Unit], layer: Layer, network: Network, incoming: Carrier, wanted: Mapping[str, int | None]
) -> None:
    """Add a layer to the units: a new one, or a part of the last matrix unit."""
    source, out = network.sources(layer.name)[0], network.shapes[layer.name]
    match layer.op:
        case Conv() | Linear():
            units.append(_matrix(layer, source, out, incoming, wanted))
        case Pool():
            units.append(_pooling(layer, source, out, incoming))
        case _ if layer.op.kind in ("threshold", "sign", "relu"):
            _attach(units, layer, wanted)
        case _ if layer.op.kind not in ("flatten", "batchnorm"):
            raise InputError(f"a {layer.op.kind} layer; FINN takes conv, linear, max pooling, thresholds and sign")


def _matrix(
    layer: Layer, source: tuple[int, ...], out: tuple[int, ...], incoming: Carrier, wanted: Mapping[str, int | None]
) -> Matrix:
    op, weight = layer.op, layer.params.get("weight")
    assert isinstance(op, Conv | Linear)
    if op.bias and "bias" in layer.params:
        raise InputError("a bias; fold it into the thresholds first")
    if isinstance(op, Conv):
        if op.groups != 1 or set(op.dilation) != {1} or len(op.kernel) != 2:
            raise InputError("grouped, dilated or not two-dimensional; the sliding window unit takes plain 2-D windows")
        if len(set(op.kernel)) > 1 or len(set(op.stride)) > 1 or len(set(source[1:])) > 1:
            raise InputError("not square; the sliding window unit takes square kernels, strides and images")
        if op.stride[0] > op.kernel[0]:
            raise InputError(f"stride {op.stride[0]} above kernel {op.kernel[0]}; allowed: up to the kernel")
    elif len(source) != 1:
        raise InputError(f"an input of shape {source}; allowed: one axis, flatten it first")
    bits = _weight_bits(layer, weight, wanted)
    return Matrix(layer.name, layer.name, op, source, out, bits, incoming, Carrier(16), weight)


def _weight_bits(layer: Layer, weight: Tensor | None, wanted: Mapping[str, int | None]) -> int:
    """Stored bits per weight: what the tensor says, else what is wanted of a network of shapes."""
    stated = (layer.bits or {}).get("weight")
    if weight is None:
        return wanted.get("weight") or stated or 1
    if isinstance(weight, PeWords):
        return weight.field
    array = decode(weight)
    least = 1 if np.isin(array, (-1, 1)).all() else max(2, _range(int(array.min()), int(array.max())).bits)
    if array.min() >= 0 and least > 1:
        least += 1
    return max(stated or 1, least)


def _pooling(layer: Layer, source: tuple[int, ...], out: tuple[int, ...], incoming: Carrier) -> Pooling:
    op = layer.op
    assert isinstance(op, Pool)
    if op.mode != "max" or any(op.padding) or len(set(op.kernel)) > 1 or op.stride != op.kernel:
        raise InputError("allowed: max pooling over square windows that do not overlap, without padding")
    if any(size % op.kernel[0] for size in source[1:]):
        raise InputError(f"windows of {op.kernel[0]} do not tile {source[1]} x {source[2]} pixels")
    return Pooling(layer.name, layer.name, op.kernel[0], source, out, incoming)


def _attach(units: list[Unit], layer: Layer, wanted: Mapping[str, int | None]) -> None:
    """Give a threshold layer to the matrix unit before it; a pooling unit between sees its outcome (max commutes)."""
    index = max(at for at, unit in enumerate(units) if isinstance(unit, Matrix))
    unit = units[index]
    assert isinstance(unit, Matrix)
    if unit.rule is not None:
        raise InputError("a second threshold after one matrix; allowed: one")
    bits = wanted.get("activation") or 1
    rule = layer.op if isinstance(layer.op, Threshold) else Threshold({1: 1, 2: 2}.get(bits, (1 << bits) - 1))
    outgoing = carrier(rule) if isinstance(layer.op, Threshold) else Carrier(bits)
    last = index == len(units) - 1
    output = layer.name if last else f"{unit.name}.thresholds"
    thresholds = layer.params.get("thresholds")
    units[index] = replace(unit, rule=rule, outgoing=outgoing, thresholds=thresholds, output=output)
    units[index + 1 :] = [replace(unit, incoming=outgoing, output=layer.name) for unit in units[index + 1 :]]

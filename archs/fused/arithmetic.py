"""The machine's arithmetic: what is stored for every layer, and what a fixed-point machine does to a sum.

float32 keeps the network's tensors. Fixed point is dynamic (one power of two for every map and every weight tensor, as
Gysel et al. 2016 do): a convolution sums integers, adds its bias at the sum's scale, shifts right with rounding half up
and saturates. Maps joined by pools, sums and ReLU share their power of two; it comes from the largest magnitude of a
floating-point pass over the same input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from archs.fused.kernel import arranged
from archs.fused.stack import Node, Stack
from archs.fused.storage import Precision
from sim.errors import InputError
from workloads import ops
from workloads.tensor import Array

OWN_SCALE = ("conv", "batchnorm", "lrn", "sign")
"""Kinds whose output has a scale of its own."""


@dataclass(frozen=True, eq=False, slots=True)
class Numbers:
    """One layer's tensors. `shift` (fixed point): bits that its sum drops. value = stored * `scale` for its output."""

    weight: Array | None = None
    bias: Array | None = None
    gain: Array | None = None
    offset: Array | None = None
    mean: Array | None = None
    shift: int = 0
    scale: float = 1.0
    source_scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """All layers' numbers, the type of stored values and of sums; `bits` is 0 in floating point."""

    layers: Mapping[str, Numbers]
    dtype: np.dtype[np.generic]
    sums: np.dtype[np.generic]
    bits: int = 0
    scales: Mapping[str, float] = field(default_factory=dict)

    def store(self, name: str, values: Array) -> Array:
        """Values from outside as the machine stores them."""
        if not self.bits:
            return values.astype(self.dtype, copy=False)
        return saturate(np.floor(values / self.scales[name] + 0.5), self.bits).astype(self.dtype)


def saturate(values: Array, bits: int) -> Array:
    """Clipped to signed `bits`."""
    clipped: Array = np.clip(values, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return clipped


def half_up(values: Array, shift: int) -> Array:
    """values / 2^shift rounded half up; shifted left where `shift` is negative."""
    rounded: Array = values << -shift if shift <= 0 else (values + (1 << (shift - 1))) >> shift
    return rounded


def floating(found: Stack, dtype: str = "float32") -> Arithmetic:
    """The network's own tensors; `int64` runs integer networks exactly."""
    layers = {node.name: _plain(node, np.dtype(dtype)) for unit in found.units for node in unit}
    return Arithmetic(layers, np.dtype(dtype), np.dtype(dtype))


def _plain(node: Node, dtype: np.dtype[np.generic]) -> Numbers:
    op, layer = node.layer.op, node.layer
    if isinstance(op, ops.Conv):
        if "weight" not in layer.params:
            raise InputError(f"{layer.name} has shapes only and cannot be computed")
        bias = layer.array("bias").astype(dtype, copy=False) if "bias" in layer.params else None
        return Numbers(arranged(layer.array("weight").astype(dtype, copy=False), op.groups), bias)
    if isinstance(op, ops.BatchNorm):
        tensors = {name: layer.array(name).astype(dtype) for name in ("gamma", "beta", "mean", "var")}
        gain = tensors["gamma"] / np.sqrt(tensors["var"] + op.epsilon)
        return Numbers(gain=gain, offset=tensors["beta"], mean=tensors["mean"])
    return Numbers()


def fixed(found: Stack, precision: Precision, floats: Mapping[str, Array]) -> Arithmetic:
    """Fixed point of `precision`; `floats` are the maps of a floating-point pass, entries included."""
    bits = precision.map_bits
    nodes = [node for unit in found.units for node in unit]
    scales = _scales(nodes, bits, floats)
    layers = {node.name: _fixed(node, bits, scales) for node in nodes}
    dtype = np.dtype(np.int8 if bits == 8 else np.int16)
    return Arithmetic(layers, dtype, np.dtype(np.int32 if bits == 8 else np.int64), bits, scales)


def _scales(nodes: Sequence[Node], bits: int, floats: Mapping[str, Array]) -> dict[str, float]:
    """One power of two for every set of maps that must share it."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for node in nodes:
        maps = list(node.inputs) if node.kind in OWN_SCALE else [node.name, *node.inputs]
        for name in maps[1:]:
            root[find(name)] = find(maps[0])
        for name in (*maps, node.name):
            find(name)
    largest: dict[str, float] = {}
    for name in list(root):
        peak = float(np.max(np.abs(floats[name]), initial=0)) if name in floats else 0.0
        largest[find(name)] = max(largest.get(find(name), 0.0), peak)
    return {name: power(largest[find(name)], bits) for name in root}


def power(largest: float, bits: int) -> float:
    """The smallest power of two at which `largest` fits signed `bits`."""
    return 2.0 ** int(np.ceil(np.log2(largest / ((1 << (bits - 1)) - 1)))) if largest > 0 else 1.0


def _fixed(node: Node, bits: int, scales: Mapping[str, float]) -> Numbers:
    plain = _plain(node, np.dtype(np.float64))
    source, out = scales[node.inputs[0]], scales[node.name]
    if plain.weight is not None:
        each = power(float(np.max(np.abs(plain.weight), initial=0)), bits)
        weight = saturate(np.floor(plain.weight / each + 0.5), bits)
        bias = None if plain.bias is None else np.floor(plain.bias / (each * source) + 0.5).astype(np.int64)
        shift = int(np.log2(out / (each * source)))
        dtype = np.int32 if bits == 8 else np.int64
        return Numbers(weight.astype(dtype), bias, shift=shift, scale=out, source_scale=source)
    if plain.gain is not None and plain.offset is not None and plain.mean is not None:
        each = power(float(np.max(np.abs(plain.gain), initial=0)), 16)
        gain = np.floor(plain.gain / each + 0.5).astype(np.int64)
        constant = plain.offset - plain.mean * plain.gain
        offset = np.floor(constant / (each * source) + 0.5).astype(np.int64)
        return Numbers(
            gain=gain,
            offset=offset,
            mean=plain.mean,
            shift=int(np.log2(out / (each * source))),
            scale=out,
            source_scale=source,
        )
    return Numbers(scale=out, source_scale=source)

"""From a network as it was trained, or as bare shapes, to what the units store: whole weights and thresholds.

Batch norm before a sign becomes one threshold per row (`s >= t`; where gamma is negative the row's weights are flipped).
Networks of shapes get seeded weights and thresholds about the spread of their sums.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sim.errors import InputError
from workloads.formats.thresholds import fold_batchnorm
from workloads.generate import generator
from workloads.network import Layer, Network
from workloads.ops import BatchNorm, Conv, Linear, Relu, Sign
from workloads.quantised import Quantise, Threshold
from workloads.tensor import decode


def bare(network: Network) -> bool:
    """Whether no layer has any tensor."""
    return not any(layer.params for layer in network.layers)


def streamlined(network: Network) -> Network:
    """The same function with every batch norm that a sign follows turned into thresholds."""
    if not any(isinstance(layer.op, BatchNorm) and layer.params for layer in network.layers):
        return network
    layers: dict[str, Layer] = {layer.name: layer for layer in network.layers}
    gone: dict[str, str] = {}
    for layer in network.layers:
        norm = layers.get(layer.inputs[0]) if layer.inputs else None
        if isinstance(layer.op, Sign) and norm is not None and isinstance(norm.op, BatchNorm) and norm.params:
            matrix = layers[norm.inputs[0]]
            if not isinstance(matrix.op, Conv | Linear):
                raise InputError("a batch norm that does not follow a matrix", where=network.name, setting=norm.name)
            layers[matrix.name], layers[layer.name] = _folded(matrix, norm, layer)
            del layers[norm.name]
            gone[norm.name] = matrix.name
    rewired = [replace(layer, inputs=tuple(gone.get(name, name) for name in layer.inputs)) for layer in layers.values()]
    return Network(network.name, network.inputs, rewired, notes=network.notes)


def _folded(matrix: Layer, norm: Layer, sign: Layer) -> tuple[Layer, Layer]:
    """The matrix, rows flipped where gamma is negative and without bias, and the thresholds."""
    op = norm.op
    assert isinstance(op, BatchNorm)
    arrays = {name: np.asarray(norm.array(name), np.float64) for name in ("gamma", "beta", "mean", "var")}
    mean = arrays["mean"] - (matrix.array("bias") if "bias" in matrix.params else 0)
    real, flip = fold_batchnorm(arrays["gamma"], arrays["beta"], mean, arrays["var"], op.epsilon, np.zeros(1))
    weight = decode(matrix.params["weight"])
    signs = np.where(flip, -1, 1).reshape(-1, *[1] * (weight.ndim - 1))
    whole = {"weight": matrix.params["weight"] if not flip.any() else weight * signs}
    assert isinstance(matrix.op, Conv | Linear)
    rule = Threshold(1, strict=False)
    return replace(matrix, op=replace(matrix.op, bias=False), params=whole), replace(
        sign, op=rule, inputs=(matrix.name,), params={"thresholds": np.clip(real, -(2.0**31), 2.0**31)}
    )


def filled(network: Network, precision: Mapping[str, int | None], seed: int = 0) -> Network:
    """A network of shapes with random whole weights and thresholds, its input rounded to what the first unit takes."""
    if not bare(network):
        return network
    bits = precision.get("activation") or 1
    layers: list[Layer] = []
    gone: dict[str, str] = {}
    incoming = 0
    for layer in network.layers:
        layer = replace(layer, inputs=tuple(gone.get(name, name) for name in layer.inputs))
        if isinstance(layer.op, BatchNorm):
            gone[layer.name] = layer.inputs[0]
        elif isinstance(layer.op, Conv | Linear):
            if not incoming:
                incoming = precision.get("input") or (layer.bits or {}).get("activation", 8)
                layers.append(_entry(layer.inputs[0], incoming))
                layer = replace(layer, inputs=(layers[-1].name,))
            layers.append(_weighted(layer, network, precision.get("weight"), seed))
        elif isinstance(layer.op, Sign | Relu) and incoming:
            columns = _columns(network, layer)
            layers.append(_thresholds(layer, network, bits, columns, incoming, seed))
            incoming = bits
        else:
            layers.append(layer)
    return Network(network.name, network.inputs, layers, notes=(*network.notes, NOTE))


NOTE = "random weights and thresholds (the network came as shapes only): numbers are checked on the first 8 images"


def _entry(source: str, bits: int) -> Layer:
    """Turns random real activations into what the first unit takes."""
    if bits == 1:
        return Layer("binarise", Sign(), (source,))
    high = (1 << (bits - 1)) - 1
    return Layer("quantise", Quantise(high, 0.0, -high - 1, high), (source,))


def _weighted(layer: Layer, network: Network, wanted: int | None, seed: int) -> Layer:
    bits = wanted or (layer.bits or {}).get("weight", 1)
    rng, size = generator(seed, layer.name), layer.op.parameters(*network.sources(layer.name))["weight"]
    limit = 1 << (bits - 1)
    weight = 2 * rng.integers(0, 2, size) - 1 if bits == 1 else rng.integers(-limit, limit, size)
    assert isinstance(layer.op, Conv | Linear)
    known = {**(layer.bits or {}), "weight": bits}
    return replace(layer, op=replace(layer.op, bias=False), params={"weight": weight.astype(np.int8)}, bits=known)


def _columns(network: Network, layer: Layer) -> int:
    """Columns of the matrix whose sums a sign sees."""
    name = layer.inputs[0]
    while not isinstance(network.layer(name).op, Conv | Linear):
        name = network.layer(name).inputs[0]
    found = network.layer(name)
    return int(np.prod(found.op.parameters(*network.sources(name))["weight"][1:]))


def _thresholds(layer: Layer, network: Network, bits: int, columns: int, incoming: int, seed: int) -> Layer:
    rng, rows = generator(seed, layer.name), network.shapes[layer.name][0]
    levels = 1 if bits == 1 else (2 if bits == 2 else (1 << bits) - 1)
    rule = Threshold(1) if bits == 1 else Threshold(levels, base=-(levels // 2) - (levels % 2), step=1)
    spread = np.sqrt(columns) * (1 << max(0, incoming - 2))
    limits = np.sort(np.rint(rng.normal(0, spread, (rows, levels))).astype(np.int64), axis=1)
    return replace(layer, op=rule, params={"thresholds": limits})

"""Smaller dense networks from pruned ones (F2): filters that nothing needs go, and the channels that would read them.

A unit is one slice of a tensor's first axis: a channel, a feature. It is *constant* where it does not depend on the
input (a filter of zeros gives its bias), and *needed* where something reads it that is needed itself. A linear layer or a
convolution without padding takes a constant it reads into its bias; before a padded convolution a constant other than
zero stays, since the border would see it, and is told of. Sums, shortcuts and concatenations keep or lose units together.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np

from sim.config import Spec
from sim.errors import InputError
from workloads.elementwise import Elementwise, Reduce
from workloads.execute import forward
from workloads.network import Layer, Network
from workloads.ops import Add, BatchNorm, Concat, Conv, Flatten, Linear, Pool, Relu, Sign
from workloads.quantised import Threshold
from workloads.shaping import Reshape
from workloads.tensor import Array, decode


class Shrink(Spec):
    """`constants: exact` keeps the function, up to rounding; `drop` takes constants for zero: a pruned filter's bias and
    batch norm go with it, as papers on filter pruning mean it."""

    constants: Literal["exact", "drop"] = "exact"


def shrink(network: Network, settings: Shrink) -> tuple[Network, tuple[str, ...]]:
    """The smaller network, and why filters without weights had to stay. Layers need their tensors."""
    for layer in network.layers:
        if way(network, layer) == "matrix" and "weight" not in layer.params:
            raise InputError(f"{layer.name} has shapes only; shrinking looks at its weights")
    constant = constants(network, settings.constants == "drop")
    kept = needed(network, constant)
    layers = [_rebuilt(network, layer, constant, kept) for layer in network.layers]
    return Network(network.name, network.inputs, layers, network.notes), tuple(_stayed(network, constant, kept))


def way(network: Network, layer: Layer) -> str:
    """How units of a layer's inputs become its own: a matrix over them, each by itself, flattened, one input after
    another, or in a way that keeps them all."""
    op, shapes, out = layer.op, network.sources(layer.name), network.shapes[layer.name]
    if isinstance(op, Linear) and len(shapes[0]) == 1:
        return "matrix"
    if isinstance(op, Conv) and op.groups == 1:
        return "matrix"
    if isinstance(op, Conv) and op.groups == op.outputs == shapes[0][0]:
        return "each"
    if isinstance(op, Relu | Sign | BatchNorm | Pool | Threshold) or (isinstance(op, Reduce) and 0 not in op.axes):
        return "each"
    if isinstance(op, Add | Elementwise) and all((len(s), s[0]) == (len(out), out[0]) for s in shapes):
        return "each"
    if isinstance(op, Flatten | Reshape) and len(out) == 1:
        return "flat"
    return "row" if isinstance(op, Concat) and op.axis == 0 else "all"


def constants(network: Network, drop: bool) -> dict[str, Array]:
    """Per tensor and unit the value that does not depend on the input, NaN where there is none."""
    found = {name: np.full(shape[0], np.nan) for name, shape in network.inputs.items()}
    for layer in network.layers:
        inputs = [found[source] for source in layer.inputs]
        match way(network, layer):
            case "matrix":
                value = _of_matrix(layer, inputs[0])
            case "each":
                value = _of_each(network, layer, inputs)
            case "flat":
                value = np.repeat(inputs[0], prod(network.sources(layer.name)[0][1:]))
            case "row":
                value = np.concatenate(inputs)
            case _:
                value = np.full(network.shapes[layer.name][0], np.nan)
        found[layer.name] = np.where(np.isnan(value), np.nan, 0.0) if drop else value
    return found


def _of_matrix(layer: Layer, x: Array) -> Array:
    """Bias and constant inputs, where no other input is read and no border is seen."""
    weight = _columns(layer)
    reads = (weight != 0).any(axis=2)
    value = weight.sum(axis=2) @ np.nan_to_num(x) + (layer.array("bias") if "bias" in layer.params else 0.0)
    return np.where((reads & ~_absorbed(layer, x)).any(axis=1), np.nan, value)


def _of_each(network: Network, layer: Layer, inputs: list[Array]) -> Array:
    """What the op makes of the constants, where that is the same at every position."""
    if all(np.isnan(value).all() for value in inputs):
        return np.full(network.shapes[layer.name][0], np.nan)
    shapes = network.sources(layer.name)
    known = ~np.isnan(np.stack(inputs)).any(axis=0)
    filled = [
        np.broadcast_to(np.nan_to_num(value).reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.float32)[None]
        for value, shape in zip(inputs, shapes, strict=True)
    ]
    with np.errstate(all="ignore"):
        out = forward(layer.op, layer.params, filled)[0].astype(np.float64)
    out = out.reshape(len(out), -1)
    return np.where(known & (out == out[:, :1]).all(axis=1), out[:, 0], np.nan)


def needed(network: Network, constant: Mapping[str, Array]) -> dict[str, Array]:
    """Per tensor and unit whether it must stay: all outputs and what they read.

    A tensor that nothing reads keeps its first unit, since none can be empty, and what that one reads.
    """
    kept = {name: np.full(shape[0], name in network.inputs) for name, shape in network.shapes.items()}
    for name in network.outputs:
        kept[name][:] = True
    for layer in network.layers:
        if way(network, layer) == "all":
            kept[layer.name][:] = True
    before = -1
    while (count := sum(int(units.sum()) for units in kept.values())) != before:
        before = count
        for layer in reversed(network.layers):
            kept[layer.name][0] |= not kept[layer.name].any()
            for source, wanted in zip(layer.inputs, _wanted(network, layer, constant, kept), strict=True):
                kept[source] |= wanted
        for layer in network.layers:
            _join(network, layer, kept)
    return kept


def _wanted(network: Network, layer: Layer, constant: Mapping[str, Array], kept: Mapping[str, Array]) -> list[Array]:
    """The units of every input that the layer's kept units read."""
    rows = kept[layer.name]
    match way(network, layer):
        case "matrix":
            reads = (_columns(layer)[rows] != 0).any(axis=2)
            return [np.asarray((reads & ~_absorbed(layer, constant[layer.inputs[0]])).any(axis=0))]
        case "each":
            return [rows] * len(layer.inputs)
        case "flat":
            return [np.asarray(rows.reshape(len(kept[layer.inputs[0]]), -1).any(axis=1))]
        case "row":
            return np.split(rows, np.cumsum([len(kept[source]) for source in layer.inputs])[:-1])
        case _:
            return [np.ones_like(kept[source]) for source in layer.inputs]


def _join(network: Network, layer: Layer, kept: dict[str, Array]) -> None:
    """Units that go through a layer without weights of their own stay or go on both sides."""
    match way(network, layer):
        case "each":
            both = np.stack([kept[name] for name in (layer.name, *layer.inputs)]).any(axis=0)
            for name in (layer.name, *layer.inputs):
                kept[name] |= both
        case "flat":
            kept[layer.name] |= np.repeat(kept[layer.inputs[0]], prod(network.sources(layer.name)[0][1:]))
        case "row":
            kept[layer.name] |= np.concatenate([kept[source] for source in layer.inputs])


def _rebuilt(network: Network, layer: Layer, constant: Mapping[str, Array], kept: Mapping[str, Array]) -> Layer:
    rows = kept[layer.name]
    match way(network, layer):
        case "matrix":
            return _matrix(layer, rows, kept[layer.inputs[0]], constant[layer.inputs[0]])
        case "each" if not rows.all():
            params = {key: decode(tensor)[rows] for key, tensor in layer.params.items()}
            left = int(rows.sum())
            op = replace(layer.op, outputs=left, groups=left) if isinstance(layer.op, Conv) else layer.op
            return replace(layer, op=op, params=params)
        case "flat" if isinstance(layer.op, Reshape):
            return replace(layer, op=Reshape((int(rows.sum()),)))
    return layer


def _matrix(layer: Layer, rows: Array, columns: Array, x: Array) -> Layer:
    """A linear layer or convolution with the rows and columns that are left; constants it read are in its bias."""
    if rows.all() and columns.all():
        return layer
    assert isinstance(layer.op, Linear | Conv)
    weight = layer.array("weight")[rows]
    sums = weight.sum(axis=tuple(range(2, weight.ndim)), dtype=np.float64)
    offset = sums[:, ~columns] @ np.nan_to_num(x[~columns])
    params = {**layer.params, "weight": np.ascontiguousarray(weight[:, columns])}
    if "bias" in layer.params or offset.any():
        bias = layer.array("bias")[rows] if "bias" in layer.params else np.zeros(len(weight), weight.dtype)
        params["bias"] = (bias + offset).astype(bias.dtype)
    op = replace(layer.op, outputs=len(weight), bias="bias" in params)
    return replace(layer, op=op, params=params, density=None)


def _columns(layer: Layer) -> Array:
    """Weights as (outputs, inputs, kernel positions), float64."""
    weight = layer.array("weight")
    return weight.reshape(*weight.shape[:2], -1).astype(np.float64)


def _absorbed(layer: Layer, x: Array) -> Array:
    """Inputs that are constants the layer's bias can take: any, or only zeros where padding makes borders."""
    padded = isinstance(layer.op, Conv) and any(layer.op.padding)
    return np.asarray((x == 0) if padded else ~np.isnan(x))


def _stayed(network: Network, constant: Mapping[str, Array], kept: Mapping[str, Array]) -> list[str]:
    """A line for every layer with constant filters that are left."""
    found = []
    for layer in network.layers:
        idle = kept[layer.name] & ~np.isnan(constant[layer.name])
        if way(network, layer) == "matrix" and layer.name not in network.outputs and idle.any():
            found.append(
                f"{layer.name}: {int(idle.sum())} filters that read nothing stay: a padded convolution, a sum or a layer "
                "that takes whole tensors reads their constants"
            )
    return found

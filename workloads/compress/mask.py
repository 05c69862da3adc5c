"""Masks that depend on the input (F20): small activations become zero, or a convolution skips positions.

They are written as layers, so every accelerator sees them: zeros it may skip, or a convolution over fewer positions whose
results stand for their neighbours. Masks that a network predicts for itself (early exits, chosen filters) are not here.
"""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from sim.config import Spec
from sim.errors import InputError
from workloads.elementwise import Elementwise
from workloads.network import Layer, Network
from workloads.ops import Conv, Op, Relu
from workloads.shaping import Resize
from workloads.tensor import Shape


class Mask(Spec):
    """`zeros`: a ReLU whose output must exceed `threshold`, else it is zero (Cnvlutin's pruning of activations).
    `perforation`: a convolution at every `step`-th row and column; its results are repeated to the shape it had
    (PerforatedCNNs, Figurnov 2016: the grid mask with the nearest neighbour)."""

    kind: Literal["zeros", "perforation"] = "zeros"
    threshold: Annotated[float, Field(ge=0)] = 0.1
    step: Annotated[int, Field(ge=1, le=64)] = 2
    layers: str = "*"


def mask(network: Network, settings: Mask) -> tuple[Network, tuple[str, ...]]:
    """The network with the mask in every ReLU (`zeros`) or two-dimensional convolution whose name matches."""
    kind: type[Op] = Relu if settings.kind == "zeros" else Conv
    found = [
        layer for layer in network.layers if isinstance(layer.op, kind) and fnmatchcase(layer.name, settings.layers)
    ]
    if not found:
        raise InputError(f"no {kind.kind} layer matches {settings.layers}", where="--apply", setting="mask.layers")
    chosen = {layer.name for layer in found}
    layers: list[Layer] = []
    place: dict[str, str] = {}
    for old in network.layers:
        layer = replace(old, inputs=tuple(place.get(name, name) for name in old.inputs))
        made = [layer]
        if old.name in chosen:
            made = _zeros(layer, settings) if kind is Relu else _perforated(layer, network.shapes[old.name], settings)
        place[old.name] = made[-1].name
        layers += made
    return Network(network.name, network.inputs, layers, network.notes), ()


def _zeros(layer: Layer, settings: Mask) -> list[Layer]:
    return [replace(layer, op=Elementwise("thresholdedrelu", (settings.threshold,)))]


def _perforated(layer: Layer, shape: Shape, settings: Mask) -> list[Layer]:
    """The convolution at fewer positions, and the map of `shape` that its results fill."""
    assert isinstance(layer.op, Conv)
    axes = len(layer.op.kernel)
    if axes != 2 or settings.step == 1:
        return [layer]
    stride = tuple(step * settings.step for step in layer.op.stride)
    wide = Resize(shape, (1.0, *[float(settings.step)] * axes), "nearest", "asymmetric", "floor")
    return [replace(layer, op=replace(layer.op, stride=stride)), Layer(f"{layer.name}_filled", wide, (layer.name,))]

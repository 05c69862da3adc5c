"""A whole network's numbers: convolutions on the chip, everything else on the host in floating point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from archs.yodann import datapath, loop, oracle
from archs.yodann.arithmetic import PIXEL, STEP, Filters, fill, filters, folded, output_name, takes, to_pixels
from archs.yodann.geometry import Cut, channel_cycles, cut
from archs.yodann.rooms import rooms
from archs.yodann.settings import Yodann
from sim.errors import CheckError
from sim.plan import Stored
from workloads.execute import forward
from workloads.network import Array, Layer, Network
from workloads.ops import BatchNorm, Conv

SMALL = 20_000
"""Channel cycles of a layer, over all images, up to which the loops run too, to count accesses."""

Convolve = Callable[[Layer, Filters, Array], tuple[Array, int]]


@dataclass
class Walk:
    """What a walk over the network collects. `values` are real numbers, [images, *shape], by layer.

    `outputs` are the chip's (int32), under the name of the batch norm where one is folded in, and the network's own.
    """

    values: dict[str, Array]
    outputs: dict[str, Array] = field(default_factory=dict)
    activations: dict[str, Array] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    limited: int = 0
    exact: bool = True
    stored: dict[str, Stored] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def compute(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> Walk:
    """Every layer that has its inputs, through the fast datapath; small layers through the counting loops too."""
    counts: dict[str, dict[str, int]] = {}
    images = max((len(array) for array in inputs.values()), default=1)

    def convolve(layer: Layer, held: Filters, image: Array) -> tuple[Array, int]:
        cutting = cut(spec, network, layer)
        fast, limited = datapath.convolve(cutting, held, image)
        if small(cutting, images):
            slow, made = loop.convolve(cutting, held, image)
            if not np.array_equal(fast, slow):
                raise CheckError(f"{layer.name}: the fast datapath and the loops disagree")
            known = counts.setdefault(layer.name, {})
            known |= {action: known.get(action, 0) + count for action, count in made.items()}
        return fast, limited

    return replace(walk(spec, network, inputs, convolve), counts=counts)


def small(cutting: Cut, images: int) -> bool:
    """Whether a layer is small enough for loops."""
    pixels = cutting.inputs * cutting.height * cutting.width
    return images * pixels <= SMALL and images * channel_cycles(cutting) <= SMALL


def reference(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The chip's layers by plain integer convolution in the chip's order."""

    def convolve(layer: Layer, held: Filters, image: Array) -> tuple[Array, int]:
        assert isinstance(layer.op, Conv)
        return oracle.convolve(spec, layer.op, held, image), 0

    return walk(spec, network, inputs, convolve).outputs


def walk(spec: Yodann, network: Network, inputs: Mapping[str, Array], convolve: Convolve) -> Walk:
    """Go through the layers in order; what lacks parameters or inputs on the host is left out, with a note."""
    network = fill(spec, network)
    state = Walk({name: np.asarray(inputs[name]) for name in network.inputs if name in inputs})
    for layer in network.layers:
        given = _real(inputs.get(layer.name))
        sources = [state.values.get(name) for name in layer.inputs] if given is None else [np.asarray(given)]
        known = [source for source in sources if source is not None]
        if len(known) < len(sources):
            continue
        if not takes(network, layer.name):
            _chip(spec, network, layer, known[0], convolve, state)
        elif _absorbed(network, layer):
            state.values[layer.name] = known[0]
        elif set(layer.op.parameters(*network.sources(layer.name))) <= set(layer.params):
            state.values[layer.name] = np.asarray(forward(layer.op, layer.params, known))
        else:
            state.notes.append(f"{layer.name}: runs on the host and has no parameters; not computed")
    state.outputs |= {
        name: state.values[name] for name in network.outputs if name in state.values and name not in state.outputs
    }
    return state


def _chip(spec: Yodann, network: Network, layer: Layer, real: Array, convolve: Convolve, state: Walk) -> None:
    """One convolution layer for all images."""
    held = filters(spec, network, layer)
    images = np.empty((len(real), *network.shapes[layer.name]), np.int32)
    pixels = np.empty(real.shape, np.int16)
    before = state.limited
    for number, image in enumerate(real):
        steps, clamped = to_pixels(spec, image)
        pixels[number] = steps
        images[number], limited = convolve(layer, held, steps)
        state.limited += clamped + limited
    state.outputs[output_name(network, layer.name)], state.activations[layer.name] = images, pixels
    exact = np.float32 if images.min(initial=0) >= -(2**24) and images.max(initial=0) <= 2**24 else np.float64
    state.values[layer.name] = np.multiply(images, exact(STEP), dtype=exact)
    state.exact &= held.exact
    state.stored[layer.name] = Stored(held.exact, state.limited - before, rooms(cut(spec, network, layer)))
    state.notes += held.notes
    outside = np.count_nonzero(images < PIXEL[0]) + np.count_nonzero(images > PIXEL[1])
    if outside:
        state.notes.append(
            f"{layer.name}: {outside} sums of partial images lie beyond Q2.9; the next layer clamps them"
        )


def _real(given: Array | None) -> Array | None:
    """Pixels given for a layer as real numbers: integers are steps of 2^-9, as `Walk.activations` has them."""
    if given is None:
        return None
    array = np.asarray(given)
    return array * np.float32(STEP) if array.dtype.kind in "iu" else array


def _absorbed(network: Network, layer: Layer) -> bool:
    """Whether a batch norm is part of the convolution before it."""
    if not isinstance(layer.op, BatchNorm) or layer.inputs[0] in network.inputs or takes(network, layer.inputs[0]):
        return False
    return folded(network, layer.inputs[0]) is not None

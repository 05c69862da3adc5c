"""YodaNN (Andri et al., TCAD 2018): convolutions with binary weights and 12-bit pixels.

The chip computes blocks of 32 input channels by 32 or 64 output channels; the host adds partial images and runs all
other layers. README.md says what is modelled and what is not.
"""

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

import numpy as np

from archs.yodann import account, flow, power
from archs.yodann import compute as walking
from archs.yodann import needs as least
from archs.yodann.arithmetic import STEP, fill, filters, output_name, takes
from archs.yodann.geometry import cut, eta_idle, eta_tile
from archs.yodann.model import Formula, timed
from archs.yodann.settings import Yodann
from sim.plan import Behaviour, Computed, Machine, Needs, Phase, Plan
from sim.timeline import Timeline
from workloads import generate
from workloads.network import Array, Layer, Network
from workloads.ops import BatchNorm, Conv, Pool, Relu

__all__ = [
    "SPEC",
    "bound",
    "build",
    "compute",
    "example",
    "extras",
    "fill",
    "machine",
    "needs",
    "prices",
    "reference",
    "skips",
    "values",
]

SPEC = Yodann


def machine(spec: Yodann) -> Machine:
    """The chip at its supply voltage."""
    return power.machine(spec)


def prices(spec: Yodann) -> tuple[str, ...]:
    """What no cycle depends on."""
    return "voltage", "threshold", "clock", "boundary", "link_energy"


def skips(spec: Yodann, network: Network) -> dict[str, str]:
    """Everything but 2-D convolutions runs on the host; its time is not counted."""
    reasons = {layer.name: takes(network, layer.name) for layer in network.layers}
    return {name: reason for name, reason in reasons.items() if reason}


def build(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> Plan:
    """Image after image, a phase a convolution layer; no time depends on values."""
    images = max((len(array) for array in inputs.values()), default=1)
    layers = [timed(cut(spec, network, layer)) for layer in network.layers if not takes(network, layer.name)]
    made = [(layer.design(), layer.work()) for layer in layers]
    return tuple(Phase(work.name, design, (work,), image=image) for image in range(images) for design, work in made)


def compute(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> Computed:
    """Block by block, in the chip's arithmetic."""
    state = walking.compute(spec, network, inputs)
    return Computed(
        outputs=state.outputs,
        scales={name: STEP if array.dtype == np.int32 else 1.0 for name, array in state.outputs.items()},
        activations=state.activations,
        counts=state.counts or None,
        saturations=state.limited,
        encoding_exact=state.exact,
        notes=tuple(state.notes),
        stored=state.stored,
    )


def reference(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The same by plain integer convolution in the chip's order."""
    return walking.reference(spec, network, inputs)


def values(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> tuple[Behaviour | None, ...]:
    """What each phase of `build` does to values; None for layers too large for it, and in paper accounting."""
    network = fill(spec, network)
    images = max((len(array) for array in inputs.values()), default=1)
    layers = [layer for layer in network.layers if not takes(network, layer.name)]
    pixels = inputs
    if not all(layer.name in inputs for layer in layers):
        pixels = walking.compute(spec, network, inputs).activations
    held = {layer.name: (cut(spec, network, layer), filters(spec, network, layer)) for layer in layers}
    return tuple(
        flow.behaviour(*held[layer.name], pixels[layer.name][image], output_name(network, layer.name))
        if spec.accounting == "full" and walking.small(held[layer.name][0], images)
        else None
        for image in range(images)
        for layer in layers
    )


def bound(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> int:
    """No fewer cycles than the paper's formula of each layer, whose tiles do not overlap."""
    images = max((len(array) for array in inputs.values()), default=1)
    layers = [cut(spec, network, layer) for layer in network.layers if not takes(network, layer.name)]
    return images * sum(Formula(layer).cycles for layer in layers)


def example(spec: Yodann) -> tuple[Network, dict[str, Array]]:
    """Two layers of three kernel sizes on small images: partial sums, a batch norm, a pool, two images."""
    layers = [
        Layer("first", Conv(12, (3, 3), (1, 1), (1, 1, 1, 1)), ("image",)),
        Layer("norm", BatchNorm(), ("first",)),
        Layer("relu", Relu(), ("norm",)),
        Layer("pool", Pool("max", (2, 2), (2, 2), (0, 0, 0, 0)), ("relu",)),
        Layer("second", Conv(9, (5, 5), (1, 1), (2, 2, 2, 2)), ("pool",)),
    ]
    rng = np.random.default_rng(1)
    network = generate.fill(fill(spec, Network("example", {"image": (3, 10, 12)}, layers), 1), 1)
    return network, {"image": rng.random((2, 3, 10, 12), np.float32)}


def needs(spec: Yodann, network: Network, inputs: Mapping[str, Array]) -> dict[str, Needs]:
    """Useful MACs, and what crosses the pins at least."""
    images = max((len(array) for array in inputs.values()), default=1)
    return least.needs(spec, network, [x for x in network.layers if not takes(network, x.name)], images)


def extras(
    spec: Yodann,
    network: Network,
    inputs: Mapping[str, Array],
    plan: Plan,
    timelines: Sequence[Timeline],
    chip: Machine,
) -> dict[str, Any]:
    """The paper's own figures: efficiencies by layer, and the mean of TOp/s/W over layer time that its tables print.

    Networks with 1 x 1 convolutions (the projections of a ResNet, which the tables leave out) get their totals without
    them too.
    """
    timing = spec.model_copy(update={name: Yodann.model_fields[name].default for name in prices(spec)})
    layers: dict[str, dict[str, Any]] = {}
    spent: list[tuple[bool, float, float, int]] = []
    for phase, line in zip(plan, timelines, strict=True):
        (work,) = phase.layers
        cutting = cut(timing, network, network.layer(work.name))
        seconds, ops = line.cycles / chip.clock_hz, 2 * work.macs_useful
        priced = chip.energy.price(phase.design.activity(), seconds, spec.boundary)
        spent.append((cutting.kernel == (1, 1), seconds, priced.interval.nominal, ops))
        if phase.image == 0:
            layers[work.name] = {
                "ops_per_s": ops / seconds,
                "ops_per_j": ops / priced.interval.nominal,
                "power_w": priced.interval.nominal / seconds,
                "energy_by_boundary_j": dict(priced.by_boundary),
                "eta_tile": float(min(eta_tile(spec, each) for each in cutting.passes)),
                "eta_ch_idle": float(eta_idle(spec, cutting.inputs // cutting.groups)),
                "cycles_paper": Formula(cutting).cycles,
                "cycles_beyond_paper": dict(account.beyond(cutting)) if spec.accounting == "full" else {},
            }
    if not layers:
        return {}
    total: dict[str, Any] = {"ops_per_j_by_layer_time": _sums(spent)["ops_per_j_by_layer_time"]}
    larger = [entry for entry in spent if not entry[0]]
    if larger and len(larger) < len(spent):
        total["without_1x1"] = _sums(larger)
    return {"layers": layers, "total": total}


def _sums(spent: list[tuple[bool, float, float, int]]) -> dict[str, float]:
    """Totals of some layers, from (1 x 1, seconds, joules, operations) of each."""
    seconds, joules, ops = (fsum(entry[n] for entry in spent) for n in (1, 2, 3))
    mean = fsum(time * work / energy for _, time, energy, work in spent) / seconds
    return {
        "time_s": seconds,
        "energy_j": joules,
        "ops_per_s": ops / seconds,
        "ops_per_j": ops / joules,
        "ops_per_j_by_layer_time": mean,
    }

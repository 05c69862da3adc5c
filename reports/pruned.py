"""What pruning saves on EIE: core energy of AlexNet's fully connected layers, memory references of a convolution.

The survey's papers had other machines; these are the same questions asked of this one.
"""

from functools import cache

import numpy as np

from archs import eie
from archs.eie.published import BASELINES
from sim.run import simulate
from workloads import generate
from workloads.compress.steps import compress, parse_step
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear
from workloads.tensor import Array

LAYERS = 6
"""AlexNet's and VGG-16's fully connected layers stand first in the tables."""


def published_speed(platform: str) -> float:
    """Geometric mean of dense over pruned time of the six layers, one image at a time, on a published machine."""
    times = BASELINES["time_us"]
    dense, pruned = np.array(times[f"{platform}_dense"][:LAYERS]), np.array(times[f"{platform}_sparse"][:LAYERS])
    return float(np.exp(np.log(dense / pruned).mean()))


@cache
def energy_ratio(name: str = "alexnet-han2015") -> float:
    """Core joules of the linear layers with all their weights over those with the published densities; the same
    activations enter both."""
    work = load(name)
    linear = [layer for layer in work.network.layers if isinstance(layer.op, Linear)]
    inputs = {layer.name: work.inputs[layer.name] for layer in linear}
    whole = {layer.name: {"weight": _dense(work.network, layer)} for layer in linear}
    return _joules(work.network.with_params(whole), inputs) / _joules(work.network, inputs)


def _dense(network: Network, layer: Layer) -> Array:
    shape = layer.op.parameters(*network.sources(layer.name))["weight"]
    return generate.sparse(generate.generator(0, layer.name), shape, 1.0).decode()


def _joules(network: Network, inputs: dict[str, Array]) -> float:
    spec = eie.SPEC()
    prices = eie.machine(spec).energy
    phases = eie.build(spec, network, inputs)
    seconds = [simulate(phase.design).cycles / spec.clock for phase in phases]
    priced = (prices.price(phase.design.activity(), time, "core") for phase, time in zip(phases, seconds, strict=True))
    return sum(part.interval.nominal for part in priced)


def reference_ratio(granularity: str = "kernel", density: float = 0.3) -> float:
    """Memory references of a 3 x 3 convolution pruned weight by weight over those of one pruned in larger pieces."""
    op = Conv(128, (3, 3), padding=(1, 1, 1, 1), bias=False)
    network = generate.fill(Network("conv", {"maps": (64, 14, 14)}, [Layer("conv", op, ("maps",))]))
    maps = generate.activations(np.random.default_rng(0), (64, 14, 14), 0.5)
    counts = [
        _references(network, maps, f"prune(density={density}, granularity={g})") for g in ("element", granularity)
    ]
    return counts[0] / counts[1]


def _references(network: Network, maps: Array, step: str) -> int:
    """Reads and writes of EIE's memories, queues included."""
    spec = eie.SPEC(lower="im2col")
    made = compress(network, [parse_step(step)]).network
    accesses = eie.machine(spec).accesses
    phases = eie.build(spec, made, {"maps": maps})
    return sum(count for phase in phases for what, count in phase.design.activity().items() if what in accesses)

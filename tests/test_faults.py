"""One count off by one in the description of a machine: does a check notice?

Every action of every small example is perturbed, up and down. Either the loop datapath's own counts differ (`--check`
raises), or the closed form below does: a formula written from the network's shapes and the run's cycles alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest

import archs
from sim.errors import CheckError
from sim.graph import Design
from sim.plan import Computed, Phase, Plan
from sim.rates import Total, total
from sim.run import simulate
from sim.verdict import same_counts
from tapeout.session import filled
from workloads.generate import generator, sparse
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear, Pool, Relu

Counts = Mapping[str, int]


def long_vector() -> tuple[Network, dict[str, Any]]:
    """More activations than one PE's registers (64) and SRAM (1024) hold: read from the SRAM, weights from DRAM."""
    network = Network("long", {"x": (1100,)}, [Layer("fc", Linear(70, bias=False), ("x",))])
    weight = sparse(generator(0, "fc"), (70, 1100), 0.05)
    return network.with_params({"fc": {"weight": weight}}), {"x": generator(0, "x").random((2, 1100), dtype=np.float32)}


def convolutional() -> tuple[Network, dict[str, Any]]:
    """Two convolutions in one group, pooling between them."""
    layers = [
        Layer("conv1", Conv(8, (3, 3), padding=(1, 1, 1, 1)), ("x",)),
        Layer("relu1", Relu(), ("conv1",)),
        Layer("pool1", Pool("max", (2, 2), (2, 2)), ("relu1",)),
        Layer("conv2", Conv(16, (3, 3), padding=(1, 1, 1, 1)), ("pool1",)),
    ]
    return Network("convolutional", {"x": (4, 12, 12)}, layers), {"x": np.ones((2, 4, 12, 12), np.float32)}


def perceptron() -> tuple[Network, dict[str, Any]]:
    """Two sparse linear layers."""
    layers = [Layer("fc1", Linear(40), ("x",)), Layer("relu1", Relu(), ("fc1",)), Layer("fc2", Linear(10), ("relu1",))]
    drawn = {name: sparse(generator(0, name), shape, 0.3) for name, shape in (("fc1", (40, 24)), ("fc2", (10, 40)))}
    network = Network("perceptron", {"x": (24,)}, layers).with_params({n: {"weight": w} for n, w in drawn.items()})
    return network, {"x": generator(0, "x").random((2, 24), dtype=np.float32)}


def tfc() -> tuple[Network, dict[str, Any]]:
    zoo = load("tfc", images=2)
    return zoo.network, dict(zoo.inputs)


def eie(spec: Any, network: Network, images: int, layer: str, phases: list[Phase]) -> Counts:
    """An encoded matrix comes once per image, in words of 32 bits, where the network does not fit."""
    matrix = archs.find("eie").encode(spec, network)[layer]
    return {"dram.read": images * ceil(matrix.bits / 32) if spec.overflow == "partition" else 0}


def finn(spec: Any, network: Network, images: int, layer: str, phases: list[Phase]) -> Counts:
    """Pixels come and scores of 16 bits leave in words of 64 bits; circuits switch once an iteration."""
    from archs.finn import resources

    line = archs.find("finn")._pipeline(spec, network)
    stages = next(work.stages for work in phases[0].layers if work.name == layer)
    counts: dict[str, int] = {"lut.toggle": 0, "bram.toggle": 0, "dsp.toggle": 0}
    for process in line.processes:
        if process.name in stages:
            unit = next((u for u in line.chain.units if u.name == process.name), None)
            cost = resources.of(process, unit, line.folds.get(process.name), spec)
            iterations = images * process.iterations
            counts["lut.toggle"] += iterations * round(cost.luts)
            counts["bram.toggle"] += iterations * round(2 * cost.brams)
            counts["dsp.toggle"] += iterations * cost.dsps
    first, last = line.chain.units[0], line.chain.units[-1]
    bits_in, bits_out = np.prod(next(iter(network.inputs.values()))) * first.incoming.bits, np.prod(last.out) * 16
    return counts | {
        "dma.in.bit": images * 64 * ceil(bits_in / 64) if layer == "dma.in" else 0,
        "dma.out.bit": images * 64 * ceil(bits_out / 64) if layer == "dma.out" else 0,
    }


def fused(spec: Any, network: Network, images: int, layer: str, phases: list[Phase]) -> Counts:
    """Weights, 32 bits each, once for all images; biases are registers."""
    op, (channels, *_) = network.layer(layer).op, network.sources(layer)[0]
    return {"dram.weights.read": 32 * op.outputs * channels * op.kernel[0] * op.kernel[1]}


def yodann(spec: Any, network: Network, images: int, layer: str, phases: list[Phase]) -> Counts:
    """All blocks have a clock all the time; they work while the SoPs do, the image while it is filled, the bank too."""
    conv, (inputs, height, width) = network.layer(layer).op, network.shapes[network.layer(layer).inputs[0]]
    side, n = conv.kernel[0], spec.channels
    sums = images * height * width * inputs * ceil(conv.outputs / (2 * n if side < 6 else n))
    preload = images * height * inputs * (side // 2) + images * inputs * (side // 2)
    words = images * ceil(inputs * conv.outputs * side * side / 12)
    cycles = sum(simulate(phase.design).cycles for phase in phases)
    kind = f"k{side}"
    return {
        f"image.{kind}.clock": cycles, f"sop.{kind}.clock": n * cycles, f"filter_bank.{kind}.clock": n * n * cycles,
        f"image.{kind}.active": sums + preload, f"sop.{kind}.active": n * sums,
        f"filter_bank.{kind}.active": n * n * (sums + words), "pads.two": cycles,
    }  # fmt: skip


CASES = {
    "eie": ("eie", perceptron, {}),
    "eie-long": ("eie", long_vector, {"pes": 1, "overflow": "partition"}),
    "finn": ("finn", tfc, {}),
    "fused": ("fused", convolutional, {}),
    "yodann": ("yodann", None, {}),
}
FORMULAS = {"eie": eie, "finn": finn, "fused": fused, "yodann": yodann}


class Case:
    """A machine with a small network: its plan and what its datapath counted."""

    def __init__(self, name: str, workload: Callable[[], Any] | None, given: dict[str, object]) -> None:
        plugin, self.spec = archs.find(name), archs.settings(name, given=given)
        network, inputs = workload() if workload else plugin.example(self.spec)
        self.network = filled(plugin, self.spec, network, seed=0)
        self.computed: Computed = plugin.compute(self.spec, self.network, inputs)
        self.plan: Plan = plugin.build(self.spec, self.network, {**inputs, **self.computed.activations})
        self.images = len(next(iter(inputs.values())))
        self.name = name

    def differ(self, plan: Plan) -> list[str]:
        """Counts that the datapath does not make and that are not as their formula says, in any layer."""
        assert self.computed.counts is not None
        known = {action for counts in self.computed.counts.values() for action in counts}
        found: list[str] = []
        for layer in dict.fromkeys(work.name for phase in plan for work in phase.layers):
            phases = [p for p in plan if any(work.name == layer for work in p.layers)]
            sums: dict[str, int] = {}
            for phase in phases:
                stages = next(work.stages for work in phase.layers if work.name == layer)
                for action, count in phase.design.activity(stages).items():
                    sums[action] = sums.get(action, 0) + count
            if not set(sums) - known:
                continue
            wanted = FORMULAS[self.name](self.spec, self.network, self.images, layer, phases)
            rest = {action: count for action, count in sums.items() if action not in known}
            found += [f"{layer}: {a}: {n}, by formula {wanted.get(a)}" for a, n in rest.items() if wanted.get(a) != n]
        return found

    def holds(self, plan: Plan) -> bool:
        try:
            return same_counts(plan, self.computed) and not self.differ(plan)
        except CheckError:
            return False


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*CASES[request.param])


def faulty(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """The plan with one count of one stage one higher, or one lower; each action of each layer once."""
    seen = set()
    for n, phase in enumerate(plan):
        for work in phase.layers:
            for name in work.stages:
                stage = phase.design.stages[name]
                for action, counts in stage.activity.items():
                    if (work.name, action) in seen:
                        continue
                    seen.add((work.name, action))
                    for step in (1, -1):
                        wrong = Total(total(counts, stage.firings, stage.lanes) + step)
                        design = Design(phase.design.name)
                        design.edges = phase.design.edges
                        design.stages = phase.design.stages | {
                            name: replace(stage, activity={**stage.activity, action: wrong})
                        }
                        changed = replace(phase, design=design)
                        yield f"{work.name}: {action} {step:+}", (*plan[:n], changed, *plan[n + 1 :])


def test_the_counts_hold(case: Case) -> None:
    assert same_counts(case.plan, case.computed)
    assert case.differ(case.plan) == []


def test_every_count_off_by_one_is_caught(case: Case) -> None:
    faults = list(faulty(case.plan))
    assert len(faults) > 20
    assert [what for what, plan in faults if case.holds(plan)] == []


def test_an_access_of_the_datapath_that_the_design_leaves_out_is_caught(case: Case) -> None:
    assert case.computed.counts is not None
    for layer, counts in case.computed.counts.items():
        more = {**case.computed.counts, layer: {**counts, "another.read": 1}}
        with pytest.raises(CheckError, match=f"{layer}: the datapath made 1 another.read, the design counts 0"):
            same_counts(case.plan, replace(case.computed, counts=more))

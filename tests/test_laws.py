"""Does every accelerator's result obey its laws, and is each law really checked? Faults are put in one by one.

A fault changes what a plug-in hands over (its plan, its table, its own keys); the run must then end in CheckError.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import archs
import tapeout
from sim.errors import CheckError
from sim.graph import Design
from sim.plan import Plan, Work
from sim.rates import Total, total
from sim.result import Request, Result, Source
from sim.run import execute
from tapeout.session import filled
from workloads.generate import generator, sparse
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear, Pool, Relu


def perceptron() -> tuple[Network, dict[str, Any]]:
    layers = [Layer("fc1", Linear(40), ("x",)), Layer("relu1", Relu(), ("fc1",)), Layer("fc2", Linear(10), ("relu1",))]
    drawn = {name: sparse(generator(0, name), shape, 0.3) for name, shape in (("fc1", (40, 24)), ("fc2", (10, 40)))}
    network = Network("perceptron", {"x": (24,)}, layers).with_params({n: {"weight": w} for n, w in drawn.items()})
    return network, {"x": generator(0, "x").random((2, 24), dtype=np.float32)}


def convolutional() -> tuple[Network, dict[str, Any]]:
    layers = [
        Layer("conv1", Conv(8, (3, 3), padding=(1, 1, 1, 1)), ("x",)),
        Layer("relu1", Relu(), ("conv1",)),
        Layer("pool1", Pool("max", (2, 2), (2, 2)), ("relu1",)),
        Layer("conv2", Conv(16, (3, 3), (2, 2), (1, 1, 1, 1)), ("pool1",)),
    ]
    return Network("convolutional", {"x": (4, 12, 12)}, layers), {"x": np.ones((2, 4, 12, 12), np.float32)}


def tfc() -> tuple[Network, dict[str, Any]]:
    zoo = load("tfc", images=2)
    return zoo.network, dict(zoo.inputs)


WORKLOADS = {"eie": perceptron, "finn": tfc, "fused": convolutional, "yodann": convolutional}
KNOWN: dict[str, tuple[Any, Network, dict[str, Any]]] = {}


def case(name: str) -> tuple[Any, Network, dict[str, Any]]:
    """Settings, network and the activations of all layers, computed once."""
    if name not in KNOWN:
        plugin, spec = archs.find(name), archs.settings(name)
        network, inputs = WORKLOADS[name]()
        network = filled(plugin, spec, network, seed=0)
        KNOWN[name] = spec, network, inputs | dict(plugin.compute(spec, network, inputs).activations)
    return KNOWN[name]


def run(name: str, **wrong: Callable[..., Any]) -> Result:
    """Timing alone, with some functions of the plug-in replaced by `wrong(what the right one gives)`."""
    plugin = archs.find(name)
    spec, network, inputs = case(name)

    def spoilt(right: Any, fault: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: fault(right(*given))

    faulty = {key: spoilt(getattr(plugin, key), fault) for key, fault in wrong.items()}
    parts = SimpleNamespace(**(vars(plugin) | faulty))
    request = Request(
        name, spec.model_dump(mode="json"), Source(network.name, "test", "00"), "00", 2, "fast", 0, False, True
    )
    return execute(parts, spec, network, inputs, request)


def each_work(change: Callable[[Work], Work]) -> Callable[[Plan], Plan]:
    """The first layer with MACs changed, wherever it stands in the plan."""

    def changed(plan: Plan) -> Plan:
        first = next(work.name for phase in plan for work in phase.layers if work.macs)
        return tuple(
            replace(phase, layers=tuple(change(work) if work.name == first else work for work in phase.layers))
            for phase in plan
        )

    return changed


def starved_of(name: str, key: str) -> Callable[[Plan], Plan]:
    """No action that moves bytes of `key` is counted beyond half of what it was."""
    accesses = archs.find(name).machine(case(name)[0]).accesses
    actions = {action for action, access in accesses.items() if access.key == key}

    def less(design: Design) -> Design:
        fewer = Design(design.name)
        for stage in design.stages.values():
            halved = {
                action: Total(total(counts, stage.firings, stage.lanes) // 2) if action in actions else counts
                for action, counts in stage.activity.items()
            }
            fewer.add(replace(stage, activity=halved))
        for edge in design.edges:
            fewer.connect(edge.src, edge.dst, edge.fifo)
        return fewer

    return lambda plan: tuple(replace(phase, design=less(phase.design)) for phase in plan)


COMPULSORY = [
    ("eie", "spmat.weights.read"),
    ("eie", "act.activations.read"),
    ("finn", "dram.features.read"),
    ("finn", "weights.weights.read"),
    ("fused", "dram.features.read"),
    ("fused", "dram.features.write"),
    ("fused", "dram.weights.read"),
    ("yodann", "io.in.read"),
    ("yodann", "io.out.write"),
    ("yodann", "io.weights.read"),
]
NAMES = pytest.mark.parametrize("name", WORKLOADS)


@NAMES
def test_without_a_fault_all_laws_hold(name: str) -> None:
    """And energy adds up: of the layers where every joule belongs to one, of the components always."""
    result = run(name)
    layers = [layer for layer in result.layers if "skipped" not in layer]
    spent = sum(sum(layer["energy_j"].values()) for layer in layers)
    assert spent == pytest.approx(result.total["energy_j"], rel=1e-12)
    assert sum(result.total["energy_by_component_j"].values()) == pytest.approx(result.total["energy_j"], rel=1e-12)
    moved: dict[str, float] = {}
    for layer in layers:
        for key, amount in layer["traffic_bytes"].items():
            moved[key] = moved.get(key, 0) + amount
    assert moved == pytest.approx(result.total["traffic_bytes"])


@NAMES
@pytest.mark.parametrize("step", [1, -1])
def test_useful_macs_are_those_of_the_network(name: str, step: int) -> None:
    fault = each_work(lambda work: replace(work, macs_useful=work.macs_useful + step))
    with pytest.raises(
        CheckError, match=r"useful MACs told, the network has|more useful MACs than the layer has|utilization is 1"
    ):
        run(name, build=fault)


@pytest.mark.parametrize(("name", "key"), COMPULSORY)
def test_traffic_is_at_least_what_any_run_needs(name: str, key: str) -> None:
    with pytest.raises(CheckError, match=rf"bytes of {key}, no run can do with less than"):
        run(name, build=starved_of(name, key))


@NAMES
def test_no_unit_does_more_than_it_can(name: str) -> None:
    """A tenth of the units' peak, with the same work: utilization would be above 1 or cycles would be missing."""
    fault = each_work(lambda work: replace(work, macs_per_cycle=1, macs=work.macs * 2, macs_useful=work.macs * 2))
    with pytest.raises(CheckError, match=r"utilization is|useful MACs told"):
        run(name, build=fault)


@NAMES
def test_time_is_conserved(name: str) -> None:
    """Idle cycles beyond the unit's busy ones leave less than nothing to be useful."""
    with pytest.raises(CheckError, match="negative cycles"):
        run(name, build=each_work(lambda work: replace(work, idle={"filler": 10**9})))


def own_keys(**total: Any) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda extras: {**extras, "total": {**extras.get("total", {}), **total}}


@NAMES
@pytest.mark.parametrize(
    ("fault", "law"),
    [
        (own_keys(energy_j=1.0), "energy interval is out of order"),
        (own_keys(energy_by_component_j={"all": 1.0}), "components' energy does not add up"),
        (own_keys(utilization=1.5), "utilization of the whole run is 1.5"),
        (own_keys(latency_s=1e9), "the first image is done after the last"),
        (own_keys(cycles=1), "cycles"),
        (own_keys(macs=1), "macs do not add up"),
        (own_keys(traffic_bytes={}), "the layers move more than the run"),
        (own_keys(energy_by_boundary_j={"core": 2.0, "chip": 1.0, "system": 3.0}), "a boundary has more energy"),
    ],
)
def test_totals_are_sums(name: str, fault: Callable[..., Any], law: str) -> None:
    with pytest.raises(CheckError, match=law):
        run(name, extras=fault)


@NAMES
def test_a_phase_that_is_left_out_is_noticed(name: str) -> None:
    """A layer that is not timed at all has no MACs to tell."""

    def fewer(plan: Plan) -> Plan:
        name = plan[-1].layers[0].name
        left = tuple(phase for phase in plan if phase.layers[0].name != name)
        return left or tuple(replace(phase, layers=tuple(w for w in phase.layers[1:] if not w.macs)) for phase in plan)

    with pytest.raises(CheckError, match="is not in the result"):
        run(name, build=fewer)


def test_a_violation_tells_how_to_reproduce_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin, right = archs.find("eie"), archs.find("eie").build
    fault = each_work(lambda work: replace(work, macs_useful=work.macs_useful - 1))
    monkeypatch.setattr(plugin, "build", lambda *given: fault(right(*given)))
    with pytest.raises(CheckError, match=r"to reproduce: tapeout run eie:256pe neuraltalk-wd --set queue_depth=4 "
                                         r"--batch 1 --engine fast --seed 3$"):  # fmt: skip
        tapeout.run("eie", "neuraltalk-wd", config="256pe", settings={"queue_depth": 4}, seed=3)

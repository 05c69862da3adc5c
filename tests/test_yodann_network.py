"""YodaNN on networks: do its layers, energies, errors and figures say what they should?"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archs
from archs import yodann
from archs.yodann import arithmetic, power, published, sweeps
from archs.yodann.account import beyond
from archs.yodann.geometry import cut
from archs.yodann.model import Formula, Timed
from archs.yodann.settings import Yodann
from reports import figures
from reports import yodann as drawn
from sim.errors import InputError
from sim.run import simulate
from tapeout.session import run
from workloads.formats.binary import Binary
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import BatchNorm, Conv


def one(weight: Any, **params: Any) -> Network:
    op = Conv(len(weight), weight.shape[2:], (1, 1), (1, 1, 1, 1), bias="bias" in params)
    return Network("one", {"x": (weight.shape[1], 6, 6)}, [Layer("conv", op, ("x",), {"weight": weight, **params})])


def test_batch_norm_is_folded_into_scale_and_bias() -> None:
    rng = np.random.default_rng(0)
    weight = rng.choice([-0.125, 0.125], (4, 3, 3, 3)).astype(np.float32)
    norm = {"gamma": np.full(4, 2.0), "var": np.full(4, 4.0), "mean": np.full(4, 0.5), "beta": np.full(4, 1.0)}
    network = one(weight, bias=np.full(4, 0.25))
    network = Network("n", network.inputs, [*network.layers, Layer("bn", BatchNorm(0.0), ("conv",), norm)])
    held = arithmetic.filters(Yodann(), network, network.layer("conv"))
    assert held.exact and not held.notes
    np.testing.assert_array_equal(held.alpha, np.full(4, 64))  # 0.125 x 2 / 2 in steps of 2^-9
    np.testing.assert_array_equal(held.beta, np.full(4, 384))  # (0.25 - 0.5) x 1 + 1
    found = yodann.compute(Yodann(), network, {"x": rng.random((2, 3, 6, 6), np.float32)})
    assert set(found.outputs) == {"bn"}


def test_real_weights_are_refused_with_the_way_out() -> None:
    network = one(np.random.default_rng(0).normal(size=(4, 3, 3, 3)))
    inputs = {"x": np.ones((1, 3, 6, 6))}
    with pytest.raises(InputError, match=r"conv: its weights are not binary .*set real_weights=binarise"):
        yodann.compute(Yodann(), network, inputs)
    found = yodann.compute(Yodann(real_weights="binarise"), network, inputs)
    assert not found.encoding_exact
    fixed = yodann.SPEC(weights="q2.9", kernels="7x7", channels=8)
    np.testing.assert_array_equal(
        yodann.compute(fixed, network, inputs).outputs["conv"], yodann.reference(fixed, network, inputs)["conv"]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"voltage": 0.5}, r"voltage: found 0.5 V; allowed: 0.6 V to 1.2 V"),
        ({"weights": "q2.9", "kernels": "7x7", "voltage": 0.6}, r"voltage: found 0.6 V; allowed: 0.8 V to 1.2 V"),
        ({"voltage": 0.6, "clock": 20e6}, r"clock: found 20 MHz; at most 17.47 MHz"),
    ],
)
def test_supplies_beyond_the_published_points_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        yodann.machine(Yodann(**given))


def test_the_fixed_point_chip_has_no_split_adder_tree() -> None:
    with pytest.raises(InputError, match=r"weights q2\.9 goes with kernels 7x7 only"):
        archs.settings("yodann", None, {"weights": "q2.9"})


def test_the_supply_law_meets_both_corners() -> None:
    for threshold in (0.45, 0.5, 0.567):
        assert power.SCM.clock_hz(1.2, threshold) == pytest.approx(480e6, rel=1e-12)
        assert power.SCM.clock_hz(0.6, threshold) == pytest.approx(17.466e6, rel=1e-4)
    volts = np.linspace(0.6, 1.2, 13)
    clocks = [power.SCM.clock_hz(v, 0.5) for v in volts]
    assert (np.diff(clocks) > 0).all()
    low, high = (power.table(Yodann(voltage=v)).actions for v in (0.6, 1.2))
    assert low["pads.one"] == high["pads.one"]
    assert high["sop.k3.active"].energy.nominal / low["sop.k3.active"].energy.nominal == pytest.approx(6.553)


def test_chip_figures() -> None:
    low, high = (published.kernel(Yodann(voltage=v), 7) for v in (0.6, 1.2))
    assert high["peak_throughput"] == pytest.approx(1510, rel=0.01)
    assert high["core_power"] == pytest.approx(153, rel=1e-6)
    assert high["area_efficiency"] == pytest.approx(1135, rel=0.01)
    assert low["core_power"] == pytest.approx(0.895, rel=1e-6)
    assert low["core_efficiency"] == pytest.approx(61.2, rel=1e-6)


@pytest.mark.parametrize("name", ["bc-cifar10", "resnet18-yodann", "vgg13", "alexnet-yodann"])
def test_full_is_paper_and_what_lies_between(name: str) -> None:
    network = load(name).network
    for spec in (Yodann(), Yodann(preload="overlap", refill="load", filter_load="tile")):
        for layer in network.layers:
            if not arithmetic.takes(network, layer.name):
                found = cut(spec, network, layer)
                parts = beyond(found)
                assert Timed(found).cycles == Formula(found).cycles + sum(parts.values())
                assert min(parts[cause] for cause in ("stride", "filter_load", "scale_load", "preload", "drain")) >= 0


def test_link_and_core_of_the_512_to_512_layer() -> None:
    result = run("yodann:0.6V", "vgg13", settings={"accounting": "paper"}, timing_only=True)
    layer = next(layer for layer in result.layers if layer["name"] == "conv5_1")
    moved = layer["traffic_bytes"]["io.in.read"] + layer["traffic_bytes"]["io.out.write"]
    assert moved * 8 == 28_901_376
    assert moved * 8 * 21e-12 / layer["energy_by_boundary_j"]["core"] == pytest.approx(39, rel=0.01)
    core, chip, system = layer["energy_by_boundary_j"].values()
    assert core < chip < system
    assert result.total["ops_per_j_by_layer_time"] == pytest.approx(54.08e12, rel=1e-3)
    assert {layer["name"] for layer in result.layers if "skipped" in layer} >= {"fc6", "fc7", "fc8", "pool1"}


def test_bc_cifar10_bit_by_bit_and_in_both_engines() -> None:
    result = run("yodann", "bc-cifar10", check=True)
    assert result.data["equivalence"]["exact"] and result.data["checks"]["engines_equal"]
    assert result.total["cycles"] == 1_617_598


def test_trained_digits_bit_by_bit() -> None:
    result = run("yodann", "bc-digits", batch=40, check=True)
    assert result.data["equivalence"]["exact"] and result.data["fidelity"]["encoding_exact"]
    assert result.data["fidelity"]["sqnr_db"] > 40
    single = run("yodann", "bc-digits", check=True)
    assert single.data["checks"]["accesses_equal"]


def test_an_eleven_by_eleven_kernel_runs_in_parts() -> None:
    rng = np.random.default_rng(3)
    weight = Binary.of(rng.random((6, 3, 11, 11)) < 0.5, np.full(6, 0.0625))
    layer = Layer("conv", Conv(6, (11, 11), (4, 4), (2, 2, 2, 2), bias=False), ("x",), {"weight": weight})
    network, inputs = Network("n", {"x": (3, 30, 30)}, [layer]), {"x": rng.random((1, 3, 30, 30), np.float32)}
    spec = Yodann(large_kernels="split")
    assert [each.native for each in cut(spec, network, layer).passes] == [7, 7, 7, 5]
    found, wanted = yodann.compute(spec, network, inputs), yodann.reference(spec, network, inputs)
    np.testing.assert_array_equal(found.outputs["conv"], wanted["conv"])


def test_projections_are_counted_and_left_out_side_by_side() -> None:
    settings = {"accounting": "paper"}
    whole = run("yodann:0.6V", "resnet18", settings=settings, timing_only=True).total
    listed = run("yodann:0.6V", "resnet18-yodann", settings=settings, timing_only=True).total
    assert whole["energy_j"] > listed["energy_j"] and "without_1x1" not in listed
    for key in ("energy_j", "time_s", "ops_per_s", "ops_per_j_by_layer_time"):
        assert whole["without_1x1"][key] == pytest.approx(listed[key], rel=1e-9)


def test_networks_of_many_kinds_run() -> None:
    for name in ("resnet18", "googlenet", "mobilenet-v1", "squeezenet1.1", "lenet5"):
        total = run("yodann:0.6V", name, timing_only=True).total
        assert total["cycles"] >= yodann.bound(Yodann(voltage=0.6), load(name).network, {})


def test_a_batch_costs_its_images() -> None:
    network, inputs = yodann.example(Yodann())
    lines = [simulate(phase.design).cycles for phase in yodann.build(Yodann(), network, inputs)]
    assert lines == [*lines[:2], *lines[:2]]


def test_figures_and_their_points(tmp_path: Path) -> None:
    points = list(sweeps.voltage())
    ends = {(p["kernel"], p["voltage_v"]): p for p in points if p["threshold_v"] == 0.5}
    assert ends["7x7", 0.6]["core_ops_per_j"] == pytest.approx(61.2e12, rel=1e-6)
    assert ends["7x7", 1.2]["core_ops_per_j"] == pytest.approx(1505.28e9 / 153e-3, rel=1e-6)
    layers = list(sweeps.layers(("bc-svhn-yodann",), (0.6,)))
    assert len(layers) == 2 * 3
    for figure, records in ((drawn.voltage(points), points), (drawn.layers(layers), layers)):
        assert figures.save(figure, records, tmp_path / "figure", "a test")


def test_bits_of_binary_weights() -> None:
    weight = np.random.default_rng(0).choice([-0.5, 0.5], (3, 5, 3, 3)).astype(np.float32)
    stored = Binary.encode(weight)
    np.testing.assert_array_equal(stored.decode(), weight)
    assert stored.bits() == weight.size + 3 * 32
    assert (Binary.binarise(weight * np.arange(1, 4).reshape(3, 1, 1, 1)).scale == [0.5, 1, 1.5]).all()
    with pytest.raises(InputError, match="not binary"):
        Binary.encode(np.where(weight > 0, weight, 0))
    with pytest.raises(InputError, match="bytes of signs"):
        replace(stored, shape=(3, 50, 3, 3))
    json.dumps(run("yodann", "lenet5", timing_only=True).data)


def test_own_prices_reach_the_layers(tmp_path: Path) -> None:
    """Another price shows in the layers' own figures as it does in the total's."""
    own = tmp_path / "own.yaml"
    own.write_text("actions:\n  image.k3.active: {energy: {low: 1 nJ, nominal: 1 nJ, high: 1 nJ}, source: mine}\n")
    for settings in ({}, {"energy": str(own)}):
        made = run("yodann", "bc-cifar10", settings=settings, timing_only=True)
        layers = [layer["energy_by_boundary_j"]["core"] for layer in made.layers if "energy_by_boundary_j" in layer]
        assert sum(layers) == pytest.approx(made.total["energy_by_boundary_j"]["core"])

"""Laws of scale: what must change, and by how much, when a machine or its workload is changed in a way one can follow.

Each law says exactly where it holds. Small random networks by hypothesis; a counterexample would be a bug.
"""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archs
from sim.energy import EnergyTable
from sim.result import Request, Result, Source
from sim.run import execute
from tapeout.session import filled
from workloads.generate import generator, sparse
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear, Pool, Relu

FEW = settings(max_examples=int(os.environ.get("TAPEOUT_PROPERTIES", "25")), deadline=None)
Arrays = dict[str, Any]


def run(
    name: str, network: Network, inputs: Arrays, given: dict[str, object] | None = None, numbers: bool = False
) -> Result:
    plugin, spec = archs.find(name), archs.settings(name, given=given)
    network, images = filled(plugin, spec, network, seed=0), len(next(iter(inputs.values())))
    source = Source(network.name, "test", "00")
    request = Request(name, spec.model_dump(mode="json"), source, "00", images, "fast", 0, False, not numbers)
    return execute(plugin, spec, network, inputs, request)


# EIE: a matrix and a vector decide everything.


def product(weight: Any, vector: Any, images: int = 1, **given: object) -> Result:
    """One sparse matrix-vector product on EIE."""
    layer = Layer("fc", Linear(weight.shape[0], bias=False), ("x",), {"weight": weight})
    network = Network("one", {"x": (weight.shape[1],)}, [layer])
    vectors = np.repeat(np.asarray(vector, np.float32)[None], images, axis=0)
    return run("eie", network, {"x": vectors, "fc": vectors}, given)


@st.composite
def products(draw: Any, most_rows: int = 200) -> tuple[Any, Any, int]:
    """A weight matrix of few distinct values, a vector, and a number of PEs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    pes = draw(st.sampled_from([1, 2, 3, 4, 8]))
    rows, columns = draw(st.integers(1, most_rows)), draw(st.integers(1, 40))
    density, live = draw(st.sampled_from([0.02, 0.1, 0.5, 1.0])), draw(st.sampled_from([0.2, 0.6, 1.0]))
    weight = rng.choice([-0.5, 0.25, 1.0], (rows, columns)) * (rng.random((rows, columns)) < density)
    vector = rng.integers(1, 9, columns) * (rng.random(columns) < live)
    return weight.astype(np.float32), vector.astype(np.float32), pes


def cycles(weight: Any, vector: Any, images: int = 1, **given: object) -> int:
    return int(product(weight, vector, images, **given).total["cycles"])


@FEW
@given(products(), st.integers(2, 4))
def test_eie_a_multiple_of_the_pes_is_never_slower(case: Any, times: int) -> None:
    """Each PE's rows are shared out among its successors: gaps shrink, so entries, fillers and lost scans only can.

    True for multiples alone: 3 PEs can beat 4 where the fourth gets a row too many.
    """
    weight, vector, pes = case
    assert cycles(weight, vector, pes=pes * times) <= cycles(weight, vector, pes=pes)


def test_eie_more_pes_can_be_slower() -> None:
    """Rows 0 and 4 of six are full: they meet in PE 0 of four, but not of three."""
    weight = np.zeros((6, 20), np.float32)
    weight[[0, 4]] = 1
    vector = np.ones(20, np.float32)
    assert cycles(weight, vector, pes=3) < cycles(weight, vector, pes=4)


@FEW
@given(products(), st.integers(0, 39))
def test_eie_a_zero_activation_never_adds_cycles(case: Any, place: int) -> None:
    weight, vector, pes = case
    fewer = vector.copy()
    fewer[place % len(vector)] = 0
    before, after = product(weight, vector, pes=pes), product(weight, fewer, pes=pes)
    assert after.total["cycles"] <= before.total["cycles"]
    assert after.total["macs_useful"] <= before.total["macs_useful"]
    assert after.total["energy_j"] <= before.total["energy_j"]


@FEW
@given(products(), st.integers(0, 2**20))
def test_eie_rows_of_one_pe_may_change_places(case: Any, seed: int) -> None:
    """Up to 16 rows a PE, so that no gap needs a filler: only how many entries a PE has in a column counts."""
    weight, vector, pes = case
    weight, rng = weight[: 16 * pes], np.random.default_rng(seed)
    order = np.arange(len(weight))
    for pe in range(pes):
        order[pe::pes] = rng.permutation(order[pe::pes])
    plain, mixed = product(weight, vector, pes=pes), product(weight[order], vector, pes=pes)
    assert (plain.total["cycles"], plain.total["traffic_bytes"]) == (
        mixed.total["cycles"],
        mixed.total["traffic_bytes"],
    )
    assert plain.layers[0]["stalls"] == mixed.layers[0]["stalls"]


@FEW
@given(products(), st.sampled_from([2.0, 0.37, -1.0, 1000.0]))
def test_eie_scaled_weights_take_the_same_time(case: Any, factor: float) -> None:
    weight, vector, pes = case
    plain, scaled = product(weight, vector, pes=pes), product(weight * np.float32(factor), vector, pes=pes)
    assert (plain.layers, plain.total) == (scaled.layers, scaled.total)


@FEW
@given(products(), st.integers(2, 5))
def test_eie_equal_images_take_equal_time(case: Any, images: int) -> None:
    weight, vector, pes = case
    one, many = (product(weight, vector, n, pes=pes).total for n in (1, images))
    assert (many["cycles"], many["macs_useful"]) == (images * one["cycles"], images * one["macs_useful"])
    assert many["energy_j"] == pytest.approx(images * one["energy_j"], rel=1e-12)


@FEW
@given(products(), st.integers(2, 6))
def test_eie_a_deeper_queue_is_never_slower(case: Any, depth: int) -> None:
    """Start times are maxima of sums: a slot more only removes terms."""
    weight, vector, pes = case
    found = [cycles(weight, vector, pes=pes, queue_depth=d) for d in (depth, depth + 1, 2 * depth, 4096)]
    assert found == sorted(found, reverse=True)


@FEW
@given(products())
def test_eie_bounds(case: Any) -> None:
    """No run beats its broadcasts (one a cycle), its fullest PE, or the even share of its MACs; nor the slow sum of all."""
    weight, vector, pes = case
    result, sent = product(weight, vector, pes=pes), int(np.count_nonzero(vector))
    live = (weight != 0)[:, vector != 0]
    fullest = max(int(np.maximum(live[pe::pes].sum(axis=0), 1).sum()) for pe in range(pes)) if sent else 0
    took = result.total["cycles"]
    assert took >= max(sent, fullest, -(-int(live.sum()) // pes))
    entries = sum(result.layers[0]["macs_wasted"].values()) + int(live.sum())
    assert took <= 2 * len(vector) + entries + sent * 1 + 10


# YodaNN: shapes decide the time, not values.


@st.composite
def convolutions(draw: Any) -> tuple[Layer, Any, Any]:
    """One layer of binary weights on pixels of 12 bits, with its weights and an image."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    side, channels = draw(st.sampled_from([1, 3, 5, 7])), draw(st.integers(1, 6))
    outputs, (height, width) = draw(st.integers(1, 40)), draw(st.tuples(st.integers(7, 12), st.integers(7, 12)))
    weight = rng.choice([-1.0, 1.0], (outputs, channels, side, side)).astype(np.float32)
    image = rng.integers(-512, 512, (1, channels, height, width)).astype(np.float32) / 512
    op = Conv(outputs, (side, side), padding=(side // 2,) * 4, bias=False)
    return Layer("conv", op, ("x",), bits={"weight": 1}), weight, image


def convolved(layer: Layer, weight: Any, image: Any, **given: object) -> Result:
    held = Layer("conv", layer.op, ("x",), {"weight": weight}, bits={"weight": 1})
    return run("yodann", Network("one", {"x": image.shape[1:]}, [held]), {"x": image}, given, numbers=True)


@FEW
@given(convolutions(), st.integers(0, 2**20))
def test_yodann_mirrors_and_permutations(case: Any, seed: int) -> None:
    """A mirrored image under mirrored kernels gives the mirrored map; output channels may change places; in the same
    cycles. So may input channels, but for sums that saturate on the way."""
    layer, weight, image = case
    plain = convolved(layer, weight, image)
    mirrored = convolved(layer, weight[..., ::-1].copy(), image[..., ::-1].copy())
    order = np.random.default_rng(seed).permutation(len(weight))
    mixed = convolved(layer, weight[order], image)
    swapped = convolved(layer, weight[:, ::-1].copy(), image[:, ::-1].copy())
    assert plain.outputs is not None
    for other, outputs in ((mirrored, plain.outputs[..., ::-1]), (mixed, plain.outputs[:, order])):
        np.testing.assert_array_equal(other.outputs, outputs)
        assert other.layers == plain.layers
    assert swapped.layers == plain.layers


@FEW
@given(convolutions())
def test_yodann_a_transposed_image_of_equal_sides(case: Any) -> None:
    layer, weight, image = case
    image = image[..., :7, :7]
    plain = convolved(layer, weight, image)
    turned = convolved(layer, weight.swapaxes(2, 3).copy(), image.swapaxes(2, 3).copy())
    assert plain.outputs is not None
    np.testing.assert_array_equal(turned.outputs, plain.outputs.swapaxes(2, 3))
    assert turned.layers == plain.layers


def convolutional(groups: int = 1) -> Network:
    layers = [
        Layer("conv1", Conv(8, (3, 3), padding=(1, 1, 1, 1)), ("x",), bits={"weight": 1}),
        Layer("relu1", Relu(), ("conv1",)),
        Layer("pool1", Pool("max", (2, 2), (2, 2)), ("relu1",)),
        Layer("conv2", Conv(16, (3, 3), padding=(1, 1, 1, 1)), ("pool1",), bits={"weight": 1}),
    ]
    return Network("convolutional", {"x": (4, 12, 12)}, layers)


def pictures(images: int) -> Arrays:
    one = generator(0, "x").random((1, 4, 12, 12), dtype=np.float32)
    return {"x": np.repeat(one, images, axis=0)}


# Fused layers: how the work is cut changes time and storage, never numbers.


@pytest.mark.parametrize("scheme", ["reuse", "recompute", "baseline"])
def test_fused_numbers_do_not_depend_on_how_the_work_is_cut(scheme: str) -> None:
    whole = run("fused", convolutional(), pictures(2), numbers=True)
    useful = {layer["name"]: layer["macs_useful"] for layer in whole.layers if "skipped" not in layer}
    for tile in (1, 2, 3, 6):
        for partition in ("all", "each"):
            cut = run(
                "fused", convolutional(), pictures(2), {"scheme": scheme, "tile": tile, "partition": partition}, True
            )
            np.testing.assert_array_equal(cut.outputs, whole.outputs)
            assert {x["name"]: x["macs_useful"] for x in cut.layers if "skipped" not in x} == useful
            if scheme != "recompute":
                assert cut.total["macs_wasted"].get("recompute", 0) == 0


def test_fused_one_group_moves_less_than_many() -> None:
    """Intermediate maps stay on the chip: what one group saves is the map between, written and read."""
    whole, each = (run("fused", convolutional(), pictures(1), {"partition": p}).total for p in ("all", "each"))
    moved = [
        sum(total["traffic_bytes"][f"dram.features.{way}"] for way in ("read", "write")) for total in (whole, each)
    ]
    assert moved[0] < moved[1]
    assert whole["traffic_bytes"]["dram.weights.read"] == each["traffic_bytes"]["dram.weights.read"]


# FINN: a chain of units, as fast as its slowest.


def perceptron() -> Network:
    layers = [Layer("fc1", Linear(16), ("x",)), Layer("relu1", Relu(), ("fc1",)), Layer("fc2", Linear(8), ("relu1",))]
    drawn = {name: sparse(generator(0, name), shape, 0.5) for name, shape in (("fc1", (16, 24)), ("fc2", (8, 16)))}
    network = Network("perceptron", {"x": (24,)}, layers)
    return network.with_params({name: {"weight": weight} for name, weight in drawn.items()})


TFC: dict[str, Any] = {}


def folded(*folds: tuple[int, int], images: int = 3) -> Result:
    if not TFC:
        from workloads.load import load

        TFC["zoo"] = load("tfc", images=images)
    layers = tuple({"pe": pe, "simd": simd} for pe, simd in folds)
    return run("finn", TFC["zoo"].network, dict(TFC["zoo"].inputs), {"fold": {"layers": layers}})


def test_finn_more_units_are_never_slower_in_the_steady_state() -> None:
    """Twice the PEs or the SIMD lanes of any one layer."""
    base = [(4, 8), (4, 8), (4, 8), (5, 8)]
    slow = folded(*base).total["steady_cycles_per_image"]
    for n, (pe, simd) in enumerate(base):
        for more in ((2 * pe, simd), (pe, 2 * simd)):
            faster = folded(*base[:n], more, *base[n + 1 :]).total
            assert faster["steady_cycles_per_image"] <= slow
            assert faster["steady_cycles_per_image"] <= faster["cycles"]


# All machines.

CASES = {
    "eie": lambda n: (perceptron(), {"x": np.repeat(generator(0, "x").random((1, 24), dtype=np.float32), n, axis=0)}),
    "yodann": lambda n: (convolutional(), pictures(n)),
    "fused": lambda n: (convolutional(), pictures(n)),
}
NAMES = pytest.mark.parametrize("name", CASES)


@NAMES
def test_half_the_clock_takes_twice_as_long(name: str) -> None:
    """In the same cycles, with the same traffic and dynamic energy; static power for twice the time."""
    network, inputs = CASES[name](2)
    spec = archs.settings(name)
    clock = archs.find(name).machine(spec).clock_hz
    fast, slow = run(name, network, inputs), run(name, network, inputs, {"clock": f"{clock / 2:.0f} Hz"})
    assert fast.total["cycles"] == slow.total["cycles"]
    assert slow.total["time_s"] == pytest.approx(2 * fast.total["time_s"], rel=1e-9)
    assert slow.total["traffic_bytes"] == fast.total["traffic_bytes"]
    assert slow.total["ops_per_s"] == pytest.approx(fast.total["ops_per_s"] / 2, rel=1e-9)
    assert slow.total["energy_j"] >= fast.total["energy_j"]


@NAMES
def test_equal_images_are_equal_work(name: str) -> None:
    """MACs and traffic but for weights grow with the images; cycles too, or by less where images overlap."""
    one, four = (run(name, *CASES[name](n)).total for n in (1, 4))
    assert (four["macs"], four["macs_useful"]) == (4 * one["macs"], 4 * one["macs_useful"])
    for key, amount in four["traffic_bytes"].items():
        assert amount in (4 * one["traffic_bytes"][key], one["traffic_bytes"][key] if "weights" in key else None), key
    assert one["cycles"] <= four["cycles"] <= 4 * one["cycles"]
    if name != "fused":
        assert four["cycles"] == 4 * one["cycles"]


@NAMES
def test_energy_is_linear_in_the_prices(name: str) -> None:
    """Prices doubled within each boundary double what lies within; counts added are joules added."""
    plan = archs.find(name).build(*_placed(name))
    table: EnergyTable = archs.find(name).machine(archs.settings(name)).energy
    first, last = plan[0].design.activity(), plan[-1].design.activity()
    both = {action: first.get(action, 0) + last.get(action, 0) for action in {**first, **last}}
    parts = [table.price(first, 1e-3).interval, table.price(last, 2e-3).interval]
    assert table.price(both, 3e-3).interval == pytest.approx([a + b for a, b in zip(*parts)], rel=1e-12)
    for boundary in ("core", "chip", "system"):
        doubled = table.scaled(2, 2, boundary).price(both, 1e-3).by_boundary
        plain = table.price(both, 1e-3).by_boundary
        assert doubled[boundary] == pytest.approx(2 * plain[boundary], rel=1e-12)
        beyond = {b: plain[b] + plain[boundary] for b in plain if plain[b] >= plain[boundary]}
        assert {b: doubled[b] for b in beyond} == pytest.approx(beyond, rel=1e-12)


def _placed(name: str) -> tuple[Any, Network, Arrays]:
    spec = archs.settings(name)
    network, inputs = CASES[name](1)
    return spec, filled(archs.find(name), spec, network, seed=0), inputs


def test_layers_in_sequence_add_up() -> None:
    """EIE and YodaNN run one layer after the other: a network takes what its layers alone take."""
    network, inputs = CASES["yodann"](1)
    whole = run("yodann", network, inputs)
    alone = []
    for name, source in (("conv1", (4, 12, 12)), ("conv2", (8, 6, 6))):
        part = Network(name, {"x": source}, [Layer(name, network.layer(name).op, ("x",), bits={"weight": 1})])
        alone.append(run("yodann", part, {"x": np.zeros((1, *source), np.float32)}).total)
    assert whole.total["cycles"] == sum(total["cycles"] for total in alone)
    assert whole.total["energy_j"] == pytest.approx(sum(total["energy_j"] for total in alone), rel=1e-12)


def test_yodann_voltage_and_link() -> None:
    """A lower supply: the same cycles, longer, for less energy in the core; pads and link do not see it."""
    found = [run("yodann", *CASES["yodann"](1), {"voltage": volts}).total for volts in (0.6, 0.9, 1.2)]
    assert len({total["cycles"] for total in found}) == 1
    times, cores = ([total["time_s"] for total in found], [total["energy_by_boundary_j"]["core"] for total in found])
    assert times == sorted(times, reverse=True) and cores == sorted(cores)

    def link(total: Any) -> float:
        boundaries = total["energy_by_boundary_j"]
        return float(boundaries["system"] - boundaries["chip"])

    assert [link(total) for total in found] == pytest.approx([link(found[0])] * 3, rel=1e-9)
    dear = run("yodann", *CASES["yodann"](1), {"voltage": 0.6, "link_energy": "42 pJ/bit"}).total
    assert link(dear) == pytest.approx(2 * link(found[0]), rel=1e-9)

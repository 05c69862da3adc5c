"""EIE: timing against the recurrence and by hand, numbers three ways, counts by a loop, capacity, accounting."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archs import eie
from archs.eie import capacity, model, program
from sim import tracefile, verdict
from sim.errors import InputError
from sim.run import simulate
from tapeout import run
from workloads import generate
from workloads.execute import execute
from workloads.formats.sparse import Sparse
from workloads.load import Workload
from workloads.network import Layer, Network
from workloads.ops import Conv, ConvTranspose, Flatten, Linear, Pool, Relu


def network(rng, sizes, density=0.3, bias=True):
    """Sparse linear layers of `sizes` with ReLU between them."""
    layers, source = [], "x"
    for n, (inputs, outputs) in enumerate(pairwise(sizes)):
        params = {"weight": generate.sparse(rng, (outputs, inputs), density)}
        params |= {"bias": rng.standard_normal(outputs).round(1)} if bias else {}
        layers += [Layer(f"fc{n}", Linear(outputs, bias), (source,), params), Layer(f"r{n}", Relu(), (f"fc{n}",))]
        source = f"r{n}"
    return Network("net", {"x": (sizes[0],)}, layers[:-1])


def recurrence(length, scan, slots):
    """The broadcast/queue recurrence, written from its definition with plain loops."""
    pushes, starts = [], []
    for j in range(len(length)):
        push = (pushes[-1] if pushes else 0) + scan[j]
        if j >= slots:
            push = max(push, max(starts[j - slots]))
        pushes.append(push)
        before = (
            [s + max(1, n) for s, n in zip(starts[-1], length[j - 1], strict=True)] if starts else [0] * len(length[j])
        )
        starts.append([max(push + 2, b) for b in before])
    return max(s + max(1, n) for s, n in zip(starts[-1], length[-1], strict=True)) - 1 + 6


def bubbles(vector, pes, bias):
    """Scan cycles up to and with each broadcast, one register row at a time."""
    scan, spent = [], 0
    for first in range(0, len(vector), pes):
        row = list(vector[first : first + pes])
        for _ in filter(None, row):
            scan.append(spent + 1)
            spent = 0
        spent += len(row) < pes or not row[-1]
    return [*scan, spent + 1] if bias else scan


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9), st.integers(2, 9), st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 10**6)
)
def test_cycles_are_those_of_the_recurrence(pes, ring, rows, columns, bias, seed):
    rng = np.random.default_rng(seed)
    net = network(rng, [columns, rows], float(rng.uniform(0.05, 1)), bias)
    spec = eie.SPEC(pes=pes, queue_depth=ring)
    x = generate.activations(rng, (columns,), float(rng.uniform(0.1, 1)))
    matrix = program.encode(spec, net)["fc0"]
    vector = eie.compute(spec, net, {"x": x}).activations["fc0"][0]
    phase = eie.build(spec, net, {"x": x})[0]
    sent = [*np.flatnonzero(vector), *([columns] if bias else [])]
    if sent:
        scan = bubbles(vector, pes, bias)
        assert model.broadcast(matrix, vector, pes).scan.tolist() == scan
        assert simulate(phase.design).cycles == recurrence(matrix.length[sent].tolist(), scan, ring - 1)


def test_a_column_of_more_entries_than_16_bits_count():
    weight = Sparse.encode(np.ones((70_000, 1)), 15)
    net = Network("long", {"x": (1,)}, [Layer("fc", Linear(70_000, False), ("x",), {"weight": weight})])
    (phase,) = eie.build(eie.SPEC(pes=1), net, {"x": np.ones((1, 1))})
    assert simulate(phase.design).cycles == 1 + 2 + 70_000 + 5  # pushed, seen by the pointer read, served, written
    assert phase.layers[0].macs_useful == 70_000


def test_three_columns_by_hand():
    """Two PEs, columns with entries (2, 1), (1, 1), (0, 2) and a ring of 2: one slot."""
    dense = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1.0]])
    net = Network("net", {"x": (3,)}, [Layer("fc", Linear(4, False), ("x",), {"weight": dense})])
    phase = eie.build(eie.SPEC(pes=2, queue_depth=2), net, {"x": np.ones((1, 3))})[0]
    line = simulate(phase.design)
    assert line.releases("lnzd").ravel().tolist() == [1, 3, 5]  # the slot is free when both PEs have started
    assert line.starts("pe").tolist() == [[3, 3], [5, 5], [7, 7]]
    assert line.cycles == 9 - 1 + 6


@pytest.mark.parametrize("given", [{"pes": 4}, {"pes": 1}, {"queue_depth": 2}, {"pes": 7, "index_bits": 2}])
def test_numbers_three_ways_and_counts_by_a_loop(given):
    rng = np.random.default_rng(1)
    net, spec = network(rng, [100, 80, 33]), eie.SPEC(**given)
    x = generate.activations(rng, (100,), 0.5, images=2)
    computed, plan = eie.compute(spec, net, {"x": x}), eie.build(spec, net, {"x": x})
    assert verdict.judge(computed, eie.reference(spec, net, {"x": x})).exact
    assert verdict.same_counts(plan, computed)
    for phase, passed in zip(plan, eie.values(spec, net, {"x": x}), strict=True):
        verdict.same_times(simulate(phase.design), simulate(phase.design, "des", passed.stages))
        for name, values in passed.outputs().items():
            np.testing.assert_array_equal(values, computed.outputs[name][phase.image])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.01, 1.0, 300.0]))
def test_saturating_sums_keep_the_order_of_columns(seed, size):
    """Large equal weights and activations: partial sums hit the 16-bit limits on the way."""
    rng = np.random.default_rng(seed)
    dense = rng.choice([-1.0, 0.0, 1.0], (6, 400)) * size
    net = Network("net", {"x": (400,)}, [Layer("fc", Linear(6, False), ("x",), {"weight": dense})])
    spec = eie.SPEC(pes=2)
    x = np.ones((1, 400)) * rng.choice([1.0, 7.0])
    x[0, 200:] *= -1
    dense[:, :200], dense[:, 200:] = np.abs(dense[:, :200]), np.abs(dense[:, 200:])
    computed = eie.compute(spec, net, {"x": x})
    assert computed.saturations > 0
    assert verdict.judge(computed, eie.reference(spec, net, {"x": x})).exact


def test_fixed_point_is_as_close_as_its_rounding_allows():
    """A product loses up to one step to the floor and half a step of each factor to rounding."""
    rng = np.random.default_rng(2)
    net, spec = network(rng, [300, 200], 0.2, bias=False), eie.SPEC()
    x = generate.activations(rng, (300,), 0.6)
    computed, (scales, real) = eie.compute(spec, net, {"x": x}), program.calibrate(spec, net, {"x": x})
    scale, dense = scales["fc0"], np.abs(net.layer("fc0").array("weight"))
    per_product = (
        2.0**-scale.result + x.max() * 2.0 ** -(scale.weight + 1) + dense.max() * 2.0 ** -(scale.activation + 1)
    )
    terms = np.count_nonzero((dense != 0) & (x[0] != 0), axis=1).max()
    ours = computed.outputs["fc0"] * computed.scales["fc0"]
    assert computed.saturations == 0
    assert np.abs(ours - real["fc0"]).max() <= terms * per_product


def test_more_weights_than_codes_are_clustered_and_said():
    rng = np.random.default_rng(3)
    net = Network(
        "net", {"x": (30,)}, [Layer("fc", Linear(20, False), ("x",), {"weight": rng.standard_normal((20, 30))})]
    )
    computed = eie.compute(eie.SPEC(pes=4), net, {"x": np.ones((1, 30))})
    assert not computed.encoding_exact
    assert "clustered" in computed.notes[0]
    few = Sparse.encode(rng.choice([0, 0.5, -2], (20, 30)))
    assert eie.compute(
        eie.SPEC(pes=4), net.with_params({"fc": {"weight": few}}), {"x": np.ones((1, 30))}
    ).encoding_exact


def test_memories_over_capacity():
    rng = np.random.default_rng(4)
    net, x = network(rng, [600, 64]), {"x": np.ones((1, 600))}
    small = {"pes": 4, "pointer_kib": 1}
    assert "ptr SRAM exceeded: 1204 of 1024 bytes" in eie.compute(eie.SPEC(**small), net, x).notes[-1]
    with pytest.raises(InputError, match="ptr SRAM exceeded"):
        eie.build(eie.SPEC(**small, overflow="refuse"), net, x)
    plan = eie.build(eie.SPEC(**small, overflow="partition"), net, x)
    stored = program.encode(eie.SPEC(**small), net)["fc0"].bits
    assert plan[0].design.activity()["dram.read"] == -(-stored // 32)
    assert eie.build(eie.SPEC(**small), net, x)[0].design.activity()["dram.read"] == 0


def test_paper_accounting_is_constant_power():
    paper = eie.machine(eie.SPEC(accounting="paper"))
    priced = paper.energy.price({"mac": 10**6, "spmat.read": 10**5}, 1e-3, "core")
    assert priced.interval == pytest.approx((0.6e-3,) * 3)


def test_area_and_tree_of_the_paper():
    assert capacity.lnzd_nodes(64) == 21
    assert eie.machine(eie.SPEC()).resources["area_m2"] == pytest.approx(40.8e-6, rel=2e-3)


def test_zero_activations_never_add_cycles():
    rng = np.random.default_rng(5)
    net, spec = network(rng, [256, 128]), eie.SPEC(pes=8)
    x = generate.activations(rng, (256,), 1.0)
    last = None
    for kept in (256, 200, 100, 10):
        sparse = x.copy()
        sparse[0, kept:] = 0
        cycles = simulate(eie.build(spec, net, {"x": sparse})[0].design).cycles
        assert last is None or cycles <= last
        last = cycles


def test_shape_only_layers_are_refused():
    net = Network("net", {"x": (4,)}, [Layer("fc", Linear(4), ("x",))])
    with pytest.raises(InputError, match="weights"):
        eie.build(eie.SPEC(), net, {"x": np.ones((1, 4))})


def test_saved_results_hold_the_raw_outputs(tmp_path):
    result = run("eie", "lenet-300-100", batch=2)
    saved = np.load(result.save(tmp_path) / "outputs.npy", allow_pickle=False)
    assert saved.shape == (2, 10)
    np.testing.assert_array_equal(saved, result.outputs)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_as_matrix_vector_products(groups):
    """Every output position is one product on the window under the kernel; the numbers are those of the machine."""
    rng = np.random.default_rng(6)
    weight = rng.choice([0, 0, 0.5, -0.25, 1.0], (6, 4 // groups, 3, 3))
    layers = [
        Layer("conv", Conv(6, (3, 3), (2, 2), (1, 1, 1, 1), groups), ("x",), {"weight": weight, "bias": rng.random(6)}),
        Layer("relu", Relu(), ("conv",)),
        Layer("flat", Flatten(), ("relu",)),
        Layer("fc", Linear(5, False), ("flat",), {"weight": rng.choice([0, 0, 0.5], (5, 6 * 9))}),
    ]
    net, spec = Network("net", {"x": (4, 6, 6)}, layers), eie.SPEC(pes=4, lower="im2col")
    x = {"x": generate.activations(rng, (4, 6, 6), 0.6, images=2)}
    computed, plan = eie.compute(spec, net, x), eie.build(spec, net, x)
    assert [phase.layers[0].name for phase in plan] == (["conv"] * 9 * groups + ["fc"]) * 2
    assert verdict.judge(computed, eie.reference(spec, net, x)).exact
    assert verdict.same_counts(plan, computed)
    real = execute(net, x)["fc"]
    assert np.abs(computed.outputs["fc"] * computed.scales["fc"] - real).max() < 0.02 * np.abs(real).max()
    assert "conv" in eie.skips(eie.SPEC(), net) and not eie.skips(spec, net)


@pytest.mark.parametrize("bias", [False, True])
def test_vectors_of_zeros_broadcast_nothing_but_the_bias(bias, tmp_path):
    """One image of zeros beside another: no cycles, or those of the bias column behind an idle scan."""
    net = network(np.random.default_rng(2), [20, 6, 5], 0.5, bias)
    x = np.stack([np.zeros(20), np.ones(20)]).astype(np.float32)
    work = Workload("net", net, {"x": x}, "here", "")
    result = run("eie", work, settings={"pes": 4}, check=True)
    scan, push_to_read, entries, last_entry_to_end = 5 + 1, 2, 2, 5  # 6 biases over 4 PEs
    cycles = scan + push_to_read + entries + last_entry_to_end if bias else 0
    assert simulate(result.plan[0].design).cycles == cycles
    assert result.data["checks"] == {"engines_equal": True, "accesses_equal": True, "values_equal": True}
    none = run("eie", Workload("net", net, {"x": x[:1] * 0}, "here", ""), settings={"pes": 4})
    assert none.total["cycles"] == 0 or bias
    tracefile.write(tmp_path / "trace.json", none.plan, none.timelines)
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_what_the_host_does_is_listed():
    """Every layer that is neither a product nor a ReLU or change of shape on the way is there, with why."""
    layers = [
        Layer("up", ConvTranspose(2, (2, 2), bias=False), ("x",)),
        Layer("pool", Pool("max", (2, 2), (2, 2)), ("up",)),
        Layer("relu", Relu(), ("pool",)),
        Layer("flat", Flatten(), ("relu",)),
        Layer("fc", Linear(3), ("flat",)),
    ]
    net = generate.fill(Network("net", {"x": (1, 5, 5)}, layers), 0)
    result = run("eie", Workload("net", net, {"x": np.ones((1, 1, 5, 5))}, "here", ""), check=True)
    assert [layer["name"] for layer in result.layers] == ["up", "pool", "fc"]
    assert result.layers[0]["skipped"] == "convtranspose is not a matrix-vector product"
    assert result.data["equivalence"]["exact"]


def test_activations_given_for_a_layer_are_those_that_enter_it():
    """A published density of activations counts in a whole run as it does in timing alone."""
    rng = np.random.default_rng(4)
    net = network(rng, [40, 30, 20])
    inputs = {"x": generate.activations(rng, (40,), 0.5), "fc1": generate.activations(rng, (30,), 0.1)}
    spec = eie.SPEC(pes=4)
    computed = eie.compute(spec, net, inputs)
    assert np.array_equal(computed.activations["fc1"] != 0, inputs["fc1"] != 0)
    assert np.array_equal(computed.outputs["fc1"], eie.reference(spec, net, inputs)["fc1"])
    known = {**inputs, "fc0": inputs["x"]}
    assert [simulate(phase.design).cycles for phase in eie.build(spec, net, known)] == [
        simulate(phase.design).cycles for phase in eie.build(spec, net, {**inputs, **computed.activations})
    ]
    names = ["alexnet-deep-compression", "lenet-300-100-deep-compression"]
    for name in names:
        whole, timed = run("eie", name), run("eie", name, timing_only=True)
        assert whole.total["cycles"] == timed.total["cycles"]
        assert whole.data["equivalence"]["exact"]

"""Fused-layer CNN: the datapath through BT and BL equals whole-map numpy, and counts what the design counts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archs
import tapeout
from archs.fused import kernel, ordered
from archs.fused.arithmetic import floating
from archs.fused.datapath import Tally, run
from archs.fused.layout import layout
from archs.fused.model import plan
from archs.fused.pyramid import Scheme, pyramids
from archs.fused.reference import reference
from archs.fused.spec import FusedSpec
from archs.fused.stack import stack
from archs.fused.storage import carried
from sim.config import load as read
from sim.run import simulate
from sim.verdict import judge, same_counts, same_times, same_values
from workloads.execute import execute
from workloads.formats.binary import Binary
from workloads.generate import fill, sparse
from workloads.load import Workload, load
from workloads.network import Layer, Network
from workloads.ops import Add, BatchNorm, Concat, Conv, Flatten, Linear, Lrn, Op, Pool, Relu
from workloads.tensor import Array

Window = tuple[int, int, int, bool]


def spec(**given_: object) -> FusedSpec:
    return read(FusedSpec, None, given_)


def whole(network: Network, seed: int = 0) -> Network:
    """Small integer weights."""
    rng = np.random.default_rng(seed)
    params = {
        layer.name: {k: rng.integers(-3, 4, s) for k, s in layer.op.parameters(*network.sources(layer.name)).items()}
        for layer in network.layers
    }
    return network.with_params({name: tensors for name, tensors in params.items() if tensors})


def check(
    network: Network, tile: int, scheme: Scheme, sizes: Sequence[int] = (), layers: str = "", groups: int = 0
) -> None:
    """Every map that is computed to its end equals the reference, bit for bit, in integers and in float32."""
    for integer in (True, False):
        full = whole(network) if integer else fill(network)
        found = stack(full, layers, groups)
        rng = np.random.default_rng(1)
        shapes = found.network.inputs
        inputs: dict[str, Array] = {
            name: rng.integers(-4, 5, (1, *s)) if integer else rng.standard_normal((1, *s)).astype(np.float32)
            for name, s in shapes.items()
        }
        arithmetic = floating(found, "int64" if integer else "float32")
        wanted = reference(found, arithmetic, inputs)
        known = {name: array[0].transpose(1, 2, 0) for name, array in inputs.items()}
        for group in found.groups(sizes or (len(found.units),)):
            shape = pyramids(group, tile, scheme)
            made = run(shape, arithmetic, known, Tally(), group.exits)
            for node in group.nodes:
                if shape.distinct(node.name) == node.shape[1] * node.shape[2]:
                    assert np.array_equal(made[node.name].transpose(2, 0, 1), wanted[node.name][0]), node.name
                else:
                    assert node.name not in group.exits
            known.update({name: made[name] for name in group.exits})


def shrunk(name: str, side: int, last: str) -> Network:
    """A zoo network up to `last` on a smaller image with an eighth of the maps."""
    full = load(name).network
    layers = []
    for layer in full.layers:
        op = layer.op
        layers.append(replace(layer, op=replace(op, outputs=op.outputs // 8) if isinstance(op, Conv) else op))
        if layer.name == last:
            break
    return Network(name, dict.fromkeys(full.inputs, (3, side, side)), layers)


@pytest.mark.parametrize("tile", range(1, 9))
@pytest.mark.parametrize("scheme", ["reuse", "recompute"])
def test_alexnet_and_vgg_heads_at_every_tile(tile: int, scheme: Scheme) -> None:
    check(shrunk("alexnet", 99, "pool2"), tile, scheme)
    check(shrunk("alexnet", 83, "pool2"), tile, scheme, groups=1)
    check(shrunk("vgg19", 36, "conv3_1_relu"), tile, scheme)


def test_every_partition_of_the_vgg_head() -> None:
    network = shrunk("vgg19", 20, "conv3_1")
    for sizes in ((1,) * 7, (3, 1, 2, 1), (2, 5), (6, 1), (1, 4, 2)):
        check(network, 2, "reuse", sizes)
        check(network, 1, "recompute", sizes)


@st.composite
def stacks(draw: st.DrawFn) -> Network:
    """1 to 5 layers of kernels 1..7, strides 1..4, any padding below the kernel, odd sizes, pools, branches."""
    rows, columns = draw(st.integers(5, 26)), draw(st.integers(5, 26))
    layers: list[Layer] = []
    shape, last = (draw(st.integers(1, 3)), rows, columns), "x"
    network = Network("random", {"x": shape}, [])
    for number in range(draw(st.integers(1, 5))):
        kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
        stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        padding = tuple(draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4))
        maps = shape[0]
        op: Op
        if draw(st.booleans()):
            groups = draw(st.sampled_from([g for g in (1, 2, 3) if maps % g == 0]))
            spread = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]))
            op = Conv(groups * draw(st.integers(1, 3)), kernel, stride, padding, groups, spread)
        else:
            half = tuple(min(p, k // 2) for p, k in zip(padding, (*kernel, *kernel), strict=True))
            op = Pool(draw(st.sampled_from(["max"])), kernel, stride, half, ceil=draw(st.booleans()))
        try:
            network = Network("random", {"x": (network.inputs["x"])}, [*layers, Layer(f"l{number}", op, (last,))])
        except Exception:  # the window does not fit what is left of the map
            continue
        layers = list(network.layers)
        last = f"l{number}"
        if draw(st.booleans()):
            layers.append(Layer(f"r{number}", Relu(), (last,)))
            last = f"r{number}"
        if draw(st.integers(0, 3)) == 0:
            layers += [
                Layer(f"b{number}", Conv(network.shapes[f"l{number}"][0], (3, 3), padding=(1, 1, 1, 1)), (last,)),
                Layer(f"s{number}", Add(), (last, f"b{number}")),
            ]
            last = f"s{number}"
        network = Network("random", network.inputs, layers)
        shape = network.shapes[last]
    if not any(isinstance(layer.op, Conv) for layer in layers):
        layers.append(Layer("end", Conv(2, (1, 1)), (last,)))
    return Network("random", network.inputs, layers)


@settings(max_examples=150, deadline=None)
@given(stacks(), st.integers(1, 6), st.sampled_from(["reuse", "recompute"]), st.randoms(use_true_random=False))
def test_random_stacks(network: Network, tile: int, scheme: Scheme, random: Any) -> None:
    units, sizes = len(stack(network).units), list[int]()
    while sum(sizes) < units:
        sizes.append(random.randint(1, units - sum(sizes)))
    check(network, tile, scheme, sizes)


@settings(max_examples=60, deadline=None)
@given(stacks(), st.integers(1, 4))
def test_buffers_stay_within_the_size_rule(network: Network, tile: int) -> None:
    """What BT and BL ever hold is no more than the rule of the published points gives them."""
    found = stack(network)
    group = found.group(0, len(found.units))
    rule, shape = carried(group, tile), pyramids(group, tile, "reuse")
    for name, room in rule.items():
        assert shape.rows[name].kept <= room.rows, name
        assert shape.columns[name].kept <= room.columns, name


def mixed() -> Network:
    """Every layer kind the machine takes: residual, groups, depthwise, concatenation, LRN, batch norm, both pools."""
    same = (1, 1, 1, 1)
    layers = [
        Layer("a", Conv(6, (3, 3), padding=same), ("x",)),
        Layer("ar", Relu(), ("a",)),
        Layer("b", Conv(6, (3, 3), padding=same), ("ar",)),
        Layer("c", Conv(6, (5, 5), padding=(2, 2, 2, 2), groups=2), ("b",)),
        Layer("sum", Add(), ("ar", "c")),
        Layer("lrn", Lrn(), ("sum",)),
        Layer("p", Pool("max", (3, 3), (2, 2), ceil=True), ("lrn",)),
        Layer("d", Conv(6, (3, 3), padding=same, groups=6), ("p",)),
        Layer("bn", BatchNorm(), ("d",)),
        Layer("e", Conv(4, (1, 1)), ("bn",)),
        Layer("f", Conv(4, (3, 3), padding=same), ("bn",)),
        Layer("cat", Concat(), ("e", "f")),
        Layer("q", Pool("avg", (3, 3), (2, 2), same), ("cat",)),
        Layer("g", Conv(5, (3, 2), (1, 1), (0, 1, 1, 0)), ("q",)),
        Layer("flat", Flatten(), ("g",)),
        Layer("fc", Linear(4), ("flat",)),
    ]
    return fill(Network("mixed", {"x": (3, 17, 15)}, layers))


MACHINES: list[Mapping[str, object]] = [
    {},
    {"scheme": "recompute", "tile": 3},
    {"pipeline": "free", "dram_bandwidth": "50 MB/s"},
    {"dram_bandwidth": "50 MB/s", "tile": 2},
    {"partition": [2, 3, 1, 1, 2], "unroll": "4x4"},
    {"partition": "each", "tile": 3},
    {"precision": "fixed16"},
    {"precision": "fixed8", "tile": 2, "pipeline": "free"},
    {"precision": "fixed8", "scheme": "recompute", "tile": 3},
    {"scheme": "baseline", "tile": 4},
    {"scheme": "baseline", "transfer": "raw"},
    {"scheme": "baseline", "transfer": "pool_merged", "precision": "fixed16", "dram_bandwidth": "50 MB/s"},
    {"overflow": "cut", "on_chip": "6 kB"},
    {"overflow": "stream", "on_chip": "60 kB"},
]


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_datapath_counts_and_engines(machine: Mapping[str, object]) -> None:
    """Numbers equal the reference, the loop datapath's accesses equal the design's, both engines agree on every event."""
    plugin, asked = archs.find("fused"), spec(**{"dsps": 500, **machine})
    network = mixed()
    inputs = {"x": np.random.default_rng(0).standard_normal((2, 3, 17, 15)).astype(np.float32)}
    computed, wanted = plugin.compute(asked, network, inputs), plugin.reference(asked, network, inputs)
    assert "g" in wanted
    for name, array in wanted.items():
        assert np.array_equal(computed.outputs[name], array), name
    phases = plugin.build(asked, network, inputs)
    assert computed.counts and same_counts(phases, computed)
    for phase in phases:
        said = phase.design.activity()
        counted = [row for name, row in computed.counts.items() if name in {w.name for w in phase.layers if w.stages}]
        for action in said:
            if not action.startswith("dram.weights"):
                assert sum(row.get(action, 0) for row in counted) == said[action], action
    behaviours = plugin.values(asked, network, inputs)
    for phase, behaviour in zip(phases, behaviours, strict=True):
        same_times(simulate(phase.design), simulate(phase.design, "des", behaviour.stages))
    assert same_values(behaviours, wanted)


def test_fixed_point_stays_near_the_float_network() -> None:
    network, plugin = mixed(), archs.find("fused")
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 3, 17, 15)).astype(np.float32)}
    floats = execute(network, inputs)["g"]
    error = {}
    for precision in ("fixed16", "fixed8"):
        made = plugin.compute(spec(precision=precision), network, inputs)
        error[precision] = float(np.abs(made.outputs["g"] * made.scales["g"] - floats).max() / np.abs(floats).max())
    assert error["fixed16"] < 0.002 < error["fixed8"] < 0.2


def test_float32_is_close_to_matrix_products() -> None:
    network = fill(shrunk("vgg19", 36, "conv3_1_relu"))
    inputs = {
        name: np.random.default_rng(0).standard_normal((1, *s)).astype(np.float32) for name, s in network.inputs.items()
    }
    made = archs.find("fused").compute(spec(), network, inputs).outputs["conv3_1_relu"]
    wanted = execute(network, inputs)["conv3_1_relu"]
    assert float(np.abs(made - wanted).max()) <= 1e-5 * float(np.abs(wanted).max())


def test_a_whole_pyramid_of_vgg_takes_no_longer_than_three_reference_passes() -> None:
    """Timing, datapath and equivalence of the seven layers at full size, against the numpy forward pass of the same."""
    full, plugin, asked = load("vgg19").network, archs.find("fused"), spec(layers="conv1_1..conv3_1")
    names = [layer.name for layer in full.layers]
    network = fill(Network("head", full.inputs, full.layers[: names.index("conv3_1_relu") + 1]))
    inputs = {"image": np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)}
    spent: dict[str, list[float]] = {"ours": [], "reference": []}
    plugin.compute(spec(layers="conv1_1"), network, inputs)  # compile
    for _ in range(3):
        began = time.perf_counter()
        wanted = execute(network, inputs)["conv3_1_relu"]
        spent["reference"].append(time.perf_counter() - began)
        began = time.perf_counter()
        computed = plugin.compute(asked, network, inputs)
        assert judge(computed, plugin.reference(asked, network, inputs)).exact
        assert sum(simulate(phase.design).cycles for phase in plugin.build(asked, network, inputs)) == 11936232
        spent["ours"].append(time.perf_counter() - began)
    assert min(spent["ours"]) <= 3 * min(spent["reference"])
    assert float(np.abs(computed.outputs["conv3_1_relu"] - wanted).max()) <= 1e-5 * float(np.abs(wanted).max())


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Array, Array]:
    """An operator, an image and weights, around the sizes at which the compiled loops change their step."""
    groups, side = draw(st.sampled_from([1, 1, 2])), draw(st.integers(3, 9))
    inputs, outputs = draw(st.sampled_from([1, 3, 60, 200])), draw(st.sampled_from([1, 5, 16, 33, 64, 83, 131]))
    kernel, spread = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.sampled_from([(1, 1), (2, 1)]))
    padding = (draw(st.integers(0, 2)), 1, 2, draw(st.integers(0, 2)))
    op = Conv(groups * outputs, kernel, draw(st.sampled_from([(1, 1), (2, 1), (3, 2)])), padding, groups, spread)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image = rng.standard_normal((groups * inputs, side, side + 2)).astype(np.float32)
    return op, rng.standard_normal((groups * outputs, inputs, *kernel)).astype(np.float32), image


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from(["float32", "int32", "int64"]))
def test_compiled_sums_are_numpys_one_after_another(case: tuple[Conv, Array, Array], kind: str) -> None:
    """Both compiled convolutions, over tiles and over unrolled windows, against the order's definition."""
    op, weight, image = case[0], (9 * case[1]).astype(kind), (9 * case[2]).astype(kind)
    wanted = ordered.plain(op, weight, image)
    assert np.array_equal(ordered.unrolled(op, weight, image), wanted)
    top, left, bottom, right = op.padding
    tile = np.pad(image, [(0, 0), (top, bottom), (left, right)]).transpose(1, 2, 0)
    sums = np.zeros((*wanted.shape[1:], op.outputs), kind)
    kernel.convolve(tile, kernel.arranged(weight, op.groups), op.stride[:2], op.dilation[:2], sums)  # type: ignore[arg-type]
    assert np.array_equal(sums.transpose(2, 0, 1), wanted)


def test_two_threads_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    tile, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((19, 21, 24), (1, 3, 3, 24, 70)))
    sums = []
    for threads in (1, 2):
        monkeypatch.setattr(kernel, "THREADS", threads)
        monkeypatch.setattr(kernel, "THREADED_MACS", 0)
        sums.append(np.zeros((17, 19, 70), np.float32))
        kernel.convolve(tile, weight, (1, 1), (1, 1), sums[-1])
    assert np.array_equal(*sums)


def test_a_range_in_the_middle_takes_what_came_before() -> None:
    network = mixed()
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 3, 17, 15)).astype(np.float32)}
    plugin, asked = archs.find("fused"), spec(layers="d..q")
    computed = plugin.compute(asked, network, inputs)
    given_ = {"d": execute(network, inputs)["p"]}
    assert np.array_equal(computed.outputs["q"], plugin.compute(asked, network, given_).outputs["q"])
    assert np.allclose(computed.outputs["q"], execute(network, inputs)["q"], atol=1e-5)
    assert set(plugin.skips(asked, network)) >= {"a", "p", "g", "fc"}


def test_compressed_weights_change_traffic_and_storage() -> None:
    """Pruned and binary weights count with their encoded size; binary ones let more layers share a pyramid."""
    network = fill(shrunk("vgg19", 56, "conv5_4"))
    rng = np.random.default_rng(0)
    convs = [layer for layer in network.layers if isinstance(layer.op, Conv)]
    pruned = network.replace(
        {
            c.name: replace(c, params={**c.params, "weight": sparse(rng, tuple(c.params["weight"].shape), 0.1)})
            for c in convs
        }
    )
    signs = {c.name: Binary.encode(np.where(c.array("weight") >= 0, 1, -1)) for c in convs}
    binary = network.replace({c.name: replace(c, params={**c.params, "weight": signs[c.name]}) for c in convs})

    def cut(net: Network) -> tuple[int, int]:
        found = layout(spec(overflow="cut", on_chip="400 kB"), net)
        return len(found.parts), sum(part.storage.weight_bytes for part in found.parts)

    dense, few, one = cut(network), cut(pruned), cut(binary)
    assert one[1] * 25 < dense[1] and few[1] < dense[1] / 3
    assert one[0] < dense[0]
    useful = {
        name: sum(w.macs_useful for p in plan(spec(overflow="cut"), net) for w in p.layers)
        for name, net in (("dense", network), ("pruned", pruned))
    }
    assert useful["pruned"] < 0.2 * useful["dense"]


@settings(max_examples=40, deadline=None)
@given(
    stacks(),
    st.integers(1, 4),
    st.sampled_from(["reuse", "recompute", "baseline"]),
    st.sampled_from(["lockstep", "free"]),
    st.integers(1, 3),
)
def test_more_bandwidth_is_never_slower(network: Network, tile: int, scheme: str, pipeline: str, images: int) -> None:
    times, moved = [], []
    for bandwidth in ("10 MB/s", "37 MB/s", "200 MB/s", "5 GB/s", None):
        asked = spec(scheme=scheme, pipeline=pipeline, tile=tile, unroll="2x2", dram_bandwidth=bandwidth)
        phases = plan(asked, network, images)
        times.append(sum(simulate(phase.design).cycles for phase in phases))
        moved.append(_moved(phases))
    assert times == sorted(times, reverse=True)
    assert len(set(moved)) == 1


@settings(max_examples=40, deadline=None)
@given(stacks(), st.integers(1, 3), st.sampled_from(["cut", "stream"]))
def test_more_memory_never_moves_more(network: Network, tile: int, overflow: str) -> None:
    moved, times = [], []
    for size in (300, 1000, 3000, 10_000, 100_000, 10_000_000):
        try:
            phases = plan(spec(overflow=overflow, on_chip=f"{size} B", tile=tile, unroll="2x2"), network)
        except Exception as error:
            assert "too many" in str(error)
            assert not moved, "what fits a small memory fits a large one"
            continue
        moved.append(_moved(phases))
        times.append(sum(simulate(phase.design).cycles for phase in phases))
    assert moved == sorted(moved, reverse=True)
    if overflow == "stream":
        assert times == sorted(times, reverse=True)


def _moved(phases: Any) -> int:
    total = 0
    for phase in phases:
        total += sum(bits for action, bits in phase.design.activity().items() if action.startswith("dram"))
    return total


@pytest.mark.parametrize("unroll", ["1x1", "3x1", "4x2", "64x9"])
@pytest.mark.parametrize("scheme", ["reuse", "recompute", "baseline"])
def test_lanes_are_shared_by_groups_of_one_map(unroll: str, scheme: str) -> None:
    """Several outputs a group and one input: a block of Tm outputs reads the map of every group that it reaches."""
    layers = [
        Layer("a", Conv(3, (3, 3), padding=(1, 1, 1, 1)), ("x",)),
        Layer("b", Conv(6, (3, 3), padding=(1, 1, 1, 1), groups=3), ("a",)),
        Layer("c", Conv(9, (1, 1), groups=3), ("b",)),
    ]
    network = fill(Network("n", {"x": (2, 6, 7)}, layers), 1)
    images = {"x": np.random.default_rng(0).standard_normal((2, 2, 6, 7)).astype(np.float32)}
    asked = FusedSpec(unroll=unroll, scheme=scheme, tile=2)
    plugin = archs.find("fused")
    computed, phases = plugin.compute(asked, network, images), plugin.build(asked, network, images)
    assert judge(computed, plugin.reference(asked, network, images)).exact
    assert same_counts(phases, computed)


@pytest.mark.parametrize("tile", [1, 2, 8])
@pytest.mark.parametrize("scheme", ["reuse", "recompute", "baseline"])
def test_pixels_that_nothing_looks_at_are_no_useful_work(tile: int, scheme: str) -> None:
    """A 1 x 1 convolution of stride 3 on 8 x 8 looks at 9 pixels; a pool drops a row: worked out by hand."""
    layers = [
        Layer("a", Conv(2, (3, 3), padding=(1, 1, 1, 1), bias=False), ("x",)),
        Layer("b", Conv(4, (1, 1), stride=(3, 3), bias=False), ("a",)),
        Layer("p", Pool("max", (2, 2), (2, 2)), ("b",)),
    ]
    network = fill(Network("n", {"x": (1, 8, 8)}, layers), 1)
    image = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)
    settings = {"tile": tile, "scheme": scheme, "overflow": "refuse"}
    result = tapeout.run("fused", Workload("n", network, {"x": image}, "", ""), settings=settings, check=True)
    useful = {row["name"]: row["macs_useful"] for row in result.layers if row["op"] == "conv"}
    if scheme == "baseline":  # layer by layer: every map is stored whole
        assert useful["a"] == 64 * 2 * 9
    else:
        assert useful == {"a": 4 * 2 * 9, "b": 4 * 4 * 2}
    for row in result.layers:
        if row["op"] == "conv":
            assert row["macs_useful"] + row["macs_wasted"]["discard"] <= row["macs"]

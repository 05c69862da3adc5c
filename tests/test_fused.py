"""Fused-layer CNN: geometry, storage, partitions and cycles, against figures worked out by hand or published."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import archs
from archs.fused.layout import layout
from archs.fused.model import plan
from archs.fused.partition import (
    Costs,
    enumerate_points,
    extra_macs,
    front,
    least_transfer,
    merge_pools,
    pareto,
    transfer,
)
from archs.fused.pipeline import copies, homes
from archs.fused.pyramid import pyramids, sides
from archs.fused.spec import FusedSpec
from archs.fused.stack import Stack, stack
from archs.fused.storage import PRECISIONS, Storage, blocks, bram18, carried
from archs.fused.unroll import balance, chunks, passes
from sim.config import load as read
from sim.errors import InputError
from sim.graph import Design, Stage
from sim.rates import Rate, expand
from sim.run import simulate
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Add, Concat, Conv, Pool, Relu

VGG = "conv1_1..conv3_1"
FP32 = PRECISIONS["float32"]


@pytest.fixture(scope="module")
def vgg() -> Network:
    return load("vgg19").network


@pytest.fixture(scope="module")
def alexnet() -> Network:
    return load("alexnet").network


def spec(**settings: object) -> FusedSpec:
    return read(FusedSpec, None, settings)


def cycles(network: Network, **settings: object) -> int:
    return sum(simulate(phase.design).cycles for phase in plan(spec(**settings), network))


def traffic(network: Network, **settings: object) -> dict[str, int]:
    total: dict[str, int] = {}
    for phase in plan(spec(**settings), network):
        for action, bits in phase.design.activity().items():
            total[action] = total.get(action, 0) + bits
    return {action: bits // 8 for action, bits in total.items() if action.startswith("dram")}


def features(network: Network, **settings: object) -> int:
    moved = traffic(network, **settings)
    return moved["dram.features.read"] + moved["dram.features.write"]


def one(found: Stack) -> "Storage":
    """The whole stack as one group of 1 x 1 pyramids."""
    return Costs(found, 1, "reuse", FP32)(0, len(found.units))[3]


def test_pyramid_sides_and_border_pyramids(vgg: Network, alexnet: Network) -> None:
    group = one(stack(vgg, VGG)).group
    found = sides(group, 1)
    assert [found[n] for n in ("image", "conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "conv3_1")] == [
        24, 22, 20, 10, 8, 6, 3, 1,
    ]  # fmt: skip
    shape = pyramids(group, 1, "reuse")
    assert shape.count == (56, 56)
    assert shape.rows["conv1_1"].fresh.tolist() == [13, *[4] * 52, 3, 0, 0]
    assert shape.rows["conv1_2"].fresh.tolist() == [12, *[4] * 53, 0, 0]
    assert shape.rows["conv2_1"].fresh.tolist() == [5, *[2] * 53, 1, 0]
    assert shape.rows["conv2_2"].fresh.tolist() == [4, *[2] * 54, 0]
    group = one(stack(alexnet, "conv1..pool2", 1)).group
    found = sides(group, 1)
    assert [found[n] for n in ("image", "conv1", "pool1", "conv2", "pool2")] == [67, 15, 7, 3, 1]
    shape = pyramids(group, 1, "reuse")
    assert shape.count == (13, 13)
    assert shape.rows["conv1"].fresh.tolist() == [11, *[4] * 11, 0]
    assert [int(shape.rows[n].fresh.sum()) for n in ("conv1", "pool1", "conv2")] == [55, 27, 27]
    again = pyramids(group, 1, "recompute")
    assert [int(again.rows[n].fresh.sum()) for n in ("conv1", "conv2")] == [187, 39]


def test_baseline_cycles_are_the_formula(vgg: Network, alexnet: Network) -> None:
    lines = [
        simulate(p.design).cycles for p in plan(spec(layers=VGG, scheme="baseline", unroll="64x9", transfer="raw"), vgg)
    ]
    assert lines == [451584, 3612672, 1806336, 3386880, 1693440]
    assert sum(lines) == 10950912
    asked = {"layers": "conv1..pool2", "groups": 1, "scheme": "baseline", "unroll": "64x7"}
    assert cycles(alexnet, **asked, transfer="pool_merged") == 366025 + 255150 == 621175
    assert cycles(alexnet, **asked, transfer="per_layer") == 621175


@pytest.mark.parametrize("tile", [1, 5, 28, 224])
@pytest.mark.parametrize("transfer", ["raw", "per_layer", "trips"])
def test_baseline_cycles_do_not_depend_on_tiles_or_counting(vgg: Network, tile: int, transfer: str) -> None:
    layers = "conv2_1..conv3_1"
    asked = {"layers": layers, "scheme": "baseline", "unroll": "64x9", "transfer": transfer, "on_chip": "1 GB"}
    assert cycles(vgg, **asked, tile=tile) == 1806336 + 3386880 + 1693440


@pytest.mark.parametrize(
    ("unroll", "expected"),
    [("[3x3, 64x3, 3x32, 64x3, 32x3]", 11500380), ("[3x3, 64x3, 19x5, 19x10, 19x5]", 11868174)],
)
def test_lock_step_is_the_sum_of_the_slowest_stages(vgg: Network, unroll: str, expected: int) -> None:
    assert cycles(vgg, layers=VGG, unroll=unroll) == expected
    found = layout(spec(layers=VGG, unroll=unroll), vgg).parts[0]
    steps = np.zeros((5, 3136 + 4), np.int64)
    for depth, node in enumerate(found.group.convs):
        work = found.pyramids.fresh(node.name) * 9 * passes(node, found.unrolls[node.name])
        steps[depth, depth : depth + 3136] = work
    assert int(steps.max(axis=0).sum()) == expected
    assert cycles(vgg, layers=VGG, unroll=unroll, pipeline="free") < expected


def test_alexnet_lock_step(alexnet: Network) -> None:
    asked = {"layers": "conv1..pool2", "groups": 1}
    assert cycles(alexnet, **asked, unroll={"conv1": "48x3", "conv2": "7x48"}) == 427379
    assert cycles(alexnet, **asked, unroll="[48x3, 43x8]") == 423029
    assert cycles(alexnet, **asked, unroll={"conv1": [48, 3], "conv2": [43, 8]}) == 423029
    assert cycles(alexnet, **asked, unroll=[[48, 3], [43, 8]]) == 423029
    assert cycles(alexnet, **asked, unroll="[8, 3]") == cycles(alexnet, **asked, unroll="8x3")


def test_transfer_by_every_convention(vgg: Network, alexnet: Network) -> None:
    mib, kib = 1 << 20, 1 << 10
    assert features(vgg, layers=VGG) / mib == 3.63671875
    found = {
        c: features(vgg, layers=VGG, scheme="baseline", transfer=c) / mib for c in ("raw", "pool_merged", "per_layer")
    }
    assert found == {"raw": 77.13671875, "pool_merged": 49.57421875, "per_layer": 86.32421875}
    assert features(vgg, layers=VGG, partition="each") / mib == 86.32421875
    assert traffic(vgg, layers=VGG)["dram.weights.read"] == 554688 * 4
    asked = {"layers": "conv1..pool2", "groups": 1}
    assert features(alexnet, **asked) / kib == 688.35546875
    apart = {
        c: features(alexnet, **asked, scheme="baseline", transfer=c) / kib for c in ("raw", "pool_merged", "per_layer")
    }
    assert apart == {"raw": 1822.73046875, "pool_merged": 961.73046875, "per_layer": 2825.10546875}


def test_the_loops_of_the_baseline_read_their_inputs_again(vgg: Network) -> None:
    one_map = 56 * 56 * 128 * 4
    asked = {"layers": "conv3_1", "scheme": "baseline", "unroll": "64x9", "on_chip": "1 GB"}
    moved = traffic(vgg, **asked, transfer="trips", tile=56)
    assert moved["dram.features.read"] == 4 * one_map  # 256 outputs in blocks of 64
    assert moved["dram.features.write"] == 56 * 56 * 256 * 4
    halos = (2 * 29) ** 2 * 128 * 4  # four windows of 29 x 29 (30, but for the border)
    assert traffic(vgg, **asked, transfer="trips", tile=28)["dram.features.read"] == 4 * halos


def test_storage_rule_and_overlap(vgg: Network, alexnet: Network) -> None:
    found = one(stack(vgg, VGG))
    assert (found.reuse, found.overlap, found.weights) == (362496, 5568, 2218752)
    held = [
        2 * 3 * 14**2,
        2 * 64 * 13**2,
        64 * 12**2,
        2 * 64 * 6**2,
        2 * 128 * 5**2,
        128 * 4**2,
        2 * 128 * 2**2,
        2 * 256,
    ]
    assert found.tiles == 5568 + 4 * sum(held)
    found = one(stack(alexnet, "conv1..pool2", 1))
    rows = {name: 4 * (c.top + c.left) for name, c in carried(found.group, 1).items()}
    assert (rows["pool1"], rows["image"]) == (28416, 21000)
    assert found.reuse == 55296
    assert found.weight_bits == 171024 * 32
    whole = one(stack(vgg, "conv1_1..pool5"))
    assert whole.reuse == 1667072
    assert 4 * sum(c.top for name, c in whole.carried.items() if name != "image") == 1398784


def test_recompute_costs(vgg: Network, alexnet: Network) -> None:
    found = Costs(stack(alexnet, "conv1..pool2", 1), 1, "recompute", FP32)
    assert found.point((4,)).extra_macs == 678243456
    assert found.point((4,)).storage == 0
    assert features(alexnet, layers="conv1..pool2", groups=1, scheme="recompute") == 8447052 + 13 * 13 * 128 * 4
    point = Costs(stack(vgg, VGG), 1, "recompute", FP32).point((7,))
    assert point.extra_macs == 78230022912 - 5635768320


def test_partitions_front_and_dynamic_programme(vgg: Network) -> None:
    costs = Costs(stack(vgg, VGG), 1, "reuse", FP32)
    points = enumerate_points(costs)
    assert len(points) == len({p.sizes for p in points}) == 64
    best = pareto(points)
    assert best[0].transfer == 49.57421875 * 2**20 and best[0].storage == 0
    assert (best[-1].transfer, best[-1].storage) == (3.63671875 * 2**20, 362496)
    assert [(p.storage, p.transfer) for p in front(costs)] == [(p.storage, p.transfer) for p in best]
    for limit in (0, 20_000, 100_000, 362_496):
        allowed = [p.transfer for p in points if all(costs(a, b)[1] <= limit for a, b in _runs(p.sizes))]
        sizes = least_transfer(7, lambda a, b, limit=limit: costs(a, b)[0] if costs(a, b)[1] <= limit else None)
        assert sizes and costs.point(sizes).transfer == min(allowed)


def _runs(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def test_pools_join_their_neighbours(vgg: Network) -> None:
    found = stack(vgg, VGG)
    assert merge_pools(found, (1,) * 7, "pool_merged") == (1, 2, 1, 2, 1)
    assert merge_pools(found, (1,) * 7, "raw") == (1, 1, 2, 1, 2)
    assert merge_pools(found, (1,) * 7, "per_layer") == (1,) * 7
    assert merge_pools(stack(vgg, "conv1_1..pool1"), (1, 1, 1), "raw") == (1, 2)


def test_balance_finds_the_known_factors(vgg: Network, alexnet: Network) -> None:
    found = balance(one(stack(alexnet, "conv1..pool2", 1)).pyramids, 480)
    assert found == {"conv1": (48, 3), "conv2": (7, 48)}
    for budget in (5, 100, 576, 5000):
        chosen = balance(one(stack(vgg, VGG)).pyramids, budget)
        assert sum(a * b for a, b in chosen.values()) <= budget
    with pytest.raises(InputError, match="5 convolutions need 5 multipliers"):
        balance(one(stack(vgg, VGG)).pyramids, 4)


def test_chunks_are_the_passes() -> None:
    network = Network(
        "n",
        {"x": (12, 9, 9)},
        [
            Layer("a", Conv(10, (3, 3)), ("x",)),
            Layer("b", Conv(12, (3, 3), groups=3), ("x",)),
            Layer("c", Conv(12, (3, 3), groups=12), ("x",)),
            Layer("d", Conv(24, (3, 3), groups=12), ("x",)),
        ],
    )
    for node in (unit[0] for unit in stack(network).units):
        for unroll in ((1, 1), (3, 1), (4, 5), (64, 64)):
            blocks_ = chunks(node, unroll)
            assert len(blocks_) == passes(node, unroll)
            assert sum(b.outputs for b in blocks_) == node.shape[0]
            assert sum(b.fresh for b in blocks_) == 12
            assert all(0 <= b.fresh <= b.inputs for b in blocks_)
            if node.name == "d" and unroll[0] == 3:  # two outputs a group: 0 0 1 | 1 2 2 | ...
                assert [(b.inputs, b.fresh) for b in blocks_[:2]] == [(2, 2), (2, 1)]


def test_residual_branches_carry_their_lag() -> None:
    """The shortcut is read two convolutions later: its map is carried for as long, but only once."""
    conv = Conv(4, (3, 3), padding=(1, 1, 1, 1))
    layers = [
        Layer("a", conv, ("x",)),
        Layer("b", conv, ("a",)),
        Layer("c", conv, ("b",)),
        Layer("sum", Add(), ("a", "c")),
    ]
    group = stack(Network("n", {"x": (4, 16, 16)}, layers)).group(0, 3)
    found = carried(group, 1)
    assert {name: c.rows for name, c in found.items()} == {"x": 2, "a": 2, "b": 2, "c": 0, "sum": 0}
    late = [
        Layer("a", conv, ("x",)),
        Layer("b", Conv(4, (5, 5), padding=(2, 2, 2, 2)), ("a",)),
        Layer("c", Conv(4, (5, 5), padding=(2, 2, 2, 2)), ("b",)),
        Layer("sum", Add(), ("a", "c")),
    ]
    group = stack(Network("n", {"x": (4, 16, 16)}, late)).group(0, 3)
    assert carried(group, 1)["a"].rows == 4


def test_a_skip_waits_in_as_many_tiles_as_its_branch_is_deep() -> None:
    conv = Conv(4, (3, 3), padding=(1, 1, 1, 1))
    layers = [
        Layer("a", conv, ("x",)),
        Layer("b", conv, ("a",)),
        Layer("c", conv, ("b",)),
        Layer("sum", Add(), ("a", "c")),
    ]
    group = stack(Network("n", {"x": (4, 16, 16)}, layers)).group(0, 3)
    assert [(home.name, home.depth) for home in homes(group)] == [("a", 0), ("b", 1), ("c", 2)]
    assert copies(group) == {"x": 2, "a": 3, "b": 2, "c": 0, "sum": 2}


def test_concatenation_moves_nothing() -> None:
    layers = [
        Layer("a", Conv(4, (1, 1)), ("x",)),
        Layer("b", Conv(6, (3, 3), padding=(1, 1, 1, 1)), ("x",)),
        Layer("cat", Concat(), ("a", "b")),
        Layer("c", Conv(2, (1, 1)), ("cat",)),
    ]
    network = Network("n", {"x": (3, 8, 8)}, layers)
    found = stack(network)
    assert found.group(0, 3).exits == ("c",)
    assert found.group(0, 2).exits == ("a", "b")
    assert found.group(2, 3).entries == {"a": (4, 8, 8), "b": (6, 8, 8)}
    assert features(network) == (3 + 2) * 64 * 4
    assert features(network, partition="each") == (3 + 4 + 3 + 6 + 10 + 2) * 64 * 4


def test_values_that_no_window_sees_are_not_computed() -> None:
    layers = [Layer("a", Conv(2, (1, 1)), ("x",)), Layer("b", Conv(2, (1, 1), (2, 2)), ("a",))]
    found = stack(Network("n", {"x": (3, 9, 9)}, layers)).group(0, 2)
    assert pyramids(found, 1, "reuse").pixels("a") == 25
    assert pyramids(found, 1, "recompute").pixels("a") == 25


def test_whole_tile_equals_one_pyramid(vgg: Network) -> None:
    group = stack(vgg, VGG).group(0, 7)
    for scheme in ("reuse", "recompute"):
        shape = pyramids(group, 56, scheme)
        assert shape.count == (1, 1)
        assert all(shape.pixels(name) == shape.distinct(name) for name in group.shapes)
    assert extra_macs(Storage(group, pyramids(group, 56, "recompute"), FP32)) == 0
    assert transfer(Storage(group, pyramids(group, 56, "recompute"), FP32)) == 3.63671875 * 2**20


def test_overflow_refuses_cuts_or_streams(vgg: Network) -> None:
    asked = {"layers": VGG, "on_chip": "2 MB"}
    with pytest.raises(InputError, match=r"conv1_1\.\.conv3_1 needs 2773280 bytes on chip .* 773280 too many"):
        layout(spec(**asked), vgg)
    found = layout(spec(**asked, overflow="cut"), vgg)
    assert all(part.storage.total <= 2_000_000 for part in found.parts)
    assert found.notes[0].startswith(f"cut into groups {list(found.sizes)}")
    streamed = layout(spec(**asked, overflow="stream"), vgg)
    assert streamed.sizes == (7,)
    moved = traffic(vgg, **asked, overflow="stream")["dram.weights.read"]
    tiles = {n.name: np.count_nonzero(streamed.parts[0].pyramids.fresh(n.name)) for n in streamed.parts[0].group.convs}
    assert tiles["conv3_1"] == 3136
    assert moved == sum(tiles[n.name] * 4 * 9 * n.shape[0] * n.sources[0][0] for n in streamed.parts[0].group.convs)


def test_settings_that_do_not_fit(vgg: Network) -> None:
    cases = [
        ({"layers": "conv1_1..conv9"}, "no layer 'conv9'"),
        ({"layers": "conv3_1..conv1_1"}, "conv3_1 comes after conv1_1"),
        ({"layers": "relu9"}, "no layer"),
        ({"layers": VGG, "partition": [3, 3]}, "adds up to 6"),
        ({"layers": VGG, "unroll": "[3x3]"}, "1 unrolls for the 5 convolutions"),
        ({"layers": VGG, "unroll": {"conv1_3": "3x3"}}, "conv1_3 is no convolution"),
        ({"layers": VGG, "scheme": "baseline", "unroll": "[3x3,4x4,3x3,3x3,3x3]"}, "one Tm x Tn"),
        ({"layers": VGG, "scheme": "baseline", "partition": [7]}, "one convolution at a time"),
        ({"layers": "conv1_1..conv3_1", "groups": 2}, "groups"),
    ]
    for settings, message in cases:
        with pytest.raises(InputError, match=message):
            layout(spec(**settings), vgg)
    for settings in (
        {"unroll": "64by9"},
        {"partition": "some"},
        {"tile": 0},
        {"dram_bandwidth": "0 B/s"},
        {"on_chip": "-1 B"},
    ):
        with pytest.raises(InputError):
            spec(**settings)


def test_layers_the_machine_does_not_take(alexnet: Network) -> None:
    skipped = archs.find("fused").skips(spec(), alexnet)
    assert set(skipped) == {"fc6_flat", "fc6", "fc6_relu", "fc7", "fc7_relu", "fc8"}
    with pytest.raises(InputError, match="conv3 reads the maps of all groups"):
        layout(spec(groups=1), alexnet)


def test_block_memories() -> None:
    assert blocks(512, 36) == 1
    assert blocks(513, 36) == 2
    assert blocks(16384, 1) == 1
    assert blocks(32, 32, banks=64) == 0
    assert blocks(1024, 32, banks=3) == 6


def test_dsp_counts(vgg: Network, alexnet: Network) -> None:
    assert layout(spec(layers=VGG, scheme="baseline", unroll="64x9"), vgg).parts[0].dsps == 2880
    part = layout(spec(layers="conv1..pool2", groups=1, dsps=2401), alexnet).parts[0]
    assert part.dsps == 2400
    assert 0 < bram18(part.storage, part.unrolls) < 2940


def test_a_starved_port_shows_in_the_stalls(vgg: Network) -> None:
    from tapeout import run

    settings = {"layers": VGG, "dram_bandwidth": "20 MB/s"}
    slow, fast = (
        run("fused", "vgg19", settings=settings, timing_only=True),
        run("fused", "vgg19", settings={"layers": VGG}, timing_only=True),
    )
    exposed = slow.total["transfer_cycles"]["exposed"]
    assert exposed == slow.total["cycles"] - fast.total["cycles"] > 0
    for row in slow.layers:
        if row.get("op") == "conv" and "skipped" not in row:
            assert row["stalls"]["dram"] > 0
            assert row["stalls"]["dram"] % row["units"] == 0
    assert all(row["stalls"]["dram"] == 0 for row in fast.layers if row.get("unroll"))


@pytest.mark.parametrize("pipeline", ["lockstep", "free"])
def test_many_images_repeat_exactly(pipeline: str) -> None:
    """A batch that is written as repeats takes the cycles of one that is written out."""
    layers = [
        Layer("a", Conv(4, (3, 3), padding=(1, 1, 1, 1)), ("x",)),
        Layer("r", Relu(), ("a",)),
        Layer("p", Pool("max", (2, 2), (2, 2)), ("r",)),
        Layer("b", Conv(6, (3, 3), padding=(1, 1, 1, 1)), ("p",)),
    ]
    network = Network("n", {"x": (3, 8, 8)}, layers)
    asked = spec(pipeline=pipeline, dram_bandwidth="60 MB/s", unroll="2x2")
    (long,) = plan(asked, network, images=12)
    line = simulate(long.design)
    from archs.fused import batch

    written = batch.Batch.written
    try:
        batch.Batch.written = property(lambda self: self.images)  # type: ignore[assignment, method-assign]
        (plain,) = plan(asked, network, images=12)
    finally:
        batch.Batch.written = written  # type: ignore[method-assign]
    assert simulate(plain.design).cycles == line.cycles
    assert plain.design.activity() == long.design.activity()


def test_sweeps_have_every_partition_and_the_papers_points() -> None:
    from archs.fused import sweeps

    records = sweeps.storage_transfer()
    assert len(records) == 64
    marked = {r["point"]: (r["storage_bytes"], r["transfer_bytes"]) for r in records if r["point"]}
    assert marked == {"A": (0, 90517504), "C": (362496, 3813376)}
    whole = sweeps.whole_network()
    assert whole[0]["storage_bytes"] == 0 and whole[-1]["storage_bytes"] == 1667072


def test_what_a_result_says() -> None:
    from tapeout import run

    result = run(
        "fused", "alexnet", settings={"layers": "conv1..pool2", "groups": 1, "scheme": "recompute"}, timing_only=True
    )
    assert result.total["extra_macs"] == result.total["macs_wasted"]["recompute"] == 678243456
    assert result.total["storage_bytes"]["reuse"] == 0
    assert result.total["macs_useful"] == 164682000
    rows = {row["name"]: row for row in result.data["tensors"]}
    assert rows["pool2"]["spilled_bytes"] == 13 * 13 * 128 * 4
    assert rows["conv1"]["spilled_bytes"] == 0 and rows["conv1"]["recomputed_bytes"] == (187**2 - 55**2) * 48 * 4
    reuse = run("fused", "alexnet", settings={"layers": "conv1..pool2", "groups": 1}, timing_only=True)
    rows = {row["name"]: row for row in reuse.data["tensors"]}
    assert {name: row["retained_bytes"] for name, row in rows.items() if row["retained_bytes"]} == {
        "image": 21000, "norm1": 11520, "pool1": 28416, "norm2": 15360,
    }  # fmt: skip
    assert reuse.total["storage_bytes"]["reuse"] == 11520 + 28416 + 15360
    assert reuse.total["ops_per_j"] > 2 * result.total["ops_per_j"]


@pytest.mark.parametrize("pipeline", ["lockstep", "free"])
@pytest.mark.parametrize("bandwidth", [None, "60 MB/s"])
def test_finer_firings_take_the_same_cycles(pipeline: str, bandwidth: str | None) -> None:
    """A tile as one firing, or as three that take its tokens with the first and put them with the last."""
    layers = [
        Layer("a", Conv(4, (3, 3), padding=(1, 1, 1, 1)), ("x",)),
        Layer("p", Pool("max", (2, 2), (2, 2)), ("a",)),
        Layer("b", Conv(6, (3, 3), padding=(1, 1, 1, 1)), ("p",)),
        Layer("c", Conv(6, (3, 3), padding=(1, 1, 1, 1)), ("b",)),
        Layer("s", Add(), ("b", "c")),
    ]
    network = Network("n", {"x": (3, 14, 12)}, layers)
    (phase,) = plan(spec(pipeline=pipeline, dram_bandwidth=bandwidth, unroll="2x2", tile=2), network)
    assert simulate(_refined(phase.design, 3)).cycles == simulate(phase.design).cycles


def _refined(design: Design, parts: int) -> Design:
    """Every firing cut into `parts`."""

    def spread(rate: Rate, firings: int, at: int) -> Rate:
        fine = np.zeros((firings, parts), np.int64)
        fine[:, at] = np.broadcast_to(np.asarray(expand(rate, firings)), firings)
        return fine.ravel()

    fine = Design("fine")
    for stage in design.stages.values():
        service = np.broadcast_to(np.asarray(expand(stage.service, stage.firings)), stage.firings)
        pieces = np.stack([service * (n + 1) // parts - service * n // parts for n in range(parts)], axis=1)
        fine.add(Stage(stage.name, pieces.ravel(), stage.firings * parts, claim=stage.claim))
    for edge in design.edges:
        produce = spread(edge.fifo.produce, design.stages[edge.src].firings, parts - 1)
        consume = spread(edge.fifo.consume, design.stages[edge.dst].firings, 0)
        fine.connect(edge.src, edge.dst, replace(edge.fifo, produce=produce, consume=consume))
    return fine


def test_the_figure_is_drawn_the_same_every_time(tmp_path: Path) -> None:
    from archs.fused import sweeps
    from reports import figures
    from reports import fused as fused_figures

    records = sweeps.storage_transfer()
    one_, other = (
        figures.save(fused_figures.storage_transfer(records), records, tmp_path / name / "front", "a command")
        for name in "ab"
    )
    assert [path.suffix for path in one_] == [".pdf", ".svg", ".png", ".csv"]
    assert [path.read_bytes() for path in one_] == [path.read_bytes() for path in other]


def test_layers_behind_the_stack_are_not_looked_into() -> None:
    """Their weights are not drawn, and the result is the one with all of them."""
    fused, network = archs.find("fused"), load("alexnet").network
    assert "conv1" in fused.uses(FusedSpec(layers="conv2..pool2"), network)
    assert not {"conv3", "fc6"} & fused.uses(FusedSpec(layers="conv2..pool2"), network)

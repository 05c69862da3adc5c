"""The timing of YodaNN: do columns give the cycles of single channel cycles, and do loops count what the design says?"""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from archs.yodann import loop, oracle, pixel
from archs.yodann.arithmetic import Filters
from archs.yodann.geometry import Cut, cut
from archs.yodann.model import Formula, Timed
from archs.yodann.settings import Yodann
from sim.errors import InputError
from sim.run import simulate
from workloads.network import Layer, Network
from workloads.ops import Conv


def layer(spec: Yodann, shape: tuple[int, int, int], op: Conv) -> Cut:
    network = Network("one", {"x": shape}, [Layer("conv", op, ("x",))])
    return cut(spec, network, network.layer("conv"))


def same(channels: int, outputs: int, size: int, kernel: int, stride: int = 1) -> tuple[tuple[int, int, int], Conv]:
    """A square layer, zero padded as the paper's are."""
    low, high = kernel // 2, (kernel - 1) // 2
    return (channels, size, size), Conv(outputs, (kernel, kernel), (stride, stride), (low, low, high, high))


CHOICES: dict[str, list[Any]] = {
    "filter_load": ["block", "tile"],
    "scale_load": ["charged", "hidden"],
    "preload": ["serial", "overlap"],
    "refill": ["overlap", "load"],
    "stream_order": ["even", "halves"],
    "summer": ["saturate", "wrap"],
    "host_add": ["wide", "clamp"],
    "even_padding": ["layer", "low", "high"],
    "input_word_cycles": [1, 2],
    "output_word_cycles": [1, 3],
    "pipeline_depth": [0, 4],
    "channels": [4, 8],
    "tile_rows": [8, 11, 32],
    "weights_per_word": [1, 12],
}


@st.composite
def layers(draw: st.DrawFn) -> tuple[Yodann, tuple[int, int, int], Conv]:
    """Small layers of any kernel, with and without padding, on any chip."""
    spec = Yodann(large_kernels="split", **{name: draw(st.sampled_from(values)) for name, values in CHOICES.items()})
    kernel = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    if draw(st.booleans()):
        kernel = kernel[0], kernel[0]
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)) if draw(st.booleans()) else (0, 0, 0, 0)
    height = draw(st.integers(max(1, kernel[0] - pads[0] - pads[2]), 24))
    width = draw(st.integers(max(1, kernel[1] - pads[1] - pads[3]), 10 + kernel[1]))
    groups, stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    op = Conv(groups * draw(st.integers(1, 18)), kernel, (stride, stride), pads, groups)
    return spec, (groups * draw(st.integers(1, 10)), height, width), op


@given(layers())
@settings(max_examples=60, deadline=None)
def test_columns_give_the_cycles_of_channel_cycles(case: tuple[Yodann, tuple[int, int, int], Conv]) -> None:
    spec, shape, op = case
    found = layer(spec, shape, op)
    fine = pixel.design(found)
    assume(fine.stages["channel"].firings < 60_000)
    coarse, timed = simulate(Timed(found).design()), Timed(found)
    by_pixel = simulate(fine)
    assert coarse.cycles == by_pixel.cycles == timed.cycles
    columns = np.repeat([run.steps * run.inputs for run in found.runs], [run.columns for run in found.runs])
    ends = by_pixel.releases("channel")[np.cumsum(columns) - 1]
    np.testing.assert_array_equal(coarse.releases("compute"), ends)


def test_a_layer_of_the_paper_by_channel_cycles() -> None:
    """Two full input blocks of 3x3 on 8 x 8 pixels, in both engines."""
    found = layer(Yodann(), *same(64, 64, 8, 3))
    fine = pixel.design(found)
    assert fine.stages["channel"].firings == 2 * 64 * 32
    assert simulate(fine).cycles == simulate(fine, "des").cycles == simulate(Timed(found).design()).cycles == 8036


@given(layers(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_loops_count_what_the_design_says(case: tuple[Yodann, tuple[int, int, int], Conv], seed: int) -> None:
    spec, shape, op = case
    found, rng = layer(spec, shape, op), np.random.default_rng(seed)
    assume(sum(run.columns * run.steps * run.inputs for run in found.runs) < 8000)
    held = Filters(
        (rng.integers(0, 2, (op.outputs, shape[0] // op.groups, *op.kernel)) * 2 - 1).astype(np.float32),
        rng.integers(-200, 200, op.outputs).astype(np.int32),
        rng.integers(-2048, 2048, op.outputs).astype(np.int32),
        0,
        True,
    )
    image = rng.integers(-2048, 2048, shape)
    numbers, counts = loop.convolve(found, held, image)
    np.testing.assert_array_equal(numbers, oracle.convolve(spec, op, held, image))
    for design in (Timed(found).design(), Formula(found).design()):
        activity = design.activity()
        assert {name: activity[name] for name in counts} == counts


@given(layers())
@settings(max_examples=40, deadline=None)
def test_both_engines_and_the_formula_below_them(case: tuple[Yodann, tuple[int, int, int], Conv]) -> None:
    spec, shape, op = case
    timed = Timed(layer(spec, shape, op))
    design = timed.design()
    assert simulate(design).cycles == simulate(design, "des").cycles == timed.cycles
    words = design.activity()
    assert words["io.pixels"] + words["io.weights"] <= timed.cycles  # one input stream
    assert words["io.outputs"] <= 2 * timed.cycles


def paper() -> list[tuple[Any, ...]]:
    """Rows of Table III: (kernel, size, inputs, outputs, tiles, compute, preload, filter words)."""
    return [
        (3, 32, 128, 128, 1, 262144, 8448, 12288),
        (3, 8, 512, 512, 1, 262144, 36864, 196608),
        (6, 224, 3, 48, 9, 2838528, 3276, 432),
        (5, 224, 3, 48, 8, 1354752, 1560, 300),
        (5, 55, 48, 128, 2, 415360, 11712, 12802),
        (7, 224, 3, 64, 9, 3899392, 5058, 784),
        (3, 224, 64, 64, 8, 3411968, 15744, 3072),
        (3, 14, 512, 512, 1, 802816, 61440, 196608),
    ]


@pytest.mark.parametrize("row", paper())
def test_closed_forms_of_published_layers(row: tuple[int, ...]) -> None:
    kernel, size, inputs, outputs, tiles, compute, preload, words = row
    found = layer(Yodann(), *same(inputs, outputs, size, kernel))
    runs = found.runs
    assert len(found.passes[0].tiles(32)) == tiles
    assert sum(run.columns * run.steps * run.pace for run in runs) == compute
    assert sum(run.preload for run in runs) == preload
    assert sum(run.filter_words for run in runs) == words
    scales, tail = sum(run.scale_words for run in runs), Timed(found).tail(-1)
    assert Timed(found).cycles == compute + preload + words + scales + tail


def test_traffic_of_the_512_to_512_layer() -> None:
    """28.9 Mbit of pixels and partial sums: every input once per output block, every output once per input block."""
    activity = Timed(layer(Yodann(), *same(512, 512, 14, 3))).design().activity()
    assert activity["io.pixels"] == 14 * 14 * 512 * 8
    assert activity["io.outputs"] == 14 * 14 * 512 * 16
    assert activity["host.adds"] == 14 * 14 * 512 * 15
    assert 12 * (activity["io.pixels"] + activity["io.outputs"]) == 28_901_376


def test_what_the_chip_cannot_do_says_the_way_out() -> None:
    with pytest.raises(InputError, match=r"conv: kernel 11 x 11; .* set large_kernels=split"):
        layer(Yodann(), *same(3, 8, 32, 11))
    with pytest.raises(InputError, match=r"conv: stride 2 x 2; .* set stride=discard"):
        layer(Yodann(stride="refuse"), *same(3, 8, 32, 3, 2))

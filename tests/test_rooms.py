"""What layers take of each machine's memories, and thresholds that decide nothing."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from archs.finn.chain import Carrier, Matrix
from archs.finn.rooms import idle_thresholds
from archs.yodann.geometry import cut
from archs.yodann.rooms import rooms
from archs.yodann.settings import Yodann
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear
from workloads.quantised import Threshold


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 80), st.integers(1, 80), st.integers(1, 7), st.integers(7, 90), st.sampled_from(["binary", "q2.9"])
)
def test_whatever_the_layer_its_blocks_fit_the_chip(
    inputs: int, outputs: int, kernel: int, side: int, weights: str
) -> None:
    op = Conv(outputs, (kernel, kernel), padding=(kernel // 2,) * 4)
    network = Network("n", {"x": (inputs, side, side)}, [Layer("conv", op, ("x",))])
    spec = Yodann(weights=weights, kernels="7x7" if weights == "q2.9" else "multi")  # type: ignore[arg-type]
    found = rooms(cut(spec, network, network.layer("conv")))
    assert all(0 < room.together_bytes <= room.available_bytes for room in found.values())


def test_full_blocks_fill_the_filter_bank() -> None:
    network = Network("n", {"x": (32, 32, 32)}, [Layer("conv", Conv(64, (5, 5), padding=(2,) * 4), ("x",))])
    room = rooms(cut(Yodann(), network, network.layer("conv")))["filters"]
    assert room.together_bytes == room.available_bytes == 32 * 64 * 25 // 8


def test_thresholds_beyond_every_sum_are_counted() -> None:
    weight = np.array([[1, -1, 1], [1, 1, 1]])
    limits = np.array([[-4, -3, 0, 3], [-3, 1, 2, 5]])
    unit = Matrix(
        "fc", "fc", Linear(2, False), (3,), (2,), 1, Carrier(1), Carrier(3, False), weight, limits, Threshold(4, 0, 1)
    )
    assert idle_thresholds(unit) == (3, 8)  # x > -4 always, x > 3 and x > 5 never, of sums -3 .. 3
    counts = replace(unit, incoming=Carrier(2, signed=False))  # sums -3 .. 6 and 0 .. 9
    assert idle_thresholds(counts) == (2, 8)  # x > -4 and, in the second row, x > -3 always

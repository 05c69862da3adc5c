"""Masks that depend on the input: small activations are zero, skipped positions have their neighbours' values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from workloads.compress.mask import Mask, mask
from workloads.compress.steps import compress, parse_step
from workloads.execute import execute
from workloads.generate import fill
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Relu


def network(side: int = 7, stride: int = 1) -> Network:
    return fill(Network("n", {"x": (2, side, side)}, [
        Layer("conv", Conv(3, (3, 3), (stride, stride), (1, 1, 1, 1)), ("x",)), Layer("relu", Relu(), ("conv",)),
        Layer("flat", Flatten(), ("relu",)), Layer("fc", Linear(4), ("flat",)),
    ]))  # fmt: skip


def run(made: Network, side: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return execute(made, {"x": np.random.default_rng(1).normal(size=(2, 2, side, side)).astype(np.float32)})


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 11), st.integers(1, 2), st.integers(1, 4))
def test_skipped_positions_take_the_value_of_the_one_computed_before(side: int, stride: int, step: int) -> None:
    whole = network(side, stride)
    made, _ = mask(whole, Mask(kind="perforation", step=step, layers="conv"))
    before, after = run(whole, side)["conv"], run(made, side)
    size = np.arange(before.shape[2]) // step * step
    assert np.allclose(after["conv_filled" if step > 1 else "conv"], before[:, :, size][:, :, :, size], atol=1e-5)
    assert made.macs("conv") == whole.macs("conv") * len(set(size)) ** 2 // len(size) ** 2
    assert made.shapes["fc"] == whole.shapes["fc"]


def test_activations_up_to_the_threshold_are_zero() -> None:
    made = compress(network(), [parse_step("mask(threshold=0.5)")]).network
    before, after = run(network(), 7)["relu"], run(made, 7)["relu"]
    assert np.array_equal(after, np.where(before > 0.5, before, 0))
    assert np.count_nonzero(after) < np.count_nonzero(before)


def test_a_mask_composes_with_weights_and_names_its_layers() -> None:
    steps = [parse_step(t) for t in ("prune(density=0.5)", "mask(kind=perforation, layers='co*')", "share(bits=4)")]
    assert {row["name"]: row["format"] for row in compress(network(), steps).rows} == {"conv": "gaps", "fc": "gaps"}
    with pytest.raises(InputError, match=r"mask.layers: no relu layer matches fc"):
        compress(network(), [parse_step("mask(layers=fc)")])

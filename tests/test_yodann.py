"""The arithmetic of YodaNN: does the datapath give, to the bit, what the definition says?"""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from archs.yodann import datapath, oracle
from archs.yodann.arithmetic import Filters
from archs.yodann.geometry import cut
from archs.yodann.settings import Yodann
from workloads.network import Layer, Network
from workloads.ops import Conv


def one(shape: tuple[int, int, int], op: Conv, **params: Any) -> Network:
    return Network("one", {"x": shape}, [Layer("conv", op, ("x",), params)])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Yodann, Conv, Filters, np.ndarray]:
    """A layer of any kernel, channels, rows and padding; large pixels and scales saturate at every place that can."""
    kernel = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    if draw(st.booleans()):
        kernel = kernel[0], kernel[0]
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    per_in, per_out = draw(st.integers(1, 100)), draw(st.integers(1, 40))
    padded = draw(st.booleans())
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)) if padded else (0, 0, 0, 0)
    height = draw(st.integers(max(1, kernel[0] - pads[0] - pads[2]), 70))
    width = draw(st.integers(max(1, kernel[1] - pads[1] - pads[3]), 12))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    op = Conv(groups * per_out, kernel, stride, pads, groups)
    loud = draw(st.sampled_from([20, 300, 2048]))
    low = draw(st.sampled_from([0, -1]))
    image = rng.integers(low * loud, loud, (groups * per_in, height, width))
    bias = draw(st.sampled_from([0.0, 0.5, 0.9]))  # weights that agree drive sums far out
    weight = np.where(rng.random((op.outputs, per_in, *kernel)) < 0.5 + bias / 2, 1, -1).astype(np.float32)
    weight[rng.random(op.outputs) < 0.5] *= -1
    held = Filters(
        weight,
        rng.integers(-40, 41, op.outputs).astype(np.int32) * draw(st.sampled_from([1, 50])),
        rng.integers(-2048, 2048, op.outputs).astype(np.int32),
        0,
        True,
    )
    spec = Yodann(
        summer=draw(st.sampled_from(["saturate", "wrap"])),
        host_add=draw(st.sampled_from(["wide", "clamp"])),
        channels=draw(st.sampled_from([8, 16, 32])),
    )
    return spec, op, held, image


@given(cases())
@settings(max_examples=150, deadline=None)
def test_datapath_equals_definition(case: tuple[Yodann, Conv, Filters, np.ndarray]) -> None:
    spec, op, held, image = case
    network = one(image.shape, op)
    fast, _ = datapath.convolve(cut(spec, network, network.layer("conv")), held, image)
    np.testing.assert_array_equal(fast, oracle.convolve(spec, op, held, image))

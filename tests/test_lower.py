"""Ways to compute a convolution give exactly the direct sum, at the papers' cost; a network in other terms is the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from workloads import lower, ops
from workloads.execute import execute, forward
from workloads.generate import fill
from workloads.load import ZOO, Workload, load
from workloads.network import Layer, Network
from workloads.read_yaml import read_network


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(lower.WAYS),
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.sampled_from([(2, 4, 1), (4, 4, 2), (3, 6, 3)]),
    st.integers(5, 11),
    st.integers(0, 99),
)
def test_every_way_gives_the_integers_of_the_direct_sum(  # type: ignore[no-untyped-def]
    way, kernel, stride, padding, channels, size, seed
) -> None:
    inputs, outputs, groups = channels
    if way.startswith("winograd"):
        kernel, stride = 3, 1
    op = ops.Conv(outputs, (kernel,) * 2, (stride,) * 2, padding, groups)
    rng = np.random.default_rng(seed)
    params = {
        "weight": rng.integers(-128, 128, (outputs, inputs // groups, kernel, kernel)),
        "bias": rng.integers(-9, 9, outputs),
    }
    x = rng.integers(-128, 128, (2, inputs, size, size + 1))
    y = lower.compute(way, op, params, x)
    assert y.dtype == np.int64
    assert np.array_equal(y, forward(op, params, [x]))


def test_vgg16_costs_what_winograd_promises() -> None:
    net = read_network(ZOO / "vgg16.yaml").network
    convs = [layer for layer in net.layers if isinstance(layer.op, ops.Conv)]

    def total(way: str) -> float:
        return sum(lower.cost(way, layer.op, net.sources(layer.name)[0]).multiplications for layer in convs) / 1e9  # type: ignore[arg-type]

    assert round(total("direct"), 2) == 15.35
    assert round(total("winograd2"), 2) == 6.82
    assert 3.84 <= total("winograd4") < 4.1  # 14 x 14 and 28 x 28 maps do not divide into tiles of 4
    assert total("im2col") == total("mec") == total("direct")


def test_mec_needs_a_smaller_buffer_than_im2col() -> None:
    op, shape = ops.Conv(96, (11, 11), (4, 4)), (3, 227, 227)
    full, compact = (lower.cost(way, op, shape).buffer_values for way in ("im2col", "mec"))
    assert (full, compact) == (55 * 55 * 121 * 3, 55 * 227 * 11 * 3)


def test_a_lowered_network_computes_the_same() -> None:
    net = fill(read_network(ZOO / "lenet5.yaml").network)
    flat = lower.lowered(net)
    assert [layer.op.kind for layer in flat.layers].count("conv") == 0
    assert sum(flat.macs(layer.name) for layer in flat.layers) == sum(net.macs(layer.name) for layer in net.layers)
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28))
    assert np.allclose(execute(net, {"image": x})[net.outputs[0]], execute(flat, {"image": x})[flat.outputs[0]])


def test_groups_become_matrices_of_their_own() -> None:
    net = fill(load("alexnet").network)
    flat = lower.lowered(net, {"conv2"})
    names = [layer.name for layer in flat.layers if layer.op.kind == "linear"]
    assert names[:2] == ["conv2.0", "conv2.1"]
    assert flat.shapes["conv2.out"] == net.shapes["conv2"]
    assert isinstance(flat, Network)


def test_what_a_way_does_not_take() -> None:
    with pytest.raises(InputError, match="3 x 3 kernels of stride 1"):
        lower.cost("winograd2", ops.Conv(8, (5, 5)), (3, 9, 9))
    with pytest.raises(InputError, match="allowed: direct"):
        lower.check("gemm", ops.Conv(8, (5, 5)))


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet5-shared4", "lenet5-dense"])
def test_products_become_convolutions(name: str) -> None:
    work = load(name, images=2)
    lowered = lower.convolutions(work)
    assert {layer.op.kind for layer in lowered.network.layers} <= {"conv", "pool", "relu", "reshape"}
    one, other = execute(work.network, work.inputs), execute(lowered.network, lowered.inputs)
    last = work.network.outputs[0]
    np.testing.assert_allclose(other[last].reshape(one[last].shape), one[last], rtol=1e-4, atol=1e-4)
    assert sum(map(lowered.network.macs, other)) == sum(map(work.network.macs, one))


def test_activations_given_for_a_layer_follow_its_new_shape() -> None:
    layers = [
        Layer("relu", ops.Relu(), ("x",)),
        Layer("flat", ops.Flatten(), ("relu",)),
        Layer("fc", ops.Linear(5, bias=False), ("flat",)),
    ]
    given = {"x": np.zeros((2, 3, 4, 4), np.float32), "fc": np.arange(96, dtype=np.float32).reshape(2, 48)}
    network = fill(Network("net", {"x": (3, 4, 4)}, layers))
    lowered = lower.convolutions(Workload("net", network, given, "here", "0"))
    assert lowered.inputs["fc"].shape == (2, 3, 4, 4)
    assert np.array_equal(lowered.inputs["fc"].reshape(2, 48), given["fc"])

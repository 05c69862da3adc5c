"""The numpy reference against plain loops and against onnxruntime."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads import ops
from workloads.execute import execute, forward, matmul
from workloads.network import Layer, Network
from workloads.tensor import Array


def loop_conv(op: ops.Conv, weight: Array, bias: Array, x: Array) -> Array:
    top, left, bottom, right = op.padding
    x = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])
    shape = op.output((x.shape[1], x.shape[2] - top - bottom, x.shape[3] - left - right))
    y = np.zeros((len(x), *shape), dtype=np.result_type(x, weight))
    per_in, per_out = weight.shape[1], op.outputs // op.groups
    for n, c, i, j in np.ndindex(*y.shape):
        total = bias[c]
        for ci, u, v in np.ndindex(*weight.shape[1:]):
            row, column = i * op.stride[0] + u * op.dilation[0], j * op.stride[1] + v * op.dilation[1]
            total += weight[c, ci, u, v] * x[n, c // per_out * per_in + ci, row, column]
        y[n, c, i, j] = total
    return y


sizes = st.integers(1, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(sizes, sizes),
    st.tuples(sizes, sizes),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from([(1, 2, 3), (2, 2, 4), (3, 3, 3)]),
    st.integers(0, 1000),
)
def test_integer_convolution_is_exact(kernel, stride, padding, dilation, channels, seed) -> None:  # type: ignore[no-untyped-def]
    groups, inputs, outputs = channels
    op = ops.Conv(outputs, kernel, stride, padding, groups, dilation)
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (2, inputs, 6, 7))
    weight = rng.integers(-8, 8, (outputs, inputs // groups, *kernel))
    bias = rng.integers(-100, 100, outputs)
    y = forward(op, {"weight": weight, "bias": bias}, [x])
    assert y.dtype == np.int64
    assert np.array_equal(y, loop_conv(op, weight, bias, x))


def test_small_integer_types_do_not_overflow() -> None:
    op, x = ops.Conv(3, (3, 3), groups=3, bias=False), np.full((1, 3, 3, 3), 127, np.int8)
    assert forward(op, {"weight": np.full((3, 1, 3, 3), 127, np.int8)}, [x]).tolist() == [[[[9 * 127**2]]] * 3]
    assert (
        forward(ops.Linear(1, False), {"weight": np.full((1, 9), -128, np.int8)}, [np.full((1, 9), -128, np.int8)])
        == 9 * 128**2
    )


def test_integers_beyond_a_doubles_mantissa_stay_exact() -> None:
    x, weight = np.full((1, 3), 2**30 + 1), np.full((1, 3), 2**30 + 3)
    assert forward(ops.Linear(1, bias=False), {"weight": weight}, [x])[0, 0] == 3 * (2**30 + 1) * (2**30 + 3)


@pytest.mark.parametrize(
    ("mode", "ceil", "include"), list(itertools.product(("max", "avg"), (False, True), (False, True)))
)
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(7, 3, 2, 0), (8, 3, 2, 1), (4, 2, 2, 1), (9, 2, 3, 0)]
)
def test_pooling_equals_loops(mode, ceil, include, size, kernel, stride, padding) -> None:  # type: ignore[no-untyped-def]
    op = ops.Pool(mode, (kernel,) * 2, (stride,) * 2, (padding,) * 4, ceil, include)
    x = np.random.default_rng(0).normal(size=(2, 3, size, size))
    y = forward(op, {}, [x])
    assert y.shape == (2, *op.output((3, size, size)))
    for i, j in np.ndindex(*y.shape[2:]):
        rows, columns = (
            [r for r in range(a * stride - padding, a * stride - padding + kernel) if r < size + padding]
            for a in (i, j)
        )
        inside = x[:, :, [r for r in rows if 0 <= r < size]][..., [c for c in columns if 0 <= c < size]]
        count = len(rows) * len(columns) if include else inside.shape[2] * inside.shape[3]
        want = inside.max(axis=(2, 3)) if mode == "max" else inside.sum(axis=(2, 3)) / count
        assert np.allclose(y[:, :, i, j], want)


def test_max_pool_of_integers_pads_with_less_than_any_value() -> None:
    op = ops.Pool("max", (3, 3), (1, 1), (1, 1, 1, 1))
    assert forward(op, {}, [np.full((1, 1, 2, 2), -7)]).tolist() == [[[[-7, -7], [-7, -7]]]]


def test_lstm_of_one_step_is_the_cell_by_hand() -> None:
    rng = np.random.default_rng(1)
    weight, recurrent, bias = rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), rng.normal(size=8)
    x, h, c = rng.normal(size=(1, 3)), rng.normal(size=(1, 2)), rng.normal(size=(1, 2))
    params = {"weight": weight, "recurrent": recurrent, "bias": bias}
    i, f, o, g = ((weight @ x[0] + recurrent @ h[0] + bias)[k * 2 : k * 2 + 2] for k in range(4))
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    cell = f * c[0] + i * np.tanh(g)
    assert np.allclose(forward(ops.Lstm(2), params, [x, h, c])[0], o * np.tanh(cell))
    assert np.allclose(forward(ops.Lstm(2, tanh=False), params, [x, h, c])[0], o * cell)
    twice = forward(ops.Lstm(2), params, [np.stack([x, x], axis=1)])
    first = forward(ops.Lstm(2), params, [x])
    assert twice.shape == (1, 2, 2)
    assert np.allclose(twice[:, 0], first)


def test_batch_norm_lrn_and_sign() -> None:
    x = np.arange(-6.0, 6).reshape(1, 3, 2, 2)
    vector = {"gamma": np.array([1.0, 2, 3]), "beta": np.ones(3), "mean": np.full(3, 2.0), "var": np.full(3, 4.0)}
    norm = forward(ops.BatchNorm(0.0), vector, [x])
    assert np.allclose(norm[0, 2], (x[0, 2] - 2) / 2 * 3 + 1)
    lrn = forward(ops.Lrn(3, 0.3, 0.5, 2.0), {}, [x])
    assert np.allclose(lrn[0, 1], x[0, 1] / np.sqrt(2 + 0.1 * (x[0] ** 2).sum(axis=0)))
    assert forward(ops.Sign(), {}, [np.array([[-1, 0, 2]])]).tolist() == [[-1, 1, 1]]


def test_a_network_runs_in_order_and_names_what_it_lacks() -> None:
    fc = Layer("fc", ops.Linear(2, bias=False), ("x",), {"weight": np.array([[1, -1], [-2, 2]])})
    net = Network("n", {"x": (2,)}, [fc, Layer("relu", ops.Relu(), ("fc",)), Layer("sum", ops.Add(), ("fc", "relu"))])
    out = execute(net, {"x": np.array([[3, 1], [0, 5]])})
    assert list(out) == ["fc", "relu", "sum"]
    assert out["sum"].tolist() == [[4, -4], [-5, 20]]
    with pytest.raises(Exception, match=r"shape \(1, 3\) does not fit"):
        execute(net, {"x": np.zeros((1, 3))})


def test_products_of_mixed_types_are_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 40)), rng.normal(size=(40, 17)).astype(np.float32)
    whole = a @ b
    monkeypatch.setattr("workloads.execute.PIECE", 100)
    for left, right in ((a, b), (a[:, None], b), (a.astype(np.float32), b.astype(np.float64))):
        product = matmul(left, right)
        assert product.dtype == np.float64
        assert np.allclose(product.reshape(3, 17), whole, atol=1e-5)  # one side was rounded to float32

"""Synthetic tensors: density and spread as asked for, the same for the same seed, memory that follows the non-zeros."""

import tracemalloc

import numpy as np
import pytest

from workloads import generate, ops
from workloads.formats.sparse import Sparse
from workloads.network import Layer, Network


def counts(layer: Sparse) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    rows, columns = layer.matrix_shape
    return np.bincount(layer.rows, minlength=rows), np.bincount(layer.columns, minlength=columns)


@pytest.mark.parametrize("density", [0.04, 0.25, 0.9])
def test_density_is_what_was_asked_for(density: float) -> None:
    layer = generate.sparse(np.random.default_rng(0), (700, 900), density)
    assert abs(layer.density - density) < 0.005
    assert layer.codes.min() == 1
    assert layer.codes.max() == 15
    for column in range(0, 900, 97):
        rows = layer.rows[layer.pointers[column] : layer.pointers[column + 1]]
        assert (np.diff(rows) > 0).all()


def test_no_cell_and_every_cell() -> None:
    rng = np.random.default_rng(0)
    assert generate.sparse(rng, (30, 20), 0.0).nonzeros == 0
    assert generate.sparse(rng, (30, 20), 1.0).nonzeros == 600


def test_spread_comes_on_top_of_the_binomial() -> None:
    layer = generate.sparse(np.random.default_rng(0), (4000, 3000), 0.1, row_cv=0.13, column_cv=0.08)
    rows, columns = counts(layer)
    binomial = [(0.9 / (0.1 * other)) ** 0.5 for other in (3000, 4000)]
    for number, extra, base in ((rows, 0.13, binomial[0]), (columns, 0.08, binomial[1])):
        assert number.std() / number.mean() == pytest.approx((extra**2 + base**2) ** 0.5, rel=0.1)
    flat_rows, _ = counts(generate.sparse(np.random.default_rng(0), (4000, 3000), 0.1, 0.0, 0.0))
    assert flat_rows.std() / flat_rows.mean() == pytest.approx(binomial[0], rel=0.1)


def test_memory_follows_the_nonzeros() -> None:
    tracemalloc.start()
    generate.sparse(np.random.default_rng(0), (4096, 25088), 0.04)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_activations_have_the_exact_count_or_a_bernoulli_one() -> None:
    rng = np.random.default_rng(0)
    exact = generate.activations(rng, (9216,), 0.351, images=3)
    assert (np.count_nonzero(exact, axis=1) == round(0.351 * 9216)).all()
    drawn = generate.activations(rng, (64, 20, 20), 0.4, images=2, exact=False, channel_cv=0.5)
    assert abs(np.count_nonzero(drawn) / drawn.size - 0.4) < 0.05
    by_channel = np.count_nonzero(drawn, axis=(0, 2, 3)) / 800
    assert 0.3 < by_channel.std() / by_channel.mean() < 0.7
    assert (exact >= 0).all()


def test_filling_depends_on_seed_and_name_only() -> None:
    def net(names: list[str]) -> Network:
        layers = [Layer(name, ops.Linear(6), ("x",), bits={"weight": 4}, density={"weight": 0.5}) for name in names]
        return Network("n", {"x": (9,)}, layers)

    first, other = generate.fill(net(["a", "b"])), generate.fill(net(["b"]))
    weight, again = first.layer("b").params["weight"], other.layer("b").params["weight"]
    assert isinstance(weight, Sparse)
    assert np.array_equal(weight.decode(), again.decode())  # type: ignore[union-attr]
    assert not np.array_equal(weight.decode(), generate.fill(net(["b"]), seed=1).layer("b").array("weight"))
    assert set(np.unique(generate.binary(np.random.default_rng(0), (9, 9)))) == {-1, 1}
    assert set(np.unique(generate.ternary(np.random.default_rng(0), (9, 9)))) == {-1, 0, 1}


def test_only_named_layers_are_filled() -> None:
    layers = [Layer("a", ops.Linear(3), ("x",)), Layer("b", ops.Linear(2), ("a",))]
    network = Network("two", {"x": (4,)}, layers)
    some, whole = generate.fill(network, 0, {"a"}), generate.fill(network)
    assert not some.layer("b").params
    np.testing.assert_array_equal(some.layer("a").array("weight"), whole.layer("a").array("weight"))

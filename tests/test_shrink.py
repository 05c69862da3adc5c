"""Networks with filters that nothing needs become smaller ones that compute the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.survey import li2016, zoo
from sim.errors import InputError
from workloads.compress.shrink import Shrink, shrink
from workloads.compress.steps import compress, parse_step
from workloads.elementwise import Elementwise
from workloads.execute import execute
from workloads.generate import fill
from workloads.network import Layer, Network
from workloads.ops import Add, BatchNorm, Concat, Conv, Flatten, Linear, Pool, Relu
from workloads.tensor import Array

SAME = (1, 1, 1, 1)


def trunk(padding: tuple[int, ...], pooled: str, bias: bool) -> list[Layer]:
    """Shortcut, concatenation, depthwise convolution, batch norm, pooling, two linear layers."""
    return [
        Layer("a", Conv(6, (3, 3), padding=padding or (0,) * 4, bias=bias), ("x",)),
        Layer("a_bn", BatchNorm(), ("a",)),
        Layer("a_relu", Relu(), ("a_bn",)),
        Layer("b", Conv(6, (1, 1), bias=bias), ("a_relu",)),
        Layer("sum", Add(), ("a_relu", "b")),
        Layer("wise", Conv(6, (3, 3), padding=SAME, groups=6, bias=bias), ("sum",)),
        Layer("c", Conv(4, (1, 1), bias=bias), ("sum",)),
        Layer("both", Concat(), ("wise", "c")),
        Layer("tanh", Elementwise("tanh"), ("both",)),
        Layer("pool", Pool(pooled, (2, 2), (2, 2)), ("tanh",)),  # type: ignore[arg-type]
        Layer("d", Conv(5, (3, 3), padding=padding or (0,) * 4, bias=bias), ("pool",)),
        Layer("flat", Flatten(), ("d",)),
        Layer("fc1", Linear(7, bias), ("flat",)),
        Layer("relu", Relu(), ("fc1",)),
        Layer("fc2", Linear(3, bias), ("relu",)),
    ]


def pruned(network: Network, rng: np.random.Generator, share: float) -> Network:
    """Random rows and columns of zeros; biases of some of the rows are zero too."""

    def prune(layer: Layer) -> Layer:
        if not isinstance(layer.op, Conv | Linear):
            return layer
        weight = layer.array("weight").copy()
        rows, columns = rng.random(len(weight)) < share, rng.random(weight.shape[1]) < share
        weight[rows] = 0
        weight[:, columns] = 0
        params = {**layer.params, "weight": weight}
        if "bias" in params and rng.random() < 0.5:
            params["bias"] = np.where(rows, 0, layer.array("bias")).astype(np.float32)
        return replace(layer, params=params)

    return Network(network.name, network.inputs, [prune(layer) for layer in network.layers])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.sampled_from([0.0, 0.3, 0.6, 0.95]),
    st.sampled_from([(), SAME]),
    st.sampled_from(["max", "avg"]),
    st.booleans(),
)
def test_the_smaller_network_computes_the_same(
    seed: int, share: float, padding: tuple[int, ...], pooled: str, bias: bool
) -> None:
    rng = np.random.default_rng(seed)
    network = pruned(fill(Network("n", {"x": (3, 10, 10)}, trunk(padding, pooled, bias)), seed % 1000), rng, share)
    small, _ = shrink(network, Shrink())
    x = rng.normal(size=(2, 3, 10, 10)).astype(np.float32)
    before, after = execute(network, {"x": x})["fc2"], execute(small, {"x": x})["fc2"]
    assert np.allclose(before, after, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(before).max())))
    sizes = [sum(n.macs(layer.name) for layer in n.layers) for n in (network, small)]
    assert sizes[1] <= sizes[0]
    again, _ = shrink(small, Shrink())  # may go on where a layer that nothing needs had to keep a unit
    assert sum(again.macs(layer.name) for layer in again.layers) <= sizes[1]


def chain(padding: tuple[int, ...] = SAME) -> Network:
    return fill(Network("n", {"x": (2, 6, 6)}, [
        Layer("one", Conv(4, (3, 3), padding=padding), ("x",)), Layer("relu", Relu(), ("one",)),
        Layer("two", Conv(3, (3, 3), padding=padding), ("relu",)),
    ]))  # fmt: skip


def without(network: Network, name: str, unit: int, bias: float) -> Network:
    layer = network.layer(name)
    weight, values = layer.array("weight").copy(), layer.array("bias").copy()
    weight[unit], values[unit] = 0, bias
    return network.with_params({name: {"weight": weight, "bias": values}})


def test_a_constant_before_a_border_stays_and_is_told_of() -> None:
    kept, notes = shrink(without(chain(), "one", 1, 0.5), Shrink())
    assert kept.shapes["one"] == (4, 6, 6)
    assert notes == (
        "one: 1 filters that read nothing stay: a padded convolution, a sum or a layer that takes whole tensors reads "
        "their constants",
    )
    gone, said = shrink(without(chain(), "one", 1, -0.5), Shrink())  # what ReLU makes of it is zero
    assert gone.shapes["one"] == (3, 6, 6)
    assert not said


def test_a_constant_without_borders_goes_into_the_next_bias() -> None:
    network = without(chain((0, 0, 0, 0)), "one", 1, 0.5)
    small, _ = shrink(network, Shrink())
    assert small.shapes["one"] == (3, 4, 4)
    sums = network.layer("two").array("weight")[:, 1].sum(axis=(1, 2))
    assert np.allclose(small.layer("two").array("bias"), network.layer("two").array("bias") + 0.5 * sums, atol=1e-6)


def test_dropped_constants_are_those_the_next_layer_no_longer_reads() -> None:
    network = without(chain(), "one", 1, 0.5)
    small, _ = shrink(network, Shrink(constants="drop"))
    weight = network.layer("two").array("weight").copy()
    weight[:, 1] = 0
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 6)).astype(np.float32)
    blind = execute(network.with_params({"two": {"weight": weight}}), {"x": x})["two"]
    assert np.allclose(execute(small, {"x": x})["two"], blind, atol=1e-5)


def test_filter_pruning_of_li_2016_saves_a_third_of_vgg16() -> None:
    macs = [sum(n.macs(layer.name) for layer in n.layers) for n in (zoo("vgg16-cifar10"), li2016())]
    params = [sum(n.params(layer.name) for layer in n.layers) for n in (zoo("vgg16-cifar10"), li2016())]
    assert round(1 - macs[1] / macs[0], 3) == 0.342
    assert round(1 - params[1] / params[0], 3) == 0.64


def test_pruned_shrunk_and_shared_compose_and_the_error_is_of_all_steps() -> None:
    network = chain()
    steps = [parse_step(t) for t in ("prune(density=0.5, granularity=filter, layers=one)", "shrink(constants=drop)")]
    made = compress(network, steps)
    weight: Array = network.layer("one").array("weight")
    size = np.sort(np.linalg.norm(weight.reshape(4, -1), axis=1) ** 2)  # two of four filters go
    assert made.network.shapes["one"][0] == made.network.sources("two")[0][0] == 2
    assert made.rows[0]["error"] == pytest.approx((size[:2].sum() / size.sum()) ** 0.5, rel=0.05)
    assert made.rows[0]["bits_before"] == 2 * made.rows[0]["bits"]


def test_shrinking_is_of_the_whole_network() -> None:
    with pytest.raises(InputError, match="shrink: works on the whole network; allowed: no layers"):
        parse_step("shrink(layers=one)")
    with pytest.raises(InputError, match="has shapes only"):
        shrink(Network("n", {"x": (2,)}, [Layer("fc", Linear(3), ("x",))]), Shrink())

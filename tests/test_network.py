"""Shapes, counts and one-line errors of networks."""

import pytest

from sim.errors import InputError
from workloads import ops
from workloads.network import Layer, Network


def small() -> Network:
    return Network(
        "small",
        {"data": (3, 9, 9)},
        [
            Layer("conv", ops.Conv(8, (3, 3), (2, 2), (1, 0, 0, 1)), ("data",)),
            Layer("relu", ops.Relu(), ("conv",)),
            Layer("pool", ops.Pool("max", (2, 2), (2, 2), ceil=True), ("relu",)),
            Layer("add", ops.Add(), ("pool", "pool")),
            Layer("cat", ops.Concat(), ("add", "pool")),
            Layer("flat", ops.Flatten(), ("cat",)),
            Layer("fc", ops.Linear(5), ("flat",)),
        ],
    )


def test_shapes_macs_params_and_graph() -> None:
    net = small()
    assert [net.shapes[n] for n in ("conv", "pool", "cat", "flat", "fc")] == [
        (8, 4, 4),
        (8, 2, 2),
        (16, 2, 2),
        (64,),
        (5,),
    ]
    assert (net.macs("conv"), net.params("conv")) == (8 * 16 * 27, 8 * 27 + 8)
    assert (net.macs("fc"), net.params("fc"), net.macs("relu")) == (320, 325, 0)
    assert net.outputs == ("fc",)
    assert set(net.graph.predecessors("cat")) == {"add", "pool"}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer("x", ops.Conv(8, (30, 3)), ("data",)), "a window of 30 does not fit"),
        (Layer("x", ops.Conv(8, (3, 3), groups=2), ("data",)), "3 to 8 channels cannot be cut into 2 groups"),
        (Layer("x", ops.Conv(8, (3,)), ("data",)), "needs an input"),
        (Layer("x", ops.Relu(), ("later",)), "later does not come before it"),
        (Layer("data", ops.Relu(), ("data",)), "the name is taken"),
        (Layer("x", ops.Add(), ("data",)), "add cannot take 1 inputs"),
        (Layer("x", ops.Linear(0), ("data",)), "is empty"),
    ],
)
def test_a_layer_that_does_not_fit_is_one_line(layer: Layer, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Network("net", {"data": (3, 9, 9)}, [layer])
    assert str(caught.value).startswith(f"net: {layer.name}: ")
    assert "\n" not in str(caught.value)


def test_caffe_rounds_up_and_torch_down() -> None:
    def side(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
        pool = ops.Pool("max", (kernel,) * 2, (stride,) * 2, (padding,) * 4, ceil)
        return pool.output((1, size, size))[1]

    assert (side(112, 3, 2, 0, True), side(112, 3, 2, 0, False)) == (56, 55)
    assert side(113, 3, 2, 0, True) == side(113, 3, 2, 0, False) == 56
    assert side(4, 2, 2, 1, True) == 3  # the fourth window would start beyond the image

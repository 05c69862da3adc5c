"""Every network of the zoo: its shapes fit, its totals are the published ones, its name loads."""

from math import prod

import numpy as np
import pytest

from sim.errors import InputError
from workloads.formats.sparse import Sparse
from workloads.load import ZOO, load, names
from workloads.network import Network
from workloads.read_yaml import read_network

PROMISED = [
    "lenet-300-100",
    "lenet5",
    "alexnet",
    "vgg13",
    "vgg16",
    "vgg19",
    "vgg16-cifar10",
    "resnet18",
    "resnet34",
    "resnet50",
    "googlenet",
    "squeezenet1.0",
    "squeezenet1.1",
    "mobilenet-v1",
    "shufflenet-1x-g3",
    "densenet121",
    "bc-cifar10",
    "bc-svhn",
    "sfc",
    "lfc",
    "cnv",
    "tfc",
    "alexnet-fc6",
    "alexnet-fc7",
    "alexnet-fc8",
    "vgg16-fc6",
    "vgg16-fc7",
    "vgg16-fc8",
    "neuraltalk-we",
    "neuraltalk-wd",
    "neuraltalk-lstm",
    "alexnet-deep-compression",
    "bc-svhn-yodann",
    "alexnet-yodann",
    "resnet18-yodann",
    "resnet34-yodann",
]
FILES = sorted(path.stem for path in ZOO.glob("*.yaml"))


def totals(net: Network) -> dict[str, int]:
    weights = [net.layer(layer.name).op.parameters(*net.sources(layer.name)) for layer in net.layers]
    macs = sum(net.macs(layer.name) for layer in net.layers)
    return {
        "params": sum(net.params(layer.name) for layer in net.layers),
        "weights": sum(prod(shapes.get("weight", (0,))) for shapes in weights),
        "macs": macs,
        "ops": 2 * macs,
    }


def test_every_promised_name_is_there() -> None:
    assert set(PROMISED) <= set(names())


@pytest.mark.parametrize("name", FILES)
def test_totals_are_the_published_ones(name: str) -> None:
    file = read_network(ZOO / f"{name}.yaml")
    assert file.network.name == name
    assert file.source
    ours = totals(file.network)
    for row in file.published:
        assert abs(ours[row.quantity] / row.value - 1) <= row.within, row


def test_eie_layers_have_table_iii_densities_and_the_lstm_no_bias() -> None:
    fc6 = load("alexnet-fc6")
    weight = fc6.network.layer("fc6").params["weight"]
    assert isinstance(weight, Sparse)
    assert weight.shape == (4096, 9216)
    assert len(weight.codebook) == 16
    assert abs(weight.density - 0.09) < 0.001
    assert np.count_nonzero(fc6.inputs["x"]) == round(0.351 * 9216)
    assert fc6.network.layer("fc6").array("bias").shape == (4096,)
    assert list(load("neuraltalk-lstm").network.layer("WLSTM").params) == ["weight"]


def test_a_workload_depends_on_its_seed_alone() -> None:
    first, same, other = (load("neuraltalk-we", seed=seed) for seed in (0, 0, 1))
    weights = [w.network.layer("We").array("weight") for w in (first, same, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    assert np.array_equal(first.inputs["x"], same.inputs["x"])
    assert first.sha256 == same.sha256 == other.sha256


def test_a_variant_knows_its_bases_layers() -> None:
    work = load("lenet-300-100-deep-compression")
    fc2 = work.network.layer("fc2")
    assert fc2.density == {"weight": 0.09, "activation": 0.38}
    assert fc2.bits == {"weight": 6, "index": 5}
    assert isinstance(fc2.params["weight"], Sparse)
    assert np.count_nonzero(work.inputs["fc2"]) == round(0.38 * 300)


@pytest.mark.parametrize(
    ("text", "message"),
    [("alexnet-fc9", "unknown workload; did you mean alexnet-fc"), ("no/net.onnx", "no such file"), ("", "unknown")],
)
def test_an_unknown_workload_names_its_neighbour(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(text)

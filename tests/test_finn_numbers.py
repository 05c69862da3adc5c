"""FINN's datapath: the published parameters give the published numbers, and every way to compute agrees."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archs import finn
from archs.finn import datapath, loop, oracle
from archs.finn.chain import chain
from archs.finn.fold import Fold
from archs.finn.folding import resolve
from archs.finn.spec import FinnSpec
from sim.errors import InputError
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Pool, Sign
from workloads.quantised import Quantise, Threshold
from workloads.read_bnn_pynq import read_bnn_pynq
from workloads.read_qonnx import read_qonnx


def digits(data: Path) -> tuple[np.ndarray, np.ndarray]:
    images = gzip.decompress((data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((data / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(images, np.uint8).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8)


def run(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    lowered = chain(network)
    return datapath.run(lowered, resolve(FinnSpec(), lowered), images)


@pytest.mark.parametrize(("name", "right"), [("mnist_lfcW1A1", 9840), ("mnist_lfcW1A2", 9849)])
def test_lfc_on_all_test_digits(data: Path, name: str, right: int) -> None:
    images, labels = digits(data)
    network = read_bnn_pynq(data / "bnn_pynq" / f"{name}.tar.gz")
    outputs = run(network, images)
    assert (finn.ranked(network, outputs["threshold3"]).argmax(axis=1) == labels).sum() == right
    if name.endswith("A1"):
        golden = json.loads((data / "bnn_pynq" / "golden_lfcW1A1_mnist.json").read_text())["layers"]
        for layer, wanted in enumerate(golden):
            bits = outputs[f"threshold{layer}"] > 0
            rows = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 64)))
            packed = np.packbits(rows, axis=1, bitorder="little").tobytes()
            assert hashlib.sha256(packed).hexdigest() == wanted["sha256_packed_output_bits_10000"]


def test_cnv_gives_the_boards_scores(data: Path) -> None:
    pictures = np.fromfile(data / "bnn_pynq" / "hw_pictures_4x32x32x3_rgb.bin", np.uint8).reshape(4, 32, 32, 3)
    golden = json.loads((data / "bnn_pynq" / "golden_hw_scores.json").read_text())["hardware_scores"]["cnvW1A1"]
    lowered = chain(read_bnn_pynq(data / "bnn_pynq" / "cifar10_cnvW1A1.tar.gz"))
    folds = resolve(FinnSpec(), lowered)
    outputs = datapath.run(lowered, folds, pictures)
    assert outputs["fc8"].tolist() == golden
    reference = oracle.run(lowered, pictures)
    assert all(np.array_equal(outputs[name], reference[name]) for name in outputs)


def test_cnv_on_a_thousand_images(data: Path) -> None:
    records = np.frombuffer(
        gzip.decompress((data / "cifar10" / "cifar10_test_jpeg_1000.bin.gz").read_bytes()), np.uint8
    )
    images = records.reshape(1000, 3073)[:, 1:].reshape(1000, 3, 32, 32).transpose(0, 2, 3, 1)
    golden = np.loadtxt(data / "bnn_pynq" / "golden_cnvW1A1_scores_cifar_jpeg_1000.csv", delimiter=",", dtype=int)
    outputs = run(read_bnn_pynq(data / "bnn_pynq" / "cifar10_cnvW1A1.tar.gz"), images)
    assert np.array_equal(outputs["fc8"], golden)


@pytest.mark.parametrize(("name", "right"), [("TFC_1W1A", 9296), ("TFC_1W2A", 9474), ("TFC_2W2A", 9660)])
def test_tfc_from_qonnx(data: Path, name: str, right: int) -> None:
    images, labels = digits(data)
    inputs = (images.reshape(-1, 1, 28, 28) / np.float32(255)).astype(np.float32)
    outputs = run(read_qonnx(data / "qonnx" / f"{name}.onnx"), inputs)
    assert (outputs["fc3"].argmax(axis=1) == labels).sum() == right


def test_finn_onnx_gives_its_expected_output(data: Path) -> None:
    stem = data / "qonnx" / "tfc_w1a1_finn_onnx"
    outputs = run(read_qonnx(f"{stem}.onnx"), np.load(f"{stem}_input.npy"))
    assert np.array_equal(outputs["fc3"].argmax(axis=1), np.load(f"{stem}_expected_output.npy").reshape(-1))


def test_another_folding_computes_the_same(data: Path) -> None:
    lowered = chain(read_bnn_pynq(data / "bnn_pynq" / "mnist_lfcW1A2.tar.gz"))
    images = digits(data)[0][:20]
    plain = datapath.run(lowered, resolve(FinnSpec(), lowered), images)
    odd = {unit.name: Fold(2, 7 if unit.columns == 784 else 16, *size) for unit in lowered.matrices
           for size in [(unit.rows, unit.columns)]}  # fmt: skip
    other = datapath.run(lowered, odd, images)
    assert all(np.array_equal(plain[name], other[name]) for name in plain)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, np.ndarray]:
    """Small nets of every precision: 8-bit or bipolar input, conv or fc, 1 to 3 bits, pool or not."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    bits, acts, conv = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    bipolar = draw(st.booleans())
    shape = (draw(st.integers(1, 4)), 6, 6) if conv else (draw(st.integers(2, 20)),)
    entry = Layer("entry", Quantise(1, 0, 0, 1) if False else Threshold(1, strict=False), ("x",),
                  {"thresholds": np.full((shape[0], 1), 100)}) if bipolar else Layer(
                      "entry", Quantise(1.0, -128.0, -128, 127), ("x",))  # fmt: skip

    def weight(*size: int) -> np.ndarray:
        low = 1 << (bits - 1)
        return 2 * rng.integers(0, 2, size) - 1 if bits == 1 else rng.integers(-low, low, size)

    levels = 1 if acts == 1 else (1 << acts) - 1
    rule = (
        Threshold(1) if acts == 1 else Threshold(levels, base=-(1 << (acts - 1)), step=1, strict=bool(rng.integers(2)))
    )
    layers = [entry]
    if conv:
        limits = np.sort(rng.integers(-40, 40, (4, levels)), axis=1)
        layers += [
            Layer("conv", Conv(4, (3, 3), bias=False), ("entry",), {"weight": weight(4, shape[0], 3, 3)}),
            Layer("t", rule, ("conv",), {"thresholds": limits}),
            Layer("pool", Pool("max", (2, 2), (2, 2)), ("t",)),
            Layer("flat", Flatten(), ("pool",)),
        ]
        columns = 16
    else:
        layers += [
            Layer("fc", Linear(8, bias=False), ("entry",), {"weight": weight(8, shape[0])}),
            Layer("t", rule, ("fc",), {"thresholds": np.sort(rng.integers(-9, 9, (8, levels)), axis=1)}),
        ]
        columns = 8
    layers.append(Layer("last", Linear(3, bias=False), (layers[-1].name,), {"weight": weight(3, columns)}))
    return Network("net", {"x": shape}, layers), rng.integers(0, 256, (2, *shape)).astype(np.uint8)


@settings(deadline=None, max_examples=40)
@given(networks(), st.integers(0, 99))
def test_loop_fast_path_and_reference_agree(made: tuple[Network, np.ndarray], seed: int) -> None:
    network, images = made
    lowered = chain(network)
    rng = np.random.default_rng(seed)

    def divisor(size: int) -> int:
        return int(rng.choice([d for d in range(1, size + 1) if size % d == 0]))

    folds = {u.name: Fold(divisor(u.rows), divisor(u.columns), u.rows, u.columns) for u in lowered.matrices}
    fast = datapath.run(lowered, folds, images)
    walked, _ = loop.run(lowered, folds, images)
    reference = oracle.run(lowered, images)
    for name, array in fast.items():
        assert np.array_equal(array, walked[name]), name
        assert np.array_equal(array, reference[name]), name


def test_a_truncated_archive_is_one_line(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "mnist_lfcW1A1.tar.gz"
    path.write_bytes((data / "bnn_pynq" / path.name).read_bytes()[:50_000])
    with pytest.raises(InputError, match="truncated"):
        read_bnn_pynq(path)


def test_an_operator_outside_the_set_is_named_with_its_node(data: Path) -> None:
    with pytest.raises(InputError, match="Resize Resize_42"):
        read_qonnx(data / "qonnx" / "espcn_nn_resize_quant.onnx")


def test_zeros_around_one_bit_activations_are_refused_by_layer() -> None:
    """-1 and +1 have no zero between them: a padded convolution of one-bit activations is no FINN unit's."""
    layers = [
        Layer("a", Conv(2, (3, 3), padding=(1, 1, 1, 1), bias=False), ("x",), bits={"weight": 1, "activation": 8}),
        Layer("sign", Sign(), ("a",)),
        Layer("b", Conv(2, (3, 3), padding=(1, 1, 1, 1), bias=False), ("sign",), bits={"weight": 1, "activation": 1}),
    ]
    spec = FinnSpec.model_validate({"fold": {"target_fps": 1000.0}})
    network = finn.fill(spec, Network("n", {"x": (1, 5, 5)}, layers), 0)
    images = {"x": np.ones((1, 1, 5, 5), np.uint8)}
    assert finn.build(spec, network, images)  # timing needs no values
    with pytest.raises(InputError, match=r"^b: one-bit activations are -1 and \+1, a padding of zeros is neither"):
        finn.compute(spec, network, images)


def test_sums_wider_than_their_stream_are_refused_by_layer() -> None:
    """Without thresholds between them the second layer's inputs are raw sums: 120 times 300 columns needs 17 bits."""
    layers = [
        Layer("a", Linear(2, bias=False), ("x",), {"weight": np.ones((2, 300), np.int8)}, bits={"weight": 1}),
        Layer("b", Linear(2, bias=False), ("a",), {"weight": np.ones((2, 2), np.int8)}, bits={"weight": 1}),
    ]
    network, spec = Network("n", {"x": (300,)}, layers), FinnSpec.model_validate({"fold": {"target_fps": 1000.0}})
    small, large = (np.full((1, 300), value, np.uint8) for value in (100, 120))
    assert (
        finn.compute(spec, network, {"x": small}).outputs["b"] == finn.reference(spec, network, {"x": small})["b"]
    ).all()
    with pytest.raises(InputError, match=r"^b: its inputs are sums beyond 16 bits; allowed: thresholds between"):
        finn.compute(spec, network, {"x": large})

"""Networks as folders: there and back, encoded tensors stay encoded, and spoilt files end in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sim.errors import InputError
from workloads import generate, ops
from workloads.execute import execute
from workloads.formats.csc import Csc
from workloads.formats.dense import Dense
from workloads.formats.packed import pack, unpack, width_of
from workloads.formats.sparse import Sparse
from workloads.load import load
from workloads.network import Layer, Network
from workloads.read_yaml import read_network
from workloads.save import NETWORK, TENSORS, read_saved, save
from workloads.tensor import Array


def small() -> Network:
    rng = np.random.default_rng(0)
    conv, fc = generate.sparse(rng, (4, 3, 3, 3), 0.4), generate.sparse(rng, (5, 64), 0.2)
    return Network(
        "small",
        {"x": (3, 4, 4)},
        [
            Layer("conv", ops.Conv(4, (3, 3), padding=(1, 1, 1, 1)), ("x",), {"weight": conv, "bias": np.ones(4)}),
            Layer("norm", ops.Lrn(3, alpha=0.1), ("conv",)),
            Layer("flat", ops.Flatten(), ("norm",)),
            Layer("fc", ops.Linear(5, bias=False), ("flat",), {"weight": Csc.encode(fc, 2)}, bits={"weight": 4}),
            Layer("last", ops.Linear(2), ("fc",), {"weight": Dense.encode(rng.integers(-8, 8, (2, 5)), 4)}),
        ],
    )


def test_there_and_back(tmp_path: Path) -> None:
    net = small()
    save(net, tmp_path / "net", source="a test")
    file = read_saved(tmp_path / "net")
    back = file.network
    assert file.source == "a test"
    assert [layer.op for layer in back.layers] == [layer.op for layer in net.layers]
    assert isinstance(back.layer("conv").params["weight"], Sparse)
    for name in ("conv", "fc", "last"):
        assert np.array_equal(back.layer(name).array("weight"), net.layer(name).array("weight"))
    csc, was = back.layer("fc").params["weight"], net.layer("fc").params["weight"]
    assert isinstance(csc, Csc)
    assert isinstance(was, Csc)
    assert csc.items() == was.items()
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    bias = {"last": {"bias": np.zeros(2)}}
    first, second = execute(net.with_params(bias), {"x": x}), execute(back.with_params(bias), {"x": x})
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert load(str(tmp_path / "net")).network.layer("fc").bits == {"weight": 4}


def test_a_four_bit_network_is_small(tmp_path: Path) -> None:
    weight = generate.sparse(np.random.default_rng(0), (300, 784), 0.08)
    save(Network("n", {"x": (784,)}, [Layer("fc", ops.Linear(300), ("x",), {"weight": weight})]), tmp_path)
    bits = 8 * (tmp_path / TENSORS).stat().st_size
    assert bits < weight.bits() + 8 * 1000


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint16, st.integers(0, 50), elements=st.integers(0, 1000)), st.integers(10, 16))
def test_packing_keeps_values_and_counts_bits(values: Array, bits: int) -> None:
    packed = pack(values, bits)
    assert len(packed) == -(-len(values) * bits // 8)
    assert np.array_equal(unpack(packed, bits, values.dtype, values.shape), values)


def test_widths() -> None:
    assert width_of(np.array([0, 15], np.uint8)) == 4
    assert width_of(np.array([0, 255], np.uint8)) is None
    assert width_of(np.array([-1])) is width_of(np.array([0.5])) is None


def spoil(folder: Path, old: str, new: str) -> None:
    text = (folder / NETWORK).read_text()
    assert old in text
    (folder / NETWORK).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"shape": [4, 3, 3, 3]', '"shape": [4, 3, 3, 9]', "column pointers that do not fit"),
        ('"shape": [5, 64]', '"shape": [5, 99999999999]', "do not fit 2 PEs"),
        ('"format": "sparse"', '"format": "sparze"', "unknown format, did you mean sparse"),
        ('"array": "uint8"', '"array": "object"', "unknown type object"),
        ('"bits": 4', '"bits": 3', "do not hold"),
        ('"op": "linear"', '"op": "liner"', "unknown layer kind liner, did you mean linear"),
        ('"outputs": 4', '"outputs": 400000000', "more than 536870912 values"),
        ('"outputs": 4', '"outputs": "4"', "found '4'; allowed: int"),
        ('"outputs": 4', '"outputz": 4', "unknown setting; did you mean outputs"),
        ('"inputs": ["conv"]', '"inputs": ["fc"]', "its input fc does not come before it"),
        ("[3, 4, 4]", "[3, 4, 4000000000000]", "more than 536870912 values"),
    ],
)
def test_a_spoilt_record_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    save(small(), tmp_path)
    spoil(tmp_path, old, new)
    with pytest.raises(InputError) as caught:
        read_saved(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spoilt_arrays_are_one_line(tmp_path: Path) -> None:
    save(small(), tmp_path)
    whole = (tmp_path / TENSORS).read_bytes()
    for piece in (b"", whole[:50], whole[:-7], b"\xff" * 16 + whole, b"PK\x03\x04"):
        (tmp_path / TENSORS).write_bytes(piece)
        with pytest.raises(InputError, match="not a safetensors file"):
            read_saved(tmp_path)
    (tmp_path / TENSORS).unlink()
    with pytest.raises(InputError, match="has no array"):
        read_saved(tmp_path)
    with pytest.raises(InputError, match="no network"):
        read_saved(tmp_path / "..")


def test_a_plain_yaml_may_not_carry_tensors(tmp_path: Path) -> None:
    record = {"name": "fc", "op": "linear", "outputs": 2, "params": {"weight": {"array": "int8", "shape": [2, 2]}}}
    path = tmp_path / "n.yaml"
    path.write_text(f"inputs: {{x: [2]}}\nlayers:\n  - {json.dumps(record)}\n")
    with pytest.raises(InputError, match=r"n.yaml:3:.*saved networks only"):
        read_network(path)

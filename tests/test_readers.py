"""Published files: the compressed SqueezeNet, pruned AlexNet matrices, SCALE-Sim topologies; whole and spoilt."""

import gzip
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sim.errors import InputError
from workloads.formats.csc import Csc
from workloads.formats.gaps import Gaps
from workloads.formats.sparse import Sparse
from workloads.load import load
from workloads.read_scalesim import write_scalesim
from workloads.table import table
from workloads.tensor import Array

small = arrays(
    np.int8, st.tuples(st.integers(1, 60), st.integers(1, 4)), elements=st.sampled_from([0] * 19 + [1, -2, 5])
)


@settings(max_examples=150, deadline=None)
@given(small, st.integers(1, 5))
def test_gap_streams_give_back_what_was_encoded(dense: Array, index_bits: int) -> None:
    gaps = Gaps.encode(dense, index_bits, 4)
    gaps.check()
    assert np.array_equal(gaps.decode(), dense)
    assert gaps.entries - gaps.fillers == np.count_nonzero(dense)
    assert gaps.bits() == len(gaps.codes) * 4 + len(gaps.runs) * index_bits + 16 * 32


def test_the_compressed_squeezenet_to_the_last_byte(data: Path) -> None:
    work = load(str(data / "deep_compression" / "compressed_SqueezeNet.net"))
    weights = [layer.params["weight"] for layer in work.network.layers if "weight" in layer.params]
    assert all(isinstance(weight, Gaps) for weight in weights)
    gaps = [weight for weight in weights if isinstance(weight, Gaps)]
    assert len(gaps) == 26
    assert sum(prod(weight.shape) for weight in gaps) == 1_244_448
    assert sum(weight.entries for weight in gaps) == 422_083
    assert sum(np.count_nonzero(weight.decode()) for weight in gaps) == 415_921
    rows = table(work.network)
    assert rows["total"]["zeros"] == 1_244_448 - 415_921
    assert rows["total"]["macs"] == 861_339_936


def test_one_layer_of_it_becomes_a_matrix_with_its_real_structure(data: Path) -> None:
    path = data / "deep_compression" / "compressed_SqueezeNet.net"
    work = load(f"{path}#conv10")
    (layer,) = work.network.layers
    assert (layer.op.kind, work.network.inputs) == ("linear", {"x": (512,)})
    whole = load(str(path)).network.layer("conv10").array("weight").reshape(1000, 512)
    assert np.array_equal(layer.array("weight"), whole)
    csc = Csc.encode(Sparse.encode(whole), 64, weight_bits=8)
    assert csc.entries - csc.fillers == np.count_nonzero(whole)
    with pytest.raises(InputError, match="did you mean conv10"):
        load(f"{path}#conv100")


@pytest.mark.parametrize("cut", [0, 50, 103, 1500, -1])
def test_a_cut_net_file_is_one_line(tmp_path: Path, data: Path, cut: int) -> None:
    whole = (data / "deep_compression" / "compressed_SqueezeNet.net").read_bytes()
    (tmp_path / "n.net").write_bytes(whole[:cut] if cut >= 0 else whole + b"x")
    with pytest.raises(InputError, match=r"ends within the|1 bytes after"):
        load(str(tmp_path / "n.net"))


def test_the_pruned_alexnet_matrices(data: Path) -> None:
    expected = {
        1: (96, 363, 22_764),
        2: (256, 1200, 48_640),
        3: (384, 2304, 72_184),
        4: (384, 1728, 45_028),
        5: (256, 1728, 57_861),
    }
    densities = []
    for number, (rows, columns, nonzeros) in expected.items():
        net = load(str(data / "deep_compression" / "skimcaffe_alexnet_conv" / f"conv{number}.mtx.gz")).network
        weight = net.layer(f"conv{number}").params["weight"]
        assert isinstance(weight, Sparse)
        weight.check()
        assert (weight.shape, weight.nonzeros) == ((rows, columns), nonzeros)
        densities.append(weight.density)
    assert (round(min(densities), 3), round(max(densities), 2)) == (0.068, 0.65)


def mtx(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no %%MatrixMarket line"),
        ("%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 1\n", "found complex"),
        ("%%MatrixMarket matrix coordinate real general\n%\n", "ends before its sizes"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 99999999\n1 1 1\n", "entries do not fit"),
        ("%%MatrixMarket matrix coordinate real general\n99999999 99999999 1\n1 1 1\n", "allowed: 1 to"),
        ("%%MatrixMarket matrix array real general\n30000 10000\n1\n", "entries do not fit"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 1\n3 1 1.0\n", "not a Matrix Market file"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1.0\n1 1 2.0\n", "given twice"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 nan\n", "not finite"),
        ("%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1.0\n", "not a Matrix Market file"),
    ],
)
def test_a_spoilt_matrix_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(str(mtx(tmp_path / "m.mtx", text)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_matrices_of_every_kind(tmp_path: Path) -> None:
    plain = load(str(mtx(tmp_path / "a.mtx", "%%MatrixMarket matrix array integer general\n2 2\n1\n0\n3\n4\n")))
    assert plain.network.layer("a").array("weight").tolist() == [[1, 3], [0, 4]]
    mirrored = "%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n1 1 1.5\n2 1 -2\n"
    assert load(str(mtx(tmp_path / "b.mtx", mirrored))).network.layer("b").array("weight").tolist() == [
        [1.5, -2],
        [-2, 0],
    ]
    (tmp_path / "c.mtx.gz").write_bytes(gzip.compress(mirrored.encode())[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        load(str(tmp_path / "c.mtx.gz"))


def test_scalesim_topologies_in_and_out(tmp_path: Path) -> None:
    alexnet = load("alexnet").network
    (tmp_path / "alexnet.csv").write_text(write_scalesim(alexnet))
    back = load(str(tmp_path / "alexnet.csv")).network
    assert [layer.name for layer in back.layers] == [layer.name for layer in alexnet.layers if alexnet.macs(layer.name)]
    for layer in back.layers:
        assert back.macs(layer.name) == alexnet.macs(layer.name)
    (tmp_path / "gemm.csv").write_text("Layer, M, N, K,\nfirst, 4, 5, 6,\n\n")
    gemm = load(str(tmp_path / "gemm.csv")).network
    assert gemm.macs("first") == 120


@pytest.mark.parametrize(
    "line", ["a, 1, 2", "a, 9, 9, 3, 3, x, 8, 1,", "a, 9, 9, 30, 3, 1, 8, 1,", "a, 9, 9, 3, 3, 1, 8, 0,"]
)
def test_a_spoilt_topology_names_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.csv").write_text(f"head\n\n{line}\n")
    with pytest.raises(InputError):
        load(str(tmp_path / "t.csv"))

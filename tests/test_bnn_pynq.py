"""Parameter archives written here and read back: precision, folding and padding follow from names and sizes alone."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from archs.finn import datapath, oracle
from archs.finn.chain import chain
from archs.finn.folding import resolve
from archs.finn.spec import FinnSpec
from sim.errors import InputError
from workloads.formats.bits import PeWords
from workloads.read_bnn_pynq import read_bnn_pynq

CNV_W2A2 = (
    *((8, 3, 27, 64), (16, 16, 576, 64), (8, 16, 576, 128), (8, 16, 1152, 128), (4, 8, 1152, 256)),
    *((1, 8, 2304, 256), (1, 2, 256, 512), (2, 2, 512, 512), (4, 1, 512, 64)),
)
"""PE, SIMD, columns and rows of every layer."""


def write(path: Path, classes: str = "", without: str = "-") -> list[np.ndarray]:
    """A random CNV W2A2 archive; its matrices."""
    rng, matrices = np.random.default_rng(0), []
    with tarfile.open(path, "w:gz") as tar:

        def add(name: str, raw: bytes) -> None:
            if not name.startswith(without):
                entry = tarfile.TarInfo(f"svhn_cnvW2A2/{name}")
                entry.size = len(raw)
                tar.addfile(entry, io.BytesIO(raw))

        if classes:
            add("classes.txt", classes.encode())
        for layer, (pe, simd, columns, rows) in enumerate(CNV_W2A2):
            matrices.append(rng.integers(-1, 2, (rows, columns)))
            words = PeWords.encode(matrices[-1], pe, simd, 2).words[:, :, 0]
            limits = np.sort(rng.integers(-20, 20, (pe, rows // pe, 2)) * (60 if layer == 0 else 1), axis=2)
            for p in range(pe):
                add(f"{layer}-{p}-weights.bin", words[p].astype("<u8").tobytes())
                if layer < len(CNV_W2A2) - 1:
                    add(f"{layer}-{p}-thres.bin", limits[p].astype("<i8").tobytes())
    return matrices


@pytest.mark.parametrize(("classes", "rows"), [("", 64), ("a\nb\nc\n", 3), ("a\nb", 2)])
def test_two_bit_networks_come_back(tmp_path: Path, classes: str, rows: int) -> None:
    matrices = write(tmp_path / "any.tar.gz", classes)
    network = read_bnn_pynq(tmp_path / "any.tar.gz")
    lowered = chain(network)
    folds = resolve(FinnSpec(), lowered)
    assert [(fold.pe, fold.simd, fold.mw, fold.mh) for fold in folds.values()] == list(CNV_W2A2)
    assert np.array_equal(network.layer("fc8").array("weight"), matrices[-1][:rows])
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    found, wanted = datapath.run(lowered, folds, images), oracle.run(lowered, images)
    assert all(np.array_equal(found[name], wanted[name]) for name in found)


@pytest.mark.parametrize(
    ("without", "words"),
    [("2-", "without gaps"), ("3-1-weights", "PE 1 are missing"), ("4-0-t", "thres of PE 0 are missing")],
)
def test_missing_files_are_named(tmp_path: Path, without: str, words: str) -> None:
    write(tmp_path / "any.tar.gz", without=without)
    with pytest.raises(InputError, match=words):
        read_bnn_pynq(tmp_path / "any.tar.gz")


def test_a_name_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "net.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("net/0-0-weights.bin")
        entry.size = 8
        tar.addfile(entry, io.BytesIO(bytes(8)))
    with pytest.raises(InputError, match="does not say what it holds"):
        read_bnn_pynq(tmp_path / "net.tar.gz")

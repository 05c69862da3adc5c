"""Spoilt files of every kind the readers take: one line, soon, whatever is wrong with them."""

import random
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

from sim.errors import InputError
from workloads import generate, ops
from workloads.load import load
from workloads.network import Layer, Network
from workloads.save import save
from workloads.table import table

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, the end cut off, or a piece copied elsewhere."""
    changed = bytearray(data)
    match rng.randrange(3):
        case 0:
            for _ in range(rng.choice([1, 1, 3, 20])):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        case 1:
            del changed[rng.randrange(len(changed)) :]
        case _:
            here, there = rng.randrange(len(changed)), rng.randrange(len(changed))
            changed[here : here + 8] = changed[there : there + 8]
    return bytes(changed)


def settle(path: Path) -> None:
    """Loading ends well or in one line, within seconds of the processor."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers made from noise overflow; that is no one's mistake
            work = load(str(path))
            table(work.network, work.approximated, work.unsupported)
    except InputError as error:
        assert "\n" not in str(error)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", ["light_squeezenet.onnx", "light_bvlc_alexnet.onnx"])
def test_spoilt_onnx(tmp_path: Path, name: str) -> None:
    data, rng = (LIGHT / name).read_bytes(), random.Random(0)
    for _ in range(60):
        (tmp_path / "m.onnx").write_bytes(spoilt(data, rng))
        settle(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["TFC_1W2A.onnx", "mnist-conv.onnx", "espcn_nn_resize_quant.onnx"])
def test_spoilt_quantised_onnx(tmp_path: Path, data: Path, name: str) -> None:
    whole, rng = (data / "qonnx" / name).read_bytes(), random.Random(1)
    for _ in range(40):
        (tmp_path / "m.onnx").write_bytes(spoilt(whole, rng))
        settle(tmp_path / "m.onnx")


def test_spoilt_folders(tmp_path: Path) -> None:
    weight = generate.sparse(np.random.default_rng(0), (30, 40), 0.2)
    save(Network("n", {"x": (40,)}, [Layer("fc", ops.Linear(30, bias=False), ("x",), {"weight": weight})]), tmp_path)
    rng = random.Random(2)
    for name in ("network.yaml", "tensors.safetensors"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(120):
            (tmp_path / name).write_bytes(spoilt(whole, rng))
            settle(tmp_path)
        (tmp_path / name).write_bytes(whole)


def test_yaml_bombs(tmp_path: Path) -> None:
    bombs = {
        "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "depth": "[" * 5000 + "]" * 5000,
        "digits": f"inputs: {{x: [{'9' * 4000}]}}\nlayers: []\n",
        "tag": "!!python/object/apply:os.system ['true']\n",
        "long": "x" * (9 << 20),
    }
    for name, text in bombs.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(InputError):
            load(str(tmp_path / f"{name}.yaml"))
        settle(tmp_path / f"{name}.yaml")


def test_a_base_may_not_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("base: ../../etc/passwd\nlayers: {}\n")
    with pytest.raises(InputError, match="a file in the same folder"):
        load(str(tmp_path / "v.yaml"))
    (tmp_path / "loop.yaml").write_text("base: loop\nlayers: {}\n")
    with pytest.raises(InputError):
        load(str(tmp_path / "loop.yaml"))

"""`tapeout import` and `tapeout compress`: from a network file to rows, from rows to a folder that runs."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from sim.errors import CheckError, InputError
from tapeout import cli
from tapeout.arguments import parse_shapes
from workloads.load import load
from workloads.save import read_saved

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def test_import_prints_the_promised_json(capsys: pytest.CaptureFixture[str]) -> None:
    cli.import_(str(LIGHT / "light_squeezenet.onnx"), shape=["data_0=1,3,224,224"], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert {"layers", "total", "approximated", "unsupported"} <= found.keys()
    assert set(found["layers"][0]) == {"name", "op", "shape", "params", "macs", "zeros", "distinct", "encoding"}
    assert found["total"]["macs"] == 349_151_936


def test_import_writes_a_folder_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.import_("neuraltalk-we", out=tmp_path / "we")
    assert "total: 2,458,200 parameters, 2,457,600 MACs" in capsys.readouterr().out
    one, two = load("neuraltalk-we").network, read_saved(tmp_path / "we").network
    assert np.array_equal(one.layer("We").array("weight"), two.layer("We").array("weight"))


def test_compress_writes_a_folder_that_runs_on_eie(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = ["prune(density=0.1)", "share(bits=4)"]
    cli.compress("lenet-300-100-dense", steps, out=tmp_path / "net", as_json=True)
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert [row["format"] for row in rows] == ["gaps"] * 3
    from tapeout import run

    result = run("eie", str(tmp_path / "net"), timing_only=True)
    assert sum(layer["macs"] for layer in result.layers if "skipped" not in layer) == 266_200


def test_a_lowered_convolution_runs_on_a_matrix_vector_machine(tmp_path: Path) -> None:
    cli.compress("bc-svhn-yodann", None, lower="im2col", out=tmp_path)
    kinds = {layer.op.kind for layer in read_saved(tmp_path).network.layers}
    assert "conv" not in kinds
    assert {"unroll", "linear"} <= kinds


def test_mistakes_are_one_line() -> None:
    assert parse_shapes(["x=1,3,48,192"]) == {"x": (1, 3, 48, 192)}
    for text in ("x", "x=", "x=1,b", "=1,2"):
        with pytest.raises(InputError, match="--shape: found"):
            parse_shapes([text])
    with pytest.raises(InputError, match="--lower: found 'fft'"):
        cli.compress("lenet5", None, lower="fft")
    with pytest.raises(InputError, match="unknown family"):
        cli.compress("lenet5", ["prone"])


def test_a_trained_network_survives_eie_and_its_images_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    cli.validate("lenet-300-100", "eie", batch=100, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert found["encoding_exact"]
    flat = {"name": "fc1_flat", "op": "flatten", "sqnr_db": None, "exact": True, "notes": [], "skipped": None}
    assert flat.items() <= found["layers"][0].items()
    first = found["layers"][1]
    assert first["encoding_exact"]
    assert first["saturations"] == 0
    assert first["filler_share"] == 0  # at most 5 rows a PE: no run of 16 zeros
    assert 0 < first["empty_columns"] < 1
    assert set(first["memories"]) == {"spmat", "ptr", "act"}
    assert first["exceeds"] == []
    assert found["layers"][1]["sqnr_db"] > 30
    assert found["accuracy"]["machine"]["n"] == 100
    low, high = found["accuracy"]["float"]["interval95"]
    assert low < found["accuracy"]["machine"]["top1"] < high


def test_one_bit_codes_are_too_few_and_the_exit_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckError, match="does not survive, first in layer fc"):
        cli.validate("lenet-300-100-dense", "eie", batch=200, set_=["weight_bits=1"])
    assert "survives: no" in capsys.readouterr().out


def test_the_layer_that_fills_a_memory_fails_unless_it_is_reloaded(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["spmat_kib=0.5"]
    with pytest.raises(CheckError, match="does not survive, first in layer fc2"):
        cli.validate("lenet-300-100", "eie", set_=small)
    said = capsys.readouterr().out
    assert "spmat" in said
    assert "EXCEEDED" in said
    cli.validate("lenet-300-100", "eie", set_=[*small, "overflow=partition"])


@pytest.mark.parametrize(("machine", "name"), [("yodann", "bc-svhn-yodann"), ("fused", "lenet5"), ("finn", "tfc")])
def test_every_machine_tells_what_it_made_of_a_layer(
    machine: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.validate(name, machine, as_json=True)
    rows = json.loads(capsys.readouterr().out)["layers"]
    told = [row for row in rows if row["encoding_exact"] is not None]
    assert told
    assert all(isinstance(row["saturations"], int) for row in told)


def test_convolutions_that_run_as_matrices_have_a_signal_to_noise_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    cli.validate("lenet5", "eie", set_=["lower=im2col"], as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["layers"]}
    assert rows["conv1"]["sqnr_db"] > 10
    assert rows["conv2"]["sqnr_db"] > 10


def test_labels_must_fit_the_images(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 1, 28, 28), np.float32))
    np.save(tmp_path / "y.npy", np.zeros(4, np.int64))
    with pytest.raises(InputError, match="labels for 3 images"):
        cli.validate("lenet-300-100", "eie", [str(tmp_path / "x.npy")], str(tmp_path / "y.npy"))
    np.save(tmp_path / "y.npy", np.array([0, 10, 9]))
    with pytest.raises(InputError, match=r"^--labels: found 10; allowed: classes 0 to 9$"):
        cli.validate("lenet-300-100", "eie", [str(tmp_path / "x.npy")], str(tmp_path / "y.npy"))


@pytest.mark.parametrize(
    ("machine", "name", "memories"),
    [
        ("yodann", "bc-svhn-yodann", {"image", "filters", "scales"}),
        ("fused", "lenet5", {"on chip"}),
        ("finn", "tfc", {"block RAM"}),
    ],
)
def test_every_machine_tells_how_full_its_memories_are(
    machine: str, name: str, memories: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.validate(name, machine, as_json=True)
    rows = json.loads(capsys.readouterr().out)["layers"]
    told = [row for row in rows if row["encoding_exact"] is not None and row["memories"]]
    assert told
    for row in told:
        assert set(row["memories"]) == memories
        assert all(0 <= room["together_bytes"] <= room["available_bytes"] for room in row["memories"].values())
        assert not row["exceeds"]


def test_a_pipeline_larger_than_its_device_is_told() -> None:
    with pytest.raises(CheckError, match="does not survive, first in layer"):
        cli.validate("lfc", "finn", set_=["device=xc7z020", "fold.target_fps=1000000"])

"""What a user sees: error messages in one line, exit codes, tables and JSON, byte for byte."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_regressions.file_regression import FileRegressionFixture

import tapeout
from sim.errors import InputError
from tapeout import cli

GOLDEN = Path(__file__).parent / "golden"
Command = Callable[..., tuple[int, str, str]]

NETWORK = (
    "name: tiny\nsource: made up\ninputs: {x: [4]}\nlayers:\n  - {name: fc, op: linear, outputs: 3, bias: false}\n"
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in a folder with good and bad files; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    _write_files(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tapeout", *words])
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        return int(str(code or 0)), out, err

    return call


def _write_files(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(NETWORK)
    (folder / "twice.yaml").write_text(NETWORK.replace("outputs: 3", "outputs: 3, outputs: 4"))
    (folder / "typo.yaml").write_text(NETWORK.replace("outputs", "output"))
    (folder / "not.onnx").write_bytes(b"not a model at all")
    (folder / "fast.yaml").write_text("clock: 1 GHz\nqueue_dept: 4\n")
    (folder / "same.yaml").write_text("pes: 4\nclock: 1 GHz\npes: 8\n")
    np.save(folder / "x.npy", np.arange(4, dtype=np.float32))
    np.save(folder / "wide.npy", np.zeros((2, 5)))
    np.save(folder / "words.npy", np.array(["a", "b", "c", "d"]))
    np.save(folder / "nan.npy", np.array([1, 2, np.nan, 4]))
    np.save(folder / "objects.npy", np.array([{}, 1, 2, 3], dtype=object), allow_pickle=True)
    (folder / "text.npy").write_text("1 2 3 4")
    _write_onnx(folder / "nan.onnx")


def _write_onnx(path: Path) -> None:
    """One matrix product, one of whose weights is not a number."""
    import onnx
    from onnx import helper, numpy_helper

    weight = np.ones((4, 3), np.float32)
    weight[1, 2] = np.nan
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")
    graph = helper.make_graph(
        [node],
        "broken",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph), path)


MISTAKES = (
    "run eei alexnet-fc7",
    "run eie alexnet-fc77",
    "run eie none.onnx",
    "run eie not.onnx",
    "run eie nan.onnx",
    "run eie twice.yaml",
    "run eie typo.yaml",
    "run eie:small tiny.yaml",
    "run eie:a tiny.yaml --config b",
    "run eie tiny.yaml --config fast.yaml",
    "run eie tiny.yaml --config same.yaml",
    "run eie tiny.yaml --set pess=32",
    "run eie tiny.yaml --set pes=-1",
    "run eie tiny.yaml --set pes=3.5",
    "run eie tiny.yaml --set pes=many",
    "run eie tiny.yaml --set pes",
    "run eie tiny.yaml --set clock=800",
    "run eie tiny.yaml --set clock=800mhz",
    "run eie tiny.yaml --set clock=5pJ",
    "run eie tiny.yaml --set accounting=papr",
    "run eie tiny.yaml --set energy=none.yaml",
    "run eie tiny.yaml --input wide.npy",
    "run eie tiny.yaml --input y=x.npy",
    "run eie tiny.yaml --input words.npy",
    "run eie tiny.yaml --input nan.npy",
    "run eie tiny.yaml --input objects.npy",
    "run eie tiny.yaml --input text.npy",
    "run eie tiny.yaml --input none.npy",
    "run eie tiny.yaml --input x.npy --batch 3",
    "run eie tiny.yaml --batch 0",
    "run eie tiny.yaml --seed -1",
    "run eie tiny.yaml --engine slow",
    "run eie tiny.yaml --jason",
    "run eie",
    "reproduce eei",
    "show cylces",
    "new-arch My-Arch",
)


def test_mistakes(command: Command, file_regression: FileRegressionFixture) -> None:
    """Every mistake is one line on stderr, nothing on stdout, exit code 2."""
    lines = []
    for words in MISTAKES:
        code, out, err = command(*words.split())
        assert (code, out, err.count("\n")) == (2, "", 1), (words, code, out, err)
        lines.append(f"$ tapeout {words}\n{err}")
    file_regression.check("".join(lines), fullpath=GOLDEN / "mistakes.txt")


def test_table(command: Command, file_regression: FileRegressionFixture) -> None:
    code, out, err = command("run", "eie", "tiny.yaml", "--input", "x.npy", "--set", "pes=2", "--check")
    assert (code, err) == (0, "")
    out = re.sub(r"result [0-9a-f]{16}$", "result DIGEST", out, flags=re.MULTILINE)  # it changes with every source file
    file_regression.check(out, fullpath=GOLDEN / "tiny.txt")


def test_json_and_files(command: Command, tmp_path: Path) -> None:
    words = ("run", "eie", "tiny.yaml", "--input", "x=x.npy", "--set", "pes=2", "--json", "--out", "out")
    code, out, err = command(*words)
    result = json.loads(out)
    folder = Path("out") / result["digest"]
    assert (code, err) == (0, f"wrote {folder}\n")
    assert set(result["run"]) == {"command", "host", "wall_s"}
    assert {"load", "encode", "build", "engine", "compute", "reference"} <= set(result["run"]["wall_s"])
    assert json.loads((folder / "result.json").read_text()) == {k: v for k, v in result.items() if k != "run"}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert command(*words)[0] == 0
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {"run.json"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [result["digest"]]


def test_trace(command: Command, tmp_path: Path) -> None:
    assert command("run", "eie", "tiny.yaml", "--trace", "trace.json")[0] == 0
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"busy", "starved"} <= {event["name"] for event in events}


def test_files_that_cannot_be_written(command: Command) -> None:
    for option in ("--trace", "--out"):
        code, out, err = command("run", "eie", "tiny.yaml", option, "tiny.yaml/x")
        assert (code, out) == (2, "")
        assert err.startswith("tiny.yaml/x") and err.count("\n") == 1


def test_timing_only(command: Command) -> None:
    code, out, _ = command("run", "eie", "alexnet-fc8", "--timing-only", "--json")
    assert (code, json.loads(out)["equivalence"]) == (0, None)


def test_own_prices(command: Command, tmp_path: Path) -> None:
    free = "{energy: {low: 0 J, nominal: 0 J, high: 0 J}, source: mine}"
    (tmp_path / "own.yaml").write_text(f"actions:\n  mac: {free}\n")
    words = ("run", "eie", "tiny.yaml", "--json")
    before, after = (json.loads(command(*words, *more)[1]) for more in ((), ("--set", "energy=own.yaml")))
    assert after["total"]["energy_j"] < before["total"]["energy_j"]
    assert after["digest"] != before["digest"]
    (tmp_path / "own.yaml").write_text(f"actions:\n  mak: {free}\n")
    code, _, err = command(*words, "--set", "energy=own.yaml")
    assert (code, err) == (2, "own.yaml:2:3: actions.mak: unknown entry; did you mean mac?\n")


def test_show(command: Command) -> None:
    assert "eie" in command("show", "archs")[1]
    assert "alexnet-fc6" in command("show", "workloads")[1].split()
    assert "steady_cycles_per_image" in command("show", "metrics")[1]
    assert command("show", "families")[0] == 0
    assert command("show", "ops_per_j")[1].splitlines() == [
        "ops_per_j",
        "Useful operations per joule; 1 MAC is 2 operations. The same number as operations per second and watt.",
        "unit: operation/J",
        "formula: 2 macs_useful / energy_j",
    ]


def test_new_arch(command: Command, tmp_path: Path) -> None:
    (tmp_path / "archs").mkdir()
    code, out, _ = command("new-arch", "mine")
    assert code == 0 and out.splitlines()[1] == "archs/mine/__init__.py"
    assert (tmp_path / "archs" / "mine" / "energy.yaml").is_file()


def test_numbers_that_differ_exit_with_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import archs.eie

    honest = archs.eie.reference
    monkeypatch.setattr(
        archs.eie, "reference", lambda *given: {name: array + 1 for name, array in honest(*given).items()}
    )
    code, out, err = command("run", "eie", "tiny.yaml", "--input", "x.npy")
    assert code == 1
    assert re.search(r"numbers equal +no: fc differs first, by up to 1\n", out)
    assert err == "the numbers differ, first in layer fc\n"


def test_help_is_quick() -> None:
    """`tapeout --help` must not import numpy and its like."""
    slow = "numpy", "numba", "pydantic", "yaml", "networkx", "matplotlib", "onnx", "rich.progress"
    script = f"import sys, tapeout.cli; print([name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "tapeout.cli", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # processor time: 0.15 s


def test_python_api() -> None:
    result = tapeout.run("eie", "neuraltalk-we", settings={"pes": 32}, seed=3)
    assert result.total["cycles"] > 0 and result.layers[0]["name"] == "We"
    assert json.loads(result.to_json())["seed"] == 3
    x = np.zeros((2, *_input_shape("neuraltalk-we")), np.float32)
    assert tapeout.run("eie", "neuraltalk-we", x).data["images"] == 2
    with pytest.raises(InputError, match=r"--input: x: found complex64; allowed: integers or floats|found complex64"):
        tapeout.run("eie", "neuraltalk-we", x.astype(np.complex64))
    with pytest.raises(InputError, match=r"^--batch: found '2'; allowed: 1 or more$"):
        tapeout.run("eie", "neuraltalk-we", batch="2")  # type: ignore[arg-type]


def _input_shape(name: str) -> tuple[int, ...]:
    from workloads.load import load

    return next(iter(load(name).network.inputs.values()))

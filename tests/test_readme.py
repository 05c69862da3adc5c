"""Do README and CONTRIBUTING tell the truth: their Python runs, and so does every command in them?

Commands run in a folder of their own that holds the files they name, in the order of the text. Where one takes minutes,
SMALLER says what runs in its place: the same verb and options on fewer images or another machine.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tapeout import cli, demo

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
PROGRAMS = ("tapeout", "make", "pytest", "pip", "python", "git")
STUDY = "archs/eie/studies/fc7.yaml"
SMALLER = (
    ("--batch 100", "--batch 4"),
    ("--batch 20", "--batch 2"),
    ("compare digits", "compare digits --on finn --batch 2"),
    ("reproduce eie", "reproduce fused"),
    ("reproduce --out", "reproduce fused --out"),
    ("new-arch NAME", "new-arch yours"),
)


def commands(text: str) -> list[str]:
    """Lines set apart, then code in sentences, that begin with a program's name; comments cut off, none twice."""
    apart = re.findall(r"^    (\w+ [^#\n]*)", text, re.MULTILINE)
    within = [
        " ".join(code.split()) for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    ]
    found = [code.strip() for code in apart + within]
    return list(dict.fromkeys(code for code in found if code.split()[0] in PROGRAMS and " " in code))


SHOWN = list(dict.fromkeys(commands(README) + commands(CONTRIBUTING)))
OURS = [code for code in SHOWN if code.startswith("tapeout ")]
MAKE = [code for code in SHOWN if code.startswith("make ")]


def smaller(code: str) -> str:
    """What runs in place of `code`."""
    if code == "tapeout reproduce":
        return "tapeout reproduce fused"
    for long, short in SMALLER:
        code = code.replace(long, short)
    return code


def ended(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> object:
    """Run a command; how it ended."""
    monkeypatch.setattr(sys, "argv", words)
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run: a network, its input, a study."""
    weight = numpy_helper.from_array(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")
    values = [
        helper.make_tensor_value_info(*one)
        for one in (("x", TensorProto.FLOAT, (1, 4)), ("y", TensorProto.FLOAT, (1, 3)))
    ]
    graph = helper.make_graph([node], "net", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    (tmp_path / STUDY).parent.mkdir(parents=True)
    shutil.copy(ROOT / STUDY, tmp_path / STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_tapeout(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Every `tapeout` command runs and ends well."""
    assert len(OURS) > 15
    for code in OURS:
        failed = ended(monkeypatch, shlex.split(smaller(code)))
        out, err = capfd.readouterr()
        assert not failed, f"{code}: {err}"
        assert out or "wrote" in err, code
    assert (folder / "page.html").stat().st_size > 1e6 and (folder / "small").is_dir()


@pytest.mark.parametrize("path", sorted(ROOT.glob("archs/*/README.md")), ids=lambda path: path.parent.name)
def test_runs_of_the_accelerators(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an accelerator's README runs is taken: its timing alone, of the seconds that the whole takes."""
    for code in re.findall(r"^    (tapeout run [^#\n]*)", path.read_text(encoding="utf-8"), re.MULTILINE):
        words = shlex.split(code.replace("--batch 200 --check", "--batch 2"))
        assert not ended(monkeypatch, [*words, "--timing-only"]), f"{code}: {capfd.readouterr().err}"


@pytest.mark.parametrize("code", MAKE)
def test_make(code: str) -> None:
    """The targets exist and their recipes can be read. They are not run: they are this suite, or take minutes."""
    assert subprocess.run(["make", "-n", *code.split()[1:]], cwd=ROOT, capture_output=True).returncode == 0


def test_others(folder: Path) -> None:
    """pip writes nothing and runs. What renews the goldens would rewrite this tree: it only collects its tests."""
    others = [code for code in SHOWN if code not in OURS + MAKE]
    assert others
    for code in others:
        words = [sys.executable, "-m", *shlex.split(code)]
        if code.startswith("pytest"):
            words += ["--collect-only", "-q", "-p", "no:cacheprovider"]
        ran = subprocess.run(words, cwd=ROOT if code.startswith("pytest") else folder, capture_output=True, text=True)
        assert ran.returncode == 0 and ran.stdout, f"{code}: {ran.stderr}"


def test_the_tour_is_short() -> None:
    tour = README.split("## A quick tour")[1].split("Results go to stdout")[0].strip("\n")
    assert len(tour.splitlines()) <= 20 and len(README.splitlines()) < 120


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert "starved" in capsys.readouterr().out


def test_demo() -> None:
    text = demo.story(demo.paper(), demo.paper())
    assert text.count("numbers equal: yes") == 2
    assert re.search(r"paper +12\.2 us", text)
    assert re.search(r"error +[+-]\d+\.\d%", text)

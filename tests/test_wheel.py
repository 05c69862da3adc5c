"""Does the built wheel work in a bare virtual environment, from an empty folder, with the core dependencies alone?"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("wheel")  # one process builds the wheel, once


def _run(*command: str | Path, cwd: Path) -> str:
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment that holds the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    _run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    wheel = next(folder.glob("*.whl"))
    locked = ROOT / "requirements-dev.txt"
    _run(folder / "venv/bin/python", "-m", "pip", "install", "-q", wheel, "-c", locked, cwd=folder)
    return folder / "venv" / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder to work from."""
    return tmp_path


def test_size(bare: Path, record_property: Callable[[str, object], None]) -> None:
    """The installed core is weighed and printed with the summary."""
    packages = next((bare.parent / "lib").glob("python3*/site-packages"))
    sizes = {
        folder.name: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) for folder in packages.iterdir()
    }
    core = {name: size for name, size in sizes.items() if not name.startswith(("pip", "setuptools"))}
    heaviest = ", ".join(f"{name} {core[name] / 1e6:.0f}" for name in sorted(core, key=core.__getitem__)[:-6:-1])
    record_property("installed core", f"{sum(core.values()) / 1e6:.0f} MB (heaviest, MB: {heaviest})")
    assert core["tapeout"] < 1e6


def test_help_and_show(bare: Path, empty: Path) -> None:
    assert "reproduce" in _run(bare / "tapeout", "--help", cwd=empty)
    assert "eie" in _run(bare / "tapeout", "show", "archs", cwd=empty)
    assert "alexnet-fc7" in _run(bare / "tapeout", "show", "workloads", cwd=empty)


def test_run(bare: Path, empty: Path) -> None:
    result = json.loads(_run(bare / "tapeout", "run", "eie", "neuraltalk-we", "--json", cwd=empty))
    assert result["schema"] == "tapeout.result/1" and result["equivalence"]["passed"]
    script = "from tapeout import run; print(run('eie', 'neuraltalk-we', settings={'pes': 32}).total['cycles'])"
    assert int(_run(bare / "python", "-c", script, cwd=empty)) > result["total"]["cycles"]


def test_nothing_is_written_where_one_stands(bare: Path, empty: Path) -> None:
    _run(bare / "tapeout", "show", "metrics", cwd=empty)
    assert list(empty.iterdir()) == []

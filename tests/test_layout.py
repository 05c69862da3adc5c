"""Is the tree what it claims to be: five rooms, nothing lost in the wheel, no drawers for odds and ends?"""

import ast
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("layout")  # one process builds the wheel, once
ROOMS = ("tapeout", "sim", "archs", "workloads", "reports")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all files in a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return set(zipfile.ZipFile(next(folder.glob("*.whl"))).namelist())


def test_wheel_has_exactly_the_five_rooms(packed: set[str]) -> None:
    assert {name.split("/")[0] for name in packed if ".dist-info/" not in name} == set(ROOMS)


def test_wheel_has_every_file(packed: set[str]) -> None:
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True)
    files = {line for line in listed.stdout.splitlines() if (ROOT / line).exists()}
    if not files:  # not a git checkout: take the tree as it is
        files = {str(p.relative_to(ROOT)) for r in ROOMS for p in (ROOT / r).rglob("*") if p.is_file()}
        files = {name for name in files if "__pycache__" not in name}
    assert files - packed == set()
    assert any(name.startswith("archs/") and name.endswith("energy.yaml") for name in packed)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_drawers_for_odds_and_ends(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not path.stem.endswith(("_old", "_new")) and not path.stem.endswith(tuple(f"_v{n}" for n in range(10)))
    assert not any(part in {"utils", "helpers", "common"} for part in path.relative_to(ROOT).parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_library_code_does_not_print_or_exit(path: Path) -> None:
    if path.parent.name == "training" or path.name in ("demo.py", "gallery.py"):
        return  # scripts: printing is their job
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert not names & {"print", "exit", "quit"}


def test_tests_are_flat() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")} == {"tests"}


def test_module_sizes(record_property: Callable[[str, object], None]) -> None:
    """Not a gate: the largest modules are printed with the summary, numbers to look at."""
    sizes = sorted(((len(p.read_text().splitlines()), str(p.relative_to(ROOT))) for p in MODULES), reverse=True)
    record_property("largest modules", ", ".join(f"{name} {lines}" for lines, name in sizes[:5]))
    record_property("modules", f"{len(sizes)}, {sum(lines for lines, _ in sizes)} lines")

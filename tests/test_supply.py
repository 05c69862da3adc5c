"""Can an input file run code, and is the locked environment what its files say?"""

import ast
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.supply import lock

ROOT = lock.ROOT
ROOMS = ("tapeout", "sim", "archs", "workloads", "reports")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

NEVER_CALLED = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint", "os.system", "os.popen", "os.execv",
                "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "np.fromregex",
                "onnx.load_external_data_for_model", "runpy.run_path"}  # fmt: skip
NEVER_IMPORTED = {
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "torch",
    "zipfile",
    "code",
    "runpy",
    "cffi",
}
ONLY_IN = {
    "pickle": {"tapeout/explore/sharing.py"},  # what one run's processes share, in a folder that the run made for itself
    "subprocess": set(),
    "ctypes": {"tapeout/explore/memory.py"},  # hands freed memory back to the system
    "tarfile": {"workloads/read_bnn_pynq.py"},  # members are read into memory, never unpacked
    "socket": {"tapeout/explore/workers.py"},
    "importlib": {"archs/__init__.py", "archs/published.py", "workloads/save.py", "sim/result.py",
                  "tapeout/explore/methods.py", "tapeout/cli.py"},  # our own modules, the version, a test for torch
}  # fmt: skip
NEVER_AS_METHOD = {"extractall", "extract", "allow_pickle", "load_state_dict", "set_default_executor"}


def name(node: ast.expr) -> str:
    """`np.load` of the expression np.load."""
    if isinstance(node, ast.Attribute):
        return f"{name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_in_a_file_is_code(room: str) -> None:
    for path in (path for path in MODULES if path.relative_to(ROOT).parts[0] == room):
        tree, where = ast.parse(path.read_text()), str(path.relative_to(ROOT))
        for module in imported(tree):
            assert module not in NEVER_IMPORTED, f"{where} imports {module}"
            assert where in ONLY_IN.get(module, {where}), f"{where} imports {module}"
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = name(call.func)
            assert called not in NEVER_CALLED, f"{where}:{call.lineno} calls {called}"
            assert called.split(".")[-1] not in NEVER_AS_METHOD, f"{where}:{call.lineno} calls {called}"
            given = {word.arg: word.value for word in call.keywords}
            if called in ("np.load", "np.save", "np.lib.format.read_array"):
                assert isinstance(no := given.get("allow_pickle"), ast.Constant) and no.value is False, (
                    f"{where}:{call.lineno}"
                )
            if called == "onnx.load":
                assert isinstance(no := given["load_external_data"], ast.Constant) and no.value is False, (
                    f"{where}:{call.lineno}"
                )
            assert not (isinstance(yes := given.get("shell"), ast.Constant) and yes.value), f"{where}:{call.lineno}"


def test_there_is_one_way_into_yaml() -> None:
    """Events only, by the strict loader: no composer, no constructor, no tags."""
    users = {str(path.relative_to(ROOT)) for path in MODULES if "yaml" in imported(ast.parse(path.read_text()))}
    assert users == {"sim/config.py"}
    calls = (node for node in ast.walk(ast.parse((ROOT / "sim/config.py").read_text())) if isinstance(node, ast.Call))
    assert {called for node in calls if (called := name(node.func)).startswith("yaml.")} == {"yaml.parse"}


def test_hashes_and_licences_are_of_the_locked_versions() -> None:
    locked = lock.locked()
    text = lock.HASHES.read_text()
    assert dict(re.findall(r"^(\S+)==(\S+) \\$", text, re.MULTILINE)) == locked
    assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)) == len(locked)
    rows = dict(re.findall(r"^\| (\S+) \| (\S+) \|", lock.LICENCES.read_text(), re.MULTILINE))
    assert {package: rows.get(package) for package in locked} == locked


def test_licences_are_what_the_packages_say() -> None:
    shown = dict(re.findall(r"^\| (\S+) \| \S+ \| (.*) \|$", lock.LICENCES.read_text(), re.MULTILINE))
    for package, wanted in lock.locked().items():
        try:
            here = version(package)
        except PackageNotFoundError:
            continue
        if here == wanted:
            assert shown[package] == lock.licence(package).replace("|", "/")


@pytest.mark.parametrize("path", ["requirements-dev.txt", "requirements-hashes.txt", "pyproject.toml", "Makefile"])
def test_no_registry_is_written_down(path: str) -> None:
    text = Path(ROOT / path).read_text()
    assert not re.search(r"index-url|find-links|trusted-host|pypi|file://", text, re.IGNORECASE)

"""What there is: accelerators, workloads, compression families, and what each figure of a result means."""

import ast
from collections.abc import Mapping
from pathlib import Path

import archs as machines
from reports.tables import columns
from sim.errors import InputError, nearest
from sim.result import METRICS
from workloads.load import names


def show(what: str) -> str:
    """The list, or the one metric, called `what`."""
    lists = {"archs": archs, "workloads": networks, "families": families, "metrics": metrics}
    if what in lists:
        return lists[what]()
    known = _metrics()
    if what in known:
        return metric(what)
    raise InputError(f"unknown; {nearest(what, [*lists, *known])}", where=what or "show")


def archs() -> str:
    """Accelerators, their configurations, and what they are."""
    rows = [
        (name, " ".join(machines.configs(name)) or "-", _first_line(machines.folder(name))) for name in machines.names()
    ]
    return columns(("arch", "configurations", ""), rows, left=3)


def networks() -> str:
    """Zoo names."""
    return "\n".join(names())


def families() -> str:
    """Compression families by accelerator: what each gains, measured on a small network (some seconds)."""
    from tapeout import families

    return families.table()


def metrics() -> str:
    """All metrics, one a line; `from` names the accelerator where one alone gives it."""
    rows = [(name, m["unit"], arch, m.get("formula", "")) for name, (arch, m) in sorted(_metrics().items())]
    return columns(("metric", "unit", "from", "formula"), rows, left=4)


def metric(name: str) -> str:
    """One metric: definition, unit, formula, and the accelerator that alone gives it."""
    arch, found = _metrics()[name]
    lines = [name, found["definition"], f"unit: {found['unit'] or '-'}"]
    lines += [f"formula: {found['formula']}"] if "formula" in found else []
    return "\n".join(lines + ([f"given by: {arch}"] if arch else []))


def _metrics() -> dict[str, tuple[str, Mapping[str, str]]]:
    """Every metric by name: the accelerator that alone gives it, or nothing, and what it means."""
    owned = {"": METRICS, **machines.metrics()}
    return {name: (arch, metric) for arch, figures in owned.items() for name, metric in figures.items()}


def _first_line(path: Path) -> str:
    """The first line of a module's docstring, without importing it."""
    source = path / "__init__.py" if path.is_dir() else path
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").split("\n")[0]

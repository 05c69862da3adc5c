"""Benchmarks add rows to tables, which are printed at the end and written to out/, or where `--page` says."""

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import pytest

ABOUT = {
    "Runs": "Milliseconds of each part of a warm run, the least of up to three; `first` is the process's first run, which "
    "loads compiled code. `load` makes or reads tensors, `float` is the float forward pass that fidelity is measured "
    "against, `encode` is timed apart where a machine encodes ahead (the others do it in `compute`), `reference` proves the "
    "numbers. `forward` is numpy's float32 forward pass of the same layers in the same process, weights decoded beforehand.",
    "Whole networks": "Timing + datapath + equivalence (encode, compute, build, engine, reference) as multiples of numpy's "
    "float32 forward pass, and of the machine's own reference. Goal: 2 or less.",
    "Engines": "Events and uncompressed MACs per second of engine time: how fast a simulated layer passes. The simpy engine "
    "(`des`) runs small cases and must give the same cycles.",
    "Memory": "MiB above what is resident after imports: the most while the workload is loaded and while it first runs "
    "(compiled code and the float forward pass included). Goal: 1.5 x (encoded weights + activations at 4 bytes) + 100 MiB.",
    "Growth": "Time fitted as size^exponent over the sizes given, least squares on logarithms; R^2 beside it.",
    "Start": "User CPU seconds of whole commands, the least of five. `first` begins with an empty cache of compiled code.",
    "Ratios": "Single figures, each measured in one process.",
}
TABLES: dict[str, list[dict[str, object]]] = {name: [] for name in ABOUT}


def pytest_addoption(parser):
    parser.addoption("--page", default="out", help="folder for bench.md and bench.json")


@pytest.fixture
def table():
    """`table(title, **figures)` adds a row to a table of the page."""

    def add(title: str, **figures: object) -> None:
        TABLES[title].append(figures)

    return add


@pytest.fixture
def row(table):
    """`row(name, value, unit, goal="")` adds a single figure."""

    def add(name: str, value: float, unit: str, goal: str = "") -> None:
        table("Ratios", figure=name, value=value, unit=unit, goal=goal)

    return add


@pytest.fixture
def seconds():
    """`seconds(run, times=7)`: median wall time of a call, the first left out."""

    def measure(run, times: int = 7) -> float:
        run()
        spent = []
        for _ in range(times):
            began = time.perf_counter()
            run()
            spent.append(time.perf_counter() - began)
        return median(spent)

    return measure


def shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def lines(title: str) -> list[str]:
    """One table as Markdown."""
    rows = TABLES[title]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numbers = [all(isinstance(row.get(key), int | float | None) for row in rows) for key in columns]
    head = [f"| {' | '.join(columns)} |", f"|{'|'.join('---:' if number else '---' for number in numbers)}|"]
    body = [f"| {' | '.join(shown(row.get(key)) for key in columns)} |" for row in rows]
    return [f"## {title}", "", ABOUT[title], "", *head, *body, ""]


def host() -> dict[str, object]:
    packages = {name: version(name) for name in ("numpy", "numba", "scipy")}
    return {
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **packages,
    }


HOST = host()


def pytest_terminal_summary(terminalreporter, config):
    made = [name for name, rows in TABLES.items() if rows]
    if not made:
        return
    said = ", ".join(f"{key.replace('_', ' ')} {shown(value)}" for key, value in HOST.items())
    failed = len(terminalreporter.stats.get("failed", []))
    about = f"Written by `make bench`, which also asserts the cycle counts ({failed} failed). At its start: {said}."
    text = "\n".join(["# How fast", "", about, "", *(line for name in made for line in lines(name))])
    out = Path(config.getoption("--page"))
    out.mkdir(exist_ok=True)
    (out / "bench.md").write_text(text)
    (out / "bench.json").write_text(json.dumps({"host": HOST, **{n: TABLES[n] for n in made}}, indent=1) + "\n")
    terminalreporter.write_line(f"\n{text}\nwritten to {out}/bench.md and {out}/bench.json")

"""Benchmarks add rows to one table, which is printed at the end and written to out/bench.md and out/bench.json."""

import json
import time
from pathlib import Path
from statistics import median

import pytest

ROWS: list[dict[str, object]] = []


@pytest.fixture
def row():
    """`row(name, value, unit, goal="")` puts a measured figure into the table."""

    def add(name: str, value: float, unit: str, goal: str = "") -> None:
        ROWS.append({"name": name, "value": value, "unit": unit, "goal": goal})

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


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    lines = ["| figure | value | unit | goal |", "|---|---:|---|---|"]
    lines += [f"| {r['name']} | {r['value']:.4g} | {r['unit']} | {r['goal']} |" for r in ROWS]
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "bench.md").write_text("\n".join(lines) + "\n")
    (out / "bench.json").write_text(json.dumps(ROWS, indent=2) + "\n")
    terminalreporter.write_line("\n".join(["", *lines, "", "written to out/bench.md and out/bench.json"]))

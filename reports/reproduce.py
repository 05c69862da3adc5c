"""Published figures against ours: every row evaluated, as a table and as JSON."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import archs
from archs.published import Measured, measure, rows
from reports.tables import columns
from sim.files import write
from sim.result import VERSION

Progress = Callable[[str, int, int], None]


def evaluate(names: Sequence[str] = (), progress: Progress = lambda what, done, steps: None) -> list[Measured]:
    """Measure every published row of the accelerators called `names` (default: of all)."""
    todo = [(arch, row) for arch in (names or archs.names()) for row in rows(arch)]
    found = []
    for n, (arch, row) in enumerate(todo):
        progress(f"{arch} {row.id}", n, len(todo))
        found.append(measure(arch, row))
    return found


def table(found: Sequence[Measured]) -> str:
    """Paper, ours, error and status; the summary counts what was found in print and not given to the model."""
    head = ("row", "metric", "workload", "unit", "grade", "use", "paper", "ours", "error", "status")
    lines = [
        (
            f"{m.arch} {m.row.id}",
            m.row.metric,
            m.row.workload or "",
            m.row.unit,
            m.row.grade,
            m.row.use,
            f"{m.row.value:.6g}",
            "" if m.ours is None else f"{m.ours:.6g}",
            "" if m.error is None else f"{m.error:+.1%}",
            m.outcome,
        )
        for m in found
    ]
    why = [f"{m.arch} {m.row.id}: {m.outcome}: {m.why}" for m in found if m.why and m.outcome != "reproduced"]
    return "\n".join([columns(head, lines, left=6), "", *why, *([""] if why else []), summary(found)])


def summary(found: Sequence[Measured]) -> str:
    """The headline: rows graded found and used as checks only, then everything."""
    gated = Counter(m.outcome for m in found if m.row.grade == "found" and m.row.use == "check")
    every = Counter(m.outcome for m in found)
    return f"found in print and not given to the model: {_counts(gated)}\nall rows: {_counts(every)}\ntapeout {VERSION}"


def _counts(counts: Counter[Any]) -> str:
    order = ("reproduced", "gap", "reported", "broken", "data absent")
    return ", ".join(f"{counts[name]} {name}" for name in order if counts[name]) or "none"


def records(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """Rows as plain data: the published row, and ours, error, outcome and why."""
    return [
        {"arch": m.arch}
        | m.row.model_dump(mode="json")
        | {"ours": m.ours, "error": m.error, "outcome": m.outcome, "why": m.why}
        for m in found
    ]


def save(found: Sequence[Measured], out: Path) -> list[Path]:
    """Write the rows as JSON and CSV, and the validation page with its picture, into `out`."""
    from reports import validation

    out.mkdir(parents=True, exist_ok=True)
    plain, text = records(found), io.StringIO()
    if plain:
        writer = csv.DictWriter(text, list(plain[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(plain)
    write(out / "reproduce.json", json.dumps(plain, indent=2) + "\n")
    write(out / "reproduce.csv", text.getvalue())
    return [out / "reproduce.json", out / "reproduce.csv", *(validation.write(plain, out) if plain else [])]

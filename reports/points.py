"""A study's points on the page: its front, every point to click, and the command that remakes each.

Reads study.json and points.csv as an exploration wrote them. Columns of points stand in the page once.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from reports import html, schema
from reports.figures import COLOURS
from reports.html import Cell
from sim.errors import InputError
from sim.result import UNITS

SCHEMA = "tapeout.study/1"
SCHEMA_FILE = Path(__file__).with_name("study.schema.json")
HIDDEN = ("key",)
FRONT_ROWS = 200


@dataclass(frozen=True, eq=False, slots=True)
class Study:
    """`rows` are points by column, as text; `said` is study.json."""

    name: str
    said: Mapping[str, Any]
    rows: Sequence[Mapping[str, str]]


def is_study(path: Path) -> bool:
    """Whether an exploration wrote this folder."""
    return (path / "study.json").is_file() and (path / "points.csv").is_file()


def read(path: Path) -> Study:
    """The study in a folder. InputError where it is another schema."""
    said = schema.read(path / "study.json")
    schema.check(said, SCHEMA_FILE, str(path / "study.json"))
    rows = _rows(path / "points.csv")
    return Study(said["study"].get("question") or f"Study {path.name}", said, rows)


def _rows(path: Path) -> list[dict[str, str]]:
    """The points by column; every line has a value, if an empty one, for every column."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *lines = list(csv.reader(file)) or [[]]
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=str(path)) from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError("not a table", where=str(path)) from None
    if missing := {"key", "arch"} - set(head):
        raise InputError(f"no column {min(missing)}", where=str(path))
    for number, line in enumerate(lines, 2):
        if len(line) != len(head) or len(set(head)) < len(head):
            raise InputError(f"{len(line)} values for {len(set(head))} columns", where=f"{path}:{number}")
    return [dict(zip(head, line, strict=True)) for line in lines]


def section(study: Study, n: int) -> str:
    """Counts, the figure, the inspector, and the front as a table."""
    goals = [
        (goal["minimise"] or goal["maximise"], bool(goal["maximise"])) for goal in study.said["study"]["objectives"]
    ]
    columns = [name for name in (study.rows[0] if study.rows else ()) if name not in HIDDEN]
    metrics = [_column(columns, metric) for metric, _ in goals]
    number = study.said["points"]
    facts = [(name, f"{number[name]:,}") for name in ("asked", "done", "feasible", "failed")]
    facts.append(("on the front", f"{len(study.said['front']):,}"))
    store = {
        "columns": columns,
        "values": [[_value(row[name]) for row in study.rows] for name in columns],
        "settings": [name for name in columns if name not in ("arch", "workload", *_told(columns, metrics))],
    }
    data = json.dumps(store, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    body = html.cards(facts) + f'<script type="application/json" id="points{n}">{data}</script>'
    if len(metrics) > 1 and study.rows:
        body += _figure(study, n, metrics[0], metrics[1], goals)
    panel = (
        f'<div id="inspect{n}" role="status" aria-live="polite"><p class="soft">Click a point, or one below.</p></div>'
    )
    return body + panel + _front(study, n, columns)


def _column(columns: Sequence[str], metric: str) -> str:
    """The column of a metric; files may spell it `figures.METRIC`."""
    return next((name for name in columns if name in (metric, f"figures.{metric}")), metric)


def _told(columns: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """Columns that are no settings."""
    words = ("status", "why", "feasible", "front", "command")
    return [name for name in columns if name in (*words, *metrics) or name.startswith("figures.") or name in UNITS]


def _value(text: str) -> float | str | None:
    if text == "":
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return int(number) if number == int(number) and abs(number) < 2**53 else number


def _figure(study: Study, n: int, x: str, y: str, goals: Sequence[tuple[str, bool]]) -> str:
    done = [
        k for k, row in enumerate(study.rows) if all(isinstance(_value(row.get(c, "")), int | float) for c in (x, y))
    ]
    front = [k for k in done if study.rows[k].get("front") == "True"]
    traces: list[dict[str, Any]] = [
        _marks("every point", [k for k in done if k not in set(front)], "#8a94a0", 4, "circle")
    ]
    archs = list(dict.fromkeys(study.rows[k]["arch"] for k in front))
    for number, arch in enumerate(archs):
        mine = [k for k in front if study.rows[k]["arch"] == arch]
        colour = COLOURS[number % len(COLOURS)]
        traces.append(
            _marks(f"on the front: {arch}", mine, colour, 8, ("circle", "square", "diamond", "cross")[number % 4])
        )
    axes = {axis: _axis(study, done, column, *goal) for axis, column, goal in zip(("xaxis", "yaxis"), (x, y), goals)}
    spec = {"data": traces, "layout": axes, "store": f"points{n}", "x": x, "y": y, "details": f"inspect{n}"}
    caption = f"{len(done):,} points; the front in colour"
    return html.figure(html.plot(f"front{n}", spec, caption), caption + ". Click one to see what it is.")


def _axis(study: Study, done: Sequence[int], column: str, metric: str, more: bool) -> dict[str, Any]:
    unit = UNITS.get(metric.partition(".")[0], "")
    kind = "log" if all(float(study.rows[k][column]) > 0 for k in done) else "linear"
    title = f"{column}, {unit} ({'more' if more else 'less'} is better)"
    return {"title": {"text": title}, "type": kind, "exponentformat": "SI"}


def _marks(name: str, rows: list[int], colour: str, size: int, symbol: str) -> dict[str, Any]:
    marker = {"color": colour, "size": size, "symbol": symbol}
    return {"type": "scattergl", "mode": "markers", "name": name, "rows": rows, "marker": marker}


def _front(study: Study, n: int, columns: Sequence[str]) -> str:
    """Points worth having, each with a button for the keyboard."""
    keys = {row["key"]: k for k, row in enumerate(study.rows) if "key" in row}
    rows = []
    for point in study.said["front"][:FRONT_ROWS]:
        k = keys.get(point["key"], 0)
        settings = " ".join(f"{name}={value}" for name, value in point["settings"].items())
        figures = [Cell(f"{value:.4g}", value) for value in point["figures"].values()]
        head = Cell(f"point {k + 1}", kind="text", button=(f"inspect{n}", str(k)), store=f"points{n}")
        rows.append([head, point["arch"], point["workload"], settings, *figures])
    if not rows:
        return "<p>No point is feasible.</p>"
    names = [f"{name}, {UNITS.get(name.partition('.')[0], '')}" for name in study.said["front"][0]["figures"]]
    more = len(study.said["front"]) - FRONT_ROWS
    note = f"<p>{more:,} more points of the front are in study.json.</p>" if more > 0 else ""
    caption = f"The front of: {escape(study.name)}"
    return html.table(f"front-table{n}", caption, ("point", "machine", "workload", "settings", *names), rows) + note

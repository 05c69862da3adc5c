"""Figures: the same bytes from the same records, the gallery not stale, and every picture with its points beside it."""

import csv
import io
import json
import os
import subprocess
import sys
from math import isclose
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports import figures, runs, timeline, validation
from sim.errors import InputError
from sim.result import Result
from tapeout import gallery
from tapeout.pictures import FOLDER, PICTURES, Picture, stored


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_the_gallery_is_what_our_code_makes(picture: Picture) -> None:
    """Data are compared, not pixels: all points, or of a slow figure some. `make gallery` remakes what is stale."""
    said = f"stale: python -m tapeout.gallery {picture.name}"
    there = stored(picture.name)
    if picture.sample is None:
        assert len(picture.records()) == len(there), said
    made = list(csv.DictReader(io.StringIO(gallery.text((picture.sample or picture.records)()))))
    assert made
    for record in made:
        assert any(all(same(row[key], value) for key, value in record.items()) for row in there), f"{said}: {record}"


def same(one: str, other: str) -> bool:
    """Fields of a CSV: the same text, or numbers that agree in twelve digits."""
    try:
        return one == other or isclose(float(one), float(other), rel_tol=1e-12)
    except ValueError:
        return False


@pytest.mark.parametrize("inches", [figures.PAGE_INCHES, figures.COLUMN_INCHES], ids=["page", "column"])
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_every_picture_is_whole_and_drawn_from_its_points(picture: Picture, inches: float, tmp_path: Path) -> None:
    """The stored points, read back as numbers, still draw at both widths; all four files are there."""
    for kind in ("pdf", "svg", "png", "csv"):
        assert (FOLDER / f"{picture.name}.{kind}").stat().st_size > 100
    records = [{name: value(text) for name, text in row.items()} for row in stored(picture.name)]
    figure = picture.draw(records, inches)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    assert figure.get_figwidth() <= inches
    box = figure.get_tightbbox()
    assert box.x0 > -0.02 and box.x1 < figure.get_figwidth() + 0.02, "text is cut off"
    assert all(
        axes.get_xlabel() or axes.get_ylabel() or axes.get_title() or axes.get_title("left") for axes in figure.axes
    )


def value(text: str) -> Any:
    """A CSV field as it was written."""
    if text in ("True", "False", ""):
        return {"True": True, "False": False, "": ""}[text]
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = [
        {"layer": layer, "machine": machine, "speedup": 1.5 + n}
        for n, (layer, machine) in enumerate([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")])
    ]
    for folder in ("one", "two"):
        figures.save(runs.bars(records, "speedup", "speed-up"), records, tmp_path / folder / "bars", "a test")
    for kind in ("pdf", "svg", "png", "csv"):
        one, two = ((tmp_path / folder / f"bars.{kind}").read_bytes() for folder in ("one", "two"))
        assert one == two, kind


def test_the_mean_group_is_geometric() -> None:
    assert runs.geomean([1.0, 100.0]) == pytest.approx(10.0)
    records = [{"layer": layer, "machine": "m", "v": v} for layer, v in (("a", 1.0), ("b", 100.0))]
    axes = runs.bars(records, "v", "v").axes[0]
    heights = [patch.get_height() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert heights == pytest.approx([1.0, 100.0, 10.0])
    assert axes.get_yscale() == "log"


def test_parts_are_of_one_image() -> None:
    total = {
        "energy_by_component_j": {"mac": 6.0, "sram": 2.0},
        "energy_interval_j": [4.0, 8.0, 12.0],
        "traffic_bytes": {"sram.weights.read": 4, "sram.sums.write": 6},
    }
    made = Result({"images": 2, "total": total}, "made up")
    energy = list(runs.parts({"x": made}, "energy_by_component_j"))
    assert [(r["part"], r["amount"], r["high"]) for r in energy] == [("mac", 3.0, 6.0), ("sram", 1.0, 6.0)]
    assert [(r["part"], r["amount"]) for r in runs.parts({"x": made}, "traffic_bytes")] == [("sram", 5.0)]


def row(name: str, ours: float | None, **others: Any) -> dict[str, Any]:
    """A made-up published row, found and used as a check, of value 10."""
    error = None if ours is None else ours / 10 - 1
    return {
        "arch": "eie", "id": name, "workload": "w", "value": 10.0, "ours": ours, "unit": "us", "error": error,
        "tolerance": 0.1, "outcome": "reproduced", "grade": "found", "use": "check", "evidence": "board",
        "source": "Table <I>", "why": "a | b",
    } | others  # fmt: skip


def test_the_worst_rows_come_first_and_recalled_ones_apart(tmp_path: Path) -> None:
    rows = [
        row("good", 10.1),
        row("far", 17.0, outcome="gap"),
        row("worse", 10.9),
        row("memory", 10.0, grade="recalled", outcome="reported"),
        row("given", 10.0, use="input"),
        row("absent", None, outcome="data absent"),
    ]
    order = [r["id"] for r in validation.worst_first(validation.headline(rows))]
    assert order == ["far", "worse", "good", "absent"]
    tables = {anchor: [r["id"] for r in mine] for anchor, _, mine in validation.groups(rows)}
    assert tables["recalled"] == ["memory"] and tables["given"] == ["given"]
    assert validation.counts(validation.headline(rows)) == "2 reproduced, 1 gap, 1 data absent"
    made = {path.name for path in validation.write(rows, tmp_path)}
    assert {"reproduce.md", "reproduce.html", "against_paper.svg", "against_paper.csv"} <= made
    page = (tmp_path / "reproduce.html").read_text(encoding="utf-8")
    assert "Table &lt;I&gt;" in page and 'src="http' not in page
    assert "a \\| b" in (tmp_path / "reproduce.md").read_text(encoding="utf-8")


DRAW = """
from pathlib import Path
from reports import figures
from tapeout.pictures import PICTURES, stored
from test_figures import value
for picture in PICTURES:
    if picture.name in ("stalls-finn", "fused-storage-transfer"):
        records = [{name: value(text) for name, text in row.items()} for row in stored(picture.name)]
        figures.save(picture.draw(records, 7.2), records, Path(OUT) / picture.name, "a test")
"""


def test_two_processes_draw_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order of their hash tables."""
    for seed in ("1", "2"):
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); OUT = {str(tmp_path / seed)!r}\n{DRAW}"
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, timeout=120
        )
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert len(files) == 8
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def trace(folder: Path, *events: dict[str, Any]) -> Path:
    """A trace file of one stage `s`."""
    name = {"ph": "M", "tid": 1, "name": "thread_name", "args": {"name": "s"}}
    (folder / "trace.json").write_text(json.dumps({"traceEvents": [name, *events]}))
    return folder / "trace.json"


def span(kind: str, start: int, end: int) -> dict[str, Any]:
    return {"ph": "X", "tid": 1, "name": kind, "ts": start, "dur": end - start}


def fill(cycle: int, tokens: int) -> dict[str, Any]:
    return {"ph": "C", "name": "f", "ts": cycle, "args": {"tokens": tokens}}


def test_a_short_trace_is_shown_as_it_is(tmp_path: Path) -> None:
    path = trace(tmp_path, span("starved", 0, 3), span("busy", 3, 9), fill(0, 0), fill(2, 4), fill(5, 1), fill(9, 0))
    records = timeline.read(path)
    spans = [(r["kind"], r["start"], r["end"]) for r in records if r["track"]]
    assert spans == [("starved", 0, 3), ("busy", 3, 9)]
    assert [(r["cycle"], r["tokens"]) for r in records if r["fifo"]] == [(0, 0), (2, 4), (5, 1), (9, 0)]
    assert isinstance(timeline.drawn(records, "t"), Figure)
    assert {path.suffix for path in timeline.main(path, tmp_path / "out")} == {".pdf", ".svg", ".png", ".csv"}


def test_a_long_trace_is_shown_in_bins(tmp_path: Path) -> None:
    """Ten cycles a bin: what takes most of it, and the most tokens in it, also of a fill that began before it."""
    path = trace(
        tmp_path, span("busy", 0, 16), span("starved", 16, 6000), fill(0, 0), fill(12, 7), fill(14, 3), fill(48, 5),
        fill(49, 0),
    )  # fmt: skip
    records = timeline.read(path)
    assert [(r["kind"], r["start"], r["end"]) for r in records if r["track"]] == [
        ("busy", 0, 20),
        ("starved", 20, 6000),
    ]
    fills = [(r["cycle"], r["tokens"]) for r in records if r["fifo"]]
    assert fills == [(0, 0), (10, 7), (20, 3), (40, 5), (50, 0)]


def test_what_is_no_trace_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="not a trace"):
        timeline.read(tmp_path / "other.json")
    with pytest.raises(InputError, match="nothing happens"):
        timeline.read(trace(tmp_path))

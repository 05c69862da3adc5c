"""Figures: the same bytes from the same records, the gallery not stale, and every picture with its points beside it."""

import csv
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports import figures, runs, validation
from sim.result import Result
from tapeout import gallery
from tapeout.gallery import FOLDER, PICTURES, Picture


@pytest.mark.parametrize("picture", [p for p in PICTURES if p.quick], ids=lambda picture: picture.name)
def test_the_gallery_is_what_our_code_makes(picture: Picture) -> None:
    """Data are compared, not pixels. `make gallery` remakes what is stale."""
    stored = (FOLDER / f"{picture.name}.csv").read_text(encoding="utf-8")
    assert gallery.text(picture.records()) == stored, f"stale: python -m tapeout.gallery {picture.name}"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_every_picture_is_whole_and_drawn_from_its_points(picture: Picture, tmp_path: Path) -> None:
    """The stored points, read back as numbers, still draw; all four files are there."""
    for kind in ("pdf", "svg", "png", "csv"):
        assert (FOLDER / f"{picture.name}.{kind}").stat().st_size > 100
    with open(FOLDER / f"{picture.name}.csv", newline="", encoding="utf-8") as file:
        records = [{name: value(text) for name, text in row.items()} for row in csv.DictReader(file)]
    figure = picture.draw(records)
    assert isinstance(figure, Figure)
    made = figures.save(figure, records, tmp_path / picture.name, "a test")
    svg = next(path for path in made if path.suffix == ".svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in svg


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

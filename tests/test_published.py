"""Does every published row still stand, and is judging them as strict as it claims?"""

from pathlib import Path
from typing import Any

import pytest

import archs
from archs.published import Measured, Row, all_rows, judge, measure, rows
from reports import reproduce
from sim.errors import InputError

ROWS = all_rows()


GROUPED = [
    pytest.param(arch, row, id=f"{arch}-{row.id}", marks=pytest.mark.xdist_group(f"published {arch}"))
    for arch, row in ROWS
]
"""Rows of one accelerator share runs: in one process they are made once."""


@pytest.mark.parametrize(("arch", "row"), GROUPED)
def test_row(arch: str, row: Row) -> None:
    """A gap that closes fails as loudly as a reproduction that breaks."""
    found = measure(arch, row)
    if found.outcome == "data absent":
        pytest.skip(f"reference data absent: {found.why}")
    assert found.outcome != "broken", found.why


PLAIN: dict[str, Any] = {
    "id": "fc6",
    "metric": "time",
    "value": 30.3,
    "unit": "us",
    "source": "Table IV",
    "grade": "found",
    "use": "check",
    "evidence": "simulator",
    "tolerance": 0.04,
    "status": "reproduced",
}


@pytest.mark.parametrize(
    ("change", "ours", "outcome"),
    [
        ({}, 30.3, "reproduced"),
        ({}, 31.5, "reproduced"),
        ({}, 31.6, "broken"),
        ({"status": "gap", "why": "unknown"}, 40.0, "gap"),
        ({"status": "gap", "why": "unknown"}, 30.0, "broken"),
        ({"status": "reported", "tolerance": None}, 99.0, "reported"),
        ({"grade": "recalled"}, 99.0, "reported"),
        ({"ours": 30.3}, 30.3, "reproduced"),
        ({"ours": 30.3}, 30.30001, "broken"),
        ({"ours": 99.0, "grade": "recalled"}, 99.1, "broken"),
        ({"value": 0, "tolerance": 0.1}, 0.0, "reproduced"),
    ],
)
def test_judge(change: dict[str, Any], ours: float, outcome: str) -> None:
    assert judge(Row(**PLAIN | change), ours)[0] == outcome


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": None}, "needs a tolerance"),
        ({"status": "gap"}, "a gap needs a why"),
        ({"grade": "guessed"}, r"published\.yaml:\d+:\d+: 0\.grade: .*'guessed'"),
        ({"sourse": "x"}, "did you mean source"),
    ],
)
def test_rows_are_strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str) -> None:
    text = "".join(f"  {key}: {'~' if value is None else value}\n" for key, value in (PLAIN | change).items())
    (tmp_path / "published.yaml").write_text("-\n" + text)
    monkeypatch.setattr(archs, "folder", lambda name: tmp_path)
    with pytest.raises(InputError, match=message):
        rows("toy")


def test_ids_are_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "-\n" + "".join(f"  {key}: {value}\n" for key, value in PLAIN.items())
    (tmp_path / "published.yaml").write_text(text * 2)
    monkeypatch.setattr(archs, "folder", lambda name: tmp_path)
    with pytest.raises(InputError, match="fc6: the id is taken"):
        rows("toy")


def test_table_and_files(tmp_path: Path) -> None:
    row = Row(**PLAIN)
    found = [
        Measured("toy", row, 30.0, "reproduced", ""),
        Measured("toy", Row(**PLAIN | {"id": "vgg6", "use": "input"}), 50.0, "broken", "too slow"),
        Measured("toy", Row(**PLAIN | {"id": "x"}), None, "data absent", "no folder"),
    ]
    text = reproduce.table(found)
    assert "toy fc6   time              us    found  check   30.3    30   -1.0%   reproduced" in text
    assert "toy vgg6: broken: too slow" in text
    assert "found in print and not given to the model: 1 reproduced, 1 data absent" in text
    assert "all rows: 1 reproduced, 1 broken, 1 data absent" in text
    written = reproduce.save(found, tmp_path / "out")
    assert {"reproduce.json", "reproduce.csv", "reproduce.md", "reproduce.html"} <= {path.name for path in written}
    assert written[1].read_text().count("\n") == 4

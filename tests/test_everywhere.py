"""Every network of the zoo runs on every machine under timing only, or one line says why not.

The rule of the sample: all networks on machines whose time follows from shapes; on machines whose time depends on values
(these have to be made and encoded first) networks of up to 2 million weights. The page in the gallery has all of them.
"""

from functools import cache

import pytest

import archs
from tapeout import everywhere
from workloads.load import names

MOST_WEIGHTS = 2_000_000


@pytest.mark.parametrize("machine", archs.names())
def test_every_network_runs_or_says_in_one_line_why_not(machine: str) -> None:
    valued = hasattr(archs.find(machine), "VALUES")
    found = list(everywhere.cells((machine,), MOST_WEIGHTS if valued else None))
    assert len(found) > 20
    assert any(not cell.reason for cell in found)
    for cell in found:
        assert "\n" not in cell.reason
        assert (cell.cycles > 0) == (cell.ran > 0), cell
        assert cell.reason or cell.ran
        assert on_page(machine)[cell.network] == cell.text, "stale: python -m tapeout.gallery zoo"


@cache
def on_page(machine: str) -> dict[str, str]:
    """What the page in the gallery says of a machine, by network."""
    lines = [
        line[2:-2].split(" | ") for line in everywhere.PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    head, *rows = lines
    return {row[0]: row[head.index(machine)] for row in rows}


def test_the_page_has_a_line_for_every_network() -> None:
    text = everywhere.PAGE.read_text(encoding="utf-8")
    assert [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")][1:] == list(
        names()
    )
    assert "Traceback" not in text

"""Two results side by side: is everything that changed named, and nothing that did not?"""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reports import stored
from reports.diff import TOTAL, diff, table
from sim.errors import InputError
from sim.result import Result
from tapeout import run
from tapeout.cli import app


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One workload on 64 and on 32 PEs, as stored folders."""
    out = tmp_path_factory.mktemp("results")
    first, second = (run("eie", "lenet-300-100", settings={"pes": pes}) for pes in (64, 32))
    return first.save(out), second.save(out)


def test_same_results_do_not_differ(pair: tuple[Path, Path]) -> None:
    one = stored.read(pair[0])
    found = diff(one, stored.read(pair[0] / "result.json"))
    assert not found.changes and not found.settings
    assert "no figure differs" in table(found)


def test_each_changed_number_is_named_once(pair: tuple[Path, Path]) -> None:
    before = stored.read(pair[0])
    data = deepcopy(before.data)
    data["layers"][1]["stalls"]["starved"] += 7
    data["layers"][1]["cycles"] += 1
    data["total"]["traffic_bytes"]["dram.weights.read"] = 64
    found = diff(before, Result(data, "edited"))
    assert {(c.layer, c.figure, c.amount) for c in found.changes} == {
        ("fc2", "stalls.starved", 7),
        ("fc2", "cycles", 1),
        (TOTAL, "traffic_bytes.dram.weights.read", 64),
    }
    text = table(found)
    assert "starved +7 unit-cycles" in text and "dram.weights.read" in text and "fc1" not in text


def test_settings_and_layers_are_told(pair: tuple[Path, Path]) -> None:
    found = diff(*map(stored.read, pair))
    assert found.settings == {"eie.pes": (64, 32)}
    assert table(found).index("fc1") < table(found).index("fc3"), "the layer that changed most comes first"


def test_layers_that_are_in_one_only(pair: tuple[Path, Path]) -> None:
    before = stored.read(pair[0])
    data = deepcopy(before.data)
    del data["layers"][2]
    gone = [change for change in diff(before, Result(data, "edited")).changes if change.layer == "fc3"]
    assert all(change.after is None for change in gone) and any(change.figure == "cycles" for change in gone)


def test_command(pair: tuple[Path, Path]) -> None:
    words = ["diff", str(pair[0]), str(pair[1])]
    assert "eie.pes" in CliRunner().invoke(app, words).stdout
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["settings"]["eie.pes"] == {
        "before": 64,
        "after": 32,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "not a JSON file"), ("[1]", "no object in it"), ('{"schema": "other"}', "allowed: tapeout")],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=said):
        stored.read(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        stored.read(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"no result\.json here"):
        stored.read(Path(tmp_path.anchor) / "usr")

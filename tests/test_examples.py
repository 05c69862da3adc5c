"""The examples run as they stand, in a folder of their own, and say what they promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_runs(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script of `# %%` cells: one that says what it is, then code; every file it names is there."""
    assert example.read_text(encoding="utf-8").startswith("# %% [markdown]\n# # ")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    made = [line for line in capsys.readouterr().out.splitlines() if line.startswith("out/")]
    assert made and all((tmp_path / path).stat().st_size > 100 for path in made)


def test_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are right, and the sweep says what the text asks: a deeper queue never costs cycles."""
    monkeypatch.chdir(tmp_path)
    tour = runpy.run_path(str(EXAMPLES[0].with_name("tour.py")))
    assert tour["result"].data["equivalence"]["passed"]
    assert tour["accuracy"]["n"] == 20 and tour["accuracy"]["top1"] >= 0.9
    assert len(tour["records"]) == 3 * len(tour["DEPTHS"])
    for name in ("fc1", "fc2", "fc3"):
        cycles = [record["cycles"] for record in tour["records"] if record["layer"] == name]
        assert cycles == sorted(cycles, reverse=True)

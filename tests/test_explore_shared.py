"""Work that points share: nothing of it shows in their figures, and `tapeout run` says the same of each."""

from pathlib import Path
from typing import Any

import pytest

import tapeout
from sim import run as running
from tapeout.explore import point as points
from tapeout.explore.point import DONE, Point, evaluate, forget

TINY = """
name: tiny
source: made up
inputs: {x: [256]}
layers: [{name: fc, op: linear, outputs: 192, bias: false, density: {weight: 0.1, activation: 0.4}}]
"""
FOLDS = [{"pe": 8, "simd": 16}, {"pe": 8, "simd": 8}, {"pe": 8, "simd": 8}, {"pe": 2, "simd": 8}]
OTHERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "eie": ("tiny.yaml", {"pes": 16}, {"clock": "400 MHz", "accounting": "paper"}),
    "yodann": (
        "lenet5",
        {"channels": 32},
        {"voltage": 0.8, "threshold": 0.4, "clock": "10 MHz", "boundary": "chip", "link_energy": "10 pJ/bit"},
    ),
    "finn": (
        "sfc",
        {"fold.layers": FOLDS},
        {"clock": "100 MHz", "device": "xc7z020"},
    ),
    "fused": ("lenet5", {}, {"clock": "50 MHz"}),
}
"""By accelerator: a workload, settings, and other values of every setting that no cycle depends on."""


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)


def made(arch: str, changed: dict[str, Any]) -> Point:
    workload, settings, _ = OTHERS[arch]
    return Point(arch, workload, tuple((settings | changed).items()))


@pytest.mark.parametrize("arch", OTHERS)
def test_prices_alone_simulate_nothing(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each such setting changed, after another point and alone: the same row, and no second simulation."""
    built: list[object] = []
    timing = running.timing
    monkeypatch.setattr(points, "timing", lambda *args: (built.append(args), timing(*args))[1])
    others = [made(arch, {name: value}) for name, value in OTHERS[arch][2].items()]
    forget()
    first = evaluate(made(arch, {}))
    shared = [evaluate(point) for point in others]
    assert len(built) == 1
    for point, row in zip(others, shared, strict=True):
        forget()
        assert (first["status"], row["status"]) == (DONE, DONE), (first["why"], row["why"])
        assert evaluate(point) == row


@pytest.mark.parametrize("arch", OTHERS)
def test_every_setting_that_only_prices_is_tried(arch: str) -> None:
    import archs

    given = points.spec(made(arch, {}))
    assert set(archs.find(arch).prices(given)) - {"energy"} == set(OTHERS[arch][2])


@pytest.mark.parametrize(
    ("arch", "workload"), [("eie", "lenet-300-100-dense"), ("eie", "lfc"), ("finn", "sfc"), ("yodann", "lenet5")]
)
def test_a_point_is_what_run_says(arch: str, workload: str) -> None:
    """Trained networks, and networks of shapes alone, which get seeded tensors where they matter."""
    forget()
    row = evaluate(Point(arch, workload, ()))
    total = tapeout.run(arch, workload, timing_only=True).total
    assert row["status"] == DONE, row["why"]
    for name in ("cycles", "time_s", "energy_j", "power_w"):
        assert row[name] == total[name]


def test_prices_of_ones_own(tmp_path: Path) -> None:
    """`energy` is a setting in a study as in `tapeout run`, also where the accelerator has no such setting of its own."""
    table = tmp_path / "mine.yaml"
    table.write_text("actions: {io.pixels: {energy: {low: 98 nJ, nominal: 99 nJ, high: 100 nJ}, source: measured}}\n")
    dear = Point("yodann", "lenet5", (("energy", str(table)), ("boundary", "chip")))
    cheap = Point("yodann", "lenet5", (("boundary", "chip"),))
    row = evaluate(dear)
    assert row["status"] == DONE, row["why"]
    assert (
        row["energy_j"]
        == tapeout.run("yodann", "lenet5", settings=dict(dear.settings), timing_only=True).total["energy_j"]
    )
    assert row["energy_j"] > evaluate(cheap)["energy_j"] and dear.key != cheap.key

"""Work that points share: nothing of it shows in their figures, and `tapeout run` says the same of each."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tapeout
from sim import run as running
from sim.errors import InputError
from tapeout.explore import point as points
from tapeout.explore import study as studies
from tapeout.explore import verb
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


COMPRESSED = """
question: "How few weights, of how few bits?"
arch: [eie, fused]
workload: tiny.yaml
compress: ["prune(density={kept})", "share(bits={weight_bits})"]
parameters:
  kept: [0.02, 0.05]
  weight_bits: {values: [2, 3], when: {arch: eie}}
  pes: {values: [8, 16], when: {arch: eie}}
objectives: [{minimise: time_s}, {minimise: energy_j}]
"""


def test_compression_is_a_parameter(tmp_path: Path) -> None:
    """Steps become part of a workload's name; a step whose parameter is not active is left out; commands remake points."""
    path = tmp_path / "study.yaml"
    path.write_text(COMPRESSED)
    plan = studies.read(path)
    texts = [studies.workload(plan.study, chosen) for chosen in plan.space.grid()]
    assert texts.count("tiny.yaml|prune(density=0.02)|share(bits=2)") == 2
    assert texts.count("tiny.yaml|prune(density=0.02)") == 1 and len(texts) == 10
    path.write_text(COMPRESSED.replace("[eie, fused]", "eie"))
    (said, folder), (again, other) = (
        verb.run(studies.read(path), tmp_path / str(jobs), jobs, None, lambda *_: None) for jobs in (1, 2)
    )
    assert said == again and (folder / "points.csv").read_bytes() == (other / "points.csv").read_bytes()
    assert said["points"]["done"] == 8 and set(said["importance"]["energy_j"]) >= {"kept", "weight_bits", "pes"}
    best = said["front"][0]
    assert best["network"] == {"workload": "tiny.yaml", "kept": 0.02, "weight_bits": best["settings"]["weight_bits"]}
    assert best["workload"] == f"tiny.yaml|prune(density=0.02)|share(bits={best['settings']['weight_bits']})"
    done = subprocess.run(
        [sys.executable, "-m", "tapeout.cli", *shlex.split(best["command"])[1:], "--json"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["total"]["energy_j"] == best["figures"]["energy_j"]


def test_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workloads import load

    made: list[object] = []
    compressed = load.compressed
    monkeypatch.setattr(load, "compressed", lambda *args: (made.append(args), compressed(*args))[1])
    (tmp_path / "study.yaml").write_text(COMPRESSED.replace("[eie, fused]", "eie"))
    verb.run(studies.read(tmp_path / "study.yaml"), tmp_path / "out", 1, None, lambda *_: None)
    assert len(made) == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('compress: ["prune(density={kept})"]', "compress.0: no such parameter; did you mean kepd?"),
        ('compress: ["prune(density={kepd})"]', "compress.0: prune.density: found 2"),
        ('compress: ["prun(density={kepd})"]', "compress.0: prun: unknown family; did you mean prune?"),
        ("compress: []", "parameters.kepd: eie has no such setting"),
    ],
)
def test_bad_steps(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        f"question: q\narch: eie\nworkload: tiny.yaml\nparameters: {{kepd: [0.5, 2]}}\n{line}\n"
        "objectives: [{minimise: time_s}]\n"
    )
    with pytest.raises(InputError, match=r"study\.yaml:5:\d+: |study\.yaml:4:\d+: ") as caught:
        studies.read(path)
    assert said in str(caught.value)


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
    dear = Point("yodann", "lenet5", (("energy", str(table)), ("boundary", "system")))
    cheap = Point("yodann", "lenet5", (("boundary", "system"),))
    row = evaluate(dear)
    assert row["status"] == DONE, row["why"]
    assert (
        row["energy_j"]
        == tapeout.run("yodann", "lenet5", settings=dict(dear.settings), timing_only=True).total["energy_j"]
    )
    assert row["energy_j"] > evaluate(cheap)["energy_j"] and dear.key != cheap.key

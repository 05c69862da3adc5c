"""Comparisons: are ranks claimed only where they hold, and is what a machine cannot exploit named?"""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tapeout
from reports import compare as comparison
from reports import ranking, scaling
from reports.compare import Comparison
from reports.entries import Entry, Part
from sim.errors import InputError
from sim.result import Result
from tapeout import contest, session
from tapeout.cli import app

STATIC = {"eie": "clock", "fused": "device"}


def part(
    machine: str,
    core: float = 1.0,
    chip: float = 1.0,
    system: float = 1.0,
    spread: float = 0.0,
    memory: float = 0.0,
    idle: float = 0.0,
    config: dict[str, Any] | None = None,
) -> Part:
    """A made-up result of one image in one second: energies in joule, `idle` watts among them."""
    arch = machine.partition(":")[0]
    nominal = {"core": core, "chip": chip, "system": system}
    total = {
        "macs": 100,
        "cycles": 10,
        "time_s": 1.0,
        "latency_s": 1.0,
        "steady_cycles_per_image": 10,
        "energy_j": system,
        "energy_interval_j": [system * (1 - spread), system, system * (1 + spread)],
        "energy_by_boundary_j": nominal,
        "energy_by_component_j": {"spmat_read": memory} | ({STATIC[arch]: idle} if arch in STATIC else {}),
        "traffic_bytes": {"dram.weights.read": 8, "spmat.weights.read": 80},
        "macs_wasted": {},
    }
    data = {
        "images": 1,
        "total": total,
        "arch": {"name": arch, "config": config or {}},
        "equivalence": {"passed": True},
        "layers": [],
    }
    return Part(machine, Result(data, "made up"))


def table(*parts: Part, **options: Any) -> Comparison:
    return Comparison("made up", [Entry(p.machine, "x", 100, (p,)) for p in parts], **options)


def test_far_apart_is_ranked() -> None:
    found = table(part("yodann"), part("fused", 90, 90, 90, spread=0.1))
    assert [found.rank(entry) for entry in found.entries] == ["1", "2"]
    assert "not separable:" not in comparison.table(found)


def test_a_rank_that_flips_under_the_boundary_is_not_separable() -> None:
    found = table(part("yodann", core=1, chip=1, system=50), part("fused", core=9, chip=9, system=9))
    assert [found.rank(entry) for entry in found.entries] == ["1-2", "1-2"]
    assert "not separable: fused from yodann" in comparison.table(found)


def test_a_rank_that_flips_under_the_scaling_rule_is_not_separable() -> None:
    """45 nm and 0.9 V to 65 nm and 1.0 V costs 1.78 times the energy: 1.5 times is inside, 2.5 times is not."""
    near = table(part("eie"), part("yodann", 1.5, 1.5, 1.5, config={"voltage": 1.0}))
    assert [near.rank(entry) for entry in near.entries] == ["1-2", "1-2"]
    far = table(part("eie"), part("yodann", 2.5, 2.5, 2.5, config={"voltage": 1.0}))
    assert [far.rank(entry) for entry in far.entries] == ["1", "2"]


def test_a_rank_inside_the_interval_is_not_separable() -> None:
    found = table(part("yodann", spread=0.3), part("fused", 1.5, 1.5, 1.5, spread=0.3))
    assert {found.rank(entry) for entry in found.entries} == {"1-2"}


def test_memory_and_logic_scale_apart_and_not_below_the_least_voltage() -> None:
    eie = scaling.process("eie", {})
    assert scaling.factors(eie, "classical") == pytest.approx((1.783, 1.783), rel=1e-3)
    assert scaling.factors(eie, "stillmaker") == pytest.approx((1.91, 1.783), rel=1e-3)
    assert scaling.factors(scaling.process("yodann", {"voltage": 0.6}), "stillmaker") == (1.0, 1.0)
    assert scaling.factors(scaling.process("fused", {}), "classical") == (1.0, 1.0), "FPGAs are not scaled"
    half = part("eie", memory=0.5).energy("core", "stillmaker")[1]
    assert half == pytest.approx(0.5 * 1.91 + 0.5 * 1.7833, rel=1e-3)


def test_idle_time_is_paid_for() -> None:
    """One image a second each; at a tenth of the rate ten seconds of 0.1 W belong to each image, one was in the run."""
    lone = part("fused", idle=0.1)
    entry = Entry("fused", "x", 100, (lone,))
    assert entry.energy("core", "raw", 1.0)[1] == pytest.approx(1.0)
    assert entry.energy("core", "raw", 0.1)[1] == pytest.approx(1.0 + 0.1 * 9)
    assert entry.energy("core", "raw", 2.5)[1] == pytest.approx(1.0 + 0.1 * (3 / 2.5 - 1)) and entry.replicas(2.5) == 3


def test_a_machine_without_a_link_is_charged_one() -> None:
    bits = Part("eie", part("eie").result, link_bits=10**9)
    assert bits.energy("core", "raw")[1] == 1.0
    assert bits.energy("system", "raw") == pytest.approx((1 + 5e-3, 1 + 21e-3, 1 + 70e-3))


def test_what_did_not_run_everything_is_not_ranked() -> None:
    found = Comparison("made up", [Entry("half", "x", 200, (part("fused"),)), Entry("none", "x", 200, refused="why")])
    assert found.rank(found.entries[0]) == "-"
    text = comparison.table(found)
    assert "not ranked: half: ran 50.0% of the MACs" in text and "not possible: none: why" in text


def test_paper_accounting_is_refused() -> None:
    with pytest.raises(InputError, match="accounting"):
        table(part("eie", config={"accounting": "paper"}))


def test_one_artifact_everywhere(tmp_path: Path) -> None:
    """LeNet-300-100: products only, so each machine but FINN takes it, one way or another."""
    words = ["compare", "lenet-300-100", "--batch", "2", "--out", str(tmp_path), "--json"]
    rows = json.loads(CliRunner().invoke(app, words).stdout)[0]["rows"]
    by_name = {row["name"]: row for row in rows}
    assert by_name["eie"]["covered"] == by_name["fused"]["covered"] == 1.0
    assert by_name["eie"]["numbers_equal"] and by_name["fused"]["numbers_equal"]
    assert "convolutions over one position" in " ".join(by_name["fused"]["notes"])
    assert "not binary" in by_name["yodann:1.2V"]["refused"]
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".json", ".csv", ".txt"}
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        d for row in rows for d in row.get("results", ())
    }


def test_mixed_plans_cover_every_layer_once() -> None:
    found = contest.compare("lenet5-binary", ["fused"], 1, True, None, "system", "raw", lambda what, n, of: None)
    assert {entry.name: entry.covered for entry in found.entries}["fused"] == 1.0
    names = [plan.name for plan in contest.plans("lenet5-binary")]
    assert "fused + eie" in names and "eie, products only" in names


def test_weights_of_the_machine_s_own_kind_are_named() -> None:
    """A network of shapes alone: YodaNN draws binary weights for it, fused what anyone would."""
    found = tapeout.compare("vgg16-cifar10", ["yodann:1.2V", "fused"], 1, timing_only=True)
    for entry in (entry for entry in found.entries if entry.parts):
        assert (contest.SEEDED in " ".join(entry.notes())) == entry.name.startswith("yodann"), entry.name
    trained = tapeout.compare("lenet5-binary", ["yodann:1.2V"], 1, timing_only=True)
    assert all(contest.SEEDED not in note for entry in trained.entries for note in entry.notes())


def test_many_products_are_not_simulated_and_the_way_to_run_them_is_said() -> None:
    with pytest.raises(InputError, match=r"not run: 137,788 matrix-vector products .*--products 137788 runs them"):
        contest.form("vgg16-han2015", "products", 1)
    with pytest.raises(InputError, match="--products 640"):
        contest.form("lenet5-shared4", "products", 50, 600)


def test_products_are_of_as_many_images_as_the_limit_allows() -> None:
    work = contest.form("lenet5-shared4", "products", 50, 2000)
    assert work.labels is not None
    assert {len(array) for array in work.inputs.values()} == {len(work.labels)} == {3}


def test_a_mixed_plan_takes_what_ran_already(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    real = session.run
    monkeypatch.setattr(
        contest.session, "run", lambda arch, *rest, **more: ran.append(arch) or real(arch, *rest, **more)
    )
    found = tapeout.compare("lenet5-binary", batch=1, timing_only=True)
    assert ran.count("eie") == 2, "its products alone, and everything as products; not once more for a mixed plan"
    assert [len(entry.parts) for entry in found.entries if entry.name == "fused + eie"] == [2]
    assert all(not part.result.timelines for entry in found.entries for part in entry.parts)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--boundary", "cor"], "did you mean core"),
        (["--scaling", "raws"], "did you mean raw"),
        (["--rate", "0"], "more than 0"),
    ],
)
def test_bad_options(words: list[str], said: str) -> None:
    assert said in str(CliRunner().invoke(app, ["compare", "digits", *words]).exception)


def test_from_python() -> None:
    from tapeout import compare

    found = compare("lenet-300-100", on=["eie"], timing_only=True, rate=1e6)
    assert [entry.name for entry in found.entries] == ["eie"] and found.rank(found.entries[0]) == "1"
    assert found.common_rate == 1e6 and "at 1e+06 images/s" in comparison.table(found)


def test_weights_are_counted_as_each_machine_stores_them() -> None:
    one, other = part("eie"), part("fused")
    one.result.data["layers"] = [{"name": "fc1", "weight_bits": 20}, {"name": "relu", "skipped": "on the host"}]
    other.result.data["layers"] = [{"name": "conv1", "weight_bits": 32}]
    found = Comparison("made up", [Entry("both", "x", 200, (one, other))])
    (row,) = comparison.records(found)
    assert row["weights_bytes"] == 6.5
    assert ranking.rows([row])[0]["weights_bytes"] == 6.5


@pytest.mark.parametrize(
    ("workload", "said"),
    [("lenet5-dense", ""), ("alexnet", "overflow=stream"), ("vgg16", "overflow=cut")],
)
def test_a_setting_that_a_machine_needs_is_named_where_it_needs_it(workload: str, said: str) -> None:
    found = tapeout.compare(workload, ["fused"], 1, timing_only=True)
    (entry, *_) = found.entries
    notes = " ".join(entry.notes())
    assert said in notes and (said or "overflow" not in notes)
    assert entry.parts[0].result.data["arch"]["config"]["overflow"] == (said.partition("=")[2] or "refuse")

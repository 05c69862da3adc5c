"""Does a result say what happened, add up, validate against its schema, and read the same twice?"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.energy import EnergyTable
from sim.errors import CheckError, DesignError
from sim.graph import Design, Fifo, Stage
from sim.plan import Access, Computed, Machine, Phase, Work
from sim.rates import Repeat
from sim.result import METRICS, SCHEMA_FILE, UNITS, Request, Result, Source, assemble
from sim.run import _steady, simulate
from sim.verdict import Verdict, accuracy, check, judge, same_counts, same_times

ENERGY = {
    "energy": {"low": 1e-12, "nominal": 2e-12, "high": 3e-12},
    "component": "alu",
    "boundary": "core",
    "source": "test",
}
TABLE = EnergyTable.model_validate(
    {
        "actions": {"mac": ENERGY, "dram.read": {**ENERGY, "component": "dram", "boundary": "system"}},
        "static": {"alu": {"power": {"low": 0.0, "nominal": 1e-3, "high": 2e-3}, "boundary": "core", "source": "test"}},
    }
)
MACHINE = Machine(1e9, 2, TABLE, "core", {"dram.read": Access("dram.weights.read", 12)}, {"area_m2": 1e-6})
REQUEST = Request("toy", {"pes": 2}, Source("net", "made up", "ab"), "cd", 1, "fast", 0, False, False)


def work(name: str = "fc", **changes: Any) -> Work:
    plain = Work(name, "linear", (f"{name}.fetch", f"{name}.pe"), f"{name}.pe", 2, 2, 20, 16, "4x16", 80)
    return replace(plain, **changes)


def pipeline(*names: str, firings: int = 10) -> Design:
    """A fetch of 3 cycles before a unit of 2 cycles and two lanes, for each layer, layers behind one another."""
    design, before = Design("pipeline"), ""
    for name in names:
        design.add(Stage(f"{name}.fetch", 3, firings, {"dram.read": 1}))
        design.add(Stage(f"{name}.pe", 2, firings, {"mac": 1}, lanes=2))
        design.connect(f"{name}.fetch", f"{name}.pe", Fifo(f"{name}.queue", 2))
        if before:
            design.connect(f"{before}.pe", f"{name}.fetch", Fifo(f"{name}.inputs", 2))
        before = name
    return design


def made(phases: tuple[Phase, ...], machine: Machine = MACHINE, **more: Any) -> Result:
    lines = [simulate(phase.design) for phase in phases]
    steady = [line.cycles / phase.images for line, phase in zip(lines, phases, strict=True)]
    order = {work.name: work.op for phase in phases for work in phase.layers}
    return assemble(REQUEST, machine, phases, lines, steady, order, **more)


@pytest.fixture
def result() -> Result:
    """One layer in one phase: 33 cycles."""
    return made((Phase("fc", pipeline("fc"), (work(idle={"filler": 4}),)),))


def test_one_layer_by_hand(result: Result) -> None:
    """fetch releases at 3, 6, .. 30; a unit starts one cycle later and needs 2: the last ends at 33."""
    (layer,) = result.layers
    assert (layer["cycles"], result.total["cycles"]) == (33, 33)
    assert layer["stalls"] == {"starved": 26, "blocked": 0, "tail": 0, "filler": 4}
    assert layer["unit_cycles_useful"] == 36
    assert layer["utilization"] == 16 / 66
    assert layer["traffic_bytes"] == {"dram.weights.read": 15}
    assert layer["energy_j"] == {"alu": pytest.approx(20 * 2e-12 + 33e-9 * 1e-3)}
    assert result.total["energy_by_boundary_j"]["system"] == pytest.approx(60e-12 + 33e-12)
    assert result.total["ops_per_s"] == pytest.approx(2 * 16 / 33e-9)
    assert result.total["ops_per_j"] == pytest.approx(32 / result.total["energy_j"])
    assert result.total["area_m2"] == 1e-6


def test_layers_that_follow_one_another_sum_to_the_total() -> None:
    result = made((Phase("a", pipeline("a"), (work("a"),)), Phase("b", pipeline("b"), (work("b"),))))
    assert [layer["cycles"] for layer in result.layers] == [33, 33]
    energy = sum(sum(layer["energy_j"].values()) for layer in result.layers)
    assert energy == pytest.approx(result.total["energy_j"], rel=1e-12)
    assert [phase["name"] for phase in result.data["phases"]] == ["a", "b"]


def test_layers_of_a_pipeline_overlap() -> None:
    """The second layer's window opens when its first stage starts; what it waited before is not its stall."""
    result = made((Phase("both", pipeline("a", "b"), (work("a"), work("b"))),))
    first, second = result.layers
    assert first["cycles"] == 33 and first["stalls"] == {"starved": 26, "blocked": 0, "tail": 0}
    assert result.total["cycles"] == 40 and second["cycles"] == 40 - 7
    assert second["stalls"] == {"starved": 26, "blocked": 0, "tail": 0}
    energy = sum(sum(layer["energy_j"].values()) for layer in result.layers)
    assert energy == pytest.approx(result.total["energy_j"], rel=1e-12)


def test_layers_that_do_nothing_share_the_time_of_their_phase() -> None:
    """The machine stood idle for them: their energies still add up to the total's."""
    design = pipeline("a")
    empty = [work(name, stages=(), unit="", macs=0, macs_useful=0) for name in ("b", "c")]
    result = made((Phase("idle", design, tuple(empty)),))
    energies = [sum(layer["energy_j"].values()) for layer in result.layers]
    assert energies[0] == energies[1] == pytest.approx(33e-9 * 1e-3 / 2)


def test_images_in_phases_add_up_and_the_first_sets_the_latency() -> None:
    phases = tuple(Phase("fc", pipeline("fc"), (work(),), image=image) for image in range(3))
    result = made(phases)
    assert result.layers[0]["cycles"] == 99 and result.layers[0]["macs"] == 60
    assert result.total["latency_s"] == pytest.approx(33e-9)
    assert result.data["phases"] == [{"name": "fc", "cycles": 99, "time_s": 99e-9}]


def test_the_first_image_of_a_long_phase() -> None:
    phase = Phase("fc", pipeline("fc"), (work(),), images=5, sink="fc.pe", first_done=1)
    assert made((phase,)).total["latency_s"] == pytest.approx(9e-9)


def test_the_steady_cost_of_an_image_is_a_period() -> None:
    steady = Design("steady")
    steady.add(Stage("only", Repeat.of([2, 5], times=1000), 2000))
    phase = Phase("p", steady, (), images=1000, steady=steady)
    assert _steady(phase, simulate(steady)) == 7
    plain = Design("once")
    plain.add(Stage("only", 2, 3))
    assert _steady(Phase("p", plain, (), images=3), simulate(plain)) == 2
    with pytest.raises(DesignError, match="must be periodic"):
        _steady(Phase("p", plain, (), steady=plain), simulate(plain))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Design, list[Work]]:
    """Layers behind one another: random services, depths, latencies and claims, one lane or three."""
    design, works, before = Design("chain"), [], ""
    firings = draw(st.integers(1, 6))
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        lanes = draw(st.sampled_from((1, 3)))
        for stage, width in ((f"{name}.fetch", 1), (f"{name}.pe", lanes)):
            service = np.array(draw(st.lists(st.integers(0, 4), min_size=firings, max_size=firings)))
            claim: Literal["release", "start"] = "start" if draw(st.booleans()) else "release"
            design.add(Stage(stage, service, firings, {"mac": 1}, claim, lanes=width))
            if before:
                depth, latency, credit = (draw(st.integers(low, 3)) for low in (1, 0, 0))
                initial = draw(st.integers(0, depth))
                design.connect(before, stage, Fifo(stage, depth, 1, 1, latency, credit, initial))
            before = stage
        works.append(work(name, units=lanes, macs_per_cycle=lanes, macs=0, macs_useful=0))
    return design, works


@given(chains())
def test_the_laws_hold_on_random_pipelines(case: tuple[Design, list[Work]]) -> None:
    """`assemble` checks them: stalls are never negative and account for every unit-cycle of every layer's window."""
    design, works = case
    made((Phase("p", design, tuple(works)),))


def test_skipped_layers_are_listed_in_their_place() -> None:
    phase = Phase("fc", pipeline("fc"), (work(),))
    lines = [simulate(phase.design)]
    order = {"conv": "conv", "fc": "linear"}
    result = assemble(REQUEST, MACHINE, (phase,), lines, [33], order, skips={"conv": "no convolutions"})
    assert result.layers[0] == {"name": "conv", "op": "conv", "skipped": "no convolutions"}


def test_a_machine_adds_keys_of_its_own() -> None:
    phase = Phase("fc", pipeline("fc"), (work(),))
    extras: Mapping[str, Any] = {
        "total": {"storage_bytes": 7},
        "layers": {"fc": {"rows": 3, "stalls": {"starved": 20, "empty column": 6}}},
        "overflow": [],
    }
    result = made((phase,), extras=extras)
    assert result.total["storage_bytes"] == 7 and result.data["overflow"] == []
    assert result.layers[0]["stalls"] == {"starved": 20, "blocked": 0, "tail": 0, "empty column": 6}
    with pytest.raises(CheckError, match="unit-cycles told"):
        made((phase,), extras={"layers": {"fc": {"stalls": {"empty column": 6}}}})


def test_schema(result: Result) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(result.to_json()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(result.data | {"images": 0}, schema)


def test_every_figure_has_a_unit_and_a_definition(result: Result) -> None:
    figures = set(result.total) | {key for layer in result.layers for key in layer}
    assert figures - {"name", "op", "op_width"} <= set(METRICS)
    assert result.data["units"] == UNITS
    assert all(metric["definition"] for metric in METRICS.values())


def test_files(result: Result, tmp_path: Path) -> None:
    result.run["wall_s"] = {"engine": 0.1}
    folder = result.save(tmp_path)
    assert folder == tmp_path / result.digest
    assert sorted(path.name for path in folder.iterdir()) == ["layers.csv", "result.json", "run.json"]
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = made((Phase("fc", pipeline("fc"), (work(idle={"filler": 4}),)),))
    again.run["wall_s"] = {"engine": 0.2}
    assert again.save(tmp_path) == folder
    assert (folder / "result.json").read_bytes() == first["result.json"]
    assert (folder / "layers.csv").read_bytes() == first["layers.csv"]
    assert (folder / "run.json").read_bytes() != first["run.json"]
    assert result.to_csv().splitlines()[0].startswith("name,op,cycles,time_s,macs,macs_useful,op_width")
    assert "stalls.filler" in result.to_csv()


@pytest.mark.parametrize(
    "change",
    [
        {"arch": "other"},
        {"config": {"pes": 4}},
        {"inputs_sha256": "ee"},
        {"seed": 1},
        {"engine": "des"},
        {"timing_only": True},
        {"check": True},
        {"code": "ff"},
        {"workload": Source("net", "made up", "ac")},
    ],
)
def test_another_request_has_another_digest(change: dict[str, Any]) -> None:
    assert replace(REQUEST, **change).digest != REQUEST.digest


@pytest.mark.parametrize(
    ("path", "value", "law"),
    [
        (("layers", 0, "utilization"), 1.01, "utilization is 1.01"),
        (("layers", 0, "macs_useful"), 10**9, "more useful MACs"),
        (("layers", 0, "stalls", "filler"), 5, "67 unit-cycles told, 2 units x 33 cycles"),
        (("layers", 0, "stalls", "blocked"), -1, "negative cycles"),
        (("total", "energy_j"), 1.0, "energy interval is out of order"),
        (("total", "energy_by_component_j", "alu"), 1.0, "does not add up"),
        (("total", "latency_s"), 1.0, "first image is done after the last"),
    ],
)
def test_laws(result: Result, path: tuple[Any, ...], value: float, law: str) -> None:
    data = json.loads(result.to_json())
    check(data)
    place = data
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(CheckError, match=law):
        check(data)


def test_equivalence() -> None:
    computed = Computed({"a": np.array([[1, 2]]), "b": np.array([[3.0, 4.0]])}, {"a": 0.5, "b": 1.0})
    same = judge(computed, {"a": np.array([[1, 2]]), "b": np.array([[3.0, 4.0 + 1e-7]])})
    assert same.passed and not same.exact and same.max_abs_error == pytest.approx(1e-7)
    assert judge(computed, {"a": np.array([[1, 2]])}) == Verdict(True, True, 0.0, None)
    wrong = judge(computed, {"b": np.array([[3.0, 4.0]]), "a": np.array([[1, 3]])})
    assert (wrong.passed, wrong.max_abs_error, wrong.first_failing_layer) == (False, 1.0, "a")
    assert not judge(computed, {"c": np.array([1])}).passed
    assert not judge(computed, {"a": np.array([1, 2])}).passed
    assert not judge(replace(computed, outputs={"b": np.array([[np.nan, 1.0]])}), {"b": np.array([[3.0, 4.0]])}).passed


def test_fidelity() -> None:
    computed = Computed({"a": np.array([[10, 20]])}, {"a": 0.1})
    noisy = judge(computed, {}, {"a": np.array([[1.0, 2.1]])})
    assert noisy.sqnr_db == round(10 * np.log10((1 + 2.1**2) / 0.01), 2)
    assert judge(computed, {}, {"a": np.array([[1.0, 2.0]])}).sqnr_db is None
    assert judge(computed, {}, {"other": np.array([[1.0, 2.0]])}).sqnr_db is None


def test_accuracy() -> None:
    found = accuracy(np.array([[1, 2], [3, 0], [0, 9], [5, 5]]), np.array([1, 0, 0, 0]))
    assert (found["top1"], found["n"]) == (0.75, 4)
    assert found["interval95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)  # Wilson, 3 of 4
    assert accuracy(np.array([[1, 2]]), np.array([1]))["interval95"][1] == pytest.approx(1)


def test_engines_and_counts_are_compared() -> None:
    line = simulate(pipeline("fc"))
    same_times(line, simulate(pipeline("fc"), "des"))
    with pytest.raises(CheckError, match=r"engines differ: pipeline: fc\.fetch"):
        same_times(line, simulate(_slower()))
    plan = (Phase("fc", pipeline("fc"), (work(),)),)
    assert not same_counts(plan, Computed({}))
    assert same_counts(plan, Computed({}, counts={"fc": {"mac": 20, "dram.read": 10}}))
    with pytest.raises(CheckError, match="the datapath made 21 mac, the design counts 20"):
        same_counts(plan, Computed({}, counts={"fc": {"mac": 21}}))


def _slower() -> Design:
    design = pipeline("fc")
    design.stages["fc.fetch"] = Stage("fc.fetch", np.array([3] * 9 + [4]), 10)
    return design

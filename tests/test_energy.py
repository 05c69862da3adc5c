"""Are joules counts times prices, with nothing unpriced and nothing twice?"""

from pathlib import Path

import pytest

from sim.energy import EnergyTable, Interval
from sim.errors import InputError

TABLE = """
actions:
  mac: {energy: {low: 1 pJ, nominal: 2 pJ, high: 4 pJ}, component: alu, boundary: core, source: "Table I"}
  ram.read: {energy: {low: 5 pJ, nominal: 5 pJ, high: 5 pJ}, component: ram, boundary: core, source: "Table I"}
  pad.bit: {energy: {low: 10 pJ, nominal: 20 pJ, high: 21 pJ}, component: pads, boundary: chip, source: "assumed"}
  dram.read: {energy: {low: 640 pJ, nominal: 640 pJ, high: 1 nJ}, component: dram, boundary: system, source: "Table I"}
static:
  ram: {power: {low: 0 W, nominal: 1 mW, high: 2 mW}, boundary: core, source: "assumed"}
"""
ACTIVITY = {"mac": 1000, "ram.read": 100, "pad.bit": 10, "dram.read": 1}


@pytest.fixture
def table(tmp_path: Path) -> EnergyTable:
    (tmp_path / "energy.yaml").write_text(TABLE)
    return EnergyTable.load(tmp_path / "energy.yaml")


def test_price(table: EnergyTable) -> None:
    priced = table.price(ACTIVITY, seconds=1e-6)
    assert priced.by_component == {
        "alu": pytest.approx(2000e-12),
        "ram": pytest.approx(500e-12 + 1e-9),
        "pads": pytest.approx(200e-12),
        "dram": pytest.approx(640e-12),
    }
    assert priced.interval == pytest.approx(Interval(2240e-12, 4340e-12, 7710e-12))
    assert sum(priced.by_component.values()) == pytest.approx(priced.interval.nominal, rel=1e-15)
    assert priced.by_boundary == pytest.approx({"core": 3500e-12, "chip": 3700e-12, "system": 4340e-12})
    assert [mover.constant for mover in priced.movers] == ["mac", "static.ram", "dram.read"]
    assert priced.movers[0].spread_j == pytest.approx(3e-9)


def test_a_boundary_leaves_out_what_lies_beyond(table: EnergyTable) -> None:
    core = table.price(ACTIVITY, 1e-6, "core")
    assert set(core.by_component) == {"alu", "ram"}
    assert core.interval.nominal == core.by_boundary["core"] == table.price(ACTIVITY, 1e-6).by_boundary["core"]


def test_idle_is_never_free(table: EnergyTable) -> None:
    assert table.price({}, 1.0).by_component == {"ram": 1e-3}


def test_unknown_actions_are_errors(table: EnergyTable) -> None:
    with pytest.raises(InputError, match=r"action ram\.raed has no price; did you mean ram\.read\?"):
        table.price({"ram.raed": 1}, 0.0)


def test_scaled(table: EnergyTable) -> None:
    low = table.scaled(dynamic=0.25, static=0.5)
    assert low.price({"mac": 4}, 0.0).interval == pytest.approx(Interval(1e-12, 2e-12, 4e-12))
    assert low.price({"pad.bit": 1}, 0.0).interval.nominal == 20e-12
    assert low.price({}, 1.0).interval.nominal == 0.5e-3


def test_scaled_by_nothing_it_stays(table: EnergyTable) -> None:
    assert table.scaled(dynamic=2).static == table.static
    assert table.scaled(static=2).actions == table.actions


def test_only_a_constant_with_a_range_moves_the_total(table: EnergyTable) -> None:
    assert table.price({"ram.read": 5}, 0.0).movers == ()


def test_replace(table: EnergyTable) -> None:
    assert table.replace() == table
    mac, ram = table.actions["pad.bit"], table.static["ram"]
    other = table.replace({"mac": mac, "new": mac}, {"new": ram})
    assert (other.actions["mac"], other.actions["new"], other.static["new"]) == (mac, mac, ram)
    assert set(other.actions) == {*table.actions, "new"} and set(other.static) == {"ram", "new"}


def test_own_table(table: EnergyTable, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("actions:\n  mac: {energy: {low: 1 pJ, nominal: 1 pJ, high: 1 pJ}, source: my library}\n")
    mine = table.override(own)
    assert mine.actions["mac"].source == "my library" and mine.actions["mac"].component == "alu"
    assert mine.price({"mac": 1}, 0.0).interval == Interval(1e-12, 1e-12, 1e-12)
    assert mine.static == table.static
    own.write_text("actions:\n  mad: {energy: {low: 1 pJ, nominal: 1 pJ, high: 1 pJ}}\n")
    with pytest.raises(InputError, match=r"own\.yaml:2:3: actions\.mad: unknown entry; did you mean mac\?"):
        table.override(own)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{energy: {low: 3 pJ, nominal: 2 pJ, high: 4 pJ}, component: a, boundary: core, source: x}", "low <= nominal"),
        ("{energy: {low: -3 pJ, nominal: 2 pJ, high: 4 pJ}, component: a, boundary: core, source: x}", "0 or more"),
        ("{energy: {low: 1 pJ, nominal: 2 pJ, high: 4 pJ}, component: a, boundary: core}", "source: missing"),
        ("{energy: {low: 1 pJ, nominal: 2 pJ, high: 4 pJ}, component: a, boundary: core, source: ''}", "source: found"),
        (
            "{energy: {low: 1 pJ, nominal: 2 pJ, high: 4 pJ}, component: a, boundary: cor, source: x}",
            "did you mean core",
        ),
        ("{energy: {low: 1 W, nominal: 2 pJ, high: 4 pJ}, component: a, boundary: core, source: x}", "found '1 W'"),
    ],
)
def test_tables_are_strict(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "energy.yaml"
    path.write_text(f"actions:\n  mac: {entry}\n")
    with pytest.raises(InputError, match=message) as caught:
        EnergyTable.load(path)
    assert f"{path}:2:" in str(caught.value)

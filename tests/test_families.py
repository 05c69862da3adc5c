"""Families by accelerator: the table is measured, covers every family, and says what the papers say."""

import numpy as np

import archs
from tapeout import families
from workloads.compress.steps import SETTINGS


def test_every_family_has_a_step() -> None:
    assert {step.name for _, text in families.STEPS for step in families.steps_of(text)} == set(SETTINGS)


def test_sparsity_saves_cycles_on_eie_alone_and_bits_of_traffic_elsewhere() -> None:
    cells = {name: families._cell(name, "prune(density=0.1)")[0] for name in ("eie", "fused", "yodann")}
    assert float(cells["eie"].split("x")[0]) > 2
    assert cells["fused"].startswith("1.0x cycles")
    assert cells["yodann"] == "1.0x cycles, 1.0x bits"


def test_a_machine_of_whole_numbers_gets_them_and_says_so() -> None:
    cell, note = families._cell("finn", "quantise(scheme=xnor)")
    assert "8.0x bits" in cell
    assert float(cell.split("x LUTs")[0].split()[-1]) > 1.3  # folded for a rate: it shrinks, it does not run faster
    assert note.startswith("in whole numbers")
    assert "bias" in note


def test_whole_weights_keep_the_signs_of_every_row() -> None:
    fc = families.whole(families._made("quantise(scheme=xnor)")).layer("fc").array("weight")
    given = families._made("quantise(scheme=xnor)").layer("fc").array("weight")
    assert set(np.unique(fc)) == {-1, 1}
    assert np.array_equal(np.sign(given), fc)


def test_an_empty_cell_says_why() -> None:
    cells = {(name, text): families._cell(name, text) for name in archs.names() for _, text in families.STEPS}
    empty = {key: note for key, (cell, note) in cells.items() if cell == "-"}
    assert set(empty) == {("finn", "mask(kind=perforation, step=2)")}
    assert "a resize layer; FINN takes" in next(iter(empty.values()))


def test_fewer_filters_make_every_machine_quicker_or_smaller() -> None:
    text = next(text for family, text in families.STEPS if family == "F2")
    for name, gain in (("eie", 1.5), ("yodann", 1.1)):
        assert float(families._cell(name, text)[0].split("x cycles")[0]) > gain
    assert all("2.0x bits" in families._cell(name, text)[0] for name in ("finn", "fused", "yodann"))

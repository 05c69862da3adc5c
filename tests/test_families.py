"""Families by accelerator: the table is measured, covers every family, and says what the papers say."""

from tapeout import families
from workloads.compress.steps import FAMILIES, parse_step


def test_every_family_has_a_step() -> None:
    assert {parse_step(text).name for _, text in families.STEPS} == set(FAMILIES)


def test_sparsity_saves_cycles_on_eie_alone_and_bits_of_traffic_elsewhere() -> None:
    cells = {name: families._cell(name, "prune(density=0.1)")[0] for name in ("eie", "fused", "yodann")}
    assert float(cells["eie"].split("x")[0]) > 2
    assert cells["fused"].startswith("1.0x cycles")
    assert cells["yodann"] == "1.0x cycles, 1.0x bits"


def test_a_machine_that_does_not_take_the_network_says_why() -> None:
    cell, note = families._cell("finn", "share(bits=4)")
    assert cell == "-"
    assert "bias" in note

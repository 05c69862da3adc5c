"""EIE's sweeps: every point equals a single run, and the figures hold their points."""

from archs.eie import sweeps
from reports import eie, figures
from tapeout import run

FEW = ("neuraltalk-lstm",)


def test_points_equal_single_runs():
    for records, setting in ((sweeps.pes(FEW), "pes"), (sweeps.width(FEW), "width_bits")):
        for record in list(records)[1::4]:
            name = {"pes": "pes", "width_bits": "spmat_width_bits"}[setting]
            single = run("eie", FEW[0], settings={name: record[setting]}, timing_only=True)
            if setting == "pes":
                assert record["cycles"] == single.total["cycles"]
            else:
                bits = single.total["traffic_bytes"]["spmat.weights.read"] * 8
                assert record["reads"] * record["width_bits"] == bits


def test_a_ring_of_b_holds_b_less_one():
    points = list(sweeps.queue(FEW))
    by_slots = {r["depth"]: r["cycles"] for r in points if r["axis"] == "slots"}
    by_ring = {r["depth"]: r["cycles"] for r in points if r["axis"] == "ring"}
    assert by_slots[1] == by_ring[2]
    assert by_ring == {ring: by_ring[ring] for ring in sweeps.RINGS}
    assert sorted(by_slots.values(), reverse=True) == [by_slots[slots] for slots in sweeps.SLOTS]
    assert run("eie", FEW[0], settings={"queue_depth": 8}, timing_only=True).total["cycles"] == by_ring[8]


def test_figures_are_the_same_bytes_twice(tmp_path):
    records = list(sweeps.queue(FEW))
    first = figures.save(eie.queue_depth(records), records, tmp_path / "a" / "queue", "a command")
    second = figures.save(eie.queue_depth(records), records, tmp_path / "b" / "queue", "a command")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()

"""Traces, occupancy and the critical chain: do they tell the same story as the timeline?"""

import json

import numpy as np
import pytest

from archs import eie
from sim import tracefile
from sim.critical import critical, relieved
from sim.errors import InputError
from sim.graph import Design, Fifo, Stage
from sim.plan import Phase
from sim.run import simulate
from workloads.load import load


def pipeline(slow=5, depth=2):
    design = Design()
    for name, service in (("a", 1), ("b", slow), ("c", 2)):
        design.add(Stage(name, service, 10))
    design.connect("a", "b", Fifo("ab", depth))
    design.connect("b", "c", Fifo("bc", depth))
    return design


def test_occupancy_by_hand():
    line = simulate(pipeline())
    cycles, tokens = line.occupancy("ab")
    assert cycles[:6].tolist() == [0, 1, 2, 3, 7, 12]
    assert tokens[:6].tolist() == [0, 1, 1, 2, 2, 2]
    assert tokens[-1] == 0


def test_the_slowest_stage_limits_and_the_next_is_named():
    found = critical(simulate(pipeline()))
    assert found.limit == "b"
    assert found.cycles["b"] == 50
    assert sum(found.cycles.values()) == simulate(pipeline()).cycles
    assert critical(simulate(relieved(pipeline(), "b"))).limit == "c"


def test_a_run_on_eie_as_a_file(tmp_path):
    work = load("neuraltalk-lstm")
    plan = eie.build(eie.SPEC(), work.network, work.inputs)
    lines = [simulate(phase.design) for phase in plan]
    tracefile.write(tmp_path / "t.json", plan, lines)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert "pe[63]" in names.values()
    starved = sum(e["dur"] for e in events if e["ph"] == "X" and e["name"] == "starved" and names[e["tid"]][:2] == "pe")
    assert starved == lines[0].shares("pe").starved
    queue = [e["args"]["tokens"] for e in events if e["ph"] == "C" and e["name"] == "queue"]
    assert 0 <= min(queue) <= max(queue) <= 7 * 64


def test_too_long_a_run_is_refused(tmp_path):
    design = Design()
    design.add(Stage("a", 1, 4_000_000))
    with pytest.raises(InputError, match="4000000 firings"):
        tracefile.write(tmp_path / "t.json", (Phase("a", design, ()),), [simulate(design)])
    assert not np.any([p.suffix == ".json" for p in tmp_path.iterdir()])

"""How fast are the engines? A broadcast into 64 identical units over 25,088 columns, as 64 stages and as 64 lanes."""

import time

import numpy as np
import pytest
import simpy

from sim import des, fast
from sim.graph import Design, Fifo, Stage
from sim.rates import Repeat
from sim.run import simulate

UNITS, COLUMNS = 64, 25_088
FIRINGS = (UNITS + 1) * COLUMNS


def costs(columns=COLUMNS):
    return np.random.default_rng(0).integers(1, 8, (columns, UNITS)).astype(np.uint16)


def lanes(depth, columns=COLUMNS):
    design = Design("lanes")
    design.add(Stage("broadcast", 1, columns))
    design.add(Stage("unit", costs(columns), columns, lanes=UNITS))
    design.connect("broadcast", "unit", Fifo("queue", depth, latency=2))
    return design


def stages(depth, columns=COLUMNS):
    design, cost = Design("stages"), costs(columns)
    design.add(Stage("broadcast", 1, columns))
    for unit in range(UNITS):
        design.add(Stage(f"unit{unit}", np.ascontiguousarray(cost[:, unit]), columns))
        design.connect("broadcast", f"unit{unit}", Fifo(f"queue{unit}", depth, latency=2))
    return design


@pytest.mark.parametrize(("depth", "cycles"), [(7, 109_115), (64, 101_516)])
def test_firings_per_second(row, seconds, depth, cycles):
    for made, goal in ((stages, "50 M/s"), (lanes, "500 M/s")):
        design = made(depth)
        assert simulate(design).cycles == cycles
        rate = FIRINGS / seconds(lambda design=design: fast.run(design)) / 1e6
        row(f"fast engine, 64 {design.name}, queues of {depth}", rate, "M firings/s", goal)


def test_reference_engine(row, monkeypatch):
    """The simpy engine on 500 of the columns: the same events, and how many of simpy's it takes."""
    events = 0
    step = simpy.Environment.step

    def counted(env):
        nonlocal events
        events += 1
        step(env)

    monkeypatch.setattr(simpy.Environment, "step", counted)
    design = lanes(7, 500)
    began = time.perf_counter()
    reference = des.run(design)
    rate = (UNITS + 1) * 500 / (time.perf_counter() - began)
    ours = fast.run(design)
    for name in design.stages:
        np.testing.assert_array_equal(reference.starts[name], ours.starts[name])
        np.testing.assert_array_equal(reference.releases[name], ours.releases[name])
    assert events == 128_631
    row("reference engine, 64 lanes, queues of 7", rate / 1e6, "M firings/s")
    row("simpy events per firing", events / ((UNITS + 1) * 500), "1")


def test_long_batch(row, seconds):
    """10,000 equal images against ten of them."""

    def batch(images):
        design = Design("batch")
        design.add(Stage("a", Repeat.of([1] * 5000, images), 5000 * images))
        design.add(Stage("b", Repeat.of([2, 3] * 1000, images), 2000 * images))
        design.connect("a", "b", Fifo("ab", 40, 2, 5))
        return design

    ten, many = seconds(lambda: simulate(batch(10))), seconds(lambda: simulate(batch(10_000)))
    assert simulate(batch(10_000)).cycles == 50_000_004
    row("10,000 equal images against 10", many / ten, "1", "2 or less")

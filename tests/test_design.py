"""What a Design refuses, in one line that names the stage or FIFO, before either engine runs."""

import numpy as np
import pytest

from sim.errors import DeadlockError, DesignError
from sim.graph import Design, Fifo, Stage
from sim.rates import Repeat, Total
from sim.run import simulate


def pair(first=None, fifo=None):
    design = Design("pair")
    design.add(first or Stage("a", 1, 3))
    design.add(Stage("b", 1, 3))
    design.connect("a", "b", fifo or Fifo("ab", 2))
    return design


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage("a", 1, -1), "needs firings >= 0 and lanes >= 1, found -1 and 1"),
        (Stage("a", 1, 3, lanes=0), "needs firings >= 0 and lanes >= 1, found 3 and 0"),
        (Stage("a", 1, 3.0), "firings is 3.0; allowed: an int"),
        (Stage("a", 1, 3, lanes=True), "lanes is True; allowed: an int"),
        (Stage("a", 1, 3, claim="end"), "claim is 'end'; allowed: release, start"),
        (Stage("a", -1, 3), "service: -1 is negative"),
        (Stage("a", np.array([1, -2, 3]), 3), "service: -2 is negative"),
        (Stage("a", 1.5, 3), "service: 1.5; allowed: an int, an int array or a Repeat"),
        (Stage("a", [1, 1, 1], 3), r"service: \[1, 1, 1\]; allowed: an int, an int array or a Repeat"),
        (Stage("a", np.ones(3), 3), "service: an array of float64; allowed: integers"),
        (Stage("a", np.ones(2, int), 3), "service: 2 rows for 3 firings"),
        (Stage("a", np.ones((3, 2), int), 3), r"service: shape \(3, 2\); allowed: \[firings\] or \[firings, 1\]"),
        (Stage("a", Repeat.of([1], -3), 3), "service: -3 repetitions; allowed: 0 or more"),
        (Stage("a", Repeat.of([1], -1), 3), "service: -1 repetitions; allowed: 0 or more"),
        (Stage("a", Repeat.of([1, 2], 3), 3), "service: 6 rows for 3 firings"),
        (Stage("a", 2**60, 3), r"3 services of up to 1152921504606846976 cycles; allowed: 2\*\*61 cycles together"),
        (Stage("a", 1, 3, {"mac": np.array([1])}), "activity mac: 1 rows for 3 firings"),
        (Stage("a", 1, 3, {"mac": Total(-4)}), "activity mac: -4 is negative"),
    ],
)
@pytest.mark.parametrize("engine", ["fast", "des"])
def test_stages(stage, said, engine):
    with pytest.raises(DesignError, match=rf"^pair: stage a: {said}$"):
        simulate(pair(stage), engine)


@pytest.mark.parametrize(
    ("fifo", "said"),
    [
        (Fifo("ab", 0), "needs depth >= 1, .* found depth 0, initial 0, latency 1, credit 0"),
        (Fifo("ab", 2, initial=3), "needs depth >= 1, .* found depth 2, initial 3, latency 1, credit 0"),
        (Fifo("ab", 2, latency=-1), "needs depth >= 1, .* found depth 2, initial 0, latency -1, credit 0"),
        (Fifo("ab", 2, credit=-1), "needs depth >= 1, .* found depth 2, initial 0, latency 1, credit -1"),
        (Fifo("ab", 2.5), "depth is 2.5; allowed: an int"),
        (Fifo("ab", 2, latency=0.5), "latency is 0.5; allowed: an int"),
        (Fifo("ab", 2, produce=-1), "produce: -1 is negative"),
        (Fifo("ab", 2, consume=np.ones(4, int)), "consume: 4 rows for 3 firings"),
        (Fifo("ab", 2, np.ones((3, 2), int)), r"produce: shape \(3, 2\); allowed: \[firings\] or \[firings, 1\]"),
        (Fifo("ab", 2, 1, np.ones((3, 2), int)), r"consume: shape \(3, 2\); allowed: \[firings\] or \[firings, 1\]"),
    ],
)
def test_fifos(fifo, said):
    with pytest.raises(DesignError, match=rf"^pair: FIFO ab: {said}$"):
        simulate(pair(fifo=fifo))


def test_what_is_allowed():
    """No actions at all, and token rates with a column."""
    column = np.ones((3, 1), int)
    assert simulate(pair(Stage("a", 1, 3, {"mac": Total(0)}), Fifo("ab", 2, column, column))).cycles == 5


def test_names_and_lanes():
    design = pair()
    with pytest.raises(DesignError, match=r"^pair: stage a: the name is taken$"):
        design.add(Stage("a", 1, 1))
    with pytest.raises(DesignError, match=r"^pair: FIFO ab: the name is taken$"):
        design.connect("a", "b", Fifo("ab", 1))
    with pytest.raises(DesignError, match=r"^pair: FIFO x: no stage aa; did you mean a"):
        design.connect("aa", "b", Fifo("x", 1))
    design.add(Stage("c", 1, 3, lanes=2))
    design.add(Stage("d", 1, 3, lanes=3))
    design.connect("c", "d", Fifo("cd", 1))
    with pytest.raises(DesignError, match=r"^pair: FIFO cd: joins 2 lanes to 3; allowed: equal, or one side with 1$"):
        simulate(design)
    with pytest.raises(DesignError, match=r"^none: no stages$"):
        simulate(Design("none"))
    with pytest.raises(DesignError, match=r"^pair: engine is 'quick'; allowed: fast, des$"):
        simulate(pair(), "quick")


@pytest.mark.parametrize(
    ("fifo", "who"),
    [
        (Fifo("ab", 2, produce=3), "a waits at firing 0 for room in ab; b waits at firing 0 for tokens in ab"),
        (Fifo("ab", 2, consume=3), "a waits at firing 2 for room in ab; b waits at firing 0 for tokens in ab"),
        (Fifo("ab", 2, produce=0), "b waits at firing 0 for tokens in ab"),
    ],
)
@pytest.mark.parametrize("engine", ["fast", "des"])
def test_what_never_ends_names_who_waits(fifo, who, engine):
    with pytest.raises(DeadlockError, match=rf"^pair: deadlock: {who}$"):
        simulate(pair(fifo=fifo), engine)

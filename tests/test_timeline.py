"""Timelines: single events, the periodic middle that is never written out, and which firing waits for which."""

import numpy as np
import pytest

from sim.graph import Design, Edge, Fifo, Stage
from sim.rates import Repeat
from sim.run import simulate
from sim.timeline import enables, frees, moved


def test_moved() -> None:
    assert moved(2, 3).tolist() == [0, 2, 4, 6]
    assert moved(np.array([1, 0, 5], np.uint8), 3).tolist() == [0, 1, 1, 6]
    assert moved(Repeat.of([1, 2], 2), 4).tolist() == [0, 1, 3, 4, 6]


def test_who_waits_for_whom() -> None:
    """One token is there at first; tokens come 2, 1 and go 1, 0, 2, 0; there is room for 3."""
    design = Design()
    design.add(Stage("a", 1, 2))
    design.add(Stage("b", 1, 4))
    fifo = Fifo("f", 3, np.array([2, 1]), np.array([1, 0, 2, 0]), initial=1)
    edge = Edge("a", "b", design.connect("a", "b", fifo))
    assert enables(design, edge).tolist() == [-1, -1, 0, 0]
    assert frees(design, edge).tolist() == [-1, 0]
    tight = Edge("a", "b", Fifo("g", 2, np.array([2, 1]), np.array([0, 2, 0, 1]), initial=0))
    assert enables(design, tight).tolist() == [-1, 0, 0, 1]
    assert frees(design, tight).tolist() == [-1, 1]


def chain(times: int) -> Design:
    """a serves 1 and 2 in turn, b serves 3 for two of a's tokens: both take 3 cycles a repetition."""
    design = Design("chain")
    design.add(Stage("a", Repeat.of([1, 2], times), 2 * times, {"mac": 1}))
    design.add(Stage("b", Repeat.of([3], times), times))
    design.connect("a", "b", Fifo("ab", 4, Repeat.of([1, 1], times), Repeat.of([2], times)))
    return design


def test_a_long_run_is_known_at_every_firing() -> None:
    line = simulate(chain(1000))
    assert line.period == (3, 1) and line.cycles == 3004
    assert len(line.times.starts["a"]) < 100
    for n in (0, 1, 2, 500, 998, 999):
        assert (line.start("a", 2 * n), line.release("a", 2 * n)) == (3 * n, 3 * n + 1)
        assert (line.start("a", 2 * n + 1), line.release("a", 2 * n + 1)) == (3 * n + 1, 3 * n + 3)
        assert (line.start("b", n), line.release("b", n)) == (3 * n + 4, 3 * n + 7)
    assert line.starts("b")[:, 0].tolist() == [3 * n + 4 for n in range(1000)]
    assert line.releases("a")[:, 0].tolist()[:4] == [1, 3, 4, 6] and line.releases("a").shape == (2000, 1)
    assert list(line.shares("a")) == [0, 3000, 0, 4] and list(line.shares("b")) == [4, 3000, 0, 0]
    for firing in (-1, 2000):
        with pytest.raises(IndexError, match=rf"stage a has 2000 firings, no firing {firing}"):
            line.start("a", firing)


def test_a_short_run_has_no_period() -> None:
    design = Design()
    design.add(Stage("a", 2, 3))
    line = simulate(design)
    assert line.period is None and line.releases("a")[:, 0].tolist() == [2, 4, 6]


def test_lanes_of_a_long_run() -> None:
    design = Design("lanes")
    design.add(Stage("a", Repeat.of([[1, 2], [2, 1]], 400), 800, lanes=2))
    line = simulate(design)
    assert line.period == (3, 1) and len(line.times.starts["a"]) < 20
    assert line.cycles == 1200 and list(line.shares("a")) == [0, 2400, 0, 0]
    assert line.start("a", 799).tolist() == [1198, 1199] and line.release("a", 500).tolist() == [751, 752]


def test_lanes_behind_a_queue_that_fills() -> None:
    """a feeds two lanes a token a cycle until their queue of 4 is full; then all go at the slower lane's 3 cycles."""
    design = Design("filled")
    design.add(Stage("a", Repeat.of([1], 500), 500))
    design.add(Stage("b", Repeat.of([[2, 3]], 500), 500, lanes=2))
    design.connect("a", "b", Fifo("ab", 4, Repeat.of([1], 500), Repeat.of([1], 500), latency=0))
    line = simulate(design)
    assert line.period == (3, 1) and len(line.times.starts["a"]) < 100
    assert [line.start("b", n)[1] for n in (0, 1, 250, 499)] == [1, 4, 751, 1498] and line.cycles == 1501
    assert [line.release("a", n) for n in (0, 4, 5, 6, 7, 499)] == [1, 5, 6, 7, 10, 1486]
    assert list(line.shares("b")) == [1 + 1501 - 1000 - 13, 2500, 0, 13]  # lane 0 ends at 1488


def test_occupancy_counts_all_copies() -> None:
    """One writer fills both copies at 1 and 2; the lanes take at 1 and 2, and at 1 and 5."""
    design = Design()
    design.add(Stage("a", 1, 2))
    design.add(Stage("b", np.array([[1, 4], [2, 1]]), 2, lanes=2))
    design.connect("a", "b", Fifo("ab", 3, latency=0, initial=1, consume=np.array([1, 1])))
    cycles, fill = simulate(design).occupancy("ab")
    assert dict(zip(cycles.tolist(), fill.tolist())) == {0: 0, 1: 1, 2: 3, 4: 2}

"""Three stages worked out by hand: does anything work? Each rule of the timing semantics once, on both engines."""

import numpy as np
import pytest

from sim.errors import DeadlockError
from sim.graph import Design, Fifo, Stage
from sim.rates import Total
from sim.run import simulate
from sim.timeline import Timeline

ENGINES = pytest.mark.parametrize("engine", ["fast", "des"])


def made(stages: list[Stage], *fifos: tuple[str, str, Fifo]) -> Design:
    design = Design("tiny")
    for stage in stages:
        design.add(stage)
    for src, dst, fifo in fifos:
        design.connect(src, dst, fifo)
    return design


def times(line: Timeline, stage: str) -> tuple[list[int], list[int]]:
    return line.starts(stage)[:, 0].tolist(), line.releases(stage)[:, 0].tolist()


@ENGINES
def test_a_stage_alone(engine):
    """Services 3, 0, 2 one after the other."""
    line = simulate(made([Stage("a", np.array([3, 0, 2]), 3)]), engine)
    assert times(line, "a") == ([0, 3, 3], [3, 3, 5])
    assert line.cycles == 5 and list(line.shares("a")) == [0, 5, 0, 0]
    assert (line.start("a", 2), line.release("a", 0)) == (3, 3)


@ENGINES
def test_latency_and_back_pressure(engine):
    """a serves 1, b serves 3, two slots of latency 2: a is held up from its fourth firing on."""
    design = made([Stage("a", 1, 5), Stage("b", 3, 5)], ("a", "b", Fifo("ab", 2, latency=2)))
    line = simulate(design, engine)
    assert times(line, "b") == ([3, 6, 9, 12, 15], [6, 9, 12, 15, 18])
    assert times(line, "a") == ([0, 1, 2, 3, 6], [1, 2, 3, 6, 9])
    assert list(line.shares("a")) == [0, 5, 4, 9]
    assert list(line.shares("b")) == [3, 15, 0, 0]


@ENGINES
def test_credit_delays_a_slot(engine):
    """One slot, given back 2 cycles after its token was taken."""
    design = made([Stage("a", 1, 3), Stage("b", 1, 3)], ("a", "b", Fifo("ab", 1, latency=0, credit=2)))
    line = simulate(design, engine)
    assert times(line, "a") == ([0, 1, 3], [1, 3, 5])
    assert times(line, "b") == ([1, 3, 5], [2, 4, 6])


@ENGINES
def test_claim_before_start(engine):
    """As above, but a waits for its slot first and then serves: a cycle more for each token."""
    design = made([Stage("a", 1, 3, {}, "start"), Stage("b", 1, 3)], ("a", "b", Fifo("ab", 1, latency=0, credit=2)))
    line = simulate(design, engine)
    assert times(line, "a") == ([0, 3, 6], [1, 4, 7])
    assert list(line.shares("a")) == [0, 3, 4, 1]


@ENGINES
def test_a_start_that_claims_is_starved_before_it_is_blocked(engine):
    """b's second token comes at 2, its room at 6: it starves 2 - 1 cycles more and is blocked for the rest."""
    design = made(
        [Stage("a", 1, 2), Stage("b", 0, 2, {}, "start"), Stage("c", 5, 2)],
        ("a", "b", Fifo("ab", 2, latency=0)),
        ("b", "c", Fifo("bc", 1, latency=0)),
    )
    line = simulate(design, engine)
    assert times(line, "b") == ([1, 2], [1, 2]) and times(line, "c") == ([1, 6], [6, 11])
    three = made(
        [Stage("a", 1, 3), Stage("b", 0, 3, {}, "start"), Stage("c", 5, 3)],
        ("a", "b", Fifo("ab", 3, latency=0)),
        ("b", "c", Fifo("bc", 1, latency=0)),
    )
    line = simulate(three, engine)
    assert times(line, "b") == ([1, 2, 6], [1, 2, 6])
    assert list(line.shares("b")) == [3, 0, 3, 10]


@ENGINES
def test_rates_gather_and_scatter(engine):
    """a puts 3 tokens a firing, b takes 2: b's firings wait for a's 1st, 2nd and 2nd."""
    design = made([Stage("a", 4, 2), Stage("b", 1, 3)], ("a", "b", Fifo("ab", 6, 3, 2)))
    assert times(simulate(design, engine), "b") == ([5, 9, 10], [6, 10, 11])
    narrow = made([Stage("a", 4, 2), Stage("b", 1, 3)], ("a", "b", Fifo("ab", 4, 3, 2)))  # a's 2nd needs 2 free slots
    assert times(simulate(narrow, engine), "a") == ([0, 4], [4, 8])
    tight = made([Stage("a", 1, 2), Stage("b", 5, 3)], ("a", "b", Fifo("ab", 3, np.array([3, 3]), np.array([2, 2, 2]))))
    with pytest.raises(DeadlockError, match=r"^tiny: deadlock: a waits at firing 1 for room in ab; "
                                            r"b waits at firing 1 for tokens in ab$"):  # fmt: skip
        simulate(tight, engine)


@ENGINES
def test_uneven_rates(engine):
    """a puts 0, 2, 1; b takes 1, 0, 2: b's first waits for a's second, b's last for a's last."""
    fifo = Fifo("ab", 3, np.array([0, 2, 1]), np.array([1, 0, 2]), latency=1)
    line = simulate(made([Stage("a", 2, 3), Stage("b", 1, 3)], ("a", "b", fifo)), engine)
    assert times(line, "b") == ([5, 6, 7], [6, 7, 8])


@ENGINES
def test_a_rate_that_never_moves_and_one_like_a_place_in_a_table(engine):
    """No tokens at all between a and b; c waits for all four of a's tokens, 2 + 1 + 1."""
    design = made(
        [Stage("a", 1, 3), Stage("b", 1, 3), Stage("c", 1, 1)],
        ("a", "b", Fifo("none", 1, 0, 0)),
        ("a", "b", Fifo("ab", 3, np.array([1, 1, 1]), 1)),
        ("a", "c", Fifo("ac", 4, np.array([2, 1, 1]), 4)),
    )
    line = simulate(design, engine)
    assert times(line, "b") == ([2, 3, 4], [3, 4, 5]) and times(line, "c") == ([4], [5])


@ENGINES
@pytest.mark.parametrize(("initial", "starts"), [(4, [0, 1, 5, 10]), (3, [0, 5, 10, 15]), (0, [5, 10, 15, 20])])
def test_equal_rates_above_one(engine, initial, starts):
    """Two tokens a firing on both sides, a every 5 cycles: only whole pairs of initial tokens help."""
    fifo = Fifo("ab", 8, 2, 2, latency=0, initial=initial)
    design = made([Stage("a", 5, 4), Stage("b", 1, 4)], ("a", "b", fifo))
    assert times(simulate(design, engine), "b")[0] == starts


@ENGINES
@pytest.mark.parametrize(("depth", "releases"), [(4, [1, 2, 10, 20]), (5, [1, 2, 10, 20]), (6, [1, 2, 3, 10])])
def test_room_for_equal_rates_above_one(engine, depth, releases):
    """b takes a pair at 0, 10 and 20; a pair of a fits in where there are two slots."""
    held = Fifo("ab", depth, 2, 2, latency=0, credit=0, initial=2)
    design = made([Stage("a", 1, 4), Stage("b", np.array([10, 10, 10, 10, 10]), 5)], ("a", "b", held))
    assert times(simulate(design, engine), "b")[0] == [0, 10, 20, 30, 40]
    assert times(simulate(design, engine), "a")[1] == releases


@ENGINES
def test_initial_tokens_close_a_loop(engine):
    """Two in flight round a ring of 3 + 2 cycles and latencies 1 + 1: seven cycles for two."""
    design = made([Stage("a", 3, 6), Stage("b", 2, 6)], ("a", "b", Fifo("ab", 2)), ("b", "a", Fifo("ba", 2, initial=2)))
    line = simulate(design, engine)
    assert times(line, "a") == ([0, 3, 7, 10, 14, 17], [3, 6, 10, 13, 17, 20])
    assert times(line, "b") == ([4, 7, 11, 14, 18, 21], [6, 9, 13, 16, 20, 23])


@ENGINES
def test_a_join_waits_for_both_and_a_fork_for_room_in_both(engine):
    design = made(
        [Stage("a", 1, 2), Stage("b", 4, 2), Stage("j", 1, 2), Stage("c", 1, 2), Stage("d", 9, 2)],
        ("a", "j", Fifo("aj", 1)),
        ("b", "j", Fifo("bj", 1)),
        ("j", "c", Fifo("jc", 1, latency=0)),
        ("j", "d", Fifo("jd", 1, latency=0)),
    )
    line = simulate(design, engine)
    assert times(line, "j") == ([5, 9], [6, 10])
    assert times(line, "a") == ([0, 1], [1, 5])
    assert times(line, "d") == ([6, 15], [15, 24])


@ENGINES
def test_lanes(engine):
    """One writer feeds two lanes of services (1, 4) and (2, 1), one reader takes from both: the slower lane decides."""
    design = made(
        [Stage("a", 1, 2), Stage("b", np.array([[1, 4], [2, 1]]), 2, {"mac": 3}, lanes=2), Stage("c", 1, 2)],
        ("a", "b", Fifo("ab", 1, latency=0)),
        ("b", "c", Fifo("bc", 1, latency=0)),
    )
    line = simulate(design, engine)
    assert line.starts("b").tolist() == [[1, 1], [2, 5]]
    assert line.releases("b").tolist() == [[2, 5], [5, 6]]  # lane 0 waits for c to take both copies, at 5
    assert times(line, "c") == ([5, 6], [6, 7])
    assert line.start("b", 1).tolist() == [2, 5]
    assert list(line.shares("b")) == [2, 8, 1, 3]
    assert design.activity() == {"mac": 12}


@ENGINES
def test_lanes_with_room(engine):
    """Deep queues, so that several firings are worked out at once: c takes when the slower of two lanes has put."""
    design = made(
        [Stage("a", 1, 3), Stage("b", np.array([[1, 4], [2, 1], [3, 3]]), 3, lanes=2), Stage("c", 1, 3)],
        ("a", "b", Fifo("ab", 3, latency=0)),
        ("b", "c", Fifo("bc", 3, latency=0)),
    )
    line = simulate(design, engine)
    assert line.releases("b").tolist() == [[2, 5], [4, 6], [7, 9]]
    assert times(line, "c") == ([5, 6, 9], [6, 7, 10])


@ENGINES
def test_a_blocked_start_frees_what_it_took(engine):
    """a's first release waits for b, b's first start for the slot that a's first start frees."""
    design = made(
        [Stage("a", 2, 2), Stage("b", 1, 2, {}, "start")],
        ("a", "b", Fifo("ab", 1, latency=0, initial=1)),
        ("b", "a", Fifo("ba", 1, latency=0, initial=1)),
    )
    line = simulate(design, engine)
    assert times(line, "a") == ([0, 2], [2, 4])
    assert times(line, "b") == ([0, 2], [1, 3])


def test_more_firings_and_lanes_than_fit_in_a_batch():
    """5,000 firings alone; 5,000 tokens through a queue of 5,000 in pairs; 3,000 lanes that serve 1, 2, 3, ... cycles."""
    assert simulate(made([Stage("a", 2, 5000)])).cycles == 10_000
    pair = made([Stage("a", 2, 5000), Stage("b", 1, 2500)], ("a", "b", Fifo("ab", 5000, 1, 2)))
    line = simulate(pair)
    assert (line.cycles, line.start("b", 2499)) == (10_002, 10_001)
    wide = made(
        [Stage("w", np.arange(6000).reshape(2, 3000), 2, lanes=3000), Stage("z", 1, 2)], ("w", "z", Fifo("wz", 2))
    )
    assert times(simulate(wide), "z") == ([3000, 8999], [3001, 9000])


@ENGINES
@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.int32])
def test_long_services_beside_short_ones(engine, dtype):
    """70,000 cycles do not fit into 16 bits, wherever the array stands."""
    for long_first in (True, False):
        stages = [Stage("a", np.array([70_000, 1], dtype), 2), Stage("b", np.array([3, 4], np.uint8), 2)]
        line = simulate(made(stages if long_first else stages[::-1]), engine)
        assert times(line, "a") == ([0, 70_000], [70_000, 70_001]) and times(line, "b") == ([0, 3], [3, 7])


@ENGINES
def test_nothing_to_do(engine):
    """A stage that never fires, and a FIFO nobody needs."""
    line = simulate(made([Stage("a", 7, 0), Stage("b", 2, 1)], ("a", "b", Fifo("ab", 1, 1, 0))), engine)
    assert line.cycles == 2 and line.starts("a").shape == (0, 1)
    assert list(line.shares("a")) == [0, 0, 0, 2]


def test_a_design_as_a_graph_and_its_counts():
    """Counts by firing and lane, of all stages or of some; two FIFOs between the same two stages are two edges."""
    design = Design("graph")
    a = design.add(Stage("a", 1, 3, {"mac": 2, "read": np.array([1, 0, 4])}, lanes=2))
    b = design.add(Stage("b", 1, 3, {"mac": np.array([[1, 2], [3, 4], [5, 6]]), "write": Total(7)}, lanes=2))
    fifo = design.connect(a, "b", Fifo("one", 1))
    design.connect("a", b, Fifo("two", 1))
    assert design.activity() == {"mac": 12 + 21, "read": 10, "write": 7}
    assert design.activity(("b",)) == {"mac": 21, "write": 7}
    assert design.graph.nodes["a"]["stage"] is a and design.graph.number_of_edges("a", "b") == 2
    assert design.graph.edges["a", "b", "one"]["fifo"] is fifo
    assert (
        [edge.fifo.name for edge in design.inputs("b")] == ["one", "two"] == [e.fifo.name for e in design.outputs("a")]
    )
    assert design.inputs("a") == design.outputs("b") == []


def test_values_go_through_the_queues():
    """Running sums of 1, 2, 3 and of their doubles; `b` has a function for each lane, `c` gets a list for each copy."""
    got = []
    design = made(
        [Stage("a", 1, 3), Stage("b", 1, 3, lanes=2), Stage("c", 1, 3)],
        ("a", "b", Fifo("ab", 1)),
        ("b", "c", Fifo("bc", 2)),
    )
    lane = [lambda k, taken, n=n: {"bc": [taken["ab"][0] * n]} for n in (1, 2)]
    values = {"a": lambda k, taken: {"ab": [k + 1]}, "b": lane, "c": lambda k, taken: got.append(taken["bc"]) or {}}
    simulate(design, "des", values)
    assert got == [[[1], [2]], [[2], [4]], [[3], [6]]]


def test_initial_tokens_hold_nothing():
    got = []
    design = made([Stage("a", 1, 2), Stage("b", 1, 2)], ("a", "b", Fifo("ab", 3, 1, np.array([2, 1]), initial=1)))
    values = {"a": lambda k, taken: {"ab": [k]}, "b": lambda k, taken: got.append(taken["ab"]) or {}}
    simulate(design, "des", values)
    assert got == [[None, 0], [1]]


def test_occupancy():
    """Tokens put at 1, 2, 3, 6, 9 and taken at 3, 6, 9, 12, 15 (see back-pressure above)."""
    design = made([Stage("a", 1, 5), Stage("b", 3, 5)], ("a", "b", Fifo("ab", 2, latency=2)))
    cycles, fill = simulate(design).occupancy("ab")
    assert dict(zip(cycles.tolist(), fill.tolist())) == {0: 0, 1: 1, 2: 2, 3: 2, 6: 2, 9: 2, 12: 1, 15: 0}

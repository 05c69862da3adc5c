"""Do both engines agree on every start and release of random designs, and does skipping ahead equal stepping?

Random designs have arrays and scalars as rates, joins and forks, loops with initial tokens, lanes, latency, credit,
both claims and back-pressure; many of them deadlock, and then both engines must say the same.
"""

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import fast, tracefile
from sim.critical import critical
from sim.errors import DeadlockError
from sim.graph import Design, Fifo, Stage
from sim.rates import Repeat, expand
from sim.run import simulate
from sim.timeline import Timeline

MANY = settings(
    max_examples=int(os.environ.get("TAPEOUT_DESIGNS", "1500")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def rates(draw, firings, most, lanes=1, least=0):
    """A scalar or an array of `firings` rows; by lane where `lanes` asks for it."""
    kind = draw(st.sampled_from(["scalar", "array", "lanes"] if lanes > 1 else ["scalar", "array"]))
    if kind == "scalar":
        return draw(st.integers(least, most))
    seed = draw(st.integers(0, 2**16))
    shape = (firings, lanes) if kind == "lanes" else (firings,)
    dtype = draw(st.sampled_from([np.int64, np.uint8, np.uint16]))
    return np.random.default_rng(seed).integers(least, most + 1, shape).astype(dtype)


@st.composite
def designs(draw):
    design = Design("random")
    lanes = draw(st.sampled_from([1, 1, 2, 3]))
    count = draw(st.integers(1, 5))
    base = draw(st.integers(1, 12))
    for i in range(count):
        width = draw(st.sampled_from([1, lanes]))
        firings = base * draw(st.sampled_from([1, 1, 1, 2, 3]))
        claim = draw(st.sampled_from(["release", "start"]))
        design.add(Stage(f"s{i}", draw(rates(firings, 5, width)), firings, {}, claim, width))
    for e in range(draw(st.integers(0, 7))):
        src, dst = (f"s{draw(st.integers(0, count - 1))}" for _ in range(2))
        back = int(src[1:]) >= int(dst[1:])
        writer, reader = design.stages[src], design.stages[dst]
        balanced = draw(st.integers(0, 3)) > 0
        if balanced:  # as many tokens in as out, so that most designs run to their end
            common = int(np.lcm(writer.firings, reader.firings))
            produce, consume = common // writer.firings, common // reader.firings
        else:
            produce, consume = draw(rates(writer.firings, 3)), draw(rates(reader.firings, 3))
        depth = draw(st.integers(1, 12))
        initial = draw(st.integers(0, depth)) if back or draw(st.booleans()) else 0
        timing = draw(st.integers(0, 4)), draw(st.integers(0, 3))
        design.connect(src, dst, Fifo(f"f{e}", depth, produce, consume, *timing, initial))
    return design


def outcome(design, engine):
    try:
        return simulate(design, engine)
    except DeadlockError as error:
        return str(error)


def same(left: Timeline, right: Timeline) -> None:
    for name in left.design.stages:
        np.testing.assert_array_equal(left.starts(name), right.starts(name), name)
        np.testing.assert_array_equal(left.releases(name), right.releases(name), name)
        assert left.shares(name) == right.shares(name)
    assert left.cycles == right.cycles


@MANY
@given(designs())
def test_engines_agree_on_every_event(design):
    fast_run, des_run = outcome(design, "fast"), outcome(design, "des")
    if isinstance(fast_run, str) or isinstance(des_run, str):
        assert fast_run == des_run
    else:
        same(fast_run, des_run)


@MANY
@given(designs())
def test_time_is_conserved(design):
    timeline = outcome(design, "fast")
    if isinstance(timeline, Timeline):
        for name, stage in design.stages.items():
            shares = timeline.shares(name)
            assert sum(shares) == stage.lanes * timeline.cycles
            assert min(shares) >= 0


@MANY
@given(designs())
def test_the_critical_chain_has_all_cycles(design):
    line = outcome(design, "fast")
    if isinstance(line, Timeline):
        assert sum(critical(line).cycles.values()) == line.cycles


@MANY
@given(designs())
def test_slices_add_up_to_the_shares(design):
    line = outcome(design, "fast")
    if isinstance(line, Timeline):
        for name, stage in design.stages.items():
            found: Counter[str] = Counter()
            for lane in range(stage.lanes):
                slices = tracefile.slices(line, name, lane)
                assert [s[1] for s in slices[1:]] == [s[2] for s in slices[:-1]]
                for kind, begin, end in slices:
                    found[kind] += end - begin
            shares = line.shares(name)
            assert [found[k] for k in ("starved", "busy", "blocked", "tail")] == list(shares)


@st.composite
def repeating(draw):
    """Stages whose bodies hold equal token counts: a chain, forks, joins and feedback, pipes that lag, shallow FIFOs."""
    design = Design("repeating")
    times = draw(st.integers(1, 150))
    tokens = draw(st.integers(1, 4))
    count = draw(st.integers(1, 4))
    bodies, lags = [], []
    for i in range(count):
        body, lag = draw(st.integers(1, 5)), draw(st.integers(0, 3))
        service = np.array(draw(st.lists(st.integers(0, 4), min_size=body, max_size=body)))
        claim = draw(st.sampled_from(["release", "start"]))
        flush = draw(st.lists(st.integers(0, 2), min_size=lag, max_size=lag))
        scalar = draw(st.booleans())
        firings = body * times + lag
        cost = draw(st.integers(0, 3)) if scalar else Repeat.of(service, times, tail=flush)
        design.add(Stage(f"s{i}", cost, firings, {}, claim, draw(st.sampled_from([1, 1, 2]))))
        bodies.append(body)
        lags.append(lag)
    pairs = [(i, i + 1) for i in range(count - 1)]
    pairs += draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=3))
    for n, (i, j) in enumerate(pairs):
        split = lambda body: np.bincount(np.arange(tokens) * body // tokens, minlength=body)  # noqa: E731
        produce = Repeat.of(split(bodies[i]), times, head=[0] * lags[i])
        consume = Repeat.of(split(bodies[j]), times, tail=[0] * lags[j])
        if design.stages[f"s{i}"].lanes != design.stages[f"s{j}"].lanes and i % 2:
            continue
        depth = draw(st.integers(tokens, draw(st.sampled_from([3, 6])) * tokens + 2))
        ahead = draw(st.integers(0, depth)) if i >= j else 0
        timing = draw(st.integers(0, 3)), draw(st.integers(0, 2))
        design.connect(f"s{i}", f"s{j}", Fifo(f"f{n}", depth, produce, consume, *timing, ahead))
    return design


def written_out(design):
    plain = Design(design.name)
    for name, stage in design.stages.items():
        plain.add(Stage(name, expand(stage.service, stage.firings), stage.firings, {}, stage.claim, stage.lanes))
    for edge in design.edges:
        fifo = edge.fifo
        produce = expand(fifo.produce, design.stages[edge.src].firings)
        consume = expand(fifo.consume, design.stages[edge.dst].firings)
        plain.connect(
            edge.src, edge.dst, Fifo(fifo.name, fifo.depth, produce, consume, fifo.latency, fifo.credit, fifo.initial)
        )
    return plain


@MANY
@given(repeating())
def test_skipping_ahead_equals_stepping(design):
    skipped, stepped = outcome(design, "fast"), outcome(written_out(design), "fast")
    if isinstance(stepped, str):
        assert skipped == stepped
    else:
        same(skipped, stepped)
        for name, stage in design.stages.items():
            for firing in {0, stage.firings // 2, stage.firings - 1} if stage.firings else ():
                np.testing.assert_array_equal(skipped.start(name, firing), stepped.starts(name)[firing].squeeze())


def test_a_skip_ends_before_an_input_leaves_its_pace():
    """s1 falls behind s0 by a cycle a repetition until the last one, where s1 holds s0 up, and s0's token comes later."""
    design = Design("ahead")
    design.add(Stage("s0", Repeat.of([0, 0, 0, 3, 4], 17, tail=[0]), 86))
    design.add(Stage("s1", Repeat.of([0], 17), 17, {}, "start"))
    design.add(Stage("s2", Repeat.of([4, 4], 17), 34))
    design.connect("s0", "s1", Fifo("f0", 1, Repeat.of([1, 0, 0, 0, 0], 17, head=[0]), Repeat.of([1], 17), 0, 1))
    design.connect("s1", "s2", Fifo("f1", 1, Repeat.of([1], 17), Repeat.of([1, 0], 17), 0))
    assert list(simulate(design).shares("s1")) == [85, 0, 35, 16]
    same(simulate(design), simulate(written_out(design)))


def test_order_of_creation_changes_nothing():
    def made(order):
        design = Design()
        for i in order:
            design.add(Stage(f"s{i}", i + 1, 20))
        for i in sorted(order, reverse=order[0] > 0)[:-1]:
            a, b = (i, i + 1) if order[0] == 0 else (i - 1, i)
            design.connect(f"s{a}", f"s{b}", Fifo(f"f{a}", 2))
        return design

    forward, backward = simulate(made([0, 1, 2, 3])), simulate(made([3, 2, 1, 0]))
    for i in range(4):
        np.testing.assert_array_equal(forward.starts(f"s{i}"), backward.starts(f"s{i}"))


def test_a_long_batch_is_stepped_only_until_it_repeats():
    def batch(images):
        design = Design()
        design.add(Stage("a", Repeat.of([1] * 50, images), 50 * images))
        design.add(Stage("b", Repeat.of([1, 3], images), 2 * images))
        design.connect("a", "b", Fifo("ab", 30, 1, 25))
        return design

    timeline = simulate(batch(10_000))
    assert len(timeline.times.starts["a"]) <= 50 * 16
    assert timeline.period == (50, 1)
    assert timeline.cycles == fast_cycles(written_out(batch(10_000)))


def test_a_pace_that_ends_is_not_carried_on_by_who_is_ahead():
    """The pipe runs a firing ahead of its reader when the FIFO is full at last: the first that waits is not skipped."""
    design = Design("pace")
    design.add(Stage("pipe", Repeat.of([1], 21, tail=[2]), 22, claim="start"))
    design.add(Stage("slow", Repeat.of([3], 21, tail=[1, 1, 1]), 24))
    ends = Repeat.of([2], 21, head=[0]), Repeat.of([2], 21, tail=[0, 0, 0])
    design.connect("pipe", "slow", Fifo("f", 10, *ends, latency=2, credit=1))
    same(simulate(design), simulate(written_out(design)))


@pytest.mark.parametrize("slots", [40, 4000])
def test_a_long_batch_that_stops_names_all_who_wait_in_it(slots):
    """Whoever could do all of a shorter batch waits in the long one; nothing of its length is written out."""
    design = Design("batch")
    design.add(Stage("source", 1, 100_000_000))
    for name in ("join", "a", "b"):
        design.add(Stage(name, Repeat.of([1], 100_000_000), 100_000_000))
    design.connect("source", "join", Fifo("in", slots))
    for ends in (("join", "a"), ("a", "b"), ("b", "join")):
        design.connect(*ends, Fifo("".join(ends), 4))
    with pytest.raises(DeadlockError) as caught:
        simulate(design)
    assert str(caught.value) == (
        f"batch: deadlock: source waits at firing {slots} for room in in; join waits at firing 0 for tokens in bjoin; "
        "a waits at firing 0 for tokens in joina; b waits at firing 0 for tokens in ab"
    )


def fast_cycles(design):
    return Timeline(design, design, fast.run(design)).cycles


def test_deadlock_names_every_waiting_stage():
    design = Design("loop")
    design.add(Stage("a", 1, 3))
    design.add(Stage("b", 1, 3))
    design.connect("a", "b", Fifo("ab", 2))
    design.connect("b", "a", Fifo("ba", 2))
    for engine in ("fast", "des"):
        with pytest.raises(DeadlockError) as caught:
            simulate(design, engine)
        assert str(caught.value) == (
            "loop: deadlock: a waits at firing 0 for tokens in ba; b waits at firing 0 for tokens in ab"
        )


def test_a_start_that_waits_for_room_frees_its_inputs():
    """a starts its second firing in the same batch as its first; that start is what lets b go on."""
    design = Design("loop")
    design.add(Stage("a", 0, 2))
    design.add(Stage("b", 0, 4, claim="start"))
    design.connect("b", "a", Fifo("ba", 2, 2, 1, 0))
    design.connect("a", "b", Fifo("ab", 2, 2, 1, 0, initial=1))
    assert outcome(design, "fast") == outcome(design, "des")

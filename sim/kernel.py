"""The recurrence of `sim.graph`, compiled: every stage advances in batches as far as its neighbours allow.

Only arrays and numbers here, so that numba compiles it once and caches it on disk. A batch evaluates one FIFO at a time
over all its firings and lanes; single-rate FIFOs are then a shifted maximum over contiguous memory, and rates that are
scalars need no index arrays. `sim.fast` lays the tables out.

Inner loops index whole arrays by unsigned integers: a view costs its reference counts, which is as much as serving 50
firings, and a signed index costs a test for negative values.
"""

from typing import Any

import numba
import numpy as np

# Columns of the stage table.
FIRINGS, LANES, CLAIM, SERVICE_KIND, SERVICE, BASE, IN_FROM, IN_TO, OUT_FROM, OUT_TO = range(10)
# Columns of the FIFO table. A rate is a scalar (KIND 0) or prefix sums from an offset in one flat array (KIND 1).
SRC, DST, DEPTH, LATENCY, CREDIT, INITIAL = range(6)
PUT_KIND, PUT, TAKE_KIND, TAKE, TOKENS_AHEAD, SLOTS_AHEAD = range(6, 12)
SCALAR, BY_FIRING, BY_LANE = range(3)
NEVER = -1  # TOKENS_AHEAD or SLOTS_AHEAD of a FIFO that is not single-rate
BATCH = 2048  # times per batch: its buffers stay in the first-level cache

jit = numba.njit(cache=True, nogil=True, error_model="numpy")
inline = numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")


@inline
def _tokens(kind: int, rate: int, prefix: Any, firings: int) -> int:
    """Tokens moved by the first `firings` firings."""
    return rate * firings if kind == 0 else prefix[rate + firings]


@jit
def _most(kind: int, rate: int, prefix: Any, amount: int, low: int, high: int) -> int:
    """The largest count of firings in [low, high] that moves at most `amount` tokens; `low` is known to."""
    if kind == 0:
        return min(high, amount) if rate == 1 else high if rate == 0 else min(high, amount // rate)
    step = 1
    while low + step <= high and prefix[rate + low + step] <= amount:
        low += step
        step *= 2
    high = min(high, low + step - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if prefix[rate + middle] <= amount:
            low = middle
        else:
            high = middle - 1
    return low


@jit
def _first(kind: int, rate: int, prefix: Any, need: int, guess: int) -> int:
    """The first firing, from `guess` on, after which `need` tokens have moved; `need` is positive."""
    if kind == 0:
        return (need + rate - 1) // rate - 1
    while prefix[rate + guess + 1] < need:
        guess += 1
    return guess


@inline
def _raise(mine: Any, at: int, rows: int, lanes: int, theirs: Any, row: int, other: int, delay: int) -> None:
    """Rows of `lanes` times, from `at` on, become the maximum of themselves and a neighbour's of `other`, plus `delay`."""
    to, source, width = np.uint64(at), np.uint64(row), np.uint64(lanes)
    if other == lanes:
        for x in range(np.uint64(rows) * width):
            mine[to + x] = max(mine[to + x], theirs[source + x] + delay)
    elif other == 1:
        for k in range(np.uint64(rows)):
            time = theirs[source + k] + delay
            for lane in range(width):
                mine[to + lane] = max(mine[to + lane], time)
            to += width
    else:
        for k in range(np.uint64(rows)):
            latest = theirs[source]
            for lane in range(np.uint64(other)):
                latest = max(latest, theirs[source + lane])
            mine[to + k] = max(mine[to + k], latest + delay)
            source += np.uint64(other)


@inline
def _wait(buffer: Any, first: int, end: int, i: int, stages: Any, fifos: Any, prefix: Any, times: Any, seen: Any,
          edges: Any, inputs: bool) -> None:  # fmt: skip
    """Raise the buffer of firings [first, end) to the time at which all their tokens can be taken.

    Or, with `inputs` false, to the time at which all their tokens have room: the same rule, with slots for tokens.
    """
    lanes = stages[i, LANES]
    slots = range(
        np.uint64(stages[i, IN_FROM if inputs else OUT_FROM]), np.uint64(stages[i, IN_TO if inputs else OUT_TO])
    )
    for slot in slots:
        e = np.uint64(edges[slot])
        neighbour = np.uint64(fifos[e, SRC if inputs else DST])
        delay, ahead = fifos[e, LATENCY if inputs else CREDIT], fifos[e, TOKENS_AHEAD if inputs else SLOTS_AHEAD]
        other, base = stages[neighbour, LANES], stages[neighbour, BASE]
        if ahead != NEVER:
            begin = max(first, ahead)
            if begin < end:
                row = base + (begin - ahead) * other
                _raise(buffer, (begin - first) * lanes, end - begin, lanes, times, row, other, delay)
            continue
        my_kind, my_rate = fifos[e, TAKE_KIND if inputs else PUT_KIND], fifos[e, TAKE if inputs else PUT]
        their_kind, their_rate = fifos[e, PUT_KIND if inputs else TAKE_KIND], fifos[e, PUT if inputs else TAKE]
        there = fifos[e, INITIAL] if inputs else fifos[e, DEPTH] - fifos[e, INITIAL]
        met = max(0, _tokens(my_kind, my_rate, prefix, first) - there)
        for k in range(first, end):
            need = _tokens(my_kind, my_rate, prefix, k + 1) - there
            if need > met:  # else the firing before has waited for it
                met = need
                seen[e] = _first(their_kind, their_rate, prefix, need, seen[e])
                _raise(buffer, (k - first) * lanes, 1, lanes, times, base + seen[e] * other, other, delay)


@inline
def _serve_one(i: int, first: int, end: int, stages: Any, ready: Any, room: Any, services: Any, start: Any,
               release: Any) -> None:  # fmt: skip
    """Start and release firings [first, end) of a one-lane stage, one after the other."""
    at, kind, cycles = np.uint64(stages[i, BASE] + first), stages[i, SERVICE_KIND], stages[i, SERVICE]
    cost: Any = cycles
    here = np.uint64(cycles + first)
    last: Any = release[at - np.uint64(1)] if first > 0 else 0
    for k in range(np.uint64(end - first)):
        if kind != SCALAR:
            cost = np.int64(services[here + k])
        begin = max(last, ready[k])
        last = max(begin + cost, room[k])
        start[at + k] = begin
        release[at + k] = last


@jit
def _serve_lanes(i: int, first: int, end: int, stages: Any, ready: Any, room: Any, services: Any, start: Any,
                 release: Any, last: Any) -> None:  # fmt: skip
    """The same for a stage with lanes; `last` is scratch space."""
    lanes, kind, cycles = np.uint64(stages[i, LANES]), stages[i, SERVICE_KIND], stages[i, SERVICE]
    at, mine = np.uint64(stages[i, BASE]) + np.uint64(first) * lanes, np.uint64(0)
    here = np.uint64(cycles) + np.uint64(first) * (lanes if kind == BY_LANE else np.uint64(1))
    for lane in range(lanes):
        last[lane] = release[at - lanes + lane] if first > 0 else 0
    for _ in range(end - first):
        if kind == BY_LANE:
            for lane in range(lanes):
                begin = max(last[lane], ready[mine + lane])
                until = max(begin + np.int64(services[here + lane]), room[mine + lane])
                start[at + lane] = begin
                release[at + lane] = until
                last[lane] = until
            here += lanes
        else:
            cost = cycles if kind == SCALAR else np.int64(services[here])
            for lane in range(lanes):
                begin = max(last[lane], ready[mine + lane])
                until = max(begin + cost, room[mine + lane])
                start[at + lane] = begin
                release[at + lane] = until
                last[lane] = until
            here += np.uint64(1)
        at += lanes
        mine += lanes


@inline
def _clear(buffer: Any, count: int) -> None:
    for x in range(np.uint64(count)):
        buffer[x] = 0


@inline
def _allowed(i: int, stages: Any, fifos: Any, prefix: Any, edges: Any, started: Any, released: Any, low: int, high: int,
             inputs: bool) -> int:  # fmt: skip
    """How many firings in all the stage's inputs (or else its outputs) allow, at most `high`."""
    if inputs:
        for slot in range(np.uint64(stages[i, IN_FROM]), np.uint64(stages[i, IN_TO])):
            e = np.uint64(edges[slot])
            entered = _tokens(fifos[e, PUT_KIND], fifos[e, PUT], prefix, released[np.uint64(fifos[e, SRC])])
            high = _most(fifos[e, TAKE_KIND], fifos[e, TAKE], prefix, fifos[e, INITIAL] + entered, low, high)
    else:
        for slot in range(np.uint64(stages[i, OUT_FROM]), np.uint64(stages[i, OUT_TO])):
            e = np.uint64(edges[slot])
            left = _tokens(fifos[e, TAKE_KIND], fifos[e, TAKE], prefix, started[np.uint64(fifos[e, DST])])
            slots = fifos[e, DEPTH] - fifos[e, INITIAL] + left
            high = _most(fifos[e, PUT_KIND], fifos[e, PUT], prefix, slots, low, high)
    return high


@jit
def advance(stages: Any, fifos: Any, edges: Any, prefix: Any, services: Any, start: Any, release: Any, started: Any,
            released: Any) -> None:  # fmt: skip
    """Fill `start` and `release` as far as the design runs; `started` and `released` count the firings that did.

    A firing can be started but not released (it waits for room); its start already frees its neighbours.
    """
    widest = 1
    rows = np.empty(len(stages), np.int64)
    for i in range(len(stages)):
        widest = max(widest, stages[i, LANES])
        rows[i] = max(1, BATCH // stages[i, LANES])
    ready = np.empty(BATCH + widest, np.int64)
    room = np.empty(BATCH + widest, np.int64)
    nothing = np.zeros(BATCH + widest, np.int64)  # the room of a stage that puts nothing
    previous = np.empty(widest, np.int64)
    seen_in = np.zeros(len(fifos), np.int64)
    seen_out = np.zeros(len(fifos), np.int64)
    dirty = np.ones(len(stages), np.bool_)
    moved = True
    while moved:
        moved = False
        for i in range(np.uint64(len(stages))):
            if not dirty[i]:
                continue
            dirty[i] = False
            lanes, first = stages[i, LANES], released[i]
            high = min(stages[i, FIRINGS], first + rows[i])
            if first >= high:
                continue
            tokens = _allowed(i, stages, fifos, prefix, edges, started, released, first, high, True)
            end = _allowed(i, stages, fifos, prefix, edges, started, released, first, tokens, False)
            held = stages[i, CLAIM] == 0 and end < tokens and started[i] <= end  # starts, but its release must wait
            last = end + 1 if held else end
            if last > first:
                _clear(ready, (last - first) * lanes)
                space = nothing
                if stages[i, OUT_TO] > stages[i, OUT_FROM]:
                    space = room
                    _clear(room, (last - first) * lanes)
                _wait(ready, first, last, i, stages, fifos, prefix, release, seen_in, edges, True)
                target = ready if stages[i, CLAIM] == 1 else room
                _wait(target, first, end, i, stages, fifos, prefix, start, seen_out, edges, False)
                if lanes == 1:
                    _serve_one(i, first, last, stages, ready, space, services, start, release)
                else:
                    _serve_lanes(i, first, last, stages, ready, space, services, start, release, previous)
            if end > released[i]:
                moved = True
                dirty[i] = end == high  # the batch was full: there may be more
                for slot in range(np.uint64(stages[i, OUT_FROM]), np.uint64(stages[i, OUT_TO])):
                    dirty[np.uint64(fifos[np.uint64(edges[slot]), DST])] = True
            if last > started[i]:
                moved = True
                for slot in range(np.uint64(stages[i, IN_FROM]), np.uint64(stages[i, IN_TO])):
                    dirty[np.uint64(fifos[np.uint64(edges[slot]), SRC])] = True
            released[i], started[i] = end, max(last, started[i])

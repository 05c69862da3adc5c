"""The recurrence of `sim.graph`, compiled: every stage advances in batches as far as its neighbours allow.

Only arrays and numbers here, so that numba compiles it once and caches it on disk. A batch evaluates one FIFO at a time
over all its firings and lanes; single-rate FIFOs are then a shifted maximum over contiguous memory, and rates that are
scalars need no index arrays. `sim.fast` lays the tables out.
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
BATCH = 8192  # times per batch: its buffers stay in the first-level cache

jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@jit
def _tokens(kind: int, rate: int, prefix: Any, firings: int) -> int:
    """Tokens moved by the first `firings` firings."""
    return rate * firings if kind == 0 else prefix[rate + firings]


@jit
def _most(kind: int, rate: int, prefix: Any, amount: int, low: int, high: int) -> int:
    """The largest count of firings in [low, high] that moves at most `amount` tokens; `low` is known to."""
    if kind == 0:
        return high if rate == 0 else min(high, amount // rate)
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


@jit
def _raise(buffer: Any, at: int, lanes: int, times: Any, row: int, other: int, delay: int) -> None:
    """buffer[at : at + lanes] becomes the maximum of itself and a neighbour's row of `other` lanes plus `delay`."""
    if other == lanes:
        mine, theirs = buffer[at : at + lanes], times[row : row + lanes]
        for lane in range(lanes):
            mine[lane] = max(mine[lane], theirs[lane] + delay)
    elif other == 1:
        mine, time = buffer[at : at + lanes], times[row] + delay
        for lane in range(lanes):
            mine[lane] = max(mine[lane], time)
    else:
        theirs = times[row : row + other]
        latest = theirs[0]
        for lane in range(other):
            latest = max(latest, theirs[lane])
        buffer[at] = max(buffer[at], latest + delay)


@jit
def _inputs(buffer: Any, first: int, end: int, stage: Any, stages: Any, fifos: Any, prefix: Any, release: Any,
            seen: Any, edges: Any) -> None:  # fmt: skip
    """Raise the buffer of firings [first, end) to the time at which all their tokens can be taken."""
    lanes = stage[LANES]
    for slot in range(stage[IN_FROM], stage[IN_TO]):
        e = edges[slot]
        fifo = fifos[e]
        source = stages[fifo[SRC]]
        other, base, delay, ahead = source[LANES], source[BASE], fifo[LATENCY], fifo[TOKENS_AHEAD]
        if ahead != NEVER:
            begin = max(first, ahead)
            if begin >= end:
                continue
            if other == lanes:
                mine = buffer[(begin - first) * lanes : (end - first) * lanes]
                theirs = release[base + (begin - ahead) * lanes : base + (end - ahead) * lanes]
                for x in range(len(mine)):
                    mine[x] = max(mine[x], theirs[x] + delay)
            else:
                for k in range(begin, end):
                    _raise(buffer, (k - first) * lanes, lanes, release, base + (k - ahead) * other, other, delay)
            continue
        for k in range(first, end):
            need = _tokens(fifo[TAKE_KIND], fifo[TAKE], prefix, k + 1) - fifo[INITIAL]
            if need > 0:
                seen[e] = _first(fifo[PUT_KIND], fifo[PUT], prefix, need, seen[e])
                _raise(buffer, (k - first) * lanes, lanes, release, base + seen[e] * other, other, delay)


@jit
def _outputs(buffer: Any, first: int, end: int, stage: Any, stages: Any, fifos: Any, prefix: Any, start: Any,
             seen: Any, edges: Any) -> None:  # fmt: skip
    """Raise the buffer of firings [first, end) to the time at which all their tokens have room."""
    lanes = stage[LANES]
    for slot in range(stage[OUT_FROM], stage[OUT_TO]):
        e = edges[slot]
        fifo = fifos[e]
        sink = stages[fifo[DST]]
        other, base, delay, ahead = sink[LANES], sink[BASE], fifo[CREDIT], fifo[SLOTS_AHEAD]
        if ahead != NEVER:
            begin = max(first, ahead)
            if begin >= end:
                continue
            if other == lanes:
                mine = buffer[(begin - first) * lanes : (end - first) * lanes]
                theirs = start[base + (begin - ahead) * lanes : base + (end - ahead) * lanes]
                for x in range(len(mine)):
                    mine[x] = max(mine[x], theirs[x] + delay)
            else:
                for k in range(begin, end):
                    _raise(buffer, (k - first) * lanes, lanes, start, base + (k - ahead) * other, other, delay)
            continue
        for k in range(first, end):
            need = _tokens(fifo[PUT_KIND], fifo[PUT], prefix, k + 1) - (fifo[DEPTH] - fifo[INITIAL])
            if need > 0:
                seen[e] = _first(fifo[TAKE_KIND], fifo[TAKE], prefix, need, seen[e])
                _raise(buffer, (k - first) * lanes, lanes, start, base + seen[e] * other, other, delay)


@jit
def _serve(stage: Any, first: int, end: int, ready: Any, room: Any, services: Any, start: Any, release: Any) -> None:
    """Start and release firings [first, end): the only step that goes through them one after the other."""
    lanes, base, kind = stage[LANES], stage[BASE], stage[SERVICE_KIND]
    if first > 0:
        last = release[base + (first - 1) * lanes : base + first * lanes]
        head = ready[:lanes]
        for lane in range(lanes):
            head[lane] = max(head[lane], last[lane])
    for k in range(first, end):
        here, row = (k - first) * lanes, base + k * lanes
        begins, ends = start[row : row + lanes], release[row : row + lanes]
        mine, space = ready[here : here + lanes], room[here : here + lanes]
        if kind == SCALAR:
            cycles = stage[SERVICE]
            for lane in range(lanes):
                begins[lane] = mine[lane]
                ends[lane] = max(mine[lane] + cycles, space[lane])
        elif kind == BY_FIRING:
            cycles = np.int64(services[stage[SERVICE] + k])
            for lane in range(lanes):
                begins[lane] = mine[lane]
                ends[lane] = max(mine[lane] + cycles, space[lane])
        else:
            cost = services[stage[SERVICE] + k * lanes : stage[SERVICE] + (k + 1) * lanes]
            for lane in range(lanes):
                begins[lane] = mine[lane]
                ends[lane] = max(mine[lane] + np.int64(cost[lane]), space[lane])
        if k + 1 < end:
            follow = ready[here + lanes : here + 2 * lanes]
            for lane in range(lanes):
                follow[lane] = max(follow[lane], ends[lane])


@jit
def _allowed(stage: Any, fifos: Any, prefix: Any, edges: Any, started: Any, released: Any, low: int, high: int,
             inputs: bool) -> int:  # fmt: skip
    """How many firings in all the stage's inputs (or else its outputs) allow, at most `high`."""
    if inputs:
        for slot in range(stage[IN_FROM], stage[IN_TO]):
            fifo = fifos[edges[slot]]
            tokens = fifo[INITIAL] + _tokens(fifo[PUT_KIND], fifo[PUT], prefix, released[fifo[SRC]])
            high = _most(fifo[TAKE_KIND], fifo[TAKE], prefix, tokens, low, high)
    else:
        for slot in range(stage[OUT_FROM], stage[OUT_TO]):
            fifo = fifos[edges[slot]]
            free = fifo[DEPTH] - fifo[INITIAL]
            slots = free + _tokens(fifo[TAKE_KIND], fifo[TAKE], prefix, started[fifo[DST]])
            high = _most(fifo[PUT_KIND], fifo[PUT], prefix, slots, low, high)
    return high


@jit
def advance(stages: Any, fifos: Any, edges: Any, prefix: Any, services: Any, start: Any, release: Any, started: Any,
            released: Any) -> None:  # fmt: skip
    """Fill `start` and `release` as far as the design runs; `started` and `released` count the firings that did.

    A firing can be started but not released (it waits for room); its start already frees its neighbours.
    """
    widest = 1
    for i in range(len(stages)):
        widest = max(widest, stages[i, LANES])
    ready = np.empty(BATCH + widest, np.int64)
    room = np.empty(BATCH + widest, np.int64)
    seen_in = np.zeros(len(fifos), np.int64)
    seen_out = np.zeros(len(fifos), np.int64)
    dirty = np.ones(len(stages), np.bool_)
    moved = True
    while moved:
        moved = False
        for i in range(len(stages)):
            if not dirty[i]:
                continue
            dirty[i] = False
            stage = stages[i]
            lanes, first = stage[LANES], released[i]
            high = min(stage[FIRINGS], first + max(1, BATCH // lanes))
            if first >= high:
                continue
            tokens = _allowed(stage, fifos, prefix, edges, started, released, first, high, True)
            end = _allowed(stage, fifos, prefix, edges, started, released, first, tokens, False)
            alone = stage[CLAIM] == 0 and end < tokens and started[i] == end  # a start whose release must wait
            last = end + 1 if alone else end
            if last > first:
                ready[: (last - first) * lanes] = 0
                room[: (last - first) * lanes] = 0
                _inputs(ready, first, last, stage, stages, fifos, prefix, release, seen_in, edges)
                if stage[CLAIM] == 1:
                    _outputs(ready, first, end, stage, stages, fifos, prefix, start, seen_out, edges)
                else:
                    _outputs(room, first, end, stage, stages, fifos, prefix, start, seen_out, edges)
                _serve(stage, first, last, ready, room, services, start, release)
            if end > released[i]:
                moved = True
                dirty[i] = end == high  # the batch was full: there may be more
                for slot in range(stage[OUT_FROM], stage[OUT_TO]):
                    dirty[fifos[edges[slot], DST]] = True
            if last > started[i]:
                moved = True
                for slot in range(stage[IN_FROM], stage[IN_TO]):
                    dirty[fifos[edges[slot], SRC]] = True
            released[i], started[i] = end, max(last, started[i])

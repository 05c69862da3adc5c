"""Exact periodicity: a design of `Repeat` rates is stepped for a few repetitions, and the rest follows.

Let every stage `i` fire `body[i]` times per repetition. If, at some repetition, all times that later firings can still
refer to are those of `c` repetitions before plus the same number of cycles, then by induction over the recurrence every
later time is, for as long as the rates repeat; and the end of the run, where rates differ, sees the same window as the
end of the shorter run did, shifted. So the shorter run's times are spliced, never extrapolated: when no such window is
found the design is stepped in full.
"""

from sim import fast, regimes
from sim.cycle import FEWEST, Cycle, find_cycle, never_fills, shorten
from sim.errors import DeadlockError
from sim.graph import Design
from sim.timeline import Splice, Table, Timeline, Times, enables, frees

SOON = 16  # with no common pace after this many, stages may be drifting apart: see `sim.regimes`


def run(design: Design) -> Timeline:
    """All times of `design`, stepping no more repetitions than the periodic regime needs to show."""
    cycle = find_cycle(design)
    times = FEWEST
    while cycle and times < cycle.times:
        if times >= SOON and all(stage.lanes == 1 for stage in design.stages.values()):
            return regimes.run(design, cycle)
        shorter = shorten(design, cycle, times)
        try:
            stepped = fast.run(shorter)
        except DeadlockError:  # who is done here may wait in the whole run
            times *= 2
            continue
        found = find_period(design, shorter, stepped, cycle, times)
        if found and (cycle.times - times) % found[1] == 0:
            return Timeline(design, shorter, stepped, _splice(cycle, times, *found))
        times += (cycle.times - times) % found[1] if found else times
    return Timeline(design, design, fast.run(design))


def find_period(
    design: Design, shorter: Design, stepped: Times, cycle: Cycle, times: int
) -> tuple[int, int, int] | None:
    """(repetition to cut at, repetitions per period, cycles per period) of the stepped times; None where none shows."""
    sources = {edge.fifo.name: enables(shorter, edge) for edge in shorter.edges}
    sinks = {edge.fifo.name: frees(shorter, edge) for edge in shorter.edges}
    roomy = {edge.fifo.name for edge in design.edges if never_fills(design, edge)}
    for at in range(times - 1, times // 2, -1):
        cut = {name: cycle.head[name] + at * cycle.body[name] for name in shorter.stages}
        if _within_body(shorter, cycle, cut, sources, sinks):
            window = _window(shorter, cut, sources, sinks, roomy)
            shifts = ((period, _shift(shorter, stepped, cycle, cut, window, period)) for period in range(1, at))
            return next(((at, period, shift) for period, shift in shifts if shift is not None), None)
    return None


def _splice(cycle: Cycle, times: int, at: int, period: int, shift: int) -> Splice:
    rounds = (cycle.times - times) // period
    cut = {name: cycle.head[name] + at * body for name, body in cycle.body.items()}
    each = {name: period * body for name, body in cycle.body.items()}
    skip = {name: rounds * firings for name, firings in each.items()}
    return Splice(cut, each, skip, period, shift, rounds * shift)


def _window(design: Design, cut: dict[str, int], sources: dict[str, Table], sinks: dict[str, Table],
            roomy: set[str]) -> dict[str, int]:  # fmt: skip
    """The first firing of each stage that a firing at or after the cut still refers to."""
    first = {name: cut[name] - 1 for name in design.stages}
    for edge in design.edges:
        name = edge.fifo.name
        if cut[edge.dst] < len(sources[name]):
            first[edge.src] = min(first[edge.src], int(sources[name][cut[edge.dst]]))
        if name not in roomy and cut[edge.src] < len(sinks[name]):
            first[edge.dst] = min(first[edge.dst], int(sinks[name][cut[edge.src]]))
    return first


def _within_body(design: Design, cycle: Cycle, cut: dict[str, int], sources: dict[str, Table],
                 sinks: dict[str, Table]) -> bool:  # fmt: skip
    """Whether nothing before the cut depends on a firing in the irregular tail of the shorter run."""
    limit, changed = dict(cut), True
    while changed:
        changed = False
        for edge in design.edges:
            for name, table, other in ((edge.dst, sources, edge.src), (edge.src, sinks, edge.dst)):
                if limit[name] > len(table[edge.fifo.name]):
                    return False
                need = int(table[edge.fifo.name][limit[name] - 1]) + 1 if limit[name] else 0
                if need > limit[other]:
                    limit[other], changed = need, True
    return all(limit[name] <= stage.firings - cycle.tail[name] for name, stage in design.stages.items())


def _shift(design: Design, stepped: Times, cycle: Cycle, cut: dict[str, int], window: dict[str, int],
           period: int) -> int | None:  # fmt: skip
    """By how many cycles the window moved in `period` repetitions; None where not all of it moved alike."""
    shift = None
    for name in design.stages:
        back = period * cycle.body[name]
        first = window[name]
        if first - back < cycle.head[name]:
            return None
        for table in (stepped.starts[name], stepped.releases[name]):
            moved = table[first : cut[name]] - table[first - back : cut[name] - back]
            if shift is None:
                shift = int(moved.flat[0])
            if not (moved == shift).all():
                return None
    return shift

"""What a run of a design says about time: when each firing started and was released, and why not earlier."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.graph import Design, Edge
from sim.rates import Rate, by_lane, expand, total

Table = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Times:
    """Start and release cycle of every firing, `[firings, lanes]` per stage."""

    starts: dict[str, Table]
    releases: dict[str, Table]


@dataclass(frozen=True, eq=False, slots=True)
class Splice:
    """How stepped times continue: before firing `cut[stage]` as stepped; then `skip[stage]` firings that repeat the
    last `period[stage]` ones, `cycles` later each time; then the stepped times again, `shift` cycles later."""

    cut: dict[str, int]
    period: dict[str, int]
    skip: dict[str, int]
    iterations: int
    cycles: int
    shift: int


@dataclass(frozen=True, slots=True)
class Shares:
    """Where a stage's cycles went, added up over its lanes: starved + busy + blocked + tail == lanes * cycles."""

    starved: int
    busy: int
    blocked: int
    tail: int

    def __iter__(self) -> Any:
        return iter((self.starved, self.busy, self.blocked, self.tail))


class Timeline:
    """Times of every firing of `design`. `stepped` is the design that was run, shorter than `design` after a splice."""

    def __init__(self, design: Design, stepped: Design, times: Times, splice: Splice | None = None) -> None:
        self.design, self.stepped, self.times, self.splice = design, stepped, times, splice
        ends = [int(r[-1].max()) for r in times.releases.values() if r.size]
        self.cycles = max(ends, default=0) + (splice.shift if splice else 0)

    @property
    def period(self) -> tuple[int, int] | None:
        """(cycles, repetitions) of the periodic regime of a design of `Repeat` rates; None where none was needed."""
        return (self.splice.cycles, self.splice.iterations) if self.splice else None

    def start(self, stage: str, firing: int) -> Any:
        """Start cycle of a firing: an int, or an array over the lanes of a stage that has several."""
        return self._time(self.times.starts[stage], stage, firing)

    def release(self, stage: str, firing: int) -> Any:
        """Release cycle of a firing: an int, or an array over the lanes of a stage that has several."""
        return self._time(self.times.releases[stage], stage, firing)

    def starts(self, stage: str) -> Table:
        """All start cycles, `[firings, lanes]`; written out, so not for a batch of thousands of images."""
        return self._all(self.times.starts[stage], stage)

    def releases(self, stage: str) -> Table:
        """All release cycles, `[firings, lanes]`."""
        return self._all(self.times.releases[stage], stage)

    def shares(self, stage: str) -> Shares:
        """Starved until inputs are ready, busy in service, blocked while waiting for room, and the tail at the end."""
        unit = self.design.stages[stage]
        starts, releases = self.times.starts[stage], self.times.releases[stage]
        before = np.zeros_like(releases)
        before[1:] = releases[:-1]
        ready = starts if unit.claim == "release" else np.maximum(before, self.ready(stage))
        service = by_lane(self.stepped.stages[stage].service, len(starts))
        starved = self._sum(ready - before, stage)
        blocked = self._sum(starts - ready + (releases - starts - service), stage)
        busy = total(unit.service, unit.firings, unit.lanes)
        return Shares(starved, busy, blocked, unit.lanes * self.cycles - starved - busy - blocked)

    def ready(self, stage: str) -> Table:
        """The cycle at which all inputs of each stepped firing can be taken, `[firings, lanes]`."""
        ready = np.zeros_like(self.times.starts[stage])
        for edge in self.stepped.inputs(stage):
            sources = enables(self.stepped, edge)
            known = sources >= 0
            times = self.times.releases[edge.src][sources[known]] + edge.fifo.latency
            ready[known] = np.maximum(ready[known], _to_lanes(times, ready.shape[1]))
        return ready

    def occupancy(self, fifo: str) -> tuple[Table, Table]:
        """Cycles at which a FIFO's fill changes, and the tokens it holds from then on, all its copies together.

        A token counts from the cycle it was put until the cycle it was taken.
        """
        edge = next(e for e in self.stepped.edges if e.fifo.name == fifo)
        copies = max(self.design.stages[edge.src].lanes, self.design.stages[edge.dst].lanes)
        times, changes = [np.zeros(1, np.int64)], [np.array([edge.fifo.initial * copies])]
        for table, rate, sign in (
            (self.times.releases[edge.src], edge.fifo.produce, 1),
            (self.times.starts[edge.dst], edge.fifo.consume, -1),
        ):
            each = np.diff(moved(rate, len(table))) * (sign * copies // table.shape[1])
            times.append(table.reshape(-1))
            changes.append(np.repeat(each, table.shape[1]))
        cycles, place = np.unique(np.concatenate(times), return_inverse=True)
        fill = np.zeros(len(cycles), np.int64)
        np.add.at(fill, place, np.concatenate(changes))
        return cycles, np.cumsum(fill)

    def _time(self, table: Table, stage: str, firing: int) -> Any:
        shift = 0
        if not 0 <= firing < self.design.stages[stage].firings:
            raise IndexError(f"stage {stage} has {self.design.stages[stage].firings} firings, no firing {firing}")
        if self.splice:
            cut, period = self.splice.cut[stage], self.splice.period[stage]
            if firing >= cut + self.splice.skip[stage]:
                firing, shift = firing - self.splice.skip[stage], self.splice.shift
            elif firing >= cut:
                rounds = (firing - cut) // period + 1
                firing, shift = firing - rounds * period, rounds * self.splice.cycles
        row = table[firing] + shift
        return int(row[0]) if len(row) == 1 else row

    def _all(self, table: Table, stage: str) -> Table:
        if not self.splice:
            return table
        cut, period, skip = self.splice.cut[stage], self.splice.period[stage], self.splice.skip[stage]
        if skip == 0:
            return table
        rounds = skip // period
        later = self.splice.cycles * np.arange(1, rounds + 1, dtype=np.int64)[:, None, None]
        middle = (table[cut - period : cut][None] + later).reshape(-1, table.shape[1])
        return np.concatenate([table[:cut], middle, table[cut:] + self.splice.shift])

    def _sum(self, rows: Table, stage: str) -> int:
        """Sum over all firings of `rows`, which are known for the stepped ones."""
        if not self.splice or not self.splice.period[stage]:
            return int(rows.sum())
        cut, period = self.splice.cut[stage], self.splice.period[stage]
        return int(rows.sum()) + int(rows[cut - period : cut].sum()) * (self.splice.skip[stage] // period)


class Closed(Timeline):
    """A timeline without the events between its ends, for runs of more events than fit in memory.

    Cycles and shares are kept, and of each stage the first start and the last release.
    """

    def __init__(self, line: Timeline) -> None:
        self.design, self.stepped, self.splice, self.cycles = line.design, line.stepped, line.splice, line.cycles
        stages = line.design.stages
        self._shares = {name: line.shares(name) for name in stages}
        self._first = {name: line.start(name, 0) for name, stage in stages.items() if stage.firings}
        self._last = {name: line.release(name, stage.firings - 1) for name, stage in stages.items() if stage.firings}

    def start(self, stage: str, firing: int) -> Any:
        """Of firing 0 only."""
        assert firing == 0, "a closed timeline has no other starts"
        return self._first[stage]

    def release(self, stage: str, firing: int) -> Any:
        """Of the last firing only."""
        assert firing == self.design.stages[stage].firings - 1, "a closed timeline has no other releases"
        return self._last[stage]

    def shares(self, stage: str) -> Shares:
        """As counted before the events were dropped."""
        return self._shares[stage]


def moved(rate: Rate, firings: int) -> Table:
    """Tokens moved after 0, 1, ... firings."""
    plain = expand(rate, firings)
    steps = plain.reshape(-1) if isinstance(plain, np.ndarray) else np.full(firings, plain, np.int64)
    return np.concatenate([[0], np.cumsum(steps, dtype=np.int64)])


def enables(design: Design, edge: Edge) -> Table:
    """For each firing of the reader, the writer's firing that brings its last token; -1 where none is needed."""
    fifo = edge.fifo
    need = moved(fifo.consume, design.stages[edge.dst].firings)[1:] - fifo.initial
    first = np.searchsorted(moved(fifo.produce, design.stages[edge.src].firings)[1:], need)
    return np.where(need > 0, first, -1)


def frees(design: Design, edge: Edge) -> Table:
    """For each firing of the writer, the reader's firing that frees its last slot; -1 where none is needed."""
    fifo = edge.fifo
    need = moved(fifo.produce, design.stages[edge.src].firings)[1:] - (fifo.depth - fifo.initial)
    first = np.searchsorted(moved(fifo.consume, design.stages[edge.dst].firings)[1:], need)
    return np.where(need > 0, first, -1)


def _to_lanes(times: Table, lanes: int) -> Table:
    return times.max(axis=1, keepdims=True) if lanes == 1 else times

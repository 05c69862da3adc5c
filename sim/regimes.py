"""Regimes: long runs whose stages drift apart at different paces before they settle into one.

While FIFOs in front of the slowest unit fill up, faster stages ahead of it keep a pace of their own: per repetition every
firing of a repetition moves on by its own number of cycles. Such a regime lasts, exactly, until a condition that did not
matter catches up with one that does. How long follows from the recurrence: a term that grows faster than what it bounds
reaches it after slack / difference repetitions; until then each time is still set by a term that moves with it. So the
run is stepped in short pieces, and between them repetitions are skipped that are known to the cycle.

Stages of one lane only; other designs are stepped (`sim.periodic`).
"""

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np

from sim import fast
from sim.cycle import FEWEST, Cycle, never_fills, shorten
from sim.graph import Design, Edge
from sim.rates import total
from sim.timeline import Shares, Table, Timeline, Times, moved

MOST_PERIOD = 4
"""Longest regime looked for, in repetitions."""


@dataclass(frozen=True, eq=False, slots=True)
class Skip:
    """`rounds` periods skipped: each repeats the rows of the last, every row its own number of cycles later."""

    rounds: int
    starts: Table
    releases: Table
    starts_shift: Table
    releases_shift: Table


@dataclass(frozen=True, eq=False, slots=True)
class Pace:
    """Cycles by which each firing of a period moves on per period, `[firings]`; row 0 is firing `first`."""

    first: int
    starts: Table
    releases: Table

    def of(self, kind: str, firings: Table) -> Table:
        """The pace of any firings, wherever they are."""
        rows: Table = getattr(self, kind)
        return rows[(firings - self.first) % len(rows)]


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Start and release of consecutive firings of one stage."""

    starts: Table
    releases: Table


@dataclass(eq=False, slots=True)
class Track:
    """One stage's times in pieces: stepped rows from a firing on, and skips between them; and its summed waits."""

    begins: list[int] = field(default_factory=list)
    parts: list[Rows | Skip] = field(default_factory=list)
    starved: int = 0
    blocked: int = 0


def run(design: Design, cycle: Cycle) -> "RegimeTimeline":
    """All times of `design`, whose rates repeat as `cycle` says."""
    return _Run(design, cycle).finish()


class _Run:
    """Steps a window of repetitions that moves along the run; `base` repetitions lie before the window."""

    def __init__(self, design: Design, cycle: Cycle) -> None:
        self.design, self.cycle = design, cycle
        self.base = 0  # repetitions that are no longer in the arrays: forgotten or skipped
        self.tracks = {name: Track() for name in design.stages}
        self.known: Times | None = None
        self.cut = dict.fromkeys(design.stages, 0)
        self.held = 0  # repetitions in the arrays when the last skip was made
        self.period: tuple[int, int] | None = None
        self.roomy = {edge.fifo.name for edge in design.edges if never_fills(design, edge)}

    def finish(self) -> "RegimeTimeline":
        inside = FEWEST
        while inside < self.cycle.times - self.base:
            design = shorten(self.design, self.cycle, inside)
            limit = {name: stage.firings - self.cycle.tail[name] for name, stage in design.stages.items()}
            times, done = fast.step(design, self.known, self.cut, limit)
            if all(done[name] < limit[name] for name in done):
                break  # nobody was stopped by a limit: a deadlock, as in the whole run
            inside = self._look(times, _Tables(design), done, inside)
        else:
            design = shorten(self.design, self.cycle, self.cycle.times - self.base)
        skipped = {name: self.base * body for name, body in self.cycle.body.items()}
        times, done = fast.step(design, self.known, self.cut, skipped=skipped)
        self._keep(times, _Tables(design), done)
        return RegimeTimeline(self.design, design, times, self.tracks, self.period)

    def _look(self, times: Times, tables: "_Tables", done: dict[str, int], inside: int) -> int:
        """Keep what was stepped, skip what can be skipped; how many repetitions to hold next."""
        head, body = self.cycle.head, self.cycle.body
        at = {name: max(0, (done[name] - head[name]) // body[name]) for name in done}
        cut = {name: max(self.cut[name], head[name] + at[name] * body[name] if at[name] else 0) for name in done}
        self._keep(times, tables, cut)
        self.known, self.cut = times, cut
        if min(at.values()) < 3:
            return inside + max(FEWEST, (inside - self.held) // 2)
        window = tables.window(cut, self.roomy)
        for period in range(1, min(MOST_PERIOD, min(at.values()) // 2) + 1):
            shifts = _shifts(times, self.cycle, cut, done, window, period)
            if shifts is None:
                continue
            rounds = _lasts(times, tables, cut, self.cycle, period, shifts)
            room = self._room(done) // period
            rounds = room if rounds is None else min(rounds, room)
            paces = {int(p) for pace in shifts.values() for p in (*_ends(pace.starts), *_ends(pace.releases))}
            if len(paces) == 1:
                self.period = paces.pop(), period
            if rounds < 1:
                break
            return self._move(times, tables, at, window, period, rounds, shifts)
        return inside + max(FEWEST, (inside - self.held) // 2)

    def _room(self, done: dict[str, int]) -> int:
        """Repetitions for which every firing that began so far has a counterpart where all rates still repeat."""
        left = [
            (self.design.stages[name].firings - self.cycle.tail[name] - count - 1) // self.cycle.body[name] - self.base
            for name, count in done.items()
        ]
        return max(0, min(left))

    def _move(self, times: Times, tables: "_Tables", at: dict[str, int], window: dict[str, int], period: int,
              rounds: int, shifts: dict[str, Pace]) -> int:  # fmt: skip
        """Note the skip, shift what later firings can still see, and forget what they cannot."""
        cut = self.cut
        self._note_skip(times, tables, cut, period, rounds, shifts)
        reach = {name: -(-(cut[name] - window[name]) // body) for name, body in self.cycle.body.items()}
        drop = max(0, min(at[name] - reach[name] for name in at) - 2 * MOST_PERIOD)
        starts: dict[str, Table] = {}
        releases: dict[str, Table] = {}
        for name, body in self.cycle.body.items():
            gone, head = drop * body, self.cycle.head[name]
            for source, kept in ((times.starts, starts), (times.releases, releases)):
                kind = "starts" if kept is starts else "releases"
                rows = source[name][: cut[name]] + rounds * shifts[name].of(kind, np.arange(cut[name]))[:, None]
                kept[name] = np.concatenate([rows[:head], rows[head + gone :]])
        self.cut = {name: cut[name] - drop * body for name, body in self.cycle.body.items()}
        self.known = Times(starts, releases)
        self.base += drop + rounds * period
        self.held = max(at.values()) - drop
        return self.held + FEWEST

    def _keep(self, times: Times, tables: "_Tables", cut: dict[str, int]) -> None:
        """Move the rows [self.cut, cut) of every stage to its track, and add up their waits."""
        for name, track in self.tracks.items():
            first, end = self.cut[name], cut[name]
            if first == end:
                continue
            track.begins.append(self.base * self.cycle.body[name] + first)
            track.parts.append(Rows(times.starts[name][first:end].copy(), times.releases[name][first:end].copy()))
            before, inputs = _waits(times, tables, name, first, end)
            starved = int(np.max([np.zeros_like(before), *(ready - before for ready, _, _ in inputs)], axis=0).sum())
            track.starved += starved
            waited = int((times.starts[name][first:end, 0] - before).sum())
            track.blocked += waited - starved + _after(tables.design, times, name, first, end)

    def _note_skip(self, times: Times, tables: "_Tables", cut: dict[str, int], period: int, rounds: int,
                   shifts: dict[str, Pace]) -> None:  # fmt: skip
        for name, track in self.tracks.items():
            end = cut[name]
            first = end - period * self.cycle.body[name]
            track.begins.append(self.base * self.cycle.body[name] + end)
            pace, firings = shifts[name], np.arange(first, end)
            rows = times.starts[name][first:end].copy(), times.releases[name][first:end].copy()
            track.parts.append(Skip(rounds, *rows, pace.starts, pace.releases))
            before, inputs = _waits(times, tables, name, first, end)
            last = pace.of("releases", firings - 1)
            lags = [(ready - before, shifts[src].of("releases", source) - last) for ready, source, src in inputs]
            starved = _drift(lags, rounds)
            waited = _sum(rows[0][:, 0] - before, pace.starts - last, rounds)
            served = _after(tables.design, times, name, first, end)
            track.starved += starved
            track.blocked += waited - starved + _sum(np.array([served]), pace.releases - pace.starts, rounds)


class _Tables:
    """Which firings of neighbours a firing refers to, looked up in cumulative rates."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.put, self.took = {}, {}
        for edge in design.edges:
            self.put[edge.fifo.name] = moved(edge.fifo.produce, design.stages[edge.src].firings)
            self.took[edge.fifo.name] = moved(edge.fifo.consume, design.stages[edge.dst].firings)

    def source(self, edge: Edge, firings: Table) -> Table:
        """The writer's firing that brings the last token each reader's firing needs; -1 for none."""
        need = self.took[edge.fifo.name][firings + 1] - edge.fifo.initial
        return np.where(need > 0, np.searchsorted(self.put[edge.fifo.name][1:], need), -1)

    def sink(self, edge: Edge, firings: Table) -> Table:
        """The reader's firing that frees the last slot each writer's firing needs; -1 for none."""
        need = self.put[edge.fifo.name][firings + 1] - (edge.fifo.depth - edge.fifo.initial)
        return np.where(need > 0, np.searchsorted(self.took[edge.fifo.name][1:], need), -1)

    def window(self, cut: dict[str, int], roomy: set[str]) -> dict[str, int]:
        """The first firing of each stage that a firing at or after the cut still refers to."""
        first = {name: max(0, cut[name] - 1) for name in cut}
        for edge in self.design.edges:
            reader = min(cut[edge.dst], self.design.stages[edge.dst].firings - 1)
            writer = min(cut[edge.src], self.design.stages[edge.src].firings - 1)
            source = int(self.source(edge, np.array([reader]))[0])
            sink = int(self.sink(edge, np.array([writer]))[0])
            first[edge.src] = min(first[edge.src], source if source >= 0 else 0)
            if edge.fifo.name not in roomy:
                first[edge.dst] = min(first[edge.dst], sink if sink >= 0 else 0)
        return first


def _shifts(
    times: Times, cycle: Cycle, cut: dict[str, int], done: dict[str, int], window: dict[str, int], period: int
) -> dict[str, Pace] | None:
    """By how many cycles each stage moved in `period` repetitions; None where not all of its window moved alike."""
    shifts = {}
    for name, body in cycle.body.items():
        back = period * body
        first, begin = min(window[name], cut[name] - back), cut[name] - back
        if first - back < cycle.head[name]:
            return None
        pace = []
        for table in (times.starts[name][:, 0], times.releases[name][:, 0]):
            steps = table[first : done[name]] - table[first - back : done[name] - back]
            mine = steps[begin - first : begin - first + back]
            if not np.array_equal(steps, mine[(np.arange(first, done[name]) - begin) % back]):
                return None
            pace.append(mine)
        shifts[name] = Pace(begin, *pace)
    return shifts


def _ends(rows: Table) -> tuple[int, int]:
    return int(rows.min()), int(rows.max())


def _lasts(times: Times, tables: _Tables, cut: dict[str, int], cycle: Cycle, period: int,
           shifts: dict[str, Pace]) -> int | None:  # fmt: skip
    """Periods that the regime after the cut is sure to last; None where it never ends before the tail.

    A firing's input can be ready by a firing behind the cut, which is a period ahead: what it does in the last period
    is not known, so that period is stepped.
    """
    least: int | None = None
    ahead = False
    design = tables.design
    for name, stage in design.stages.items():
        firings = np.arange(cut[name] - period * cycle.body[name], cut[name])
        starts, releases = times.starts[name][firings, 0], times.releases[name][firings, 0]
        pace = shifts[name]
        served = stage.service if isinstance(stage.service, int) else moved(stage.service, stage.firings)
        service = served if isinstance(served, int) else np.diff(served)[firings]
        before = np.where(firings > 0, times.releases[name][firings - 1, 0], 0)
        held_start, held_release = np.zeros((2, len(firings)), np.bool_)
        terms = [(starts - before, pace.of("releases", firings - 1) - pace.starts, held_start, firings >= 0)]
        terms.append((releases - starts - service, pace.starts - pace.releases, held_release, firings >= 0))
        for edge in design.inputs(name):
            source = tables.source(edge, firings)
            ahead = ahead or bool((source >= cut[edge.src]).any())
            slack = starts - times.releases[edge.src][source, 0] - edge.fifo.latency
            terms.append((slack, shifts[edge.src].of("releases", source) - pace.starts, held_start, source >= 0))
        for edge in design.outputs(name):
            sink = tables.sink(edge, firings)
            on, mine, kind = (held_start, starts, pace.starts) if stage.claim == "start" else (
                held_release, releases, pace.releases)  # fmt: skip
            slack = (
                mine - times.starts[edge.dst][np.minimum(sink, len(times.starts[edge.dst]) - 1), 0] - edge.fifo.credit
            )
            terms.append((slack, shifts[edge.dst].of("starts", sink) - kind, on, (sink >= 0)))
        for slack, gap, held, real in terms:
            held |= (gap == 0) & (slack == 0) & real
            closing = (gap > 0) & real
            if closing.any():
                rounds = int((slack[closing] // gap[closing]).min())
                least = rounds if least is None else min(least, rounds)
        if not (held_start & held_release).all():
            return 0
    return least - ahead if least else least


def _waits(
    times: Times, tables: _Tables, name: str, first: int, end: int
) -> tuple[Table, list[tuple[Table, Table, str]]]:
    """Release of the firing before each of [first, end); for each input when it is ready, by which firing of whom."""
    firings = np.arange(first, end)
    before = np.where(firings > 0, times.releases[name][firings - 1, 0], 0)
    inputs = []
    for edge in tables.design.inputs(name):
        source = tables.source(edge, firings)
        ready = np.where(source >= 0, times.releases[edge.src][np.maximum(source, 0), 0] + edge.fifo.latency, 0)
        inputs.append((ready, source, edge.src))
    return before, inputs


def _after(design: Design, times: Times, name: str, first: int, end: int) -> int:
    """Cycles that firings [first, end) waited for room after their service."""
    stage = design.stages[name]
    held = int((times.releases[name][first:end] - times.starts[name][first:end]).sum())
    if isinstance(stage.service, int):
        return held - stage.service * (end - first)
    served = moved(stage.service, stage.firings)
    return held - int(served[end] - served[first])


def _sum(rows: Table, slopes: Table, rounds: int) -> int:
    """Sum over rounds r = 1, 2, ... of rows + r * slopes."""
    return rounds * int(rows.sum()) + rounds * (rounds + 1) // 2 * int(slopes.sum())


def _drift(lags: list[tuple[Table, Table]], rounds: int) -> int:
    """Sum over rounds r = 1, 2, ... of max(0, lag + r * slope over all inputs), for each firing of a period."""
    if not lags:
        return 0
    if len(lags) > 1 and any((slope != lags[0][1]).any() for _, slope in lags[1:]):
        return sum(
            int(np.max([np.maximum(lag + r * d, 0) for lag, d in lags], axis=0).sum()) for r in range(1, rounds + 1)
        )
    slope, lag = lags[0][1], np.max([lag for lag, _ in lags], axis=0)
    steep = np.where(slope == 0, 1, slope)
    first = np.clip(np.where(slope > 0, -lag // steep + 1, 1), 1, rounds + 1)
    last = np.clip(np.where(slope < 0, -(lag // steep) - 1, rounds), 0, rounds)
    last = np.where((slope == 0) & (lag <= 0), 0, last)
    count = np.maximum(last - first + 1, 0)
    return int((count * lag + slope * (count * (first + last) // 2)).sum())


class RegimeTimeline(Timeline):
    """A timeline put together from stepped pieces and skips. `times` and `stepped` are those of its last piece."""

    def __init__(
        self, design: Design, stepped: Design, times: Times, tracks: dict[str, Track], period: tuple[int, int] | None
    ) -> None:
        super().__init__(design, stepped, times)
        self.tracks, self._period = tracks, period

    @property
    def period(self) -> tuple[int, int] | None:
        """(cycles, repetitions) of the last regime; None where the stages never fell into one pace."""
        return self._period

    def start(self, stage: str, firing: int) -> int:
        return self._at(stage, firing, "starts")

    def release(self, stage: str, firing: int) -> int:
        return self._at(stage, firing, "releases")

    def _at(self, stage: str, firing: int, kind: str) -> int:
        if not 0 <= firing < self.design.stages[stage].firings:
            raise IndexError(f"stage {stage} has {self.design.stages[stage].firings} firings, no firing {firing}")
        track = self.tracks[stage]
        piece = bisect_right(track.begins, firing) - 1
        part, offset = track.parts[piece], firing - track.begins[piece]
        rows = getattr(part, kind)
        if isinstance(part, Skip):
            shift = getattr(part, f"{kind}_shift")
            return int(rows[offset % len(rows), 0]) + (offset // len(rows) + 1) * int(shift[offset % len(rows)])
        return int(rows[offset, 0])

    def starts(self, stage: str) -> Table:
        return self._written_out(stage, "starts")

    def releases(self, stage: str) -> Table:
        return self._written_out(stage, "releases")

    def _written_out(self, stage: str, kind: str) -> Table:
        pieces: list[Table] = []
        for part in self.tracks[stage].parts:
            rows: Table = getattr(part, kind)
            if isinstance(part, Skip):
                later = np.arange(1, part.rounds + 1, dtype=np.int64)[:, None] * getattr(part, f"{kind}_shift")
                rows = (rows[None, :, 0] + later).reshape(-1, 1)
            pieces.append(rows)
        return np.concatenate(pieces) if pieces else np.empty((0, 1), np.int64)

    def shares(self, stage: str) -> Shares:
        track, unit = self.tracks[stage], self.design.stages[stage]
        busy = total(unit.service, unit.firings, unit.lanes)
        return Shares(track.starved, busy, track.blocked, self.cycles - track.starved - busy - track.blocked)

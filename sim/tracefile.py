"""A run as a Trace Event file, to be opened in Perfetto or chrome://tracing. One microsecond there is one cycle here.

A track per stage, or per lane of it, with slices named busy, starved, blocked and tail; a counter per FIFO with the
tokens in it, all its copies together. Phases follow one another, as they did in the run.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sim import fast
from sim.errors import InputError
from sim.files import replacing
from sim.plan import Plan
from sim.rates import by_lane
from sim.timeline import Table, Timeline

MOST_EVENTS = 3_000_000
KINDS = ("starved", "blocked", "busy", "blocked", "tail")


def write(path: Path, plan: Plan, timelines: Sequence[Timeline]) -> None:
    """Write the run to `path`; InputError where it would be too long to look at."""
    firings = sum(s.firings * s.lanes for line in timelines for s in line.design.stages.values())
    if firings > MOST_EVENTS:
        raise InputError(
            f"{firings} firings; allowed: {MOST_EVENTS}. Trace fewer images or a smaller network", where="--trace"
        )
    tracks: dict[tuple[str, int], int] = {}
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit": "ns", "otherData": {"unit": "1 us = 1 cycle"}, "traceEvents": [\n')
        file.write(json.dumps({"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "tapeout"}}))
        begin = 0
        for phase, made in zip(plan, timelines, strict=True):
            line = made if made.stepped is made.design else Timeline(made.design, made.design, fast.run(made.design))
            for event in _events(phase.name, line, begin, tracks):
                file.write(",\n" + event)
            begin += line.cycles
        file.write("\n]}\n")


def _events(phase: str, line: Timeline, begin: int, tracks: dict[tuple[str, int], int]) -> Iterator[str]:
    for name, stage in line.design.stages.items():
        for lane in range(stage.lanes):
            if (name, lane) not in tracks:
                tracks[name, lane] = len(tracks) + 1
                label = name if stage.lanes == 1 else f"{name}[{lane}]"
                yield json.dumps(
                    {"ph": "M", "pid": 1, "tid": tracks[name, lane], "name": "thread_name", "args": {"name": label}}
                )
            track = tracks[name, lane]
            for kind, start, end in slices(line, name, lane):
                yield (
                    f'{{"ph":"X","pid":1,"tid":{track},"name":"{kind}","cat":{json.dumps(phase)},'
                    f'"ts":{begin + start},"dur":{end - start}}}'
                )
    for edge in line.design.edges:
        cycles, fill = line.occupancy(edge.fifo.name)
        counter = json.dumps(edge.fifo.name)
        for cycle, tokens in zip(cycles.tolist(), fill.tolist(), strict=True):
            yield f'{{"ph":"C","pid":1,"name":{counter},"ts":{begin + cycle},"args":{{"tokens":{tokens}}}}}'


def slices(line: Timeline, stage: str, lane: int = 0) -> list[tuple[str, int, int]]:
    """(kind, begin, end) over the whole run of one lane, adjacent slices of a kind joined; they add up to its shares."""
    marks = _marks(line, stage, lane)
    ends = marks.reshape(-1)
    kinds = np.tile(np.arange(len(KINDS) - 1), len(marks))
    ends, kinds = np.append(ends, line.cycles), np.append(kinds, len(KINDS) - 1)
    begins = np.concatenate([[0], ends[:-1]])
    real = ends > begins
    begins, ends, kinds = begins[real], ends[real], np.where(kinds == 3, 1, kinds)[real]
    if not len(kinds):
        return []
    fresh = np.flatnonzero(np.append(True, kinds[1:] != kinds[:-1]))
    last = np.append(fresh[1:], len(kinds))
    return [(KINDS[kinds[a]], int(begins[a]), int(ends[b - 1])) for a, b in zip(fresh, last, strict=True)]


def _marks(line: Timeline, stage: str, lane: int) -> Table:
    """Per firing the ends of its four parts: starved, blocked before, busy, blocked after; `[firings, 4]`."""
    unit = line.design.stages[stage]
    starts, releases = line.starts(stage)[:, lane], line.releases(stage)[:, lane]
    ready = starts
    if unit.claim == "start":
        before = np.concatenate([[0], releases[:-1]])
        ready = np.maximum(before, line.ready(stage)[:, lane])
    service = by_lane(unit.service, unit.firings)
    if isinstance(service, np.ndarray):
        service = service[:, lane if service.shape[1] > 1 else 0]
    return np.stack([ready, starts, starts + service, releases], axis=1)

"""FIFO depths from the timeline: small ones that keep the rate of the slowest unit.

First the design is run with FIFOs that never fill and images let in at the rate of its slowest loop. A FIFO that holds
what this run ever needed at once cannot delay it, so with those depths every image keeps that rate (and without the
pacing nothing starts later). Then depths are cut as long as a batch still settles at that rate: under one cap for all,
then FIFO by FIFO, the most bits first. The number of trials is bounded by the work they take, never by the clock: same
design, same depths.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from archs.finn.model import Link, Pipeline
from sim.errors import DeadlockError
from sim.run import simulate
from sim.timeline import Timeline, moved

IMAGES = 6
TRIAL_IMAGES = 12
"""About what a trial steps before its period shows."""
FIRINGS = 25_000_000
"""Firings spent on trials."""
LEAST_TRIALS, MOST_TRIALS = 6, 60
LONG = 40
AMPLE = 1 << 30


def sized(line: Pipeline) -> Pipeline:
    """The pipeline with sufficient, small depths."""
    enough = needed(line)
    cut = shrunk(line, enough)
    return replace(line, links=tuple(Link(link.name, cut[link.name]) for link in line.links))


def needed(line: Pipeline) -> dict[str, int]:
    """What every FIFO holds at most when images come at the slowest loop's rate and nothing ever blocks."""
    ample = {link.name: AMPLE for link in line.links}
    run = simulate(line.design(IMAGES, ample, pace=line.slowest))
    return {link.name: max(2, _held(run, link.name)) for link in line.links}


def keeps(line: Pipeline, depths: Mapping[str, int]) -> bool:
    """Whether a long batch settles at the slowest loop's rate."""
    return simulate(line.design(LONG, depths, pace=line.slowest)).period == (line.slowest, 1)


def shrunk(line: Pipeline, enough: Mapping[str, int]) -> dict[str, int]:
    """Depths no trial could do without: first under one cap for all, then FIFO by FIFO."""
    trials = _Trials(line)
    caps = [1 << power for power in range(1, max(enough.values()).bit_length())]
    low, high = 0, len(caps)
    while low < high:
        middle = (low + high) // 2
        if trials.fine({name: min(depth, caps[middle]) for name, depth in enough.items()}):
            high = middle
        else:
            low = middle + 1
    depths = {name: min(depth, caps[low]) for name, depth in enough.items()} if low < len(caps) else dict(enough)
    widths = {link.name: line.processes[at].out_width for at, link in enumerate(line.links)}
    for name in sorted(depths, key=lambda name: -depths[name] * widths[name]):
        least, most = 2, depths[name]
        while least < most and trials.left:
            middle = (least + most) // 2 if most < depths[name] or least > 2 else 2
            if trials.fine(depths | {name: middle}):
                most = middle
            else:
                least = middle + 1
        depths[name] = most
    return depths


class _Trials:
    """Paced runs under other depths, as many as their size allows."""

    def __init__(self, line: Pipeline) -> None:
        self.line = line
        each = TRIAL_IMAGES * sum(process.iterations for process in line.processes)
        self.left = min(MOST_TRIALS, max(LEAST_TRIALS, FIRINGS // each))

    def fine(self, depths: Mapping[str, int]) -> bool:
        self.left -= 1
        try:
            return keeps(self.line, depths)
        except DeadlockError:
            return False


def _held(run: Timeline, name: str) -> int:
    """Slots that keep every writer of FIFO `name` from waiting: tokens put less those taken a cycle before it starts."""
    edge = next(edge for edge in run.design.edges if edge.fifo.name == name)
    starts, takes = run.starts(edge.src)[:, 0], run.starts(edge.dst)[:, 0]
    put = moved(edge.fifo.produce, len(starts))[1:]
    gone = np.searchsorted(takes + edge.fifo.credit, starts, side="right")
    taken = moved(edge.fifo.consume, len(takes))[gone]
    return int((put - taken).max(initial=1))

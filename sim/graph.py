"""A Design: stages joined by bounded FIFOs, and what it means for time.

A design is a cyclo-static dataflow graph with bounded buffers. Service times, token rates and order are all known
before the run, so every time is fixed by the recurrence below, whatever engine evaluates it.

Firing `k` of a stage starts when firing `k-1` has been released and every input FIFO holds the tokens it consumes; it
takes them all at once, at its start. It serves `service[k]` cycles, waits until every output FIFO has room, then puts
all its tokens at once: that cycle is its release (blocking after service). With `claim="start"` it waits for that room
before it starts, and releases exactly `service[k]` later (blocking before service). A token can be taken `latency`
cycles after it was put; a slot can be filled `credit` cycles after its token was taken.

    start[i,k]   = max(release[i,k-1], max over inputs  e: release[src(e), d_e(k)] + latency_e,
                       and with claim="start" also max over outputs e: start[dst(e), p_e(k)] + credit_e)
    release[i,k] = max(start[i,k] + service[i,k], max over outputs e: start[dst(e), p_e(k)] + credit_e)

`d_e(k)` is the first source firing after which enough tokens have entered, `p_e(k)` the first sink firing after which
enough have left. Initial tokens and empty slots are there at cycle 0. A condition, once true, stays true, and each FIFO
has one writer and one reader: no time depends on the order in which equal events are handled.

A stage with `lanes=n` stands for n identical units. A FIFO between two such stages exists once per lane; between a
one-lane and an n-lane stage it exists n times too, and the one-lane side puts to (takes from) all copies at once.

Not expressible, and refused: first-come-first-served arbitration, and decisions that depend on time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import networkx as nx
import numpy as np

from sim.errors import DesignError, nearest
from sim.rates import Counts, Rate, Repeat, Total, bounds, total

LONGEST = 2**61
TOO_LONG = "allowed: 2**61 cycles together"
"""Times are 64-bit integers."""


@dataclass(frozen=True, eq=False, slots=True)
class Stage:
    """A unit that fires `firings` times. `service` is cycles per firing: int, `[firings]`, `[firings, lanes]`, Repeat.

    `activity` counts actions per firing and lane (`{"mac": 64, "spmat.read": reads}`); energy and traffic follow.
    """

    name: str
    service: Rate
    firings: int
    activity: Mapping[str, Counts] = field(default_factory=dict)
    claim: Literal["release", "start"] = "release"
    lanes: int = 1


@dataclass(frozen=True, eq=False, slots=True)
class Fifo:
    """A bounded queue of `depth` tokens; `produce` per firing of its writer, `consume` per firing of its reader."""

    name: str
    depth: int
    produce: Rate = 1
    consume: Rate = 1
    latency: int = 1
    credit: int = 0
    initial: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Edge:
    """A FIFO with the names of its writer and its reader."""

    src: str
    dst: str
    fifo: Fifo


class Design:
    """Stages by name and the FIFOs between them; parallel FIFOs between two stages are allowed."""

    def __init__(self, name: str = "design") -> None:
        self.name = name
        self.stages: dict[str, Stage] = {}
        self.edges: list[Edge] = []

    def add(self, stage: Stage) -> Stage:
        """Add a stage; its name must be new."""
        if stage.name in self.stages:
            raise DesignError(f"{self.name}: stage {stage.name}: the name is taken")
        self.stages[stage.name] = stage
        return stage

    def connect(self, src: str | Stage, dst: str | Stage, fifo: Fifo) -> Fifo:
        """Join two added stages by a FIFO; its name must be new."""
        ends = [end.name if isinstance(end, Stage) else end for end in (src, dst)]
        for end in ends:
            if end not in self.stages:
                raise DesignError(f"{self.name}: FIFO {fifo.name}: no stage {end}; {nearest(end, self.stages)}")
        if any(edge.fifo.name == fifo.name for edge in self.edges):
            raise DesignError(f"{self.name}: FIFO {fifo.name}: the name is taken")
        self.edges.append(Edge(ends[0], ends[1], fifo))
        return fifo

    @property
    def graph(self) -> "nx.MultiDiGraph[str]":
        """The design as a networkx graph: node attribute `stage`, edge attribute `fifo`."""
        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=self.name)
        graph.add_nodes_from((name, {"stage": stage}) for name, stage in self.stages.items())
        for edge in self.edges:
            graph.add_edge(edge.src, edge.dst, edge.fifo.name, fifo=edge.fifo)
        return graph

    def inputs(self, stage: str) -> list[Edge]:
        """The FIFOs that `stage` reads."""
        return [edge for edge in self.edges if edge.dst == stage]

    def outputs(self, stage: str) -> list[Edge]:
        """The FIFOs that `stage` writes."""
        return [edge for edge in self.edges if edge.src == stage]

    def activity(self, stages: tuple[str, ...] | None = None) -> dict[str, int]:
        """Actions added up over all firings and lanes of `stages` (default: of the whole design)."""
        sums: dict[str, int] = {}
        for name in self.stages if stages is None else stages:
            stage = self.stages[name]
            for action, counts in stage.activity.items():
                sums[action] = sums.get(action, 0) + total(counts, stage.firings, stage.lanes)
        return sums

    def check(self) -> None:
        """Raise DesignError on the first shape, sign or lane count that breaks the contract."""
        if not self.stages:
            raise DesignError(f"{self.name}: no stages")
        for stage in self.stages.values():
            self._check_stage(stage)
        for edge in self.edges:
            self._check_fifo(edge)

    def _check_stage(self, stage: Stage) -> None:
        where = f"{self.name}: stage {stage.name}"
        _check_whole(where, {"firings": stage.firings, "lanes": stage.lanes})
        if stage.firings < 0 or stage.lanes < 1:
            raise DesignError(f"{where}: needs firings >= 0 and lanes >= 1, found {stage.firings} and {stage.lanes}")
        if stage.claim not in ("release", "start"):
            raise DesignError(f"{where}: claim is {stage.claim!r}; allowed: release, start")
        most = _check_rate(f"{where}: service", stage.service, stage.firings, stage.lanes)
        if most * stage.firings >= LONGEST:
            raise DesignError(f"{where}: {stage.firings} services of up to {most} cycles; {TOO_LONG}")
        for action, counts in stage.activity.items():
            if isinstance(counts, Total):
                if counts.count < 0:
                    raise DesignError(f"{where}: activity {action}: {counts.count} is negative")
            else:
                _check_rate(f"{where}: activity {action}", counts, stage.firings, stage.lanes)

    def _check_fifo(self, edge: Edge) -> None:
        fifo, src, dst = edge.fifo, self.stages[edge.src], self.stages[edge.dst]
        where = f"{self.name}: FIFO {fifo.name}"
        _check_whole(where, {name: getattr(fifo, name) for name in ("depth", "initial", "latency", "credit")})
        if fifo.depth < 1 or not 0 <= fifo.initial <= fifo.depth or fifo.latency < 0 or fifo.credit < 0:
            raise DesignError(
                f"{where}: needs depth >= 1, 0 <= initial <= depth, latency and credit >= 0, found depth "
                f"{fifo.depth}, initial {fifo.initial}, latency {fifo.latency}, credit {fifo.credit}"
            )
        if src.lanes != dst.lanes and 1 not in (src.lanes, dst.lanes):
            raise DesignError(f"{where}: joins {src.lanes} lanes to {dst.lanes}; allowed: equal, or one side with 1")
        _check_rate(f"{where}: produce", fifo.produce, src.firings, 1)
        _check_rate(f"{where}: consume", fifo.consume, dst.firings, 1)


def _check_whole(where: str, numbers: Mapping[str, int]) -> None:
    """Counts and cycles are integers, whatever the caller's types say."""
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or isinstance(number, bool):
            raise DesignError(f"{where}: {name} is {number!r}; allowed: an int")


def _check_rate(where: str, rate: Rate, firings: int, lanes: int) -> int:
    """A rate must be whole, not negative, and as long as its stage fires; only services and counts differ by lane.

    Returns its largest value.
    """
    if isinstance(rate, Repeat) and rate.times < 0:
        raise DesignError(f"{where}: {rate.times} repetitions; allowed: 0 or more")
    parts = (rate.head, rate.body, rate.tail) if isinstance(rate, Repeat) else (rate,)
    for part in parts:
        if isinstance(part, np.ndarray):
            if part.dtype.kind not in "iu":
                raise DesignError(f"{where}: an array of {part.dtype}; allowed: integers")
            if part.ndim > 2 or (part.ndim == 2 and part.shape[1] != lanes) or part.ndim == 0:
                raise DesignError(f"{where}: shape {part.shape}; allowed: [firings] or [firings, {lanes}]")
        elif not isinstance(part, int | np.integer) or isinstance(part, bool):
            raise DesignError(f"{where}: {part!r}; allowed: an int, an int array or a Repeat")
    if not isinstance(rate, int | np.integer) and len(rate) != firings:
        raise DesignError(f"{where}: {len(rate)} rows for {firings} firings")
    least, most = bounds(rate)
    if least < 0:
        raise DesignError(f"{where}: {least} is negative")
    return most

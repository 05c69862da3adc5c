"""What limits a run: the chain of events that set its last cycle, and what would limit it next.

From the last release backwards, every time was set by one condition: the stage's own service, its previous firing, a
token that came late, or a slot that was freed late. The cycles on that chain belong to stages (service) and FIFOs
(latency and credit); a chain that crosses a FIFO backwards, through a freed slot, says that the FIFO's depth matters.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sim.graph import Design
from sim.rates import by_lane
from sim.timeline import Table, Timeline, enables, frees


@dataclass(frozen=True, slots=True)
class Critical:
    """Cycles of the critical chain by stage or FIFO, and how often it went back through each FIFO for want of room.

    `limit` is the stage or FIFO with most of the chain's cycles. The chain of a spliced run is that of its stepped part.
    """

    cycles: Mapping[str, int]
    full: Mapping[str, int]

    @property
    def limit(self) -> str:
        return max(self.cycles, key=lambda name: self.cycles[name]) if self.cycles else ""

    @property
    def share(self) -> float:
        """The limit's part of the chain."""
        return self.cycles[self.limit] / max(1, sum(self.cycles.values())) if self.cycles else 0.0


def critical(timeline: Timeline) -> Critical:
    """The chain of events behind the last release; where several conditions set a time, the stage's own comes first."""
    return _Walk(timeline).run()


def relieved(design: Design, limit: str) -> Design:
    """The design without that limit: a stage that serves in no time, or a FIFO that passes tokens and slots at once."""
    easy = Design(design.name)
    for stage in design.stages.values():
        easy.add(replace(stage, service=0) if stage.name == limit else stage)
    for edge in design.edges:
        fifo = replace(edge.fifo, latency=0, credit=0) if edge.fifo.name == limit else edge.fifo
        easy.connect(edge.src, edge.dst, fifo)
    return easy


class _Walk:
    def __init__(self, timeline: Timeline) -> None:
        self.design, self.times = timeline.stepped, timeline.times
        self.sources = {edge.fifo.name: enables(self.design, edge) for edge in self.design.edges}
        self.sinks = {edge.fifo.name: frees(self.design, edge) for edge in self.design.edges}
        self.inputs = {name: self.design.inputs(name) for name in self.design.stages}
        self.outputs = {name: self.design.outputs(name) for name in self.design.stages}
        self.service = {name: by_lane(stage.service, stage.firings) for name, stage in self.design.stages.items()}
        self.cycles: Counter[str] = Counter()
        self.full: Counter[str] = Counter()

    def run(self) -> Critical:
        ends = {name: table[-1].max() for name, table in self.times.releases.items() if table.size}
        if not ends:
            return Critical({}, {})
        name = max(ends, key=lambda stage: ends[stage])
        last = self.times.releases[name][-1]
        at: tuple[str, int, int] | None = (name, len(self.times.releases[name]) - 1, int(last.argmax()))
        while at is not None:
            at = self._before_start(*self._before_release(*at))
        return Critical(dict(self.cycles), dict(self.full))

    def _before_release(self, name: str, k: int, lane: int) -> tuple[str, int, int]:
        """The start that a release follows from: its own, or that of the firing that freed its last slot."""
        start, release = int(self.times.starts[name][k, lane]), int(self.times.releases[name][k, lane])
        service = self.service[name]
        cost = service if isinstance(service, int) else int(service[k, lane if service.shape[1] > 1 else 0])
        if start + cost < release:
            return self._freed(name, k, lane, release)
        self.cycles[name] += cost
        return name, k, lane

    def _before_start(self, name: str, k: int, lane: int) -> tuple[str, int, int] | None:
        """The release that a start follows from; None at the beginning of the run."""
        while True:
            start = int(self.times.starts[name][k, lane])
            if start == 0:
                return None
            if k and self.times.releases[name][k - 1, lane] == start:
                return name, k - 1, lane
            for edge in self.inputs[name]:
                source = int(self.sources[edge.fifo.name][k])
                if source >= 0:
                    row = self.times.releases[edge.src][source]
                    other = _lane(row, lane, self.design.stages[name].lanes)
                    if row[other] + edge.fifo.latency == start:
                        self.cycles[edge.fifo.name] += edge.fifo.latency
                        return edge.src, source, other
            name, k, lane = self._freed(name, k, lane, start)

    def _freed(self, name: str, k: int, lane: int, time: int) -> tuple[str, int, int]:
        for edge in self.outputs[name]:
            sink = int(self.sinks[edge.fifo.name][k])
            if sink >= 0:
                row = self.times.starts[edge.dst][sink]
                other = _lane(row, lane, self.design.stages[name].lanes)
                if row[other] + edge.fifo.credit == time:
                    self.cycles[edge.fifo.name] += edge.fifo.credit
                    self.full[edge.fifo.name] += 1
                    return edge.dst, sink, other
        raise AssertionError(f"nothing sets cycle {time} of {name}")


def _lane(row: Table, lane: int, lanes: int) -> int:
    """The neighbour's lane that counts: the same, its only one, or the latest of all."""
    if len(row) == 1:
        return 0
    return int(row.argmax()) if lanes == 1 else lane

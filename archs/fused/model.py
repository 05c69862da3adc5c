"""Timing: a phase for every group, a stage for every convolution, one DRAM port, and what each of them counts.

A group runs in *steps*. In step j the port loads what pyramid j needs from outside, a stage at depth d works on pyramid
j - 1 - d, and the port then stores what left the last stage in the step before: load k + 1 stands before store k, in a
fixed order, on one port. The lock-step pipeline ends a step for all at once (a barrier stage of no service, no latency
and no credit); the free-running one lets every stage go on as soon as its tiles are there. Tiles are double-buffered: a
producer fills one while its consumer reads the other, and gets a buffer back when the consumer is done with it (the FIFO
`free.*` of the free-running pipeline; in lock-step the barrier sees to it).

Pools and element-wise layers live in the stage before them (its time is the convolution's); free-running pools are
stages of their own. A pool that comes first in its group works at the pace of the port.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archs.fused.activity import Activity, activity
from archs.fused.batch import Batch
from archs.fused.layout import Layout, Part, layout
from archs.fused.pipeline import homes
from archs.fused.port import PORT, port_cycles
from archs.fused.pyramid import Ints
from archs.fused.spec import FusedSpec
from archs.fused.stack import Node
from archs.fused.storage import value_bits, weight_bits
from archs.fused.unroll import passes, taps
from archs.fused.zhang import loops
from sim.graph import Design, Fifo, Stage
from sim.plan import Phase, Plan, Work
from sim.rates import Total
from workloads.network import Network

BARRIER = "barrier"


@dataclass(frozen=True, eq=False, slots=True)
class Unit:
    """A stage to be: its nodes (the first names it), cycles per pyramid of one image, and the depth it works at."""

    name: str
    nodes: tuple[Node, ...]
    service: Ints
    depth: int


def plan(spec: FusedSpec, network: Network, images: int = 1, found: Layout | None = None) -> Plan:
    """All phases. Groups take turns with the whole machine: every group runs all images, so weights load once."""
    found = found or layout(spec, network)
    return tuple(phase(spec, part, found, images) for part in found.parts)


def phase(spec: FusedSpec, part: Part, found: Layout, images: int) -> Phase:
    """One group."""
    counts = activity(part, images)
    if spec.scheme == "baseline":
        design, firsts = loops(spec, part, images, counts)
        works = works_of(part, found, images, counts, {node.name: (node.name,) for node in part.group.convs})
        if not part.group.convs:
            works = works_of(part, found, images, counts, {part.group.heads[0]: (part.group.heads[0],)})
        return Phase(part.name, design, works, images=images, sink=PORT, first_done=firsts)
    units = stages(part, spec.pipeline)
    design = pipeline(spec, part, units, images, counts)
    works = works_of(part, found, images, counts, {unit.name: (unit.name,) for unit in units})
    tiles = part.pyramids.count[0] * part.pyramids.count[1]
    deepest = max(unit.depth for unit in units)
    return Phase(part.name, design, works, images=images, sink=PORT, first_done=2 * (tiles + deepest + 1) + 1)


def stages(part: Part, mode: str) -> tuple[Unit, ...]:
    """The stages of a group with their service times."""
    return tuple(Unit(home.name, home.nodes, service(part, home.nodes), home.depth) for home in homes(part.group, mode))


def service(part: Part, nodes: Sequence[Node]) -> Ints:
    """Cycles per pyramid of the stage that `nodes[0]` names: rows * columns * K^2 * ceil(M/Tm) * ceil(N/Tn)."""
    node = nodes[0]
    pixels = part.pyramids.fresh(node.name)
    if node.kind == "conv":
        return pixels * (taps(node) * passes(node, part.unrolls[node.name]))
    feeding = [part.unrolls[name][0] for name in node.inputs if name in part.unrolls]
    feeding += [part.unrolls[n][0] for name in node.inputs for n in _conv_before(part, name)]
    if node.kind == "pool" and feeding:
        return pixels * (taps(node) * -(-node.shape[0] // max(feeding)))
    return np.zeros_like(pixels)


def _conv_before(part: Part, name: str) -> tuple[str, ...]:
    """The convolution whose map reaches `name` through element-wise layers."""
    while name in part.group.by_name and name not in part.unrolls:
        name = part.group.by_name[name].inputs[0]
    return (name,) if name in part.unrolls else ()


def pipeline(spec: FusedSpec, part: Part, units: Sequence[Unit], images: int, counts: Mapping[str, Activity]) -> Design:
    """The design of a fused group."""
    steps = Steps(part, units, images)
    free = spec.pipeline == "free"
    batch = steps.batch
    design = Design(part.name)
    loads, stores = port_cycles(spec, steps.load_bytes()), port_cycles(spec, steps.store_bytes())
    nothing = np.zeros_like(loads)
    design.add(Stage(PORT, batch.by_step(loads, stores), 2 * batch.steps))
    for unit in units:
        amounts = {name: Total(n) for name, n in _sum(counts, unit.nodes).items()}
        design.add(Stage(unit.name, batch.by_image(unit.service), batch.period * images, amounts))
    for a, b, gap in steps.handovers():
        produce = batch.by_step(steps.loading(b), nothing) if a == PORT else 1
        consume = batch.by_step(nothing, steps.storing(a)) if b == PORT else 1
        design.connect(a, b, Fifo(f"{a}->{b}", gap + free, produce, consume, latency=0))
        if free:
            design.connect(b, a, Fifo(f"free.{a}->{b}", gap + 1, consume, produce, latency=0, initial=gap + 1))
    if not free:
        _lockstep(design, steps)
    return design


def _lockstep(design: Design, steps: "Steps") -> None:
    """A barrier that fires once a step, when all that work in it are done; everyone waits for it before the next."""
    batch = steps.batch
    design.add(Stage(BARRIER, 0, batch.steps))
    more = np.full(batch.short, 2)
    more[-1] = 0
    design.connect(PORT, BARRIER, Fifo("done.dram", 2, 1, 2, latency=0))
    design.connect(BARRIER, PORT, Fifo("go.dram", 2, batch.by_step(more), 1, latency=0, initial=2))
    for unit in steps.units:
        works = steps.working(unit)
        later = np.concatenate([works[1:], [0]])
        design.connect(unit.name, BARRIER, Fifo(f"done.{unit.name}", 1, 1, batch.by_step(works), latency=0))
        design.connect(BARRIER, unit.name, Fifo(f"go.{unit.name}", 1, batch.by_step(later), 1, latency=0))


class Steps:
    """Which pyramid is where in each step, over all images of the phase."""

    def __init__(self, part: Part, units: Sequence[Unit], images: int) -> None:
        self.part, self.units = part, units
        rows, columns = part.pyramids.count
        self.batch = Batch(rows * columns, max(unit.depth for unit in units) + 2, images)
        self.home = {node.name: unit for unit in units for node in unit.nodes}
        self.ones = np.ones(self.batch.period, np.int64)

    def working(self, unit: Unit) -> Ints:
        return self.batch.at(self.ones, unit.depth + 1)

    def loading(self, name: str) -> Ints:
        return self.batch.at(self.ones, self.first_depth(self.stage(name)))

    def storing(self, name: str) -> Ints:
        return self.batch.at(self.ones, self.stage(name).depth + 2)

    def first_depth(self, unit: Unit) -> int:
        """Step at which the maps that a stage reads from outside are loaded: in time for their first reader."""
        names = [n for node in unit.nodes for n in node.inputs if n in self.part.group.entries]
        return min(self._entry_depth(name) for name in names)

    def _entry_depth(self, name: str) -> int:
        return min(self.home[node.name].depth for node in self.part.group.readers[name])

    def load_bytes(self) -> Ints:
        """Bytes per step that the port reads: maps, and each stage's weights before its first pyramid (or every one)."""
        total = np.zeros(self.batch.short, np.int64)
        for name, shape in self.part.group.entries.items():
            bits = self.part.pyramids.fresh(name) * (shape[0] * self.part.storage.precision.map_bits)
            total += self.batch.at(-(-bits // 8), self._entry_depth(name))
        for node in self.part.group.convs:
            depth = self.home[node.name].depth
            if self.part.storage.streamed:
                busy = self.part.pyramids.fresh(node.name) > 0
                total += self.batch.at(np.where(busy, self._weights(node), 0), depth)
            else:
                total[depth] += self._weights(node)
        return total

    def store_bytes(self) -> Ints:
        """Bytes per step that the port writes."""
        total = np.zeros(self.batch.short, np.int64)
        for name in self.part.group.exits:
            bits = self.part.pyramids.stored(name) * (
                self.part.group.shapes[name][0] * self.part.storage.precision.map_bits
            )
            total += self.batch.at(-(-bits // 8), self.home[name].depth + 2)
        return total

    def _weights(self, node: Node) -> int:
        return -(-weight_bits(node, self.part.storage.precision.weight_bits) // 8)

    def handovers(self) -> list[tuple[str, str, int]]:
        """(from, to, tiles between them) for every pair that hands tiles over: one is double buffering."""
        found: dict[tuple[str, str], int] = {}
        for unit in self.units:
            for node in unit.nodes:
                for name in node.inputs:
                    if name in self.home:
                        if self.home[name] is not unit:
                            found[self.home[name].name, unit.name] = unit.depth - self.home[name].depth
                    else:
                        found[PORT, unit.name] = unit.depth - self.first_depth(unit) + 1
                if node.name in self.part.group.exits:
                    found[unit.name, PORT] = 1
        return [(a, b, gap) for (a, b), gap in found.items()]

    def stage(self, name: str) -> Unit:
        """The stage called `name`."""
        return next(unit for unit in self.units if unit.name == name)


def _sum(counts: Mapping[str, Activity], nodes: Sequence[Node]) -> dict[str, int]:
    total: dict[str, int] = {}
    for node in nodes:
        for action, amount in counts[node.name].actions.items():
            total[action] = total.get(action, 0) + amount
    return total


def works_of(
    part: Part, found: Layout, images: int, counts: Mapping[str, Activity], stages_of: Mapping[str, tuple[str, ...]]
) -> tuple[Work, ...]:
    """One row a layer; layers inside another's stage have none of their own."""
    rows = []
    for node in part.group.nodes:
        mine, count = stages_of.get(node.name, ()), counts[node.name]
        tm, tn = part.unrolls.get(node.name, (0, 0))
        bits = weight_bits(node, found.precision.weight_bits)
        width = value_bits(node, found.precision.weight_bits) if node.kind == "conv" else found.precision.map_bits
        wasted = {"recompute": count.recomputed, "filler": count.filler, "discard": count.discard}
        idle = {"unroll": count.slots - count.computed} | wasted
        rows.append(
            Work(
                node.name, node.kind, mine, node.name if mine else "", tm * tn or 1, tm * tn,
                count.macs, count.useful, f"{width}x{found.precision.map_bits}", bits,
                wasted, idle if tm else {},
            )
        )  # fmt: skip
    return tuple(rows)

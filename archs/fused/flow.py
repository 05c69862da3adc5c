"""Values through the timed graph: each stage splices, computes and hands over real tiles, token by token.

For small layers under `--check`. A stage has buffers of its own for every map it reads; the port reads and writes DRAM.
What the port wrote must be the reference's, so the graph that is timed can compute what it claims.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from archs.fused.arithmetic import Arithmetic
from archs.fused.compute import chosen, entries
from archs.fused.datapath import Map, Tally, tile
from archs.fused.layout import Part, layout
from archs.fused.model import Steps, Unit, stages
from archs.fused.port import PORT
from archs.fused.spec import FusedSpec
from archs.fused.stack import Node
from archs.fused.unroll import chunks
from sim.plan import Behaviour
from workloads.network import Network
from workloads.tensor import Array

if TYPE_CHECKING:
    from sim.des import Behaviour as Behave
    from sim.des import Tokens

Tiles = dict[str, Array]
Dram = dict[str, list[Array]]


def values(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> tuple[Behaviour, ...]:
    """What the stages of each phase do to tiles, [rows, columns, maps]."""
    found = layout(spec, network)
    given = entries(found.stack, network, inputs)
    arithmetic = chosen(spec, found, given)
    dram: Dram = {
        name: [arithmetic.store(name, image).transpose(1, 2, 0) for image in array] for name, array in given.items()
    }
    images = len(next(iter(given.values())))
    for part in found.parts:
        for name in part.group.exits:
            shape = part.group.shapes[name]
            dram[name] = [np.zeros((*shape[1:], shape[0]), arithmetic.dtype) for _ in range(images)]
    return tuple(_phase(spec, part, arithmetic, dram, images) for part in found.parts)


def _phase(spec: FusedSpec, part: Part, arithmetic: Arithmetic, dram: Dram, images: int) -> Behaviour:
    if spec.scheme == "baseline":
        doing = _loops(part, arithmetic, dram)
    else:
        units = stages(part, spec.pipeline)
        steps = Steps(part, units, images)
        doing = {unit.name: _stage(part, unit, steps, arithmetic) for unit in units}
        doing[PORT] = _port(part, steps, dram, images)

    def outputs() -> Mapping[str, Array]:
        return {name: np.stack([image.transpose(2, 0, 1) for image in dram[name]]) for name in part.group.exits}

    return Behaviour(doing, outputs)


class Worker:
    """The nodes of one stage with the buffers they read from."""

    def __init__(self, part: Part, nodes: tuple[Node, ...], arithmetic: Arithmetic) -> None:
        self.part, self.nodes, self.arithmetic, self.tally = part, nodes, arithmetic, Tally()
        names = {name for node in nodes for name in (node.name, *node.inputs)}
        shapes = part.group.shapes
        self.maps = {name: Map(name, part.pyramids, shapes[name][0], arithmetic, self.tally) for name in names}

    def run(self, pyramid: int, got: Tiles) -> Tiles:
        """Fresh tiles of all its nodes for one pyramid, from the fresh tiles of all maps it reads from others."""
        at = divmod(pyramid, self.part.pyramids.count[1])
        windows = {name: self.maps[name].splice(*at, got[name]) for name in got if name in self.maps}
        made: Tiles = {}
        for node in self.nodes:
            rows, columns = self.maps[node.name].rows, self.maps[node.name].columns
            box = (rows.low[at[0]], rows.high[at[0]], columns.low[at[1]], columns.high[at[1]])
            made[node.name] = tile(node, box, self.arithmetic, self.maps, windows, at, self.tally)
            windows[node.name] = self.maps[node.name].splice(*at, made[node.name])
        return made


def _stage(part: Part, unit: Unit, steps: Steps, arithmetic: Arithmetic) -> "Behave":
    worker = Worker(part, unit.nodes, arithmetic)
    after = [b for a, b, _ in steps.handovers() if a == unit.name]
    before = [a for a, b, _ in steps.handovers() if b == unit.name]

    def behave(k: int, taken: "Tokens") -> "Tokens":
        got: Tiles = {}
        for name in before:
            got |= taken[f"{name}->{unit.name}"][0]
        made = worker.run(k % steps.batch.period, got)
        signals = {f"done.{unit.name}": [None], **{f"free.{name}->{unit.name}": [None] for name in before}}
        return {**signals, **{f"{unit.name}->{name}": [made] for name in after}}

    return behave


def _port(part: Part, steps: Steps, dram: Dram, images: int) -> "Behave":
    pyramids, count = steps.batch.period, part.pyramids.count[1]
    feeds = {b: steps.first_depth(steps.stage(b)) for a, b, _ in steps.handovers() if a == PORT}
    ends = [a for a, b, _ in steps.handovers() if b == PORT]

    def behave(k: int, taken: "Tokens") -> "Tokens":
        step, storing = divmod(k, 2)
        put: dict[str, list[Any]] = {"done.dram": [None]}
        for name, depth in feeds.items():
            image, pyramid = divmod(step - depth, pyramids)
            now = not storing and 0 <= image < images
            put[f"{PORT}->{name}"] = [loaded(part, dram, image, divmod(pyramid, count))] if now else []
        for name in ends:
            tokens = taken[f"{name}->{PORT}"]
            put[f"free.{name}->{PORT}"] = [None] * len(tokens)
            image, pyramid = divmod(step - steps.stage(name).depth - 2, pyramids)
            for tiles in tokens:
                store(part, dram, image, divmod(pyramid, count), tiles)
        return put

    return behave


def loaded(part: Part, dram: Dram, image: int, at: tuple[int, int]) -> Tiles:
    """Fresh tiles of the group's inputs for one pyramid."""
    tiles = {}
    for name in part.group.entries:
        rows, columns = part.pyramids.rows[name], part.pyramids.columns[name]
        tiles[name] = dram[name][image][rows.low[at[0]] : rows.high[at[0]], columns.low[at[1]] : columns.high[at[1]]]
    return tiles


def store(part: Part, dram: Dram, image: int, at: tuple[int, int], tiles: Tiles) -> None:
    """Write the tiles that leave the group."""
    for name in part.group.exits:
        if name in tiles:
            rows, columns = part.pyramids.rows[name], part.pyramids.columns[name]
            into = dram[name][image]
            into[rows.low[at[0]] : rows.high[at[0]], columns.low[at[1]] : columns.high[at[1]]] = tiles[name]


def _loops(part: Part, arithmetic: Arithmetic, dram: Dram) -> "dict[str, Behave]":
    """The baseline: a tile's inputs come with its first block, its outputs are there after its last one."""
    convs, count = part.group.convs, part.pyramids.count
    blocks = chunks(convs[0], part.unrolls[convs[0].name]) if convs else None
    ends = [bool(b.outputs) for b in blocks] if blocks else [True]
    worker = Worker(part, part.group.nodes, arithmetic)
    tiles, many = count[0] * count[1], len(ends)
    images = len(next(iter(dram[name] for name in part.group.entries)))
    held: dict[str, Tiles] = {}

    def port(k: int, taken: "Tokens") -> "Tokens":
        step, storing = divmod(k, 2)
        if storing:
            image, tile_ = divmod((step - 1) // many, tiles)
            for made in taken["store"]:
                store(part, dram, image, divmod(tile_, count[1]), made)
            return {"load": []}
        image, tile_ = divmod(step // many, tiles)
        if image >= images:
            return {"load": []}
        return {"load": [loaded(part, dram, image, divmod(tile_, count[1])) if step % many == 0 else {}]}

    def engine(k: int, taken: "Tokens") -> "Tokens":
        number, block = divmod(k, many)
        if block == 0:
            held["in"] = taken["load"][0]
        made = worker.run(number % tiles, held["in"]) if block == many - 1 else {}
        return {"store": [made] if ends[block] else []}

    return {PORT: port, convs[0].name if convs else part.group.heads[0]: engine}

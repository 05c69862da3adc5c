"""The default engine: lays a design out as tables for `sim.kernel`, and skips what repeats.

A design whose rates are `Repeat` is stepped for a few repetitions only. Once all times that later firings can still see
have moved on by the same number of cycles, the rest follows exactly (max-plus periodicity): see `sim.periodic`.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sim import kernel as k
from sim.errors import DeadlockError
from sim.graph import Design
from sim.rates import IntArray, Rate, expand
from sim.timeline import Times

Table = npt.NDArray[np.int64]


def run(design: Design) -> Times:
    """Start and release of every firing of every stage; raises DeadlockError where the design stops early."""
    return step(design)[0]


def step(
    design: Design,
    known: Times | None = None,
    cut: Mapping[str, int] | None = None,
    limit: Mapping[str, int] | None = None,
    skipped: Mapping[str, int] | None = None,
) -> tuple[Times, dict[str, int]]:
    """As `run`, and how many firings of each stage happened.

    With `known`, the first `cut[stage]` firings have happened at those times and the run goes on from there. With
    `limit`, no stage fires more often than that, and to stop early is no deadlock. A deadlock's message counts
    `skipped[stage]` firings more, which were left out of `design`.
    """
    names = {name: i for i, name in enumerate(design.stages)}
    edges, stages = _stage_table(design, names)
    fifos, prefix = _fifo_table(design, names)
    services = _services(design, stages)
    size = int((stages[:, k.FIRINGS] * stages[:, k.LANES]).sum())
    start, release = np.empty(size, np.int64), np.empty(size, np.int64)
    times = Times(_views(design, stages, start), _views(design, stages, release))
    started, released = np.zeros((2, len(stages)), np.int64)
    for name, i in names.items():
        if known and cut:
            times.starts[name][: cut[name]] = known.starts[name][: cut[name]]
            times.releases[name][: cut[name]] = known.releases[name][: cut[name]]
            started[i] = released[i] = cut[name]
        if limit:
            stages[i, k.FIRINGS] = limit[name]
    k.advance(stages, fifos, edges, prefix, services, start, release, started, released)
    if limit is None and (released < stages[:, k.FIRINGS]).any():
        waits = _waits(design, fifos, prefix, started, released, skipped or {})
        raise DeadlockError(f"{design.name}: deadlock: {'; '.join(waits)}")
    return times, {name: int(released[i]) for name, i in names.items()}


def _stage_table(design: Design, names: dict[str, int]) -> tuple[Table, Table]:
    reads, writes = defaultdict(list), defaultdict(list)
    for e, edge in enumerate(design.edges):
        reads[edge.dst].append(e)
        writes[edge.src].append(e)
    edges: list[int] = []
    table = np.zeros((len(names), 10), np.int64)
    base = 0
    for i, stage in enumerate(design.stages.values()):
        bounds = [len(edges)]
        for mine in (reads[stage.name], writes[stage.name]):
            edges += mine
            bounds.append(len(edges))
        claim = int(stage.claim == "start")
        table[i] = (stage.firings, stage.lanes, claim, k.SCALAR, 0, base, bounds[0], bounds[1], bounds[1], bounds[2])
        base += stage.firings * stage.lanes
    return np.array(edges, np.int64), table


def _fifo_table(design: Design, names: dict[str, int]) -> tuple[Table, Table]:
    table = np.zeros((len(design.edges), 12), np.int64)
    sums: list[Table] = []
    offset = 0
    for e, edge in enumerate(design.edges):
        fifo = edge.fifo
        rates = []
        for rate, stage in ((fifo.produce, edge.src), (fifo.consume, edge.dst)):
            plain = _plain(rate, design.stages[stage].firings)
            if isinstance(plain, np.ndarray):
                sums.append(np.concatenate([[0], np.cumsum(plain, dtype=np.int64)]))
                rates += [1, offset]
                offset += len(sums[-1])
            else:
                rates += [0, plain]
        single = rates[0] == rates[2] == 0 and rates[1] == rates[3] > 0
        ahead = (fifo.initial // rates[1], (fifo.depth - fifo.initial) // rates[1]) if single else (k.NEVER, k.NEVER)
        head = (names[edge.src], names[edge.dst], fifo.depth, fifo.latency, fifo.credit, fifo.initial)
        table[e] = (*head, *rates, *ahead)
    return table, np.concatenate(sums) if sums else np.zeros(1, np.int64)


def _plain(rate: Rate, firings: int) -> int | IntArray:
    """A rate as a scalar where it is one; an array as long as the stage fires otherwise."""
    plain = expand(rate, firings)
    if isinstance(plain, np.ndarray):
        return plain.reshape(-1)
    return int(plain)


def _services(design: Design, table: Table) -> npt.NDArray[np.integer]:
    """All service arrays in one flat one: 16 bits wide where they are small, and not copied where there is only one."""
    arrays, offset = [], 0
    for i, stage in enumerate(design.stages.values()):
        service = expand(stage.service, stage.firings)
        if isinstance(service, np.ndarray):
            table[i, k.SERVICE_KIND] = k.BY_LANE if service.ndim == 2 else k.BY_FIRING
            table[i, k.SERVICE] = offset
            arrays.append(service.reshape(-1))
            offset += service.size
        else:
            table[i, k.SERVICE] = service
    narrow = all(a.dtype.kind == "u" and a.dtype.itemsize <= 2 for a in arrays)
    dtype = np.uint16 if narrow else np.int64
    if not arrays:
        return np.zeros(1, dtype)
    return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays), dtype)


def _views(design: Design, table: Table, flat: Table) -> dict[str, Table]:
    views = {}
    for row, (name, stage) in zip(table, design.stages.items(), strict=True):
        size = stage.firings * stage.lanes
        views[name] = flat[row[k.BASE] : row[k.BASE] + size].reshape(stage.firings, stage.lanes)
    return views


def _waits(
    design: Design, fifos: Table, prefix: Table, started: Table, released: Table, skipped: Mapping[str, int]
) -> list[str]:
    """What each stage that is not done waits for, in the words of the reference engine."""
    names = {name: i for i, name in enumerate(design.stages)}
    words = []

    def moved(row: Table, kind: int, firings: int) -> int:
        return int(row[kind + 1] * firings if row[kind] == 0 else prefix[row[kind + 1] + firings])

    for name, i in names.items():
        firing = int(released[i])
        if firing == design.stages[name].firings:
            continue
        number = firing + skipped.get(name, 0)
        lacks = []
        for edge, row in zip(design.edges, fifos, strict=True):
            entered = row[k.INITIAL] + moved(row, k.PUT_KIND, released[row[k.SRC]])
            left = row[k.DEPTH] - row[k.INITIAL] + moved(row, k.TAKE_KIND, started[row[k.DST]])
            if edge.dst == name and started[i] == firing and moved(row, k.TAKE_KIND, firing + 1) > entered:
                lacks.append((0, f"{name} waits at firing {number} for tokens in {edge.fifo.name}"))
            if edge.src == name and moved(row, k.PUT_KIND, firing + 1) > left:
                lacks.append((1, f"{name} waits at firing {number} for room in {edge.fifo.name}"))
        words.append(min(lacks, key=lambda lack: lack[0])[1])
    return words

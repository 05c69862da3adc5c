"""The reference engine: one simpy process per stage and lane. It is the witness, and what a reader learns from.

It knows nothing of the recurrence in `sim.graph`: each process waits, takes, serves, waits for room and puts. The only
device is a counter that only grows, because a join must take from all its FIFOs at once (`simpy.Store` would not).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from sim.errors import DeadlockError
from sim.graph import Design, Fifo, Stage
from sim.rates import Rate, expand
from sim.timeline import Times

Tokens = dict[str, list[Any]]
Behaviour = Callable[[int, Tokens], Tokens]
Values = Mapping[str, Behaviour | Sequence[Behaviour]]
Process = Generator[simpy.Event, None, None]


class Counter:
    """A number that only grows; its one waiter can wait until it reaches a value."""

    def __init__(self, env: simpy.Environment, start: int) -> None:
        self.env, self.value, self.target = env, start, 0
        self.waiter: simpy.Event | None = None

    def until(self, target: int) -> simpy.Event:
        event = self.env.event()
        if self.value >= target:
            event.succeed()
        else:
            self.waiter, self.target = event, target
        return event

    def move(self, amount: int, delay: int) -> None:
        """Grow by `amount` after `delay` cycles."""
        if delay == 0:
            self._grow(amount)
        elif amount:
            self.env.timeout(delay).callbacks.append(lambda _: self._grow(amount))

    def _grow(self, amount: int) -> None:
        self.value += amount
        if self.waiter is not None and self.value >= self.target:
            waiter, self.waiter = self.waiter, None
            waiter.succeed()


@dataclass(slots=True)
class Queue:
    """One copy of a FIFO. `tokens` counts all that could be taken so far, `slots` all that could be put so far."""

    fifo: Fifo
    tokens: Counter
    slots: Counter
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Unit:
    """One lane of a stage: its queues, one list of copies per FIFO, its times, and what it waits for now."""

    stage: Stage
    lane: int
    inputs: list[list[Queue]]
    outputs: list[list[Queue]]
    starts: list[int] = field(default_factory=list)
    releases: list[int] = field(default_factory=list)
    waits: str = ""


def run(design: Design, values: Values | None = None) -> Times:
    """Start and release of every firing of every stage; raises DeadlockError where the design stops early.

    `values[stage](k, taken)` computes what firing `k` puts from what it takes, FIFO name -> list of tokens; a stage with
    lanes has one such function per lane. A one-lane reader of n copies gets n lists; a one-lane writer fills all alike.
    """
    env = simpy.Environment()
    units = _units(env, design)
    for unit in units:
        behave = (values or {}).get(unit.stage.name)
        one = behave[unit.lane] if isinstance(behave, Sequence) else behave
        env.process(_process(env, unit, one))
    env.run()
    stuck = [unit for unit in units if unit.waits]
    if stuck:
        raise DeadlockError(f"{design.name}: deadlock: " + "; ".join(dict.fromkeys(unit.waits for unit in stuck)))
    return _times(design, units)


def _units(env: simpy.Environment, design: Design) -> list[Unit]:
    copies = {}
    for edge in design.edges:
        fifo, lanes = edge.fifo, max(design.stages[edge.src].lanes, design.stages[edge.dst].lanes)
        copies[fifo.name] = [
            Queue(fifo, Counter(env, fifo.initial), Counter(env, fifo.depth - fifo.initial), [None] * fifo.initial)
            for _ in range(lanes)
        ]

    def mine(stage: Stage, lane: int, fifo: Fifo) -> list[Queue]:
        return copies[fifo.name] if stage.lanes == 1 else [copies[fifo.name][lane]]

    return [
        Unit(
            stage,
            lane,
            [mine(stage, lane, edge.fifo) for edge in design.inputs(stage.name)],
            [mine(stage, lane, edge.fifo) for edge in design.outputs(stage.name)],
        )
        for stage in design.stages.values()
        for lane in range(stage.lanes)
    ]


def _at(rate: int | np.ndarray[Any, Any], k: int, lane: int) -> int:
    if isinstance(rate, np.ndarray):
        return int(rate[k] if rate.ndim == 1 else rate[k, lane])
    return int(rate)


def _process(env: simpy.Environment, unit: Unit, behave: Behaviour | None) -> Process:
    stage, lane, name = unit.stage, unit.lane, unit.stage.name
    service = expand(stage.service, stage.firings)
    takes = [(copies, _rate(copies[0].fifo.consume, stage.firings)) for copies in unit.inputs]
    puts = [(copies, _rate(copies[0].fifo.produce, stage.firings)) for copies in unit.outputs]
    taken, put = [0] * len(takes), [0] * len(puts)

    def room(k: int) -> Process:
        for n, (copies, produce) in enumerate(puts):
            unit.waits = f"{name} waits at firing {k} for room in {copies[0].fifo.name}"
            for queue in copies:
                yield queue.slots.until(put[n] + _at(produce, k, lane))

    for k in range(stage.firings):
        for n, (copies, consume) in enumerate(takes):
            unit.waits = f"{name} waits at firing {k} for tokens in {copies[0].fifo.name}"
            taken[n] += _at(consume, k, lane)
            for queue in copies:
                yield queue.tokens.until(taken[n])
        if stage.claim == "start":
            yield from room(k)
        unit.starts.append(int(env.now))
        held: Tokens = {}
        for copies, consume in takes:
            count = _at(consume, k, lane)
            for queue in copies:
                queue.slots.move(count, queue.fifo.credit)
            lists = [_pop(queue, count) for queue in copies]
            held[copies[0].fifo.name] = lists[0] if len(lists) == 1 else lists
        yield env.timeout(_at(service, k, lane))
        yield from room(k)
        unit.releases.append(int(env.now))
        made = behave(k, held) if behave else {}
        for n, (copies, produce) in enumerate(puts):
            count = _at(produce, k, lane)
            put[n] += count
            for queue in copies:
                queue.values.extend(made[queue.fifo.name] if behave else [None] * count)
                queue.tokens.move(count, queue.fifo.latency)
    unit.waits = ""


def _rate(rate: Rate, firings: int) -> int | np.ndarray[Any, Any]:
    return expand(rate, firings)


def _pop(queue: Queue, count: int) -> list[Any]:
    values, queue.values[:count] = queue.values[:count], []
    return values


def _times(design: Design, units: list[Unit]) -> Times:
    starts, releases = {}, {}
    for name, stage in design.stages.items():
        lanes = [unit for unit in units if unit.stage.name == name]
        shape = (stage.lanes, stage.firings)
        starts[name] = np.array([u.starts for u in lanes], np.int64).reshape(shape).T
        releases[name] = np.array([u.releases for u in lanes], np.int64).reshape(shape).T
    return Times(starts, releases)

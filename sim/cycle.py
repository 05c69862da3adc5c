"""How a design of `Repeat` rates repeats: the regular part of every stage, and the same design with fewer repetitions."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from sim.graph import Design, Edge, Stage
from sim.rates import Rate, Repeat, total

FEWEST = 4  # repetitions to step before the first look


@dataclass(frozen=True, slots=True)
class Cycle:
    """Per stage: firings before the regular part (`head`), per repetition (`body`), after it (`tail`)."""

    times: int
    head: dict[str, int]
    body: dict[str, int]
    tail: dict[str, int]


def find_cycle(design: Design) -> Cycle | None:
    """How the stages repeat; None where they do not, or not all in step."""
    repeats = {name: _repeats(design, name) for name in design.stages}
    counts = {r.times for mine in repeats.values() for r in mine}
    if len(counts) != 1:
        return None
    times = counts.pop()
    if any(len({len(r.body) for r in mine}) > 1 for mine in repeats.values()) or _has_arrays(design):
        return None
    body = _balance(design, {name: len(mine[0].body) for name, mine in repeats.items() if mine})
    if body is None:
        return None
    head = {n: max((len(r.head) for r in mine), default=0) for n, mine in repeats.items()}
    tail = {n: max((len(r.tail) for r in mine), default=0) for n, mine in repeats.items()}
    for name, stage in design.stages.items():
        if not repeats[name]:  # scalars only: whatever is not whole repetitions can stand at the end
            tail[name] = stage.firings - times * body[name]
        if tail[name] < 0 or body[name] == 0:
            return None
    return Cycle(times, head, body, tail)


def _rates(design: Design, name: str) -> list[Rate]:
    own: list[Rate] = [design.stages[name].service]
    own += [edge.fifo.consume for edge in design.inputs(name)]
    return own + [edge.fifo.produce for edge in design.outputs(name)]


def _repeats(design: Design, name: str) -> list[Repeat]:
    return [rate for rate in _rates(design, name) if isinstance(rate, Repeat)]


def _has_arrays(design: Design) -> bool:
    return any(isinstance(rate, np.ndarray) for name in design.stages for rate in _rates(design, name))


def _balance(design: Design, body: dict[str, int]) -> dict[str, int] | None:
    """Firings per repetition of every stage: known from its own rates, or from the tokens its neighbours move."""
    known = {name: Fraction(count) for name, count in body.items()}
    todo = list(design.edges)
    while todo:
        left = []
        for edge in todo:
            put = _per_firing(edge.fifo.produce)
            take = _per_firing(edge.fifo.consume)
            if edge.src in known and edge.dst in known:
                if known[edge.src] * put != known[edge.dst] * take:
                    return None
            elif edge.src in known and take:
                known[edge.dst] = known[edge.src] * put / take
            elif edge.dst in known and put:
                known[edge.src] = known[edge.dst] * take / put
            else:
                left.append(edge)
        if len(left) == len(todo):
            return None
        todo = left
    whole = len(known) == len(design.stages) and all(count.denominator == 1 for count in known.values())
    return {name: int(known[name]) for name in design.stages} if whole else None


def _per_firing(rate: Rate) -> Fraction:
    if isinstance(rate, Repeat):
        return Fraction(int(rate.body.sum()), max(1, len(rate.body)))
    return Fraction(int(rate)) if not isinstance(rate, np.ndarray) else Fraction(0)


def shorten(design: Design, cycle: Cycle, times: int) -> Design:
    """The same design with fewer repetitions, and without its activity."""
    shorter = Design(design.name)

    def cut(rate: Rate) -> Rate:
        return replace(rate, times=times) if isinstance(rate, Repeat) else rate

    for name, stage in design.stages.items():
        firings = stage.firings - (cycle.times - times) * cycle.body[name]
        shorter.add(Stage(name, cut(stage.service), firings, {}, stage.claim, stage.lanes))
    for edge in design.edges:
        fifo = replace(edge.fifo, produce=cut(edge.fifo.produce), consume=cut(edge.fifo.consume))
        shorter.connect(edge.src, edge.dst, fifo)
    return shorter


def never_fills(design: Design, edge: Edge) -> bool:
    """Whether all tokens of the run fit in at once, so that its writer never waits."""
    return edge.fifo.initial + total(edge.fifo.produce, design.stages[edge.src].firings) <= edge.fifo.depth

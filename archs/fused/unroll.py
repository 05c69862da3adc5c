"""Unroll factors Tm x Tn of every fused convolution, balanced under a DSP budget.

A stage takes pixels * K^2 * ceil(M/Tm) * ceil(N/Tn) cycles (Zhang et al., FPGA 2015, applied per stage). For a common
time of all stages each one needs a smallest Tm * Tn; the budget decides the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, prod

import numpy as np

from archs.fused.pyramid import Pyramids
from archs.fused.stack import Node
from sim.errors import InputError
from workloads import ops

Unroll = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One pass of a tile: input maps it takes, how many for the first time, and output maps it completes."""

    inputs: int
    fresh: int
    outputs: int


def chunks(node: Node, unroll: Unroll) -> list[Chunk]:
    """All passes over a tile in order: block of Tm output maps by block, block of Tn input maps by block.

    Where a group has one input map (depthwise layers), outputs of several groups share the Tm lanes.
    """
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    (tm, tn), maps = unroll, node.sources[0][0]
    outputs, inputs = op.outputs // op.groups, maps // op.groups
    if inputs == 1:
        ends = [(first, min(first + tm, op.outputs)) for first in range(0, op.outputs, tm)]
        taken = [(first // outputs, (end - 1) // outputs + 1) for first, end in ends]
        return [
            Chunk(stop - start, stop - -(-first // outputs), end - first)
            for (first, end), (start, stop) in zip(ends, taken, strict=True)
        ]
    return [
        Chunk(size, size if m == 0 else 0, min(tm, outputs - m) if n + tn >= inputs else 0)
        for _ in range(op.groups)
        for m in range(0, outputs, tm)
        for n in range(0, inputs, tn)
        for size in (min(tn, inputs - n),)
    ]


def blocks(node: Node, unroll: Unroll) -> int:
    """Blocks of up to Tm output maps that a tile takes; no block holds maps of two groups, but for depthwise layers."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    if node.sources[0][0] == op.groups:
        return -(-op.outputs // unroll[0])
    return op.groups * -(-op.outputs // (op.groups * unroll[0]))


def passes(node: Node, unroll: Unroll) -> int:
    """Cycles per output pixel and kernel position: groups * ceil(M/Tm) * ceil(N/Tn), M and N of one group."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    return blocks(node, unroll) * -(-node.sources[0][0] // (op.groups * unroll[1]))


def reads(node: Node, unroll: Unroll) -> int:
    """Input maps that all passes over a tile read."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    if node.sources[0][0] == op.groups:
        return sum(block.inputs for block in chunks(node, unroll))
    return blocks(node, unroll) * (node.sources[0][0] // op.groups)


def taps(node: Node) -> int:
    """Kernel positions of a convolution or pool."""
    op = node.layer.op
    assert isinstance(op, ops.Conv | ops.Pool)
    return prod(op.kernel)


def sizes(node: Node) -> Unroll:
    """The largest useful (Tm, Tn)."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    inputs = node.sources[0][0] // op.groups
    return (op.outputs if inputs == 1 else op.outputs // op.groups), inputs


@lru_cache(maxsize=4096)
def frontier(outputs: int, inputs: int) -> tuple[tuple[int, int, int], ...]:
    """(multipliers, passes, Tm): for every number of passes the fewest multipliers, fewer passes for more of them."""
    best: dict[int, tuple[int, int]] = {}
    for steps in {-(-outputs // tm) for tm in range(1, outputs + 1)}:
        tm = -(-outputs // steps)
        for turns in {-(-inputs // tn) for tn in range(1, inputs + 1)}:
            macs = tm * -(-inputs // turns)
            if steps * turns not in best or macs < best[steps * turns][0]:
                best[steps * turns] = (macs, tm)
    points: list[tuple[int, int, int]] = []
    for cost, (macs, tm) in sorted(best.items()):
        if not points or macs < points[-1][0]:
            points.append((macs, cost, tm))
    return tuple(reversed(points))


def balance(pyramids: Pyramids, multipliers: int) -> dict[str, Unroll]:
    """The unrolls of all convolutions of a group for the fewest lock-step cycles found under a budget of multipliers.

    Starts from the fewest multipliers for a common stage time (the best one the budget allows, and slower ones, which
    leave more to spend) and spends the rest where it shortens the pipeline most.
    """
    convs = pyramids.group.convs
    if multipliers < len(convs):
        raise InputError(
            f"{len(convs)} convolutions need {len(convs)} multipliers at least, the DSP budget has {multipliers}",
            setting="dsps",
        )
    work = {node.name: max(1, pyramids.pixels(node.name)) * taps(node) for node in convs}
    times = sorted({work[n.name] * _repeat(n) * cost for n in convs for _, cost, _ in _points(n)})
    low, high = 0, len(times) - 1
    while low < high:
        middle = (low + high) // 2
        if _need(convs, work, times[middle]) <= multipliers:
            high = middle
        else:
            low = middle + 1
    line = _Lockstep(pyramids)
    found = [line.spend([_chosen(n, work[n.name], t) for n in convs], multipliers) for t in times[low : low + STARTS]]
    best = min(
        found,
        key=lambda chosen: (line.cycles(chosen), sum(_points(n)[i][0] for n, i in zip(convs, chosen, strict=True))),
    )
    return {n.name: _unroll(_points(n)[i]) for n, i in zip(convs, best, strict=True)}


STARTS = 16
"""Common stage times that `balance` starts from."""


class _Lockstep:
    """Cycles of the lock-step pipeline of a group's convolutions: the sum over steps of the slowest stage."""

    def __init__(self, pyramids: Pyramids) -> None:
        self.convs = pyramids.group.convs
        depths: dict[str, int] = {}
        for node in pyramids.group.nodes:
            before = max((depths[name] for name in node.inputs if name in depths), default=-1)
            depths[node.name] = before + (node.kind == "conv")
        steps = len(pyramids.fresh(pyramids.group.last.name)) + max(depths.values(), default=0)
        self.work = np.zeros((len(self.convs), max(1, steps)), np.int64)
        for row, node in zip(self.work, self.convs, strict=True):
            cycles = pyramids.fresh(node.name) * (taps(node) * _repeat(node))
            row[depths[node.name] : depths[node.name] + len(cycles)] = cycles

    def cycles(self, chosen: Sequence[int]) -> int:
        """Of one choice of points."""
        passes = np.array([_points(n)[i][1] for n, i in zip(self.convs, chosen, strict=True)])
        return int((self.work * passes[:, None]).max(axis=0).sum())

    def spend(self, chosen: Sequence[int], multipliers: int) -> list[int]:
        """Buy faster points while the budget lasts: each time the one that saves most cycles per multiplier."""
        now, best = list(chosen), self.cycles(chosen)
        while True:
            left = multipliers - sum(_points(n)[i][0] for n, i in zip(self.convs, now, strict=True))
            offers = []
            for k, node in enumerate(self.convs):
                if now[k] + 1 < len(_points(node)):
                    price = _points(node)[now[k] + 1][0] - _points(node)[now[k]][0]
                    faster = [*now[:k], now[k] + 1, *now[k + 1 :]]
                    if price <= left and (cycles := self.cycles(faster)) < best:
                        offers.append(((best - cycles) / price, cycles, faster))
            if not offers:
                return now
            _, best, now = max(offers)


def _unroll(point: tuple[int, int, int]) -> Unroll:
    macs, _, tm = point
    return tm, macs // tm


def _points(node: Node) -> tuple[tuple[int, int, int], ...]:
    return frontier(*sizes(node))


def _repeat(node: Node) -> int:
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    return 1 if node.sources[0][0] == op.groups else op.groups


def _chosen(node: Node, work: int, time: int) -> int:
    """The point with the fewest multipliers with which a stage keeps to `time`; the fastest where none does."""
    points = _points(node)
    return next((i for i, (_, cost, _) in enumerate(points) if work * _repeat(node) * cost <= time), len(points) - 1)


def _need(convs: tuple[Node, ...], work: Mapping[str, int], time: int) -> int:
    """Multipliers for a common stage time; beyond any budget where a stage cannot keep to it."""
    total = 0
    for node in convs:
        macs, cost, _ = _points(node)[_chosen(node, work[node.name], time)]
        total += macs if work[node.name] * _repeat(node) * cost <= time else 1 << 40
    return total


def best_common(nodes: tuple[Node, ...], multipliers: int) -> Unroll:
    """One (Tm, Tn) for all layers with the fewest cycles under the budget (Zhang 2015); fewer multipliers on a tie."""
    work = [(prod(node.shape[1:]) * taps(node), node) for node in nodes]
    tallest = min(multipliers, max(sizes(node)[0] for node in nodes))
    widest = max(sizes(node)[1] for node in nodes)
    candidates = ((tm, min(widest, multipliers // tm)) for tm in range(1, tallest + 1))
    return min(candidates, key=lambda u: (sum(w * passes(n, u) for w, n in work), u[0] * u[1]))


def dsps(unrolls: Mapping[str, Unroll], per_mac: Fraction) -> int:
    """DSP48 slices of these unrolls."""
    return ceil(sum(tm * tn for tm, tn in unrolls.values()) * per_mac)

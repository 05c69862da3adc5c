"""Unroll factors Tm x Tn of every fused convolution, balanced under a DSP budget.

A stage takes pixels * K^2 * ceil(M/Tm) * ceil(N/Tn) cycles (Zhang et al., FPGA 2015, applied per stage). For a common
time of all stages each one needs a smallest Tm * Tn; the budget decides the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, prod

from archs.fused.pyramid import Pyramids
from archs.fused.stack import Node
from sim.errors import InputError
from workloads import ops

Unroll = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One pass of a tile: input maps it takes, whether for the first time, and output maps it completes."""

    inputs: int
    fresh: bool
    outputs: int


def chunks(node: Node, unroll: Unroll) -> list[Chunk]:
    """All passes over a tile in order: block of Tm output maps by block, block of Tn input maps by block.

    Depthwise layers have one input map for each group: their outputs share the Tm lanes.
    """
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    (tm, tn), maps = unroll, node.sources[0][0]
    outputs, inputs = op.outputs // op.groups, maps // op.groups
    if inputs == 1:
        blocks = [min(tm, op.outputs - first) for first in range(0, op.outputs, tm)]
        deep = op.groups > 1
        return [Chunk(-(-m * maps // op.outputs) if deep else 1, deep or i == 0, m) for i, m in enumerate(blocks)]
    return [
        Chunk(min(tn, inputs - n), m == 0, min(tm, outputs - m) if n + tn >= inputs else 0)
        for _ in range(op.groups)
        for m in range(0, outputs, tm)
        for n in range(0, inputs, tn)
    ]


def passes(node: Node, unroll: Unroll) -> int:
    """Cycles per output pixel and kernel position: groups * ceil(M/Tm) * ceil(N/Tn), M and N of one group."""
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    outputs, inputs = op.outputs // op.groups, node.sources[0][0] // op.groups
    if inputs == 1:
        return -(-op.outputs // unroll[0])
    return op.groups * -(-outputs // unroll[0]) * -(-inputs // unroll[1])


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
    """The unrolls of all convolutions of a group with the least common stage time that `multipliers` allow."""
    convs = pyramids.group.convs
    work = {node.name: max(1, pyramids.pixels(node.name)) * taps(node) for node in convs}
    if multipliers < len(convs):
        raise InputError(
            f"{len(convs)} convolutions need {len(convs)} multipliers at least, the DSP budget has {multipliers}",
            setting="dsps",
        )
    times = sorted({work[n.name] * repeat * cost for n in convs for repeat in (_repeat(n),) for _, cost, _ in _points(n)})
    low, high = 0, len(times) - 1
    while low < high:
        middle = (low + high) // 2
        if _need(convs, work, times[middle]) <= multipliers:
            high = middle
        else:
            low = middle + 1
    return {node.name: _choose(node, work[node.name], times[low])[1] for node in convs}


def _points(node: Node) -> tuple[tuple[int, int, int], ...]:
    return frontier(*sizes(node))


def _repeat(node: Node) -> int:
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    return 1 if node.sources[0][0] == op.groups else op.groups


def _choose(node: Node, work: int, time: int) -> tuple[int, Unroll]:
    """Fewest multipliers with which a stage keeps to `time`, or more than any budget where none do."""
    for macs, cost, tm in _points(node):
        if work * _repeat(node) * cost <= time:
            return macs, (tm, macs // tm)
    return 1 << 40, (1, 1)


def _need(convs: tuple[Node, ...], work: Mapping[str, int], time: int) -> int:
    return sum(_choose(node, work[node.name], time)[0] for node in convs)


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

"""Where to cut a stack into groups: all 2^(l-1) partitions, the Pareto front, and a dynamic programme for long stacks.

A cut costs transfer (the maps at the border are written and read again) and saves storage (no carried rows there). A
group's transfer is its inputs read once and its outputs written once; both sums run over groups, so the least-transfer
partition that fits, group by group, is a shortest path.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from archs.fused.pyramid import Scheme, pyramids
from archs.fused.stack import Group, Stack
from archs.fused.storage import Precision, Storage, weight_bits

Transfer = Literal["pool_merged", "raw", "per_layer", "trips"]
Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One partition: bytes moved per image (feature maps), bytes carried on chip, multiply-accumulates beyond once."""

    sizes: Sizes
    transfer: int
    storage: int
    extra_macs: int


@dataclass(frozen=True)
class Costs:
    """Transfer and storage of any run of consecutive units of a stack, each worked out once."""

    stack: Stack
    tile: int
    scheme: Scheme
    precision: Precision

    @cached_property
    def _known(self) -> dict[tuple[int, int], tuple[int, int, int, Storage]]:
        return {}

    def __call__(self, first: int, last: int) -> tuple[int, int, int, Storage]:
        """(transfer bytes, reuse bytes, extra MACs, storage) of units `first` to `last` (exclusive) as one group."""
        known = self._known
        if (first, last) not in known:
            group = self.stack.group(first, last)
            shape = pyramids(group, self.tile, self.scheme)
            storage = Storage(group, shape, self.precision)
            known[first, last] = (transfer(storage), storage.reuse, extra_macs(storage), storage)
        return known[first, last]

    def weights(self, first: int, last: int) -> int:
        """Weight bytes of units `first` to `last` (exclusive)."""
        return sum(self.unit_weights[first:last])

    @cached_property
    def unit_weights(self) -> tuple[int, ...]:
        """Weight bytes of every unit."""
        bits = self.precision.weight_bits
        return tuple(sum(-(-weight_bits(node, bits) // 8) for node in unit) for unit in self.stack.units)

    def point(self, sizes: Sizes) -> Point:
        """A whole partition."""
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        rows = [self(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        return Point(sizes, sum(r[0] for r in rows), sum(r[1] for r in rows), sum(r[2] for r in rows))


def transfer(storage: Storage) -> int:
    """Feature-map bytes of a group: what it reads from DRAM and what it writes there, for one image."""
    shape, group = storage.pyramids, storage.group
    read = sum(group.shapes[name][0] * shape.pixels(name) for name in group.entries)
    written = sum(group.shapes[name][0] * int(shape.stored(name).sum()) for name in group.exits)
    return (read + written) * storage.precision.map_bits // 8


def macs_per_pixel(group: Group, name: str) -> int:
    """Multiply-accumulates of one output pixel of a convolution, over all its maps."""
    node = group.by_name[name]
    return node.layer.op.macs(*node.sources) // (node.shape[1] * node.shape[2])


def extra_macs(storage: Storage) -> int:
    """Multiply-accumulates beyond computing every value once (recompute)."""
    shape, group = storage.pyramids, storage.group
    return sum((shape.pixels(n.name) - shape.distinct(n.name)) * macs_per_pixel(group, n.name) for n in group.convs)


def partitions(units: int) -> Iterable[Sizes]:
    """All 2^(units - 1) ways to cut a row of units."""
    for cuts in range(1 << (units - 1)):
        sizes, run = [], 1
        for unit in range(units - 1):
            if cuts >> unit & 1:
                sizes.append(run)
                run = 0
            run += 1
        yield (*sizes, run)


def enumerate_points(costs: Costs) -> list[Point]:
    """Every partition of the stack."""
    return [costs.point(sizes) for sizes in partitions(len(costs.stack.units))]


def pareto(points: Iterable[Point]) -> list[Point]:
    """Points that no other beats in both storage and transfer, by rising storage."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.storage, p.transfer, len(p.sizes), p.sizes)):
        if not front or point.transfer < front[-1].transfer:
            front.append(point)
    return front


def front(costs: Costs) -> list[Point]:
    """The Pareto front of all partitions by dynamic programming over prefixes; equal to that of the enumeration."""
    prefixes: list[list[Point]] = [[Point((), 0, 0, 0)]]
    for last in range(1, len(costs.stack.units) + 1):
        reached: list[Point] = []
        for first in range(last):
            moved, kept, extra, _ = costs(first, last)
            reached += [
                Point((*p.sizes, last - first), p.transfer + moved, p.storage + kept, p.extra_macs + extra)
                for p in prefixes[first]
            ]
        prefixes.append(pareto(reached))
    return prefixes[-1]


def least_transfer(units: int, cost: Callable[[int, int], int | None]) -> Sizes | None:
    """The partition with the least summed cost; `cost(first, last)` is None where that group does not fit.

    Groups run one after another, so each has the whole chip to itself. Fewer groups win a tie. `cost` is asked for
    longer and longer groups that end at `last`.
    """
    best: list[tuple[int, int, Sizes] | None] = [(0, 0, ())]
    for last in range(1, units + 1):
        choices = []
        for first in reversed(range(last)):
            before, price = best[first], cost(first, last)
            if before is not None and price is not None:
                choices.append((before[0] + price, before[1] + 1, (*before[2], last - first)))
        best.append(min(choices, default=None))
    final = best[-1]
    return final[2] if final else None


def merge_pools(stack: Stack, sizes: Sequence[int], convention: Transfer) -> Sizes:
    """Join groups that are only pools to a neighbour, as the transfer conventions count them.

    `pool_merged` (and `trips`): with the group before, which then writes the pooled map. `raw`: with the group after,
    which reads the unpooled map; a last pool joins the group before. `per_layer`: pools stay passes of their own.
    """
    if convention == "per_layer":
        return tuple(sizes)
    result: list[int] = []
    start = waiting = 0
    for size in sizes:
        units = stack.units[start : start + size]
        start += size
        only_pools = all(node.kind != "conv" for unit in units for node in unit)
        if only_pools and convention == "raw":
            waiting += size
        elif only_pools and result:
            result[-1] += size
        elif only_pools:
            waiting += size
        else:
            result.append(size + waiting)
            waiting = 0
    if waiting and result:
        result[-1] += waiting
    elif waiting:
        result.append(waiting)
    return tuple(result)

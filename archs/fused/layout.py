"""From settings and a network to what runs: the stack, its groups, their pyramids, storage and unrolls.

Everything that timing, numbers and reports share is decided here once, refusals included.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from weakref import WeakKeyDictionary

from archs.fused.partition import Costs, Sizes, least_transfer, merge_pools, transfer
from archs.fused.pyramid import Pyramids, pyramids
from archs.fused.spec import DEVICE_BRAM18, DEVICE_DSPS, FusedSpec, factors
from archs.fused.stack import Group, Node, Stack, stack
from archs.fused.storage import PRECISIONS, LoopStorage, Precision, Storage, bram18
from archs.fused.unroll import Unroll, balance, best_common, dsps
from sim.errors import InputError, nearest
from workloads.network import Network

BASELINE_TILE = 28


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """One group as it runs."""

    group: Group
    pyramids: Pyramids
    storage: Storage
    unrolls: Mapping[str, Unroll]

    @property
    def dsps(self) -> int:
        """DSP48 slices; the baseline's layers share one engine, a group has one convolution there."""
        return dsps(self.unrolls, self.storage.precision.dsps_per_mac)

    @property
    def name(self) -> str:
        heads = self.group.heads
        return heads[0] if len(heads) == 1 else f"{heads[0]}..{heads[-1]}"


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """All groups of a run, in order. `notes` say what was cut or streamed because it did not fit."""

    stack: Stack
    parts: tuple[Part, ...]
    sizes: Sizes
    precision: Precision
    notes: tuple[str, ...]


_known: "WeakKeyDictionary[Network, dict[str, Layout]]" = WeakKeyDictionary()


def layout(spec: FusedSpec, network: Network) -> Layout:
    """Decide everything, once. InputError for settings that do not fit the network, or groups that do not fit the chip."""
    known = _known.setdefault(network, {})
    key = spec.model_dump_json()
    if key not in known:
        known[key] = _decide(spec, network)
    return known[key]


def _decide(spec: FusedSpec, network: Network) -> Layout:
    found = stack(network, spec.layers, spec.groups)
    precision = PRECISIONS[spec.precision]
    costs = Costs(found, side(spec), spec.scheme, precision)
    wanted = merge_pools(found, sizes(spec, costs), spec.transfer)
    found.groups(wanted)
    if spec.scheme == "baseline":
        return _baseline(spec, found, wanted, precision)
    return _fused(spec, found, wanted, precision, costs)


def side(spec: FusedSpec) -> int:
    """Side of the final tile."""
    return spec.tile or (BASELINE_TILE if spec.scheme == "baseline" else 1)


def sizes(spec: FusedSpec, costs: Costs) -> Sizes:
    """The partition that is asked for."""
    units = len(costs.stack.units)
    if spec.scheme == "baseline" and spec.partition in ("all", "best"):
        return (1,) * units
    if not isinstance(spec.partition, str):
        costs.stack.groups(spec.partition)
        return spec.partition
    match spec.partition:
        case "each":
            return (1,) * units
        case "best":
            return cut(spec, costs)
        case _:
            return (units,)


def cut(spec: FusedSpec, costs: Costs) -> Sizes:
    """The partition with the least DRAM bytes whose groups all fit; a layer too big on its own streams its weights."""

    full: dict[int, int] = {}

    def price(first: int, last: int) -> int | None:
        if first < full.get(last, 0):  # weights and carried rows only grow with more layers in front
            return None
        if last - first > 1 and costs.weights(first, last) > spec.on_chip:
            full[last] = first
            return None
        storage = costs(first, last)[3]
        if last - first > 1 and storage.weights + storage.reuse + storage.overlap > spec.on_chip:
            full[last] = first
            return None
        found = fitted(spec, storage)
        return None if found is None else moved(found)

    best = least_transfer(len(costs.stack.units), price)
    if best is None:
        raise _shortfall(spec, min((costs(i, i + 1)[3] for i in range(len(costs.stack.units))), key=_room(spec)))
    return best


def moved(storage: Storage) -> int:
    """DRAM bytes of a group for one image, weights included: once, or for every pyramid where they are streamed."""
    rows, columns = storage.pyramids.count
    return transfer(storage) + storage.weight_bytes * (rows * columns if storage.streamed else 1)


def fitted(spec: FusedSpec, storage: Storage) -> Storage | None:
    """The way to run a group that fits and moves least; None where nothing does.

    A single layer may stream its weights, in tiles of any size: it does where it does not fit otherwise, or where its
    stride leaves values unseen, of which smaller tiles read fewer.
    """
    ways = [storage] if storage.total <= spec.on_chip else []
    gaps = any(w.stride > w.reach for node in storage.group.nodes for w in node.windows)
    if len(storage.group.heads) == 1 and (gaps or not ways):
        ways += [way for way in _streams(storage) if way.total <= spec.on_chip]
    return min(ways, key=moved, default=None)


def _streams(storage: Storage) -> Iterator[Storage]:
    """A group that streams its weights, in tiles from the whole map down."""
    most = max(storage.group.last.shape[1:])
    for tile in sorted({-(-most // count) for count in range(1, most + 1)}, reverse=True):
        yield replace(storage, pyramids=pyramids(storage.group, tile, storage.pyramids.scheme), streamed=True)


def _room(spec: FusedSpec) -> Callable[[Storage], float]:
    return lambda storage: spec.on_chip - _streamed(storage).total


def _streamed(storage: Storage) -> Storage:
    return replace(storage, streamed=True)


def _fused(spec: FusedSpec, found: Stack, wanted: Sizes, precision: Precision, costs: Costs) -> Layout:
    notes: list[str] = []
    rows = _rows(costs, wanted)
    over = [storage for storage in rows if storage.total > spec.on_chip]
    if over and spec.overflow == "refuse" and spec.partition != "best":
        raise _shortfall(spec, over[0])
    if spec.overflow == "cut" and (over or spec.partition == "all"):
        wanted = cut(spec, costs)
        rows = _rows(costs, wanted)
        if over:
            notes.append(f"cut into groups {list(wanted)}: {_what(over[0])} did not fit")
        elif len(wanted) > 1:
            notes.append(f"cut into groups {list(wanted)}: they move fewer bytes than one group")
    cutting = spec.overflow == "cut" or spec.partition == "best"
    for i, storage in enumerate(rows):
        rows[i] = (cutting and fitted(spec, storage)) or (
            storage if storage.total <= spec.on_chip else _streamed(storage)
        )
        if rows[i].total > spec.on_chip:
            raise _shortfall(spec, rows[i])
        if rows[i].streamed:
            notes.append(f"weights of {_span(storage.group)} are streamed: {_what(storage)}")
    given = asked(spec, tuple(node for storage in rows for node in storage.group.convs))
    parts = tuple(Part(s.group, s.pyramids, s, unrolls(spec, s.pyramids, precision, given)) for s in rows)
    return Layout(found, parts, wanted, precision, (*notes, *_beyond(parts)))


def _rows(costs: Costs, wanted: Sizes) -> list[Storage]:
    ends = [sum(wanted[: i + 1]) for i in range(len(wanted))]
    return [costs(end - size, end)[3] for size, end in zip(wanted, ends, strict=True)]


def _span(group: Group) -> str:
    return group.heads[0] if len(group.heads) == 1 else f"{group.heads[0]}..{group.heads[-1]}"


def _what(storage: Storage) -> str:
    return (
        f"{_span(storage.group)} needs {storage.total} bytes on chip ({storage.weights} weights, {storage.reuse} "
        f"carried rows and columns, {storage.tiles} tiles)"
    )


def _shortfall(spec: FusedSpec, storage: Storage) -> InputError:
    short = storage.total - int(spec.on_chip)
    return InputError(
        f"group {_what(storage)}, the machine has {int(spec.on_chip)}: {short} too many; allowed: a smaller group "
        "(partition=, overflow=cut), weights read again for every pyramid (overflow=stream), or more memory (on_chip=)",
        setting="partition",
    )


def unrolls(
    spec: FusedSpec, shape: Pyramids, precision: Precision, given: Mapping[str, Unroll] | None
) -> dict[str, Unroll]:
    """Unrolls of a group's convolutions, as given, or balanced under the DSP budget.

    Groups run one after another, and each has all DSP slices.
    """
    convs = shape.group.convs
    if given is None:
        return balance(shape, multipliers(spec, precision)) if convs else {}
    return {node.name: given[node.name] for node in convs}


def asked(spec: FusedSpec, convs: tuple[Node, ...]) -> dict[str, Unroll] | None:
    """The unrolls of the settings for these convolutions; None: to be balanced."""
    match spec.unroll:
        case "balance":
            return None
        case str(text):
            return {node.name: factors(text) for node in convs}
        case dict(table):
            names = [node.name for node in convs]
            for name in table:
                if name not in names:
                    raise InputError(f"{name} is no convolution of this run; {nearest(name, names)}", setting="unroll")
            return {name: factors(_entry(table, name)) for name in names}
        case (int(tm), int(tn)):
            return {node.name: (tm, tn) for node in convs}
        case rows:
            return _in_order(rows, convs)


def _entry(table: Mapping[str, str | Unroll], name: str) -> str | Unroll:
    if name not in table:
        raise InputError(f"no factors for {name}; {nearest(name, table)}", setting="unroll")
    return table[name]


def _in_order(rows: tuple[str | tuple[int, int], ...], convs: tuple[Node, ...]) -> dict[str, Unroll]:
    if len(rows) != len(convs):
        raise InputError(
            f"{len(rows)} unrolls for the {len(convs)} convolutions {', '.join(n.name for n in convs)}",
            setting="unroll",
        )
    return {node.name: factors(row) for node, row in zip(convs, rows, strict=True)}


def multipliers(spec: FusedSpec, precision: Precision) -> int:
    """Multiply-accumulates per cycle that the DSP budget allows."""
    return int(spec.dsps / precision.dsps_per_mac)


def _beyond(parts: Sequence[Part]) -> tuple[str, ...]:
    """Notes where a group takes more DSP slices or block memories than the paper's device has."""
    used = max(part.dsps for part in parts)
    blocks = max(bram18(part.storage, part.unrolls) for part in parts)
    notes = [f"the unroll factors take {used} DSP slices, the device has {DEVICE_DSPS}"] if used > DEVICE_DSPS else []
    if blocks > DEVICE_BRAM18:
        notes.append(f"in banks, the memories take {blocks} BRAM18, the device has {DEVICE_BRAM18}")
    return tuple(notes)


def _baseline(spec: FusedSpec, found: Stack, wanted: Sizes, precision: Precision) -> Layout:
    """One convolution at a time on one Tm x Tn (Zhang et al., FPGA 2015)."""
    groups = found.groups(wanted)
    for group in groups:
        if len(group.convs) > 1:
            raise InputError(f"{_span(group)}: the baseline computes one convolution at a time", setting="partition")
    convs = tuple(node for group in groups for node in group.convs)
    common = asked(spec, convs) or dict.fromkeys(
        (n.name for n in convs), best_common(convs, multipliers(spec, precision))
    )
    if len(set(common.values())) > 1:
        raise InputError("the baseline has one Tm x Tn for all layers; allowed: one pair", setting="unroll")
    parts = tuple(_loop_part(spec, group, common, precision) for group in groups)
    for part in parts:
        if part.storage.total > spec.on_chip:
            raise _shortfall(spec, part.storage)
    return Layout(found, parts, wanted, precision, _beyond(parts))


def _loop_part(spec: FusedSpec, group: Group, common: Mapping[str, Unroll], precision: Precision) -> Part:
    """A convolution in tiles of Tr x Tc with the pools around it. All of its map is computed, as the formula has it."""
    mine = {node.name: common[node.name] for node in group.convs}
    whole = replace(group, exits=tuple(dict.fromkeys((*group.exits, *mine))))
    tile, after = side(spec), False
    for node in group.nodes:
        after = after or node.kind == "conv"
        if after and node.kind == "pool":
            tile = max(1, tile // node.windows[0].stride)
    shape = pyramids(whole, tile, "reuse")
    return Part(group, shape, LoopStorage(group, shape, precision, unrolls=mine, trips=spec.transfer == "trips"), mine)


def complete(part: Part) -> list[str]:
    """Maps of a group of which every value is computed (others have values that nobody looks at)."""
    sizes = {node.name: prod(node.shape[1:]) for node in part.group.nodes}
    return [name for name, size in sizes.items() if part.pyramids.distinct(name) == size]


def unfinished(found: Layout) -> list[str]:
    """A note on maps that are not computed to their last value."""
    names = [node.name for part in found.parts for node in part.group.nodes if node.name not in set(complete(part))]
    return [f"values that no window looks at are not computed, in {', '.join(names)}"] if names else []

"""What a result says beyond the common keys: storage, slices, recomputed work, what became of every map, and how much
of the transfer time is hidden.

Hidden and exposed transfer: the run is timed again with a port that never limits. What it then saves was exposed; the
rest of the port's time was hidden behind arithmetic. A stage's `dram` stall is the starving that this removes.
"""

from collections.abc import Sequence
from typing import Any

from archs.fused.layout import Layout, Part, layout, unfinished
from archs.fused.model import plan as planned
from archs.fused.port import PORT
from archs.fused.spec import FusedSpec
from archs.fused.storage import bram18
from sim.plan import Plan
from sim.run import simulate
from sim.timeline import Timeline
from workloads.network import Network


def extras(spec: FusedSpec, network: Network, images: int, plan: Plan, lines: Sequence[Timeline]) -> dict[str, Any]:
    """Keys for the result: `total`, `layers` and `tensors`."""
    found = layout(spec, network)
    free = _unlimited(spec, network, images, found, lines)
    layers: dict[str, dict[str, Any]] = {}
    for number, (part, line, quick) in enumerate(zip(found.parts, lines, free, strict=True)):
        for node in part.group.nodes:
            row: dict[str, Any] = {"group": number}
            if node.name in part.unrolls:
                row["unroll"] = list(part.unrolls[node.name])
                row["stalls"] = _stalls(node.name, line, quick, row["unroll"])
            layers[node.name] = row
    return {
        "total": _total(spec, found, plan, lines, free),
        "layers": layers,
        "notes": [*found.notes, *unfinished(found)],
        "tensors": [row for part in found.parts for row in tensors(part)],
    }


def _unlimited(
    spec: FusedSpec, network: Network, images: int, found: Layout, lines: Sequence[Timeline]
) -> Sequence[Timeline]:
    """The same run on a port that never limits."""
    if spec.dram_bandwidth is None or spec.accounting == "paper":
        return lines
    quick = spec.model_copy(update={"dram_bandwidth": None})
    return [simulate(phase.design) for phase in planned(quick, network, images, found)]


def _stalls(name: str, line: Timeline, quick: Timeline, unroll: Sequence[int]) -> dict[str, int]:
    """Starved cycles of a stage between its first start and its last release, split by cause."""
    slow, fast = (_starved(name, each) for each in (line, quick))
    lanes = unroll[0] * unroll[1]
    dram = max(0, slow - fast)
    return {"starved": (slow - dram) * lanes, "dram": dram * lanes}


def _starved(name: str, line: Timeline) -> int:
    shares = line.shares(name)
    return int(shares.starved - min(shares.starved, line.start(name, 0)))


def _total(
    spec: FusedSpec, found: Layout, plan: Plan, lines: Sequence[Timeline], free: Sequence[Timeline]
) -> dict[str, Any]:
    cycles = sum(line.cycles for line in lines)
    exposed = cycles - sum(line.cycles for line in free)
    port = sum(line.shares(PORT).busy for line in lines)
    peak = max(sum(tm * tn for tm, tn in part.unrolls.values()) for part in found.parts)
    useful = sum(work.macs_useful for phase in plan for work in phase.layers)
    return {
        "storage_bytes": {
            key: sum(getattr(part.storage, key) for part in found.parts) for key in ("reuse", "tiles", "weights")
        },
        "storage_peak_bytes": max(part.storage.total for part in found.parts),
        "extra_macs": sum(work.macs_wasted["recompute"] for phase in plan for work in phase.layers),
        "dsp": max(part.dsps for part in found.parts),
        "bram18": max(bram18(part.storage, part.unrolls) for part in found.parts),
        "partition": list(found.sizes),
        "transfer_cycles": {"hidden": max(0, port - exposed), "exposed": exposed},
        "peak_ops_per_s": 2 * peak * spec.clock,
        "utilization": useful / (peak * cycles) if cycles else 0.0,
    }


def tensors(part: Part) -> list[dict[str, Any]]:
    """What became of every map of a group: bytes of the whole map, carried, read and written in DRAM, computed again."""
    rows = []
    word, shape, exits = part.storage.precision.map_bits, part.pyramids, set(part.group.exits)
    for name, (maps, height, width) in part.group.shapes.items():
        carried = part.storage.carried.get(name)
        retained = (carried.top + carried.left) * word // 8 if carried else 0
        inside = name in part.group.by_name
        spilled = int(shape.stored(name).sum()) if name in exits else 0
        again = shape.pixels(name) - shape.distinct(name)
        rows.append(
            {
                "name": name,
                "group": part.name,
                "bytes": maps * height * width * word // 8,
                "retained_bytes": retained,
                "read_bytes": 0 if inside else maps * shape.pixels(name) * word // 8,
                "spilled_bytes": maps * spilled * word // 8,
                "recomputed_bytes": maps * again * word // 8 if inside else 0,
            }
        )
    return rows

"""Fused-layer CNN accelerators (Alwani et al., MICRO 2016): several layers in one pass over pyramids of tiles.

Intermediate maps never leave the chip. The layer-by-layer baseline (Zhang et al., FPGA 2015) is a scheme of the same
machine, under the same costs.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from archs.fused import compute as numbers
from archs.fused import flow, model, report
from archs.fused import needs as least
from archs.fused.layout import layout, multipliers
from archs.fused.spec import DEVICE_DSPS, FusedSpec
from archs.fused.stack import stack
from archs.fused.storage import PRECISIONS
from sim.energy import EnergyTable
from sim.plan import Access, Behaviour, Computed, Machine, Needs, Plan
from sim.timeline import Timeline
from workloads.network import Network
from workloads.tensor import Array

__all__ = [
    "SPEC",
    "bound",
    "build",
    "compute",
    "extras",
    "machine",
    "needs",
    "prices",
    "reference",
    "skips",
    "uses",
    "values",
]

SPEC = FusedSpec
ENERGY = Path(__file__).with_name("energy.yaml")
BITS = (
    "dram.features.read",
    "dram.features.write",
    "dram.weights.read",
    "reuse.maps.read",
    "reuse.maps.write",
    "tiles.maps.read",
    "tiles.maps.write",
    "tiles.sums.read",
    "tiles.sums.write",
    "weights.values.read",
)
"""Actions that move one bit each."""


def machine(spec: FusedSpec) -> Machine:
    """The paper's board. Peak arithmetic depends on the unroll factors, so a result states its own."""
    precision = PRECISIONS[spec.precision]
    peak = max(multipliers(spec, precision), int(DEVICE_DSPS / precision.dsps_per_mac))
    accesses = {action: Access(action, 1) for action in BITS}
    return Machine(spec.clock, peak, _prices(), "system", accesses)


@cache
def _prices() -> EnergyTable:
    return EnergyTable.load(ENERGY)


def prices(spec: FusedSpec) -> tuple[str, ...]:
    """What no cycle depends on: the clock, where no DRAM is waited for."""
    return ("clock",) if spec.dram_bandwidth is None or spec.accounting == "paper" else ()


def skips(spec: FusedSpec, network: Network) -> dict[str, str]:
    """Layers outside the range, layers that are not fused, and concatenations, which move nothing."""
    found = stack(network, spec.layers, spec.groups)
    return found.skipped | dict.fromkeys(found.parts, "concatenation moves nothing: readers take its parts together")


def uses(spec: FusedSpec, network: Network) -> set[str]:
    """The stack and all layers before it: what follows is not computed."""
    found = stack(network, spec.layers, spec.groups)
    inside = {node.name for unit in found.units for node in unit}
    return inside.union(*(nx.ancestors(network.graph, name) for name in inside))


def build(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> Plan:
    """A phase for every group."""
    return model.plan(spec, network, _images(inputs))


def compute(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> Computed:
    """Every group tile by tile through the buffers."""
    return numbers.compute(spec, network, inputs)


def reference(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The same numbers over whole maps."""
    return numbers.reference(spec, network, inputs)


def values(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> tuple[Behaviour, ...]:
    """Tiles through the timed graph, for small layers."""
    return flow.values(spec, network, inputs)


def needs(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Needs]:
    """Useful MACs and weights of every convolution; the groups' inputs and outputs."""
    return least.needs(layout(spec, network), _images(inputs))


def extras(
    spec: FusedSpec,
    network: Network,
    inputs: Mapping[str, Array],
    plan: Plan,
    timelines: Sequence[Timeline],
    chip: Machine,
) -> dict[str, Any]:
    """Storage, slices, recomputed work, what became of every map, hidden and exposed transfer."""
    return report.extras(spec, network, _images(inputs), plan, timelines)


def bound(spec: FusedSpec, network: Network, inputs: Mapping[str, Array]) -> int:
    """No group ends before its busiest stage has done its work."""
    total = 0
    for part in layout(spec, network).parts:
        busy = [int(np.sum(unit.service)) for unit in model.stages(part, spec.pipeline)]
        total += max(busy) * _images(inputs)
    return total


def _images(inputs: Mapping[str, Array]) -> int:
    return len(next(iter(inputs.values()))) if inputs else 1

"""What the model says to each row of published.yaml, by the row's metric."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import archs
from archs.fused.layout import Layout, layout
from archs.fused.model import plan
from archs.fused.partition import macs_per_pixel, partitions
from archs.fused.spec import FusedSpec
from archs.fused.stack import stack
from archs.fused.storage import bram18
from archs.published import Row
from sim.run import simulate
from workloads.load import load
from workloads.network import Network

MIB, KIB = 1 << 20, 1 << 10


def measure(row: Row) -> float:
    """The row's metric for its workload, configuration and settings."""
    assert row.workload
    spec: FusedSpec = archs.settings("fused", row.config, row.settings)
    return float(METRICS[row.metric](spec, _network(row.workload)))


@lru_cache(maxsize=4)
def _network(name: str) -> Network:
    return load(name).network


def cycles(spec: FusedSpec, network: Network) -> int:
    """Cycles of one image."""
    return sum(simulate(phase.design).cycles for phase in plan(spec, network))


def transfer(spec: FusedSpec, network: Network) -> int:
    """Feature-map bytes of one image, read and written."""
    found: dict[str, int] = {}
    for phase in plan(spec, network):
        for action, bits in phase.design.activity().items():
            found[action] = found.get(action, 0) + bits
    return (found["dram.features.read"] + found["dram.features.write"]) // 8


def storage(spec: FusedSpec, network: Network) -> int:
    """Bytes carried from pyramid to pyramid."""
    return sum(part.storage.reuse for part in layout(spec, network).parts)


def reduction(spec: FusedSpec, network: Network) -> float:
    """Percent of the layer-by-layer transfer (raw convention) that fusing saves."""
    apart = spec.model_copy(update={"scheme": "baseline", "transfer": "raw", "partition": "all"})
    return 100 * (1 - transfer(spec, network) / transfer(apart, network))


def saving(spec: FusedSpec, network: Network) -> float:
    """Percent of the transfer with pools merged that fusing saves."""
    apart = spec.model_copy(update={"scheme": "baseline", "transfer": "pool_merged", "partition": "all"})
    return 100 * (1 - transfer(spec, network) / transfer(apart, network))


def extra(spec: FusedSpec, network: Network) -> int:
    """Multiply-accumulates beyond computing every value once."""
    return sum(work.macs_wasted["recompute"] for phase in plan(spec, network) for work in phase.layers)


def ratio(spec: FusedSpec, network: Network) -> float:
    """Multiply-accumulates over those of computing every value once."""
    computed = distinct = 0
    for part in layout(spec, network).parts:
        for node in part.group.convs:
            each = macs_per_pixel(part.group, node.name)
            computed += part.pyramids.pixels(node.name) * each
            distinct += part.pyramids.distinct(node.name) * each
    return computed / distinct


def ways(spec: FusedSpec, network: Network) -> int:
    """Partitions of the range."""
    return sum(1 for _ in partitions(len(stack(network, spec.layers, spec.groups).units)))


def dsp(spec: FusedSpec, network: Network) -> int:
    """DSP48 slices."""
    return max(part.dsps for part in layout(spec, network).parts)


def bram(spec: FusedSpec, network: Network) -> int:
    """BRAM18."""
    found: Layout = layout(spec, network)
    return max(bram18(part.storage, part.unrolls) for part in found.parts)


METRICS: Mapping[str, Callable[[FusedSpec, Network], Any]] = {
    "cycles": cycles,
    "kcycles": lambda spec, network: cycles(spec, network) / 1000,
    "transfer_mib": lambda spec, network: transfer(spec, network) / MIB,
    "transfer_kib": lambda spec, network: transfer(spec, network) / KIB,
    "transfer_reduction": reduction,
    "transfer_saving": saving,
    "storage": storage,
    "storage_kb": lambda spec, network: storage(spec, network) / 1000,
    "storage_mb": lambda spec, network: storage(spec, network) / 1e6,
    "extra_macs": extra,
    "extra_mmacs": lambda spec, network: extra(spec, network) / 1e6,
    "recompute_ratio": ratio,
    "partitions": ways,
    "dsp": dsp,
    "bram18": bram,
}

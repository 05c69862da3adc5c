"""The DRAM port: one for loads and stores, of a stated bandwidth. Bandwidth only; no banks, rows or refresh."""

import numpy as np

from archs.fused.pyramid import Ints
from archs.fused.spec import FusedSpec

PORT = "dram"
MOST_RATE = 1 << 62
"""Bytes/s at which no burst takes more than a cycle: all that fits in 64 bits is below it."""


def port_cycles(spec: FusedSpec, size: Ints) -> Ints:
    """Cycles for bursts of `size` bytes, each rounded up; none where the port never limits."""
    if spec.dram_bandwidth is None or spec.accounting == "paper":
        return np.zeros_like(size)
    rate, clock = min(MOST_RATE, max(1, round(spec.dram_bandwidth))), max(1, round(spec.clock))
    return -(-(np.asarray(size, np.int64) * clock) // rate)

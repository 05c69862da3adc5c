"""What every unit takes of the device's block RAM, and thresholds that no sum can tell apart."""

from collections.abc import Mapping

import numpy as np

from archs.finn import resources
from archs.finn.chain import Carrier, Chain, Matrix
from archs.finn.fold import Fold
from archs.finn.spec import FinnSpec
from sim.plan import Room, Stored
from workloads.tensor import decode

BRAM_BYTES = 36 * 1024 // 8


def stored(spec: FinnSpec, chain: Chain, folds: Mapping[str, Fold]) -> dict[str, Stored]:
    """By unit; weights are whole numbers (else the network is refused) and lie in block RAM all at once."""
    found: dict[str, Stored] = {}
    together = 0.0
    available = int(resources.DEVICES[spec.device].brams * BRAM_BYTES)
    for unit in chain.matrices:
        brams = resources.weights(folds[unit.name], unit.weight_bits).brams
        together += brams
        room = Room(int(brams * BRAM_BYTES), int(together * BRAM_BYTES), available)
        found[unit.name] = Stored(exact=True, rooms={"block RAM": room})
    return found


def notes(chain: Chain) -> tuple[str, ...]:
    """A line for every unit with thresholds below its least or from its greatest sum on."""
    said = []
    for unit in chain.matrices:
        idle, count = idle_thresholds(unit)
        if idle:
            said.append(f"{unit.name}: {idle} of {count} thresholds lie beyond every sum and decide nothing")
    return tuple(said)


def idle_thresholds(unit: Matrix) -> tuple[int, int]:
    """(thresholds that every sum or none exceeds, all thresholds)."""
    if unit.thresholds is None or unit.rule is None or unit.weight is None:
        return 0, 0
    weight = np.asarray(decode(unit.weight), np.float64).reshape(unit.rows, -1)
    low, high = _range(unit.incoming)
    least = np.minimum(weight * low, weight * high).sum(axis=1)
    most = np.maximum(weight * low, weight * high).sum(axis=1)
    limits = np.broadcast_to(decode(unit.thresholds), (unit.rows, unit.levels))
    always = limits < least[:, None] if unit.rule.strict else limits <= least[:, None]
    never = limits >= most[:, None] if unit.rule.strict else limits > most[:, None]
    return int(np.count_nonzero(always | never)), limits.size


def _range(carrier: Carrier) -> tuple[int, int]:
    if carrier.bipolar:
        return -1, 1
    half = 1 << (carrier.bits - 1)
    return (-half, half - 1) if carrier.signed else (0, 2 * half - 1)

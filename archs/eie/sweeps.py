"""The paper's sweeps, Figs 8, 9 and 11-13: every point is a run like any other, but the encodings are shared.

Each function yields one record a point: the layer, the setting swept, and what the figure shows. `load_balance` is
stored entries over PE-cycles, the paper's efficiency: 1 less the share of bubbles.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archs import eie
from archs.eie.published import BASELINES
from sim.run import simulate
from workloads.load import load
from workloads.network import Network
from workloads.tensor import Array

LAYERS: tuple[str, ...] = BASELINES["layers"]
SLOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RINGS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
PES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WIDTHS = (16, 32, 64, 128, 256, 512)

Record = dict[str, Any]


def queue(layers: Sequence[str] = LAYERS, seed: int = 0) -> Iterator[Record]:
    """Fig. 8: load balance against queue depth, as usable slots and as ring sizes (a ring of B holds B - 1)."""
    for axis, depths in (("slots", [slots + 1 for slots in SLOTS]), ("ring", RINGS)):
        for layer, depth, point in _points("queue_depth", depths, layers, seed):
            yield {"layer": layer, "axis": axis, "depth": depth - (axis == "slots")} | point


def width(layers: Sequence[str] = LAYERS, seed: int = 0) -> Iterator[Record]:
    """Fig. 9: rows read from the matrix SRAM, energy of one, and energy of all, against the SRAM's width."""
    for layer, bits, point in _points("spmat_width_bits", WIDTHS, layers, seed):
        price = eie.machine(eie.SPEC(spmat_width_bits=bits)).energy.actions["spmat.read"].energy
        reads = point["spmat_reads"]
        yield {"layer": layer, "width_bits": bits, "reads": reads, "read_j": price.nominal, "read_low_j": price.low,
               "read_high_j": price.high, "total_j": reads * price.nominal}  # fmt: skip


def pes(layers: Sequence[str] = LAYERS, seed: int = 0) -> Iterator[Record]:
    """Figs 11-13: speed-up over one PE, the share of real work, and load balance, against the number of PEs."""
    single: dict[str, int] = {}
    for layer, count, point in _points("pes", PES, layers, seed):
        single.setdefault(layer, point["cycles"])
        yield {"layer": layer, "pes": count, "speedup": single[layer] / point["cycles"]} | point


def _points(setting: str, values: Sequence[int], layers: Sequence[str], seed: int) -> Iterator[tuple[str, int, Record]]:
    for layer in layers:
        work = load(layer, seed)
        seen = eie.compute(eie.SPEC(), work.network, work.inputs).activations
        for value in values:
            yield layer, value, _point(eie.SPEC.model_validate({setting: value}), work.network, seen)


def _point(spec: eie.EieSpec, network: Network, activations: Mapping[str, Array]) -> Record:
    (phase,) = eie.build(spec, network, activations)
    (work,), cycles = phase.layers, simulate(phase.design).cycles
    entries = work.macs_useful + work.macs_wasted["filler"]
    return {
        "cycles": cycles,
        "load_balance": entries / (spec.pes * cycles),
        "real_work": work.macs_useful / entries,
        "spmat_reads": phase.design.activity()["spmat.read"],
    }

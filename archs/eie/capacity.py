"""EIE's memories and what they hold, its size, and its prices at other PE counts, clocks and SRAM widths."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from archs.eie.program import Matrix
from archs.eie.spec import EieSpec
from sim.energy import EnergyTable, PowerRange, Static
from sim.errors import InputError
from sim.plan import Access, Machine, Room, Stored
from workloads.network import Network

PE_AREA_M2 = 638_024e-12  # Table II
LNZD_AREA_M2 = 189e-12
PAPER_POWER_W = 0.600  # what Fig. 7's bars imply for 64 PEs: every layer's energy is this times its time
TABLE_CLOCK_HZ = 800e6
DRAM_WORD_BITS = 32


def machine(spec: EieSpec, table: EnergyTable) -> Machine:
    """The machine of `spec`: peak is one multiply-accumulate per PE and cycle."""
    if spec.energy is not None:
        table = table.override(spec.energy)
    pes, nodes = spec.pes, lnzd_nodes(spec.pes)
    scale = pes * spec.clock / TABLE_CLOCK_HZ
    clock = table.static["clock"]
    width = table.actions["spmat.read"]
    wide = width.model_copy(update={"energy": width.energy.times(row_energy(spec.spmat_width_bits))})
    scan = table.actions["lnzd.scan"]
    tree = scan.model_copy(update={"energy": scan.energy.times(nodes / 21)})
    table = table.replace(
        {"spmat.read": wide, "lnzd.scan": tree},
        {"clock": clock.model_copy(update={"power": clock.power.times(scale)})},
    )
    if spec.accounting == "paper":
        table = _constant_power(table, PAPER_POWER_W * pes / 64 * spec.clock / TABLE_CLOCK_HZ)
    accesses = {
        "source.read": Access("act.activations.read", 16),
        "queue.push": Access("queue.activations.write", 32),
        "ptr.read": Access("ptr.pointers.read", 32),
        "spmat.read": Access("spmat.weights.read", spec.spmat_width_bits),
        "act.read": Access("act.sums.read", 16),
        "act.write": Access("act.sums.write", 16),
        "actsram.read": Access("actsram.activations.read", 16),
        "actsram.write": Access("actsram.activations.write", 16),
        "dram.read": Access("dram.weights.read", DRAM_WORD_BITS),
    }
    area = pes * PE_AREA_M2 + nodes * LNZD_AREA_M2
    return Machine(spec.clock, pes, table, "core", accesses, {"area_m2": area})


def row_energy(bits: int) -> float:
    """Energy of a matrix row of `bits` relative to one of 64 bits, same capacity.

    Fitted: the paper finds the least total energy at 64 bits (Fig. 9) without printing energies. With the reads that
    the encoding gives, a law a + b * bits has its minimum there only for a / b between 24 and 31.
    """
    return (27 + bits) / (27 + 64)


def lnzd_nodes(pes: int) -> int:
    """Nodes of the 4-ary tree over groups of four PEs: 16 + 4 + 1 for 64."""
    nodes = 0
    while pes > 1:
        pes = -(-pes // 4)
        nodes += pes
    return max(1, nodes)


def _constant_power(table: EnergyTable, watts: float) -> EnergyTable:
    """Fig. 7's convention: nothing but a constant power, whatever the activity."""
    free = table.scaled(dynamic=0.0, static=0.0)
    source = "what Fig. 7's bars imply: 0.600 W times the time of Table IV, for 64 PEs at 800 MHz"
    constant = Static(power=PowerRange(low=watts, nominal=watts, high=watts), boundary="core", source=source)
    return free.replace(static={"paper": constant})


def overflows(spec: EieSpec, matrices: Mapping[str, Matrix]) -> list[dict[str, Any]]:
    """Every SRAM that the network exceeds: bytes needed in the fullest PE, and bytes there are."""
    return [
        {"sram": name, "needed_bytes": needed, "available_bytes": available}
        for name, (needed, available) in needs(spec, matrices).items()
        if needed > available
    ]


def needs(spec: EieSpec, matrices: Mapping[str, Matrix]) -> dict[str, tuple[int, int]]:
    """Bytes of each SRAM that the fullest PE needs, and bytes there are.

    All layers are resident together, as in the paper: there is no streaming of weights from outside.
    """
    entry_bits = spec.entry_bits
    spmat = sum(int(m.csc.pointers[:, -1].max()) for m in matrices.values()) * entry_bits // 8
    biases = sum(-(-m.bias.entries // spec.pes) for m in matrices.values() if m.bias is not None)
    pointers = sum(m.csc.columns + 1 + (m.bias is not None) for m in matrices.values()) * 2
    longest = max((max(m.csc.columns, m.csc.shape[0]) for m in matrices.values()), default=0)
    return {
        "spmat": (spmat + biases * entry_bits // 8, int(spec.spmat_kib * 1024)),
        "ptr": (pointers, int(spec.pointer_kib * 1024)),
        "act": (-(-longest // spec.pes) * 2, int(spec.activation_kib * 1024)),
    }


def stored(
    spec: EieSpec, matrices: Mapping[str, Matrix], saturated: Mapping[str, int], owner: Callable[[str], str]
) -> dict[str, Stored]:
    """Every layer as its PEs hold it, the groups of a convolution together."""
    owned: dict[str, dict[str, Matrix]] = {}
    for name, matrix in matrices.items():
        owned.setdefault(owner(name), {})[name] = matrix
    found, before = {}, dict[str, Matrix]()
    for layer, own in owned.items():
        before |= own
        alone, together = needs(spec, own), needs(spec, before)
        entries = sum(int(matrix.length.sum(dtype=np.int64)) for matrix in own.values())
        cells = sum(matrix.length.size for matrix in own.values())
        found[layer] = Stored(
            exact=all(matrix.exact for matrix in own.values()),
            saturations=sum(saturated.get(name, 0) for name in own),
            rooms={sram: Room(alone[sram][0], *together[sram]) for sram in alone},
            filler_share=sum(int(matrix.fillers.sum()) for matrix in own.values()) / entries if entries else 0.0,
            empty_columns=sum(int(np.count_nonzero(matrix.length == 0)) for matrix in own.values()) / cells,
        )
    return found


def notes(spec: EieSpec, matrices: Mapping[str, Matrix]) -> tuple[str, ...]:
    """The same in words."""
    return tuple(
        f"{over['sram']} SRAM exceeded: {over['needed_bytes']} of {over['available_bytes']} bytes per PE"
        for over in overflows(spec, matrices)
    )


def check(spec: EieSpec, network: Network, matrices: Mapping[str, Matrix]) -> None:
    """Refuse a network over capacity where the settings say so."""
    if spec.overflow == "refuse" and (over := notes(spec, matrices)):
        raise InputError(f"{network.name}: {'; '.join(over)}; allowed: assume, partition", setting="overflow")


def passes(spec: EieSpec, matrices: Mapping[str, Matrix]) -> int:
    """How many times the memories are filled per image: once for good, unless the network is partitioned."""
    if spec.overflow != "partition":
        return 1
    over = [o["needed_bytes"] / o["available_bytes"] for o in overflows(spec, matrices)]
    return max((-int(-share // 1) for share in over), default=1)


def reload_words(spec: EieSpec, matrices: Mapping[str, Matrix], matrix: Matrix) -> int:
    """32-bit words read from DRAM for one layer of one image: its encoded size where the network needs passes."""
    return -(-matrix.bits // DRAM_WORD_BITS) if passes(spec, matrices) > 1 else 0


def load(spec: EieSpec, matrices: Mapping[str, Matrix]) -> dict[str, Any]:
    """Filling the memories through the I/O mode, once; in no time or energy of a run (nor in the paper's)."""
    bits = sum(matrix.bits for matrix in matrices.values())
    return {"weights_bytes": -(-bits // 8), "passes": passes(spec, matrices)}

"""EIE's timing: the broadcast of non-zero activations into per-PE queues, and PEs that take one entry per cycle.

Three stages. `lnzd` finds and broadcasts one non-zero per cycle plus the bubbles of its scan; it stops while any queue
is full. `pe` (one lane per PE) takes an activation and spends one cycle per entry of its column, one for an empty
column. `writeback` marks the end of the run. A ring of B entries is a FIFO of B - 1 slots without credit delay: "full"
is the registered state of the ring, and the column that the pointer read holds is the one in service.

    cycle p          an activation is pushed
    cycle p + 2      the pointer read sees it
    then             one entry per cycle: matrix row register, and three more arithmetic steps in a pipeline
    + 6              the run ends six cycles after the last entry was issued
"""

from dataclasses import dataclass

import numpy as np

from archs.eie.program import Matrix
from archs.eie.spec import EieSpec
from sim.graph import Design, Fifo, Stage
from sim.kernel import jit
from sim.plan import Phase, Work
from sim.rates import Total
from workloads.tensor import Array

PUSH_TO_POINTER_READ = 2
LAST_ENTRY_TO_END = 5  # the run ends 6 cycles after the issue, one of them is the entry's own


@dataclass(frozen=True, eq=False, slots=True)
class Broadcast:
    """What one input vector asks for: the columns broadcast (bias last), and the scan cycles before and with each."""

    columns: Array
    scan: Array


def broadcast(matrix: Matrix, vector: Array, pes: int) -> Broadcast:
    """The order in which the LNZD tree finds the non-zeros of `vector`, a register row of `pes` at a time.

    One non-zero per cycle. After the last one of a row a cycle is lost unless it sat in the last lane; a row of zeros
    costs one cycle. The bias follows as one more column, after the whole vector.
    """
    columns = np.flatnonzero(vector)
    rows, lanes = np.divmod(columns, pes)
    if matrix.bias is not None:
        columns = np.append(columns, len(vector))
        rows = np.append(rows, -(-len(vector) // pes))
    scan = np.ones(len(columns), np.int64)
    if len(columns):
        scan[0] += rows[0]
        ends_early = lanes[: len(columns) - 1] != pes - 1
        scan[1:] += np.where(np.diff(rows) > 0, np.diff(rows) - 1 + ends_early, 0)
    return Broadcast(columns, scan)


def layer_phase(
    spec: EieSpec, matrix: Matrix, vector: Array, macs: int, layer: tuple[str, str], image: int, reload_words: int = 0
) -> Phase:
    """One matrix-vector product for the `layer` (name, kind); `reload_words` of weights come from DRAM in no time."""
    pes, sent = spec.pes, broadcast(matrix, vector, spec.pes)
    count = len(sent.columns)
    service, entries, empty, row_reads = _visits(matrix, sent.columns, spec.entries_per_row)
    bias = matrix.bias.entries if matrix.bias is not None else 0
    fillers = int(matrix.fillers[sent.columns].sum())
    bias_fillers = int(matrix.fillers[-1]) if matrix.bias is not None else 0
    design = Design(matrix.name)
    reads, writes = batch_traffic(spec, len(vector), matrix.csc.shape[0])
    scan = {"lnzd.scan": Total(int(sent.scan.sum())), "source.read": Total(count - (matrix.bias is not None))}
    loads = {"actsram.read": Total(reads), "dram.read": Total(reload_words)}
    design.add(Stage("lnzd", _scalar(sent.scan), count, scan | loads))
    actions = {
        "queue.push": Total(count * pes),
        "ptr.read": Total(count * pes),
        "spmat.read": Total(row_reads),
        "mac": Total(entries),
        "act.read": Total(entries),
        "act.write": Total(entries),
    }
    design.add(Stage("pe", service, count, actions, lanes=pes))
    design.add(Stage("writeback", 0, int(count > 0), {"actsram.write": Total(writes)}))
    design.connect("lnzd", "pe", Fifo("queue", spec.slots, latency=PUSH_TO_POINTER_READ))
    design.connect("pe", "writeback", Fifo("done", max(1, count), 1, count, latency=LAST_ENTRY_TO_END))
    real = entries - fillers - (bias - bias_fillers)
    name, op = layer
    work = Work(
        name=name,
        op=op,
        stages=("lnzd", "pe", "writeback"),
        unit="pe",
        units=pes,
        macs_per_cycle=pes,
        macs=macs,
        macs_useful=real,
        op_width=f"{spec.weight_bits}x16",
        weight_bits=matrix.bits,
        macs_wasted={"filler": fillers},
        idle={"filler": fillers, "bias": bias - bias_fillers, "empty_column": empty},
    )
    return Phase(matrix.name, design, (work,), image)


def batch_traffic(spec: EieSpec, inputs: int, outputs: int) -> tuple[int, int]:
    """16-bit reads and writes of the activation SRAMs of a matrix-vector product on vectors longer than the registers.

    The register files hold 64 activations per PE. Longer vectors are worked off in batches: inputs are read from the
    SRAM at the start of each, outputs written at the end (section IV; the published times leave these cycles out).
    """
    return (inputs if inputs > held(spec) else 0), (outputs if outputs > held(spec) else 0)


def held(spec: EieSpec) -> int:
    """Activations that the register files hold: 64 per PE."""
    return 64 * spec.pes


def _scalar(scan: Array) -> int | Array:
    """A constant stays a scalar."""
    return 1 if len(scan) == 0 or (scan.max() == 1) else scan.astype(np.uint16 if scan.max() < 65536 else np.int64)


def _visits(matrix: Matrix, columns: Array, per_row: int) -> tuple[Array, int, int, int]:
    """What the PEs do with the broadcast columns, from their pointers.

    Cycles of each PE for each (one for an empty column), entries of all, how many columns were empty in a PE, and rows
    read from the sparse-matrix SRAMs: one whenever an entry lies in another row than the one latched.
    """
    pes = matrix.pointers.shape[1]
    service = np.empty((len(columns), pes), np.promote_types(np.uint16, matrix.length.dtype))
    shift = per_row.bit_length() - 1 if per_row & (per_row - 1) == 0 else -1
    counts = np.zeros((3, pes), np.int64)
    _visit(matrix.pointers.reshape(-1), columns, per_row, shift, service.reshape(-1), *counts)
    entries, empty, reads = (int(count) for count in counts.sum(axis=1))
    return service, entries, empty, reads


@jit
def _visit(pointers: Array, columns: Array, per_row: int, shift: int, service: Array, entries: Array, empty: Array,
           reads: Array) -> None:  # fmt: skip
    """`shift` is the binary logarithm of a power of two `per_row`, else negative. PEs are the vector: see sim.kernel."""
    pes, mine = np.uint64(len(entries)), np.uint64(0)
    latched = np.full(pes, -1, np.int64)
    for j in range(np.uint64(len(columns))):
        column = np.uint64(columns[j]) * pes
        for pe in range(pes):
            count = np.int64(pointers[column + pes + pe]) - np.int64(pointers[column + pe])
            service[mine + pe] = max(count, 1)
            entries[pe] += count
            empty[pe] += count == 0
        for pe in range(pes):
            first, end = np.int64(pointers[column + pe]), np.int64(pointers[column + pes + pe])
            low = first >> shift if shift >= 0 else first // per_row
            high = (end - 1) >> shift if shift >= 0 else (end - 1) // per_row
            reads[pe] += (high - low + (low != latched[pe])) * (end > first)
            latched[pe] = high if end > first else latched[pe]
        mine += pes

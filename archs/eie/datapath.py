"""EIE's arithmetic on its encoded streams: decode runs and codebook indices, multiply, shift, add with saturation.

`multiply` is compiled and serves real layers. `Loop` does the same one access at a time and counts every access it
makes to every modelled memory: the witness of both the numbers and the activity counts.
"""

from dataclasses import dataclass, field

import numpy as np

from archs.eie.program import MOST, Matrix, Scales, fixed
from sim.kernel import jit
from workloads.tensor import Array


def linear(matrix: Matrix, scales: Scales, activations: Array) -> tuple[Array, int]:
    """Results (int32 `[images, rows]`) of 16-bit integer activations `[images, columns]`, and saturated additions."""
    csc = matrix.csc
    codebook = fixed(csc.codebook, scales.weight)[0]
    out = np.zeros((len(activations), csc.shape[0]), np.int32)
    saturated = 0
    for image, vector in enumerate(activations):
        columns = np.flatnonzero(vector)
        sent = columns, vector[columns]
        saturated += _multiply(*csc.by_column, codebook, *sent, scales.shift, csc.pes, out[image])
        if matrix.bias is not None:
            saturated += _add(out[image], _bias_terms(matrix, scales))
    return out, saturated


def _bias_terms(matrix: Matrix, scales: Scales) -> Array:
    """What the bias column adds to each row: its stored values times the activation `one`, shifted."""
    assert matrix.bias is not None
    rows, _ = matrix.bias.positions()
    real = matrix.bias.codes != 0
    terms = np.zeros(matrix.csc.shape[0], np.int64)
    values = fixed(matrix.bias_values, scales.bias)[0].astype(np.int64)
    terms[rows[real]] = shifted(values[rows[real]] * scales.one, scales.shift)
    return terms


def _add(sums: Array, terms: Array) -> int:
    wide = sums + terms
    np.clip(wide, -MOST - 1, MOST, out=sums, casting="unsafe")
    return int(np.count_nonzero(wide != sums))


def shifted(product: Array, shift: int) -> Array:
    """Arithmetic shift right (floor)."""
    return product >> shift


@jit
def _multiply(starts: Array, owners: Array, codes: Array, runs: Array, codebook: Array, columns: Array, values: Array,
              shift: int, pes: int, sums: Array) -> int:  # fmt: skip
    """Add the broadcast columns to `sums` [rows], one after another; returns how many sums saturated.

    A column has at most one weight for a row, so all its products may be added before the limits are looked at. Only a
    column that broke one is taken back and added again with saturation.
    """
    saturated = 0
    products = np.empty(len(codebook), np.int32)
    for j in range(len(columns)):
        for code in range(len(codebook)):
            products[code] = (np.int64(codebook[code]) * np.int64(values[j])) >> shift
        first, end = starts[columns[j]], starts[columns[j] + 1]
        if _add_column(first, end, owners, codes, runs, products, pes, sums):
            _add_column(first, end, owners, codes, runs, -products, pes, sums)
            saturated += _saturate_column(first, end, owners, codes, runs, products, pes, sums)
    return saturated


@jit
def _add_column(first: int, end: int, owners: Array, codes: Array, runs: Array, products: Array, pes: int,
                sums: Array) -> bool:  # fmt: skip
    """Add the products of entries [first, end) to the sums of their rows; whether one left 16 bits.

    No branch depends on the data: columns of a few entries per PE would mispredict one for each.
    """
    seen, row, before = np.int64(0), np.int64(0), np.int64(-1)
    for entry in range(np.uint64(first), np.uint64(end)):
        pe = np.int64(owners[entry])
        row = (row & -np.int64(pe == before)) + np.int64(runs[entry])
        before = pe
        at = np.uint64(row * pes + pe)
        row += 1
        total = np.int64(sums[at]) + np.int64(products[codes[entry]])
        seen |= total + MOST + 1
        sums[at] = total
    return bool(seen >> 16)


@jit
def _saturate_column(first: int, end: int, owners: Array, codes: Array, runs: Array, products: Array, pes: int,
                     sums: Array) -> int:  # fmt: skip
    """The same with sums that stop at 16 bits; returns how many did."""
    saturated, row, before = 0, 0, -1
    for entry in range(first, end):
        row = (row + 1 if owners[entry] == before else 0) + runs[entry]
        before = owners[entry]
        exact = sums[row * pes + before] + products[codes[entry]]
        kept = min(max(exact, -MOST - 1), MOST)
        saturated += kept != exact
        sums[row * pes + before] = kept
    return saturated


@dataclass
class Loop:
    """One layer, one image, one access at a time. `counts` has an entry for every action of energy.yaml that occurs."""

    matrix: Matrix
    scales: Scales
    entries_per_row: int
    held: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("actsram.read", "actsram.write"), 0))

    def run(self, vector: Array) -> Array:
        """Results (int32) of one vector of 16-bit integer activations."""
        csc = self.matrix.csc
        codebook = [int(v) for v in fixed(csc.codebook, self.scales.weight)[0]]
        bias = fixed(self.matrix.bias_values, self.scales.bias)[0] if self.matrix.bias else None
        sums = np.zeros(csc.shape[0], np.int64)
        latched = [-1] * csc.pes
        if len(vector) > self.held:
            self._count("actsram.read", len(vector))
        for column, value in self._broadcasts(vector):
            for pe in range(csc.pes):
                self._count("queue.push")
                self._count("ptr.read")
                if column < csc.columns:
                    span = range(csc.pointers[pe, column], csc.pointers[pe, column + 1])
                    entries = [(n, csc.base[pe] + n, csc) for n in span]
                else:
                    assert self.matrix.bias is not None
                    after, extra = int(csc.pointers[pe, -1]), self.matrix.bias
                    entries = [(after + n, extra.base[pe] + n, extra) for n in range(extra.pointers[pe, 1])]
                row = -1
                for place, entry, stream in entries:
                    if place // self.entries_per_row != latched[pe]:
                        latched[pe] = place // self.entries_per_row
                        self._count("spmat.read")
                    row += int(stream.runs[entry]) + 1
                    code, mine = int(stream.codes[entry]), row * csc.pes + pe
                    weight = codebook[code] if stream is csc else int(bias[mine]) if code and bias is not None else 0
                    self._count("act.read")
                    self._count("mac")
                    total = int(sums[mine]) + ((weight * value) >> self.scales.shift)
                    sums[mine] = max(-MOST - 1, min(MOST, total))
                    self._count("act.write")
        if len(sums) > self.held:
            self._count("actsram.write", len(sums))
        return sums.astype(np.int32)

    def _broadcasts(self, vector: Array) -> list[tuple[int, int]]:
        """(column, value) in the order the LNZD tree finds them, one register row of `pes` activations at a time."""
        pes, found = self.matrix.csc.pes, []
        for first in range(0, len(vector), pes):
            row = vector[first : first + pes]
            left = [lane for lane in range(len(row)) if row[lane]]
            for lane in left:
                self._count("lnzd.scan")
                self._count("source.read")
                found.append((first + lane, int(row[lane])))
            if not left or left[-1] != pes - 1:
                self._count("lnzd.scan")
        if self.matrix.bias is not None:
            self._count("lnzd.scan")
            found.append((len(vector), self.scales.one))
        else:  # without a bias nothing waits for the scan of what follows the last non-zero
            self._count("lnzd.scan", -self._after_last(vector))
        return found

    def _after_last(self, vector: Array) -> int:
        pes, nonzeros = self.matrix.csc.pes, np.flatnonzero(vector)
        rows = -(-len(vector) // pes)
        if not len(nonzeros):
            return rows
        last = int(nonzeros[-1])
        return rows - 1 - last // pes + int(last % pes != pes - 1)

    def _count(self, action: str, times: int = 1) -> None:
        self.counts[action] = self.counts.get(action, 0) + times

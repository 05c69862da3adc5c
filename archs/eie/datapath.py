"""EIE's arithmetic on its encoded streams: decode runs and codebook indices, multiply, shift, add with saturation.

`multiply` is compiled and serves real layers. `Loop` does the same one access at a time and counts every access it
makes to every modelled memory: the witness of both the numbers and the activity counts.
"""

from dataclasses import dataclass, field
from typing import Any

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
        streams = csc.base, csc.pointers, csc.codes, csc.runs
        saturated += _multiply(*streams, codebook, *sent, scales.shift, csc.pes, out[image])
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
def _multiply(base: Array, pointers: Array, codes: Array, runs: Array, codebook: Array, columns: Array, values: Array,
              shift: int, pes: int, out: Array) -> int:  # fmt: skip
    """Each PE goes through its entries of the broadcast columns, in order; returns how many sums saturated.

    Indices are unsigned: a signed one costs a test for negative values at each of three loads.
    """
    saturated = 0
    rows = len(out)
    sums = np.empty((rows + pes - 1) // pes, np.int32)
    one = np.uint64(1)
    for pe in range(pes):
        sums[:] = 0
        first = np.uint64(base[pe])
        mine = pointers[pe]
        for j in range(len(columns)):
            value, column = np.int64(values[j]), np.uint64(columns[j])
            row: Any = np.uint64(0)
            for entry in range(first + np.uint64(mine[column]), first + np.uint64(mine[column + one])):
                row += np.uint64(runs[entry])
                exact: Any = np.int64(sums[row]) + ((np.int64(codebook[codes[entry]]) * value) >> shift)
                kept = min(max(exact, -MOST - 1), MOST)
                saturated += kept != exact
                sums[row] = kept
                row += one
        for row in range((rows - pe + pes - 1) // pes):
            out[row * pes + pe] = sums[row]
    return saturated


@dataclass
class Loop:
    """One layer, one image, one access at a time. `counts` has an entry for every action of energy.yaml that occurs."""

    matrix: Matrix
    scales: Scales
    entries_per_row: int
    held: int
    counts: dict[str, int] = field(default_factory=dict)

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

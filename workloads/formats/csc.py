"""EIE's format: row-interleaved compressed sparse columns with relative row numbers and a codebook.

Row i belongs to PE i mod pes. A PE stores, column by column, entries (v, z): v indexes the codebook, z counts the zeros
before the entry among that PE's own rows. A run of more than 2^index_bits - 1 zeros stores a filler (v = 0, z = most),
which takes one position itself; zeros after a PE's last entry of a column are not stored. (EIE, ISCA 2016, sec. 3.)
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numba
import numpy as np

from sim.errors import InputError
from workloads.formats.sparse import Sparse
from workloads.tensor import MAX_VALUES, Array, Shape


@dataclass(frozen=True, eq=False)
class Csc:
    """The streams of all PEs, one after another: PE p's entries are `codes[base[p]:base[p+1]]` and `runs[...]`, uint8.

    `pointers` int32 [pes, columns + 1] count from the PE's own start: column j of PE p is entries
    `base[p] + pointers[p, j]` up to `base[p] + pointers[p, j+1]`. Codebook entry 0 is 0, so 2^weight_bits - 1 values
    are left for weights; a codebook value is stored in `value_bits`, a pointer in `pointer_bits`.
    """

    shape: Shape
    pes: int
    codes: Array
    runs: Array
    pointers: Array
    codebook: Array
    index_bits: int = 4
    weight_bits: int = 4
    value_bits: int = 16
    pointer_bits: int = 16

    @classmethod
    def encode(
        cls, tensor: Sparse | Array, pes: int, index_bits: int = 4, weight_bits: int = 4, pointer_bits: int = 16
    ) -> "Csc":
        """Encode a sparse tensor, or a dense array that has few enough distinct values; nothing is approximated."""
        for name, value, most in (
            ("pes", pes, 1 << 20),
            ("index_bits", index_bits, 8),
            ("weight_bits", weight_bits, 8),
        ):
            if not 1 <= value <= most:
                raise InputError(f"{value} is outside 1 .. {most}", setting=name)
        most_values = (1 << weight_bits) - 1
        sparse = tensor if isinstance(tensor, Sparse) else Sparse.encode(tensor, most_values)
        if len(sparse.codebook) > most_values + 1:
            raise InputError(f"{len(sparse.codebook) - 1} values do not fit {weight_bits}-bit codes beside zero")
        pointers = _lengths(sparse.pointers, sparse.rows, pes, 1 << index_bits)
        base = np.concatenate([[0], np.cumsum(pointers[:, -1], dtype=np.int64)])
        codes, runs = np.zeros(base[-1], dtype=np.uint8), np.zeros(base[-1], dtype=np.uint8)
        _fill(sparse.pointers, sparse.rows, sparse.codes, base[:-1], 1 << index_bits, codes, runs)
        codebook = np.zeros(1 << weight_bits, dtype=sparse.codebook.dtype)
        codebook[: len(sparse.codebook)] = sparse.codebook
        return cls(
            sparse.shape, pes, codes, runs, pointers, codebook, index_bits, weight_bits, pointer_bits=pointer_bits
        )

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        if self.pes < 1 or self.pointers.shape != (self.pes, self.columns + 1) or prod(self.shape) > MAX_VALUES:
            raise InputError(f"pointers {self.pointers.shape} do not fit {self.pes} PEs and {self.columns} columns")
        if (self.pointers[:, 0] != 0).any() or (np.diff(self.pointers, axis=1) < 0).any():
            raise InputError("column pointers that do not ascend from 0")
        if not self.codes.shape == self.runs.shape == (self.base[-1],):
            raise InputError("column pointers that do not fit the entries")
        if self.entries and (self.codes.max() >= len(self.codebook) or self.positions()[0].max() >= self.shape[0]):
            raise InputError("codes outside the codebook, or runs that leave the column")
        if self.codebook.ndim != 1 or not np.isfinite(self.codebook).all() or self.codebook[:1].any():
            raise InputError("a codebook that is not finite or does not begin with 0")

    @property
    def columns(self) -> int:
        return prod(self.shape[1:])

    @cached_property
    def base(self) -> Array:
        """First entry of each PE's stream, and the number of all entries; int64 [pes + 1]."""
        return np.concatenate([[0], np.cumsum(self.pointers[:, -1], dtype=np.int64)])

    @cached_property
    def length(self) -> Array:
        """Entries, fillers included, of each column in each PE: [columns, pes], the smallest unsigned type."""
        lengths = np.diff(self.pointers, axis=1)
        most = int(lengths.max(initial=0))
        small = np.uint8 if most < 256 else np.uint16 if most < 65536 else np.uint32
        return np.ascontiguousarray(lengths.T.astype(small))

    @cached_property
    def by_column(self) -> tuple[Array, Array, Array, Array]:
        """The entries as a broadcast column meets them: `starts` [columns + 1], and each one's PE, code and run.

        Column j of all PEs, one PE after another, is entries `starts[j]` up to `starts[j+1]`.
        """
        starts = np.concatenate([[0], np.cumsum(self.length.sum(axis=1, dtype=np.int64))])
        owners = np.empty(self.entries, np.min_scalar_type(self.pes - 1))
        codes, runs = np.empty_like(self.codes), np.empty_like(self.runs)
        _gather(self.base, self.pointers, self.codes, self.runs, owners, codes, runs)
        return starts, owners, codes, runs

    @property
    def entries(self) -> int:
        """Stored entries, fillers included."""
        return len(self.codes)

    @property
    def fillers(self) -> int:
        return int(np.count_nonzero(self.codes == 0))

    def items(self) -> dict[str, int]:
        """Stored bits by part."""
        return {
            "codes": self.entries * self.weight_bits,
            "runs": self.entries * self.index_bits,
            "pointers": int(self.pointers.size) * self.pointer_bits,
            "codebook": len(self.codebook) * self.value_bits,
        }

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"codes": self.weight_bits, "runs": self.index_bits, "pointers": self.pointer_bits}

    def bits(self) -> int:
        return sum(self.items().values())

    def positions(self) -> tuple[Array, Array]:
        """(row, column) of every entry in stream order, fillers included, from runs and pointers alone."""
        lengths = np.diff(self.pointers, axis=1).ravel()
        ends = np.cumsum(self.runs.astype(np.int64) + 1)
        starts = np.cumsum(lengths) - lengths
        before = np.where(starts > 0, ends[np.maximum(starts - 1, 0)], 0) if len(ends) else starts
        local = ends - np.repeat(before, lengths) - 1
        columns = np.repeat(np.tile(np.arange(self.columns), self.pes), lengths)
        return local * self.pes + np.repeat(np.arange(self.pes), np.diff(self.base)), columns

    def decode(self) -> Array:
        rows, columns = self.positions()
        dense = np.zeros((self.shape[0], self.columns), dtype=self.codebook.dtype)
        dense[rows, columns] = self.codebook[self.codes]
        return dense.reshape(self.shape)


@numba.njit(cache=True)
def _lengths(pointers: Array, rows: Array, pes: int, reach: int) -> Array:
    """Column pointers of every PE, int32 [pes, columns + 1]; an entry and its filler advance at most `reach` rows."""
    columns = len(pointers) - 1
    counts = np.zeros((pes, columns + 1), dtype=np.int32)
    following = np.empty(pes, dtype=np.int64)
    for column in range(columns):
        following[:] = 0
        for entry in range(pointers[column], pointers[column + 1]):
            local, pe = rows[entry] // pes, rows[entry] % pes
            counts[pe, column + 1] += (local - following[pe]) // reach + 1
            following[pe] = local + 1
    for pe in range(pes):
        for column in range(columns):
            counts[pe, column + 1] += counts[pe, column]
    return counts


@numba.njit(cache=True)
def _fill(
    pointers: Array, rows: Array, codes: Array, base: Array, reach: int, out_codes: Array, out_runs: Array
) -> None:
    """Write every PE's entries from `base[pe]` on."""
    pes = len(base)
    position = base.copy()
    following = np.empty(pes, dtype=np.int64)
    for column in range(len(pointers) - 1):
        following[:] = 0
        for entry in range(pointers[column], pointers[column + 1]):
            local, pe = rows[entry] // pes, rows[entry] % pes
            gap = local - following[pe]
            while gap >= reach:
                out_runs[position[pe]] = reach - 1
                position[pe] += 1
                gap -= reach
            out_codes[position[pe]] = codes[entry]
            out_runs[position[pe]] = gap
            position[pe] += 1
            following[pe] = local + 1


@numba.njit(cache=True)
def _gather(
    base: Array, pointers: Array, codes: Array, runs: Array, owners: Array, out_codes: Array, out_runs: Array
) -> None:
    """Write PE, code and run of every entry, column by column."""
    at = 0
    for column in range(pointers.shape[1] - 1):
        for pe in range(len(pointers)):
            for entry in range(base[pe] + pointers[pe, column], base[pe] + pointers[pe, column + 1]):
                owners[at], out_codes[at], out_runs[at] = pe, codes[entry], runs[entry]
                at += 1

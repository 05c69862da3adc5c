"""Sparse tensors with shared values, for no machine in particular: which positions are non-zero, and with which code.

What pruning and weight sharing produce, what the synthetic generators draw, and what machine formats encode from. A
tensor of more than two axes is a matrix of its first axis by all others: (outputs, channels * kernel).
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2, prod

import numpy as np

from sim.errors import InputError
from workloads.tensor import MAX_VALUES, Array, Shape

PIECE = 1 << 20
"""Values coded at a time."""


@dataclass(frozen=True, eq=False)
class Sparse:
    """Column by column: `rows[pointers[j]:pointers[j+1]]` ascend, `codes` (from 1) index `codebook`; its entry 0 is 0.

    `rows` int32, `codes` uint8 or uint16, `pointers` int64 [columns + 1], `codebook` of any number type.
    """

    shape: Shape
    pointers: Array
    rows: Array
    codes: Array
    codebook: Array

    @classmethod
    def encode(cls, dense: Array, most_values: int = MAX_VALUES) -> "Sparse":
        """The non-zeros of a dense array, each distinct value a code; more than `most_values` of them is an error."""
        if dense.ndim < 1 or not np.isfinite(dense).all():
            raise InputError("a sparse tensor needs at least one axis and finite values")
        columns, rows = np.nonzero(dense.reshape(len(dense), -1).T)
        return cls._of_sorted(dense.shape, rows, columns, dense.reshape(len(dense), -1)[rows, columns], most_values)

    @classmethod
    def of(cls, shape: Shape, rows: Array, columns: Array, values: Array) -> "Sparse":
        """From coordinates in any order; zeros are left out, positions given twice are an error."""
        if not np.isfinite(values).all():
            raise InputError("a value that is not finite")
        kept = values != 0
        rows, columns, values = rows[kept].astype(np.int64), columns[kept].astype(np.int64), values[kept]
        order = np.argsort(columns * shape[0] + rows, kind="stable")
        cells = (columns * shape[0] + rows)[order]
        if len(cells) and not (cells[1:] > cells[:-1]).all():
            raise InputError("a position that is given twice")
        return cls._of_sorted(shape, rows[order], columns[order], values[order], MAX_VALUES)

    @classmethod
    def of_codes(cls, chosen: Array, values: Array) -> "Sparse":
        """From the index of every weight's value, 0 for none; values that are zero, equal or not used get no code."""
        flat = chosen.reshape(-1)
        pieces = range(0, len(flat), PIECE)
        used = sum(np.bincount(flat[at : at + PIECE], minlength=len(values)) for at in pieces) > 0
        distinct = np.unique(values[used & (values != 0)])
        codebook = np.concatenate([np.zeros(1, values.dtype), distinct])
        table = np.where(values != 0, np.searchsorted(codebook[1:], values) + 1, 0)
        table[0] = 0
        small = _code_type(codebook)
        matrix = np.empty((len(chosen), prod(chosen.shape[1:])), small)
        for at in pieces:
            matrix.reshape(-1)[at : at + PIECE] = table[flat[at : at + PIECE]]
        counts = np.count_nonzero(matrix, axis=0)
        pointers = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        rows, codes = np.empty(pointers[-1], np.int32), np.empty(pointers[-1], small)
        step = max(1, PIECE // max(1, len(matrix)))
        for first in range(0, matrix.shape[1], step):
            part = np.ascontiguousarray(matrix[:, first : first + step].T)
            inside = slice(pointers[first], pointers[min(first + step, matrix.shape[1])])
            rows[inside] = np.nonzero(part)[1]
            codes[inside] = part[part != 0]
        return cls(chosen.shape, pointers, rows, codes, codebook)

    @classmethod
    def _of_sorted(cls, shape: Shape, rows: Array, columns: Array, values: Array, most_values: int) -> "Sparse":
        distinct, codes = np.unique(values, return_inverse=True)
        if len(distinct) > most_values:
            raise InputError(f"{len(distinct)} distinct non-zero values, at most {most_values} can be coded")
        pointers = np.zeros(prod(shape[1:]) + 1, dtype=np.int64)
        np.cumsum(np.bincount(columns, minlength=len(pointers) - 1), out=pointers[1:])
        codebook = np.concatenate([np.zeros(1, values.dtype), distinct])
        return cls(shape, pointers, rows.astype(np.int32), (codes + 1).astype(_code_type(codebook)), codebook)

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        rows, columns = self.matrix_shape
        if prod(self.shape) > MAX_VALUES or min(self.shape) < 1:
            raise InputError(f"a shape {self.shape} cannot be")
        fits = self.pointers.shape == (columns + 1,) and self.rows.shape == self.codes.shape == (self.pointers[-1],)
        if not fits or self.pointers[0] or (np.diff(self.pointers) < 0).any():
            raise InputError("column pointers that do not fit the entries")
        if self.nonzeros and (self.rows.min() < 0 or self.rows.max() >= rows or (np.diff(self.cells) <= 0).any()):
            raise InputError(f"row numbers that do not ascend inside 0 .. {rows - 1}")
        if self.nonzeros and (self.codes.min() < 1 or self.codes.max() >= len(self.codebook)):
            raise InputError(f"codes outside 1 .. {len(self.codebook) - 1}")
        if self.codebook.ndim != 1 or not np.isfinite(self.codebook).all() or self.codebook[0] != 0:
            raise InputError("a codebook that is not finite or does not begin with 0")

    @property
    def cells(self) -> Array:
        """Position of every stored value counted down the columns, int64."""
        return self.columns.astype(np.int64) * self.matrix_shape[0] + self.rows

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(rows, columns) = (first axis, all others)."""
        return self.shape[0], prod(self.shape[1:])

    @cached_property
    def columns(self) -> Array:
        """Column of every stored value, int32."""
        return np.repeat(np.arange(self.matrix_shape[1], dtype=np.int32), np.diff(self.pointers))

    @property
    def nonzeros(self) -> int:
        return len(self.rows)

    @property
    def density(self) -> float:
        return self.nonzeros / prod(self.shape)

    def items(self) -> dict[str, int]:
        """Stored bits by part: shortest codes and row numbers, 32-bit column pointers, codebook."""
        return {
            "codes": self.nonzeros * width_bits(len(self.codebook)),
            "rows": self.nonzeros * width_bits(self.shape[0]),
            "pointers": 32 * len(self.pointers),
            "codebook": 8 * self.codebook.nbytes,
        }

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"codes": width_bits(len(self.codebook)), "rows": width_bits(self.shape[0]), "pointers": 32}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        dense = np.zeros(self.matrix_shape, dtype=self.codebook.dtype)
        dense[self.rows, self.columns] = self.codebook[self.codes]
        return dense.reshape(self.shape)


def width_bits(count: int) -> int:
    """Bits that tell `count` things apart."""
    return ceil(log2(count)) if count > 1 else 0


def _code_type(codebook: Array) -> type[np.unsignedinteger]:
    return np.uint8 if len(codebook) <= 256 else np.uint16 if len(codebook) <= 65536 else np.uint32

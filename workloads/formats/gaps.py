"""Deep Compression's format: one stream of non-zeros for a whole layer, each with the gap to the one before.

Weights are flattened in memory order; an entry (code, run) stands `run` zeros after the entry before it. A run of more
than 2^index_bits - 1 zeros stores a filler (code 0, run = most), which takes one position itself. (Han et al. 2016.)
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from sim.errors import InputError
from workloads.tensor import MAX_VALUES, Array, Shape


@dataclass(frozen=True, eq=False)
class Gaps:
    """`codes` and `runs` uint8, one per entry; codebook entry 0 is 0, its values are stored in `value_bits` each."""

    shape: Shape
    codes: Array
    runs: Array
    codebook: Array
    index_bits: int = 4
    weight_bits: int = 8
    value_bits: int = 32

    @classmethod
    def encode(cls, dense: Array, index_bits: int = 4, weight_bits: int = 8) -> "Gaps":
        """The non-zeros of a dense array; more than 2^weight_bits - 1 distinct ones are an error."""
        if not 1 <= index_bits <= 8 or not 1 <= weight_bits <= 8:
            raise InputError(f"index and weight bits {index_bits}, {weight_bits} are outside 1 .. 8")
        if not np.isfinite(dense).all():
            raise InputError("a sparse tensor needs finite values")
        flat = dense.ravel()
        positions = np.flatnonzero(flat)
        values, codes = np.unique(flat[positions], return_inverse=True)
        if len(values) > (1 << weight_bits) - 1:
            raise InputError(f"{len(values)} distinct non-zero values do not fit {weight_bits}-bit codes beside zero")
        gaps = np.diff(positions, prepend=-1) - 1
        fillers = gaps >> index_bits
        ends = np.cumsum(fillers + 1)
        runs = np.full(int(ends[-1]) if len(ends) else 0, (1 << index_bits) - 1, dtype=np.uint8)
        stored = np.zeros(len(runs), dtype=np.uint8)
        runs[ends - 1], stored[ends - 1] = gaps & ((1 << index_bits) - 1), codes + 1
        codebook = np.zeros(1 << weight_bits, dtype=dense.dtype)
        codebook[1 : len(values) + 1] = values
        return cls(dense.shape, stored, runs, codebook, index_bits, weight_bits)

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        size = prod(self.shape)
        if size > MAX_VALUES or self.codes.shape != self.runs.shape or self.codes.ndim != 1:
            raise InputError(f"{len(self.codes)} codes and {len(self.runs)} runs do not fit shape {self.shape}")
        if self.entries and (self.codes.max() >= len(self.codebook) or self.positions()[-1] >= size):
            raise InputError("codes outside the codebook, or runs that leave the tensor")
        if not np.isfinite(self.codebook).all() or self.codebook[:1].any():
            raise InputError("a codebook that is not finite or does not begin with 0")

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
            "codebook": len(self.codebook) * self.value_bits,
        }

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"codes": self.weight_bits, "runs": self.index_bits}

    def bits(self) -> int:
        return sum(self.items().values())

    def positions(self) -> Array:
        """Flat position of every entry, fillers included."""
        return np.cumsum(self.runs.astype(np.int64) + 1) - 1

    def decode(self) -> Array:
        flat = np.zeros(prod(self.shape), dtype=self.codebook.dtype)
        flat[self.positions()] = self.codebook[self.codes]
        return flat.reshape(self.shape)

"""A code for every weight and a table of values: dense weight sharing, ternary and power-of-two weights.

Where most weights are zero, `sparse` takes less.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from sim.errors import InputError
from workloads.formats.sparse import width_bits
from workloads.tensor import Array, Shape


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """`codes` uint8 or uint16 of the tensor's shape; weight = `codebook[code]`."""

    codes: Array
    codebook: Array

    @classmethod
    def encode(cls, values: Array, most_values: int = 65536) -> Self:
        """Each distinct value a code, ascending. InputError for more than `most_values` of them or a non-finite one."""
        if not np.isfinite(values).all():
            raise InputError("coded weights must be finite")
        codebook, codes = np.unique(values, return_inverse=True)
        if len(codebook) > most_values:
            raise InputError(f"{len(codebook)} distinct values, at most {most_values} can be coded")
        small = np.uint8 if len(codebook) <= 256 else np.uint16
        return cls(codes.reshape(values.shape).astype(small), codebook)

    def check(self) -> None:
        """InputError where a code has no value."""
        if self.codes.size and int(self.codes.max()) >= len(self.codebook):
            raise InputError(f"code {int(self.codes.max())} in a table of {len(self.codebook)} values")

    @property
    def shape(self) -> Shape:
        return tuple(self.codes.shape)

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"codes": width_bits(len(self.codebook))}

    def bits(self) -> int:
        """Stored bits: the shortest code a weight, and the table."""
        return int(self.codes.size) * width_bits(len(self.codebook)) + 8 * self.codebook.nbytes

    def decode(self) -> Array:
        values: Array = self.codebook[self.codes]
        return values

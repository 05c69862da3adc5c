"""Weights by look-up: product quantisation (sub-vectors from a codebook) and hashing (values shared by a hash function)."""

from dataclasses import dataclass
from math import prod

import numpy as np
import scipy

from sim.errors import InputError
from workloads.formats.sparse import width_bits
from workloads.tensor import MAX_VALUES, Array, Shape


@dataclass(frozen=True, eq=False)
class Codewords:
    """Rows (outputs) cut in sub-vectors: `codes` [rows, parts] into `codebooks` [parts, words, length] (the end padded)."""

    shape: Shape
    codes: Array
    codebooks: Array

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        parts, words, length = self.codebooks.shape
        fits = self.codes.shape == (self.shape[0], parts) and parts == -(-prod(self.shape[1:]) // length)
        if not fits or prod(self.shape) > MAX_VALUES or self.codes.max(initial=0) >= words:
            raise InputError(f"codes {self.codes.shape} and codebooks {self.codebooks.shape} do not fit {self.shape}")

    def items(self) -> dict[str, int]:
        """Stored bits by part."""
        code_bits = width_bits(self.codebooks.shape[1])
        return {"codes": int(self.codes.size) * code_bits, "codebooks": 8 * self.codebooks.nbytes}

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"codes": width_bits(self.codebooks.shape[1])}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        parts = np.arange(self.codes.shape[1])
        rows = self.codebooks[parts[None, :], self.codes].reshape(len(self.codes), -1)
        return rows[:, : prod(self.shape[1:])].reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Hashed:
    """weight[i] = sign(i) * values[bucket(i)], both hashes of the position (HashedNets).

    With `cosine`, the hashed tensor is that of the cosine coefficients of every kernel, as FreshNets has it.
    """

    shape: Shape
    values: Array
    seed: int = 0
    cosine: bool = False

    def check(self) -> None:
        """Raise an InputError unless the values and shape can be."""
        if self.values.ndim != 1 or not len(self.values) or prod(self.shape) > MAX_VALUES:
            raise InputError(f"{self.values.shape} values do not fit shape {self.shape}")

    def bits(self) -> int:
        """The values and 32 bits of seed; positions need none."""
        return 8 * self.values.nbytes + 32

    def decode(self) -> Array:
        buckets, signs = hashes(prod(self.shape), len(self.values), self.seed)
        dense = (self.values[buckets] * signs).reshape(self.shape)
        if self.cosine:
            dense = scipy.fft.idctn(dense, axes=range(2, len(self.shape)), norm="ortho")
        return np.asarray(dense, dtype=self.values.dtype)


def hashes(count: int, buckets: int, seed: int) -> tuple[Array, Array]:
    """(bucket, sign) of positions 0 .. count - 1: a 64-bit mixer, splitmix64, on position and seed."""
    state = np.arange(count, dtype=np.uint64) * np.uint64(2) + np.uint64((seed * 2654435761 + 1) % (1 << 64))
    with np.errstate(over="ignore"):
        state += np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    signs = np.where(state >> np.uint64(63), -1, 1).astype(np.int8)
    return ((state & np.uint64(0x7FFFFFFFFFFFFFFF)) % np.uint64(buckets)).astype(np.int64), signs

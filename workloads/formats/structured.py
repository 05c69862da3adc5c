"""Structured matrices: circulant blocks, and products of diagonals with fixed fast transforms."""

from dataclasses import dataclass
from math import prod

import numpy as np
import scipy

from sim.errors import InputError
from workloads.tensor import MAX_VALUES, Array, Shape


@dataclass(frozen=True, eq=False)
class Circulant:
    """Blocks of `block` x `block` (the last ones cut off), each by its first column.

    `vectors` is [row blocks, column blocks, block].
    """

    shape: Shape
    block: int
    vectors: Array

    def check(self) -> None:
        """Raise an InputError unless the vectors cover the shape."""
        rows, columns = self.shape[0], prod(self.shape[1:])
        p = self.block
        if p < 1 or prod(self.shape) > MAX_VALUES or self.vectors.shape != (-(-rows // p), -(-columns // p), p):
            raise InputError(f"vectors {self.vectors.shape} in blocks of {p} do not fit shape {self.shape}")

    def bits(self) -> int:
        return 8 * self.vectors.nbytes

    def decode(self) -> Array:
        p = self.block
        turn = (np.arange(p)[:, None] - np.arange(p)[None, :]) % p
        blocks = self.vectors[:, :, turn].swapaxes(1, 2)
        whole = blocks.reshape(blocks.shape[0] * p, -1)
        return whole[: self.shape[0], : prod(self.shape[1:])].reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Diagonals:
    """Square blocks stacked by rows, each a product of diagonals and fixed transforms; `diagonals` [blocks, count, n].

    fastfood: S H G P H B with the Hadamard matrix H (n a power of two) and a permutation P from `seed`.
    acdc: A C D C^-1 with the cosine transform C. Rows and columns beyond the shape are cut off.
    """

    shape: Shape
    kind: str
    diagonals: Array
    seed: int = 0

    def check(self) -> None:
        """Raise an InputError unless the blocks cover the shape."""
        rows, columns = self.shape[0], prod(self.shape[1:])
        wanted = {"fastfood": 3, "acdc": 2}.get(self.kind)
        fits = self.diagonals.ndim == 3 and self.diagonals.shape[1] == wanted and prod(self.shape) <= MAX_VALUES
        if not fits or self.diagonals.shape[2] < columns or len(self.diagonals) * self.diagonals.shape[2] < rows:
            raise InputError(f"{self.kind} diagonals {self.diagonals.shape} do not fit shape {self.shape}")

    def bits(self) -> int:
        """The diagonals, and 32 bits of seed where a permutation is drawn from it."""
        return 8 * self.diagonals.nbytes + (32 if self.kind == "fastfood" else 0)

    def decode(self) -> Array:
        n = self.diagonals.shape[2]
        blocks = [product(self.kind, diagonals, block, self.seed) for block, diagonals in enumerate(self.diagonals)]
        whole = np.concatenate(blocks)[: self.shape[0], : prod(self.shape[1:])]
        return whole.reshape(self.shape).astype(self.diagonals.dtype) if n else whole


def transforms(kind: str, n: int, block: int, seed: int) -> tuple[Array, Array]:
    """The fixed matrices of a block: left (between the first and second diagonal) and right of the last but one."""
    if kind == "fastfood":
        hadamard = scipy.linalg.hadamard(n) / np.sqrt(n)
        return hadamard, hadamard[np.random.default_rng([seed, block]).permutation(n)]
    cosine = scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
    return cosine.T, cosine


def product(kind: str, diagonals: Array, block: int, seed: int) -> Array:
    """One block: S L G R B for fastfood, A L D R for acdc."""
    left, right = transforms(kind, diagonals.shape[1], block, seed)
    last = diagonals[2] if kind == "fastfood" else 1.0
    return np.asarray(diagonals[0][:, None] * ((left * diagonals[1]) @ right) * last)

"""Structured matrices and transform coding: circulant, Fastfood, ACDC (F17), DCT with Huffman codes (F21)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sim.config import Spec
from workloads.formats.huffman import Transformed
from workloads.formats.structured import Circulant, Diagonals, transforms
from workloads.tensor import Array, Encoded

MOST_SIDE = 1024
ROUNDS = (30, 4)
"""Rounds of alternating least squares, below and above MOST_SIDE."""


class Structured(Spec):
    """`block` is the side of circulant blocks; fastfood and acdc take the whole width."""

    kind: Literal["circulant", "fastfood", "acdc"] = "circulant"
    block: Annotated[int, Field(ge=1, le=1024)] = 8
    seed: Annotated[int, Field(ge=0)] = 0


class Dctcode(Spec):
    """`step` of the coefficients, in root mean squares of the layer's weights; rows of matrices in pieces of `block`."""

    step: Annotated[float, Field(gt=0)] = 0.5
    block: Annotated[int, Field(ge=1, le=4096)] = 8


def structured(weight: Array, settings: Structured, rng: np.random.Generator | None = None) -> Encoded:
    """The nearest circulant blocks (means of their diagonals), or diagonals found by alternating least squares."""
    matrix = weight.reshape(len(weight), -1).astype(np.float64)
    if settings.kind == "circulant":
        return Circulant(weight.shape, settings.block, _circulant(matrix, settings.block).astype(np.float32))
    side = matrix.shape[1]
    if settings.kind == "fastfood":
        side = 1 << (side - 1).bit_length()
    padded = np.zeros((-(-len(matrix) // side) * side, side))
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    rounds = ROUNDS[side > MOST_SIDE]
    blocks = [
        _diagonals(settings.kind, block, number, settings.seed, rounds)
        for number, block in enumerate(padded.reshape(-1, side, side))
    ]
    return Diagonals(weight.shape, settings.kind, np.stack(blocks).astype(np.float32), settings.seed)


def dctcode(weight: Array, settings: Dctcode, rng: np.random.Generator | None = None) -> Encoded:
    """Cosine coefficients rounded to multiples of the step."""
    spread = float(np.sqrt(np.mean(np.square(weight, dtype=np.float64)))) or 1.0
    return Transformed.encode(weight, settings.step * spread, settings.block)


def _circulant(matrix: Array, p: int) -> Array:
    """Mean of every wrapped diagonal of every block, over the cells that are inside the matrix."""
    shape = -(-matrix.shape[0] // p), -(-matrix.shape[1] // p)
    sums, inside = np.zeros((2, shape[0] * p, shape[1] * p))
    sums[: matrix.shape[0], : matrix.shape[1]] = matrix
    inside[: matrix.shape[0], : matrix.shape[1]] = 1
    turn = (np.arange(p)[:, None] + np.arange(p)[None, :]) % p

    def diagonals(cells: Array) -> Array:
        blocks = cells.reshape(shape[0], p, shape[1], p).swapaxes(1, 2)
        return np.asarray(blocks[:, :, turn, np.arange(p)[None, :]].sum(axis=-1))

    return np.asarray(diagonals(sums) / np.maximum(1, diagonals(inside)))


def _diagonals(kind: str, block: Array, number: int, seed: int, rounds: int) -> Array:
    """First, middle (and for fastfood last) diagonals: each in turn the least-squares best for the others."""
    side = len(block)
    left, right = transforms(kind, side, number, seed)
    first, middle, last = np.ones(side), np.ones(side), np.ones(side)
    for _ in range(rounds):
        scaled_left, scaled_right = first[:, None] * left, right * last
        gram = (scaled_left.T @ scaled_left) * (scaled_right @ scaled_right.T)
        target = np.einsum("ij,ij->j", scaled_left, block @ scaled_right.T)
        middle = np.linalg.lstsq(gram + 1e-12 * np.trace(gram) / side * np.eye(side), target, rcond=None)[0]
        first = _gains(block, (left * middle) @ scaled_right, 1)
        if kind == "fastfood":
            last = _gains(block, first[:, None] * ((left * middle) @ right), 0)
    return np.stack([first, middle, last] if kind == "fastfood" else [first, middle])


def _gains(block: Array, model: Array, axis: int) -> Array:
    """The factor of every row (axis 1) or column (axis 0) that brings `model` nearest to `block`."""
    return np.asarray((block * model).sum(axis) / np.maximum(1e-30, (model * model).sum(axis)))

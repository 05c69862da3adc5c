"""Seeded synthetic tensors with given shape, density, and spread over rows and columns.

Masks of pruned layers spread more than a binomial by rows and by columns, so every row and every column gets a
lognormal factor on its density. Activations are drawn without a look at the weights. Everything depends on its
generator alone.
"""

from collections.abc import Mapping, Set
from dataclasses import replace
from math import prod
from zlib import crc32

import numpy as np

from sim.errors import InputError
from workloads.formats.sparse import Sparse
from workloads.network import Layer, Network
from workloads.tensor import Array, Shape, Tensor

ROW_CV = 0.13
COLUMN_CV = 0.08
"""Spread of row and column densities beyond the binomial, typical of pruned fully connected layers."""

CANDIDATES = 1 << 20
"""Non-zeros are drawn in pieces of this many candidates, so that memory follows the non-zeros, not the cells."""


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of one tensor: it depends on the seed and the tensor's name, not on what else is drawn."""
    return np.random.default_rng([seed, crc32(name.encode())])


def sparse(
    rng: np.random.Generator,
    shape: Shape,
    density: float,
    row_cv: float = ROW_CV,
    column_cv: float = COLUMN_CV,
    codebook: Array | None = None,
) -> Sparse:
    """A pruned layer with shared values: each cell non-zero with probability density * row factor * column factor.

    A matrix is shape[0] rows by all other axes. The codebook defaults to `codes_of(...)`, 15 values and zero.
    """
    if not 0 <= density <= 1:
        raise InputError(f"{density} is outside 0 .. 1", setting="density")
    rows, columns = shape[0], prod(shape[1:])
    if codebook is None:
        codebook = shared_values(rng, gain=(2 / max(1.0, density * columns)) ** 0.5)
    row, column = factors(rng, rows, row_cv), factors(rng, columns, column_cv)
    cells = _cells(rng, _scaled(density, row, column) * column, row)
    pointers = np.searchsorted(cells, np.arange(columns + 1, dtype=np.int64) * rows)
    codes = rng.integers(1, len(codebook), len(cells), dtype=np.uint8 if len(codebook) <= 256 else np.uint16)
    return Sparse(tuple(shape), pointers, (cells % rows).astype(np.int32), codes, codebook)


def factors(rng: np.random.Generator, count: int, cv: float) -> Array:
    """Lognormal factors with mean 1 and coefficient of variation `cv`."""
    if cv < 0:
        raise InputError(f"{cv} is negative", setting="cv")
    sigma = np.sqrt(np.log1p(cv * cv))
    drawn = np.exp(rng.normal(0.0, sigma, count))
    scaled: Array = drawn / drawn.mean()
    return scaled


def shared_values(rng: np.random.Generator, count: int = 15, gain: float = 1.0) -> Array:
    """`count` distinct non-zero values of both signs and the zero before them: magnitudes above a threshold."""
    negative = count // 2
    ramp = np.concatenate([-np.arange(negative, 0, -1.0), np.arange(1.0, count - negative + 1)])
    values = (ramp + np.sign(ramp) + rng.uniform(-0.3, 0.3, count)) / np.sqrt(np.mean((np.abs(ramp) + 1) ** 2))
    return np.concatenate([[0.0], values * gain]).astype(np.float32)


def activations(
    rng: np.random.Generator,
    shape: Shape,
    density: float = 1.0,
    images: int = 1,
    exact: bool = True,
    channel_cv: float = 0.0,
) -> Array:
    """Activations after a ReLU, float32 [images, *shape]: positive where non-zero.

    `exact` gives every image round(density * values) non-zeros, else each value is non-zero with probability `density`,
    with `channel_cv` times a lognormal factor of its channel (axis 0).
    """
    if not 0 <= density <= 1:
        raise InputError(f"{density} is outside 0 .. 1", setting="density")
    values = np.abs(rng.standard_normal((images, *shape), dtype=np.float32)) + np.float32(1e-3)
    lot = rng.random((images, *shape), dtype=np.float32)
    if exact and not channel_cv:
        kept = round(density * prod(shape))
        order = np.argsort(lot.reshape(images, -1), axis=1)
        np.put_along_axis(values.reshape(images, -1), order[:, kept:], 0, axis=1)
        return values
    chance = density * factors(rng, shape[0], channel_cv).reshape(-1, *[1] * (len(shape) - 1))
    return np.where(lot < chance, values, np.float32(0))


def dense(rng: np.random.Generator, shape: Shape, dtype: type[np.generic] = np.float32) -> Array:
    """Normal values of the spread that keeps activations in range through ReLU layers."""
    spread = np.sqrt(2 / max(1, prod(shape[1:])))
    return (rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)).astype(dtype)


def binary(rng: np.random.Generator, shape: Shape) -> Array:
    """-1 or +1, int8."""
    return rng.integers(0, 2, shape, dtype=np.int8) * np.int8(2) - np.int8(1)


def ternary(rng: np.random.Generator, shape: Shape, density: float = 0.5) -> Array:
    """-1, 0 or +1, int8."""
    return binary(rng, shape) * (rng.random(shape, dtype=np.float32) < density)


def fill(network: Network, seed: int = 0, names: Set[str] | None = None) -> Network:
    """The network with seeded tensors wherever it has none; a layer's `density` and `bits` say of which kind.

    With `names`, only these layers get any.
    """
    lacking = [layer for layer in network.layers if names is None or layer.name in names]
    return network.replace({layer.name: filled(network, layer, seed) for layer in lacking})


def filled(network: Network, layer: Layer, seed: int = 0) -> Layer:
    """One layer with a seeded tensor for every parameter it lacks."""
    shapes = layer.op.parameters(*network.sources(layer.name))
    missing = {key: shape for key, shape in shapes.items() if key not in layer.params}
    if not missing:
        return layer
    drawn = {key: _parameter(generator(seed, f"{layer.name}.{key}"), layer, key, missing[key]) for key in missing}
    return replace(layer, params={**layer.params, **drawn})


def _parameter(rng: np.random.Generator, layer: Layer, key: str, shape: Shape) -> Tensor:
    density: Mapping[str, float] = layer.density or {}
    width = (layer.bits or {}).get(key, 32)
    if key in ("gamma", "var"):
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    if len(shape) == 1:
        return (rng.standard_normal(shape, dtype=np.float32) * np.float32(0.05)).astype(np.float32)
    if width == 1:
        return binary(rng, shape)
    if key in density:
        gain = (2 / max(1.0, density[key] * prod(shape[1:]))) ** 0.5
        return sparse(rng, shape, density[key], codebook=shared_values(rng, (1 << min(width, 12)) - 1, gain))
    return dense(rng, shape)


def _scaled(density: float, row: Array, column: Array) -> float:
    """Factor s for which min(1, s row column) averages `density`; s = density unless cells saturate."""
    if density >= 1:
        return float("inf")
    if density * row.max() * column.max() <= 1:
        return density
    grid = np.outer(np.quantile(row, np.linspace(0, 1, 257)), np.quantile(column, np.linspace(0, 1, 257)))
    low, high = density, density / float(row.min() * column.min())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, middle * grid).mean() < density else (low, middle)
    return high


def _cells(rng: np.random.Generator, column_chance: Array, row: Array) -> Array:
    """Non-zero cells, column by column: Bernoulli candidates at the greatest chance (by their gaps), then thinned."""
    total = len(row) * len(column_chance)
    greatest = min(1.0, float(column_chance.max() * row.max()))
    if not greatest > 0:
        return np.zeros(0, dtype=np.int64)
    kept, last = [], -1
    while last < total:
        if greatest == 1.0:
            found = np.arange(last + 1, last + 1 + CANDIDATES)
        else:
            found = last + np.cumsum(rng.geometric(greatest, CANDIDATES))
        last = int(found[-1])
        found = found[: np.searchsorted(found, total)]
        column_of = found // len(row)
        chance = column_chance[column_of] * row[found - column_of * len(row)]
        lot = rng.random(len(found)) * greatest
        kept.append(found[np.flatnonzero(lot < chance)])
    return np.concatenate(kept)

"""Pruning: weights, blocks, kernels, channels or filters of least magnitude become zero (F1-F3 of the survey's families)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sim.config import Spec
from sim.errors import InputError
from workloads.formats.masked import Masked, NofM, blocked
from workloads.tensor import Array, Encoded, Shape


class Prune(Spec):
    """`density` is the share of weights that stays (not used by `nm`, where `n` of every `m` do).

    `scope: global` compares magnitudes over all layers that match, so that layers keep different shares.
    """

    density: Annotated[float, Field(ge=0, le=1)] = 0.1
    granularity: Literal["element", "block", "nm", "kernel", "channel", "filter"] = "element"
    block: tuple[Annotated[int, Field(ge=1)], ...] = (4, 4)
    n: Annotated[int, Field(ge=1, le=256)] = 2
    m: Annotated[int, Field(ge=1, le=256)] = 4
    scope: Literal["layer", "global"] = "layer"


def prune(weight: Array, settings: Prune, rng: np.random.Generator | None = None) -> Encoded:
    """Keep the blocks of greatest mean magnitude; ties go to the first."""
    if settings.granularity == "nm":
        return NofM.encode(weight, settings.n, settings.m)
    block = extent(weight.shape, settings)
    blocks = blocked(weight, block)
    kept = np.zeros(len(blocks), dtype=bool)
    order = np.argsort(-magnitude(blocks), kind="stable")
    kept[order[: round(settings.density * len(blocks))]] = True
    return Masked(weight.shape, block, kept, blocks[kept])


def extent(shape: Shape, settings: Prune) -> Shape:
    """The block of a granularity for a tensor (outputs, channels, *kernel)."""
    match settings.granularity:
        case "element":
            return (1,) * len(shape)
        case "filter":
            return (1, *shape[1:])
        case "channel":
            return (shape[0], 1, *shape[2:])
        case "kernel":
            return (1, 1, *shape[2:])
        case _:
            if len(settings.block) > len(shape):
                raise InputError(f"a block of {len(settings.block)} axes for a tensor of {len(shape)}", setting="block")
            return (*settings.block, *[1] * (len(shape) - len(settings.block)))


def magnitude(blocks: Array) -> Array:
    """Mean magnitude of every block, float64."""
    return np.asarray(np.abs(blocks).mean(axis=1, dtype=np.float64))


def threshold(weights: list[Array], settings: Prune) -> float:
    """The magnitude that the `density` share of all blocks reaches, over several layers."""
    every = np.sort(np.concatenate([magnitude(blocked(w, extent(w.shape, settings))) for w in weights]))[::-1]
    kept = round(settings.density * len(every))
    return float(every[kept - 1]) if kept else float("inf")


def share_above(weight: Array, settings: Prune, limit: float) -> float:
    """Share of a layer's blocks whose magnitude reaches `limit`."""
    return float(np.mean(magnitude(blocked(weight, extent(weight.shape, settings))) >= limit))

"""Quantisation: fewer bits a weight, linear, powers of two, ternary or binary (F5-F9 of the survey's families)."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sim.config import Spec
from workloads.formats.binary import Binary
from workloads.formats.coded import Coded
from workloads.formats.scaled import Scaled
from workloads.tensor import Array, Encoded


class Quantise(Spec):
    """`bits` counts for linear and pow2. ternary: one scale (TWN); ttq: one for each sign; binary: signs; xnor: signs
    and the mean magnitude of every output."""

    scheme: Literal["linear", "pow2", "ternary", "ttq", "binary", "xnor"] = "linear"
    bits: Annotated[int, Field(ge=2, le=16)] = 8
    per_output: bool = False


def quantise(weight: Array, settings: Quantise, rng: np.random.Generator | None = None) -> Encoded:
    """The nearest tensor that the scheme can store."""
    match settings.scheme:
        case "linear":
            return Scaled.encode(weight, settings.bits, settings.per_output)
        case "pow2":
            return Coded.encode(powers_of_two(weight, settings.bits))
        case "ternary":
            return Coded.encode(ternary(weight))
        case "ttq":
            return Coded.encode(two_sided(weight))
        case "binary":
            return Binary.of(weight >= 0, np.ones(len(weight), np.float32))
        case "xnor":
            return Binary.binarise(weight)


def powers_of_two(weight: Array, bits: int) -> Array:
    """Zero and 2^(bits-1) signed powers (INQ, Zhou 2017): each weight goes to the power whose range it falls in.

    The greatest power is 2^floor(log2(4/3 of the greatest magnitude)); power p takes 3/4 p <= |w| < 3/2 p.
    """
    peak = float(np.abs(weight).max(initial=0))
    if not peak:
        return np.zeros_like(weight)
    highest = int(np.floor(np.log2(4 * peak / 3)))
    lowest = highest + 1 - (1 << (bits - 2))
    with np.errstate(divide="ignore"):
        power = np.floor(np.log2(4 * np.abs(weight.astype(np.float64)) / 3))
    kept = power >= lowest
    value = np.ldexp(1.0, np.where(kept, np.minimum(power, highest), 0).astype(np.int64))
    return np.asarray(np.where(kept, np.sign(weight) * value, 0), dtype=weight.dtype)


def ternary(weight: Array) -> Array:
    """-a, 0 or a: magnitudes above 0.7 of their mean, a their mean (TWN, Li 2016)."""
    size = np.abs(weight)
    kept = size > 0.7 * size.mean()
    scale = size[kept].mean() if kept.any() else 0
    return np.asarray(np.where(kept, np.sign(weight) * scale, 0), dtype=weight.dtype)


def two_sided(weight: Array, share: float = 0.05) -> Array:
    """-a, 0 or b: magnitudes above `share` of the greatest, a and b the means of either sign (TTQ's start, Zhu 2016)."""
    limit = share * np.abs(weight).max(initial=0)
    result = np.zeros_like(weight)
    for kept in (weight > limit, weight < -limit):
        if kept.any():
            result[kept] = weight[kept].mean()
    return result

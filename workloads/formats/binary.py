"""Binary weights: one sign bit each, with a scale and a bias for every output channel.

BinaryConnect (Courbariaux et al., NIPS 2015) trains weights of +-1; folding the batch norm behind a layer, or taking the
mean magnitude as XNOR-Net does, leaves one real factor and one real offset an output. Bit 1 stands for +1, bit 0 for -1:
a binary weight cannot be zero.
"""

from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np

from sim.errors import InputError
from workloads.tensor import Array, Shape

SCALE_BITS = 32


@dataclass(frozen=True, eq=False, slots=True)
class Binary:
    """Signs packed eight a byte (first weight in the highest bit), `shape` (outputs, ...), float32 `scale` [outputs].

    The bias of the layer stays the layer's own parameter.
    """

    packed: Array
    shape: Shape
    scale: Array

    def __post_init__(self) -> None:
        if self.packed.dtype != np.uint8 or self.packed.shape != (-(-prod(self.shape) // 8),):
            raise InputError(f"{self.packed.size} bytes of signs do not hold {prod(self.shape)} weights")
        if self.scale.shape != (self.shape[0],):
            raise InputError(f"{self.scale.shape} scales for {self.shape[0]} outputs")

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"packed": 8}

    def bits(self) -> int:
        """Stored bits: one a weight, and a float32 scale an output."""
        return prod(self.shape) + SCALE_BITS * self.shape[0]

    def signs(self) -> Array:
        """The weights as int8 -1 and +1."""
        ones = np.unpackbits(self.packed, count=prod(self.shape)).astype(np.int8)
        return (2 * ones - 1).reshape(self.shape)

    def decode(self) -> Array:
        """The real weights, float32: sign times scale."""
        return self.signs() * self.scale.reshape(-1, *(1,) * (len(self.shape) - 1))

    @classmethod
    def encode(cls, weight: Array) -> Self:
        """Store `weight` without loss. InputError unless the magnitude is one non-zero number in every output."""
        scale = magnitudes(weight)
        if scale is None:
            raise InputError("weights are not binary: an output has weights of several magnitudes, or zeros")
        return cls.of(weight >= 0, scale)

    @classmethod
    def binarise(cls, weight: Array) -> Self:
        """The nearest binary tensor: the sign of every weight (0 counts as +), the mean magnitude of every output."""
        return cls.of(weight >= 0, np.abs(weight).reshape(len(weight), -1).mean(axis=1))

    @classmethod
    def of(cls, positive: Array, scale: Array) -> Self:
        """From booleans (True = +1) of the tensor's shape and the scales."""
        return cls(np.packbits(positive), tuple(positive.shape), scale.astype(np.float32))


def magnitudes(weight: Array) -> Array | None:
    """The magnitude of each output's weights where it is one non-zero float32 number, else None."""
    flat = np.abs(weight.reshape(len(weight), -1).astype(np.float32))
    first: Array = flat[:, 0]
    return first if flat.size and (flat == first[:, None]).all() and (first > 0).all() else None

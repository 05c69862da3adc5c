"""Linearly quantised tensors: integers of few bits times a scale, for the whole tensor or for every output."""

from dataclasses import dataclass
from math import prod

import numpy as np

from sim.errors import InputError
from workloads.tensor import Array, Shape


@dataclass(frozen=True, eq=False)
class Scaled:
    """`levels` (uint8 or uint16, of the tensor's shape) are the integers above the lowest one, -(2^(b-1) - 1).

    Each is stored in `width_bits` = b; `scale` is float32, [1] or [outputs].
    """

    levels: Array
    scale: Array
    width_bits: int

    @classmethod
    def encode(cls, dense: Array, width_bits: int, per_output: bool = False) -> "Scaled":
        """Round to -(2^(b-1) - 1) .. 2^(b-1) - 1 times the scale that maps the greatest magnitude to the last level."""
        if not 2 <= width_bits <= 16:
            raise InputError(f"{width_bits} is outside 2 .. 16", setting="bits")
        most = (1 << (width_bits - 1)) - 1
        flat = dense.reshape(len(dense), -1) if per_output else dense.reshape(1, -1)
        scale = np.abs(flat).max(axis=1, initial=0).astype(np.float64) / most
        scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
        integers = np.clip(np.rint(flat / scale[:, None].astype(np.float64)), -most, most)
        small = np.uint8 if width_bits <= 8 else np.uint16
        return cls((integers + most).reshape(dense.shape).astype(small), scale, width_bits)

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        if self.scale.shape not in ((1,), self.levels.shape[:1]) or not np.isfinite(self.scale).all():
            raise InputError(f"scales {self.scale.shape} do not fit shape {self.shape}")

    @property
    def shape(self) -> Shape:
        return tuple(self.levels.shape)

    @property
    def integers(self) -> Array:
        """The integers that the scale multiplies, int32."""
        return self.levels.astype(np.int32) - ((1 << (self.width_bits - 1)) - 1)

    def items(self) -> dict[str, int]:
        """Stored bits by part."""
        return {"integers": prod(self.shape) * self.width_bits, "scales": 32 * len(self.scale)}

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"levels": self.width_bits}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        return self.integers.astype(np.float32) * self.scale.reshape(-1, *[1] * (len(self.shape) - 1))

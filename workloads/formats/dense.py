"""Plain tensors: every value stored with the same number of bits."""

from dataclasses import dataclass

from workloads.tensor import Array, Shape


@dataclass(frozen=True, eq=False, slots=True)
class Dense:
    """Values as they are; `width_bits` is what each one takes in memory (its dtype's width by default)."""

    values: Array
    width_bits: int

    @classmethod
    def encode(cls, values: Array, width_bits: int | None = None) -> "Dense":
        """`width_bits` below the dtype's width is for integers known to fit, say 4-bit ones held in int8."""
        return cls(values, 8 * values.itemsize if width_bits is None else width_bits)

    @property
    def shape(self) -> Shape:
        return tuple(self.values.shape)

    def bits(self) -> int:
        return int(self.values.size) * self.width_bits

    def decode(self) -> Array:
        return self.values

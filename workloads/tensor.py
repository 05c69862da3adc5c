"""What a tensor is here: a plain numpy array, or an encoded one that knows its own size and its inverse.

A shape is that of one image, without the batch: `(features,)`, `(channels, height, width)`, `(steps, features)`.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

MAX_VALUES = 1 << 29
"""No tensor may have more values: a declared shape is checked before anything is allocated for it."""


@runtime_checkable
class Encoded(Protocol):
    """A tensor in a stored form."""

    @property
    def shape(self) -> Shape: ...

    def bits(self) -> int:
        """Bits stored, everything included that decoding needs beside the shape: every array at its format's width, 32
        for a number. A folder writes as many, each array filled up to whole bytes, numbers as text."""
        ...

    def decode(self) -> Array:
        """The dense tensor that hardware may compute with."""
        ...


Tensor = Array | Encoded


def stored_bits(tensor: Tensor) -> int:
    """Bits of a plain array as it is, or of an encoded tensor."""
    return tensor.bits() if isinstance(tensor, Encoded) else 8 * tensor.nbytes


def decode(tensor: Tensor) -> Array:
    """The dense array of a tensor, encoded or not."""
    return tensor if isinstance(tensor, np.ndarray) else tensor.decode()

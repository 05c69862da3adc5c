"""Networks: layers, what feeds what, shapes, multiply-accumulates and parameters.

A shape is that of one image, without the batch: `(features,)` or `(channels, height, width)`. 1 MAC = 2 operations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, Protocol

import networkx as nx
import numpy as np
import numpy.typing as npt

from sim.errors import InputError, nearest

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class Encoded(Protocol):
    """A tensor in a stored form that knows its own size and its inverse."""

    @property
    def shape(self) -> Shape: ...
    def bits(self) -> int: ...
    def decode(self) -> Array: ...


Tensor = Array | Encoded

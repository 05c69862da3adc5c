"""Low-rank tensors: a few small factors whose product is the tensor.

| kind      | factors                                                       | the tensor                                 |
|-----------|---------------------------------------------------------------|--------------------------------------------|
| svd       | U (co, r), V (r, rest)                                        | U V, rest = ci kh kw                       |
| spatial   | H (co, r, kw), V (r, ci, kh)                                  | kh x 1 from ci to r, then 1 x kw to co     |
| cp        | A (co, r), B (ci, r), C (kh, r), D (kw, r); two for a matrix  | sum over r of the outer products           |
| tucker    | A (co, r4), B (ci, r3), core (r4, r3, kh, kw)                 | core times A and B                         |
| tt        | cores (r, m_i, n_i, r'), rows are m_1 .. m_d, columns n_1 .. | tensor train of a matrix                   |
| kronecker | A (r, m1, n1), B (r, m2, n2)                                  | sum over r of Kronecker products           |
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from sim.errors import InputError
from workloads.tensor import Array, Shape, Tensor, decode, stored_bits


@dataclass(frozen=True, eq=False)
class Factors:
    """`factors` may themselves be encoded (a low-rank layer that was quantised afterwards, say)."""

    shape: Shape
    kind: str
    factors: tuple[Tensor, ...]

    def check(self) -> None:
        """Raise an InputError unless the factors multiply to the shape."""
        if self.kind not in EXPAND:
            raise InputError(f"unknown kind {self.kind}")
        self.decode()

    def bits(self) -> int:
        return sum(stored_bits(factor) for factor in self.factors)

    def decode(self) -> Array:
        try:
            dense = EXPAND[self.kind](self.shape, *(decode(factor) for factor in self.factors))
        except (ValueError, IndexError, TypeError) as error:
            raise InputError(f"factors that do not multiply to {self.shape}: {error}") from None
        if dense.size != prod(self.shape):
            raise InputError(f"factors that multiply to {dense.shape}, not {self.shape}")
        return dense.reshape(self.shape)


def _svd(shape: Shape, u: Array, v: Array) -> Array:
    return np.asarray(u @ v)


def _spatial(shape: Shape, h: Array, v: Array) -> Array:
    return np.asarray(np.einsum("orw,rih->oihw", h, v))


def _cp(shape: Shape, *factors: Array) -> Array:
    letters = "abcd"[: len(factors)]
    equation = ",".join(f"{letter}r" for letter in letters) + "->" + letters
    return np.asarray(np.einsum(equation, *factors, optimize=True))


def _tucker(shape: Shape, a: Array, b: Array, core: Array) -> Array:
    return np.asarray(np.einsum("op,iq,pqhw->oihw", a, b, core, optimize=True))


def _tt(shape: Shape, *cores: Array) -> Array:
    rows, columns = int(cores[0].shape[1]), int(cores[0].shape[2])
    whole = cores[0].reshape(rows, columns, -1)
    for core in cores[1:]:
        whole = np.einsum("abr,rmns->ambns", whole.reshape(rows, columns, -1), core)
        rows, columns = rows * core.shape[1], columns * core.shape[2]
        whole = whole.reshape(rows, columns, -1)
    return whole.reshape(rows, columns)[: shape[0], : prod(shape[1:])]


def _kronecker(shape: Shape, a: Array, b: Array) -> Array:
    rows, columns = a.shape[1] * b.shape[1], a.shape[2] * b.shape[2]
    whole = np.einsum("rij,rkl->ikjl", a, b).reshape(rows, columns)
    return np.asarray(whole[: shape[0], : prod(shape[1:])])


EXPAND: dict[str, Callable[..., Array]] = {
    "svd": _svd, "spatial": _spatial, "cp": _cp, "tucker": _tucker, "tt": _tt, "kronecker": _kronecker,
}  # fmt: skip

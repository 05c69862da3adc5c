"""Low-rank approximation: a layer as the product of small factors (F12-F16 of the survey's families)."""

from math import prod
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from sim.config import Spec
from sim.errors import InputError
from workloads.formats.factors import Factors
from workloads.tensor import MAX_VALUES, Array, Encoded, Shape

Rank = Annotated[int, Field(ge=1)]


class Lowrank(Spec):
    """`rank` (tucker: outputs' and inputs' rank), or `ratio`: the share of the layer's weights that may be stored.

    `rows` and `columns` are the modes of a tensor train or the first factor of a Kronecker product; their products must
    reach the matrix' size, what is too much is cut off.
    """

    kind: Literal["svd", "spatial", "cp", "tucker", "tt", "kronecker"] = "svd"
    rank: tuple[Rank, ...] | Rank | None = None
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.25
    rows: tuple[Rank, ...] = ()
    columns: tuple[Rank, ...] = ()


def lowrank(weight: Array, settings: Lowrank, rng: np.random.Generator) -> Encoded:
    """The best factors (svd, spatial, kronecker), or good ones (cp, tucker, tt); full rank gives the weights back."""
    whole = weight.astype(np.float64)
    if settings.kind in ("spatial", "tucker") and weight.ndim != 4:
        raise InputError(f"{settings.kind} is for convolutions in two dimensions", setting="kind")
    found = {"svd": svd, "spatial": spatial, "cp": cp, "tucker": tucker, "tt": tensor_train, "kronecker": kronecker}[
        settings.kind
    ](whole, settings, rng)
    return Factors(weight.shape, settings.kind, tuple(factor.astype(np.float32) for factor in found))


def svd(weight: Array, settings: Lowrank, rng: np.random.Generator) -> list[Array]:
    """(outputs, r) and (r, rest); a convolution becomes k x k to r channels, then 1 x 1."""
    matrix = weight.reshape(len(weight), -1)
    r = _rank(settings, min(matrix.shape), sum(matrix.shape), weight.size)
    return list(_split(matrix, r))


def spatial(weight: Array, settings: Lowrank, rng: np.random.Generator) -> list[Array]:
    """k x 1 to r channels, then 1 x k (Jaderberg 2014, Tai 2015): the SVD of the (o w, i h) matrix."""
    o, i, h, w = weight.shape
    matrix = weight.transpose(0, 3, 1, 2).reshape(o * w, i * h)
    u, v = _split(matrix, _rank(settings, min(matrix.shape), sum(matrix.shape), weight.size))
    return [u.reshape(o, w, -1).swapaxes(1, 2), v.reshape(-1, i, h)]


def cp(weight: Array, settings: Lowrank, rng: np.random.Generator) -> list[Array]:
    """A sum of r outer products, by alternating least squares; axes of size 1 go into their neighbours."""
    try:
        from tensorly.decomposition import parafac
    except ImportError:
        raise InputError("cp needs the extra `compress` (tensorly)", setting="kind") from None
    r = _rank(settings, 1 << 20, sum(weight.shape), weight.size)
    found = parafac(weight, r, n_iter_max=200, tol=1e-9, init="svd" if r <= min(weight.shape) else "random",
                    random_state=int(rng.integers(1 << 31)))  # fmt: skip
    scales, factors = found.weights, list(found.factors)
    factors[0] = factors[0] * scales
    return [np.asarray(factor) for factor in factors]


def tucker(weight: Array, settings: Lowrank, rng: np.random.Generator) -> list[Array]:
    """1 x 1, k x k, 1 x 1 (Kim 2015): bases of outputs and inputs by orthogonal iteration, and the core between them."""
    o, i = weight.shape[:2]
    ranks = settings.rank if isinstance(settings.rank, tuple) else (settings.rank, settings.rank)
    if len(ranks) != 2:
        raise InputError(f"tucker takes two ranks, outputs' and inputs', not {len(ranks)}", setting="rank")
    share = settings.ratio**0.5
    outer, inner = min(o, ranks[0] or max(1, round(share * o))), min(i, ranks[1] or max(1, round(share * i)))
    a, b = _basis(weight, 0, outer), _basis(weight, 1, inner)
    for _ in range(10):
        a = _basis(np.einsum("oihw,iq->oqhw", weight, b), 0, outer)
        b = _basis(np.einsum("oihw,op->pihw", weight, a), 1, inner)
    return [a, b, np.einsum("oihw,op,iq->pqhw", weight, a, b, optimize=True)]


def tensor_train(weight: Array, settings: Lowrank, rng: np.random.Generator) -> list[Array]:
    """Cores (r, m, n, r') of the matrix seen as modes (m_1 n_1) .. (m_d n_d), by successive SVDs (Oseledets 2011)."""
    matrix = weight.reshape(len(weight), -1)
    rows, columns = _modes(settings, matrix.shape)
    if prod(rows) * prod(columns) > MAX_VALUES:
        raise InputError(f"modes {rows} and {columns} make more than {MAX_VALUES} values")
    padded = np.zeros((prod(rows), prod(columns)))
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    count = len(rows)
    axes = [axis for pair in zip(range(count), range(count, 2 * count), strict=True) for axis in pair]
    rest = padded.reshape(*rows, *columns).transpose(axes)
    limit = settings.rank if isinstance(settings.rank, int) else 8 if settings.rank is None else max(settings.rank)
    cores, before = [], 1
    for m, n in zip(rows[:-1], columns[:-1], strict=True):
        u, v = _split(rest.reshape(before * m * n, -1), min(limit, before * m * n, rest.size // (before * m * n)))
        cores.append(u.reshape(before, m, n, -1))
        rest, before = v, u.shape[1]
    return [*cores, rest.reshape(before, rows[-1], columns[-1], 1)]


def kronecker(weight: Array, settings: Lowrank, rng: np.random.Generator) -> list[Array]:
    """The best sum of r Kronecker products: the SVD of the rearranged matrix (Van Loan 1993)."""
    matrix = weight.reshape(len(weight), -1)
    first = (settings.rows or _factor(matrix.shape[0])[:1])[0], (settings.columns or _factor(matrix.shape[1])[:1])[0]
    second = -(-matrix.shape[0] // first[0]), -(-matrix.shape[1] // first[1])
    padded = np.zeros((first[0] * second[0], first[1] * second[1]))
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    turned = padded.reshape(first[0], second[0], first[1], second[1]).swapaxes(1, 2).reshape(prod(first), prod(second))
    u, v = _split(turned, _rank(settings, min(turned.shape), sum(turned.shape), weight.size))
    return [u.T.reshape(-1, *first), v.reshape(-1, *second)]


def _rank(settings: Lowrank, most: int, per_rank: int, size: int) -> int:
    """The rank asked for, or as many as fit into the share of weights, at least 1."""
    if isinstance(settings.rank, tuple):
        raise InputError(f"{settings.kind} takes one rank", setting="rank")
    return min(most, settings.rank or max(1, int(settings.ratio * size / per_rank)))


def _split(matrix: Array, rank: int) -> tuple[Array, Array]:
    """Two factors of the best approximation of that rank, the singular values spread evenly."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(s[:rank])
    return u[:, :rank] * root, root[:, None] * v[:rank]


def _basis(weight: Array, axis: int, rank: int) -> Array:
    """The first left singular vectors of the unfolding along an axis."""
    unfolded = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    return np.asarray(np.linalg.eigh(unfolded @ unfolded.T)[1][:, ::-1][:, :rank])


def _modes(settings: Lowrank, shape: Shape) -> tuple[Shape, Shape]:
    rows, columns = settings.rows or _factor(shape[0]), settings.columns or _factor(shape[1])
    rows, columns = ((1,) * (len(b) - len(a)) + a for a, b in ((rows, columns), (columns, rows)))
    if prod(rows) < shape[0] or prod(columns) < shape[1]:
        raise InputError(f"modes {rows} and {columns} do not reach {shape[0]} x {shape[1]}", setting="rows")
    return rows, columns


def _factor(size: int) -> Shape:
    """About the square root of a size, and what is needed beside it to reach it."""
    root = max(1, round(size**0.5))
    near = next((d for d in range(root, 0, -1) if size % d == 0 and d * d * 4 >= size), root)
    return near, -(-size // near)

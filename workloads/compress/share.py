"""Weight sharing: k-means over the non-zero weights, so that a few values stand for all (Deep Compression, sec. 3)."""

from typing import Literal

import numpy as np

from workloads.formats.sparse import PIECE, Sparse
from workloads.tensor import Array


def kmeans(values: Array, count: int, rounds: int = 100) -> Array:
    """`count` centroids of 1-D `values`, float64 ascending, from a linear start; fewer where some attract nothing."""
    ordered = np.sort(values if values.dtype == np.float32 else values.astype(np.float64))
    sums = np.zeros(len(ordered) + 1)
    np.cumsum(ordered, dtype=np.float64, out=sums[1:])
    centroids = np.linspace(float(ordered[0]), float(ordered[-1]), count)
    for _ in range(rounds):
        bounds = _bounds(ordered, centroids, "left")
        sizes = np.diff(bounds)
        means = np.divide(np.diff(sums[bounds]), sizes, out=centroids.copy(), where=sizes > 0)
        if np.array_equal(means, centroids):
            break
        centroids = means
    return np.unique(centroids[np.diff(_bounds(ordered, centroids, "right")) > 0])


def _bounds(ordered: Array, centroids: Array, side: Literal["left", "right"]) -> Array:
    """Where the values nearest to each centroid begin and end; a value in the middle goes up (left) or down (right).

    The middles are rounded to the values' own type, which moves no value to another side and copies none.
    """
    middles = (centroids[1:] + centroids[:-1]) / 2
    near = middles.astype(ordered.dtype)
    over = near.astype(np.float64) < middles if side == "left" else near.astype(np.float64) > middles
    near = np.where(over, np.nextafter(near, near.dtype.type(np.inf if side == "left" else -np.inf)), near)
    return np.concatenate([[0], np.searchsorted(ordered, near, side), [len(ordered)]])


def nearest(values: Array, centroids: Array) -> Array:
    """Index of the nearest of ascending `centroids` for each value."""
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)


def share(dense: Array, count: int) -> Sparse:
    """The non-zeros of a dense array as at most `count` shared values (exactly as they are, where that is enough)."""
    values = dense[dense != 0]
    if len(values) == 0 or (len(np.unique(values[: 1 << 16])) <= count and len(np.unique(values)) <= count):
        return Sparse.encode(dense, count)
    centroids = kmeans(values, count).astype(dense.dtype if dense.dtype.kind == "f" else np.float32)
    del values
    flat, chosen = dense.reshape(-1), np.zeros(dense.size, np.uint8 if count < 256 else np.uint16)
    for start in range(0, len(flat), PIECE):
        piece = flat[start : start + PIECE]
        chosen[start : start + PIECE] = np.where(piece != 0, nearest(piece, centroids) + 1, 0)
    return Sparse.of_codes(chosen.reshape(dense.shape), np.concatenate([np.zeros(1, centroids.dtype), centroids]))


def reshare(sparse: Sparse, count: int) -> Sparse:
    """`share(sparse.decode(), count)` from the codes: as many values are clustered, but none is looked for in a matrix."""
    counts = np.bincount(sparse.codes, minlength=len(sparse.codebook))
    used = np.flatnonzero(counts)
    used = used[np.argsort(sparse.codebook[used], kind="stable")]
    values = sparse.codebook[used]
    if len(np.unique(values)) <= count or not values.all():
        return share(sparse.decode(), count)
    centroids = kmeans(np.repeat(values, counts[used]), count)
    centroids = centroids.astype(values.dtype if values.dtype.kind == "f" else np.float32)
    chosen = centroids[nearest(values, centroids)]
    if not chosen.all():  # a weight that becomes zero is no entry any more
        return share(sparse.decode(), count)
    codebook, code = np.unique(chosen, return_inverse=True)
    table = np.zeros(len(sparse.codebook), np.uint8 if len(codebook) < 256 else np.uint16)
    table[used] = code + 1
    codebook = np.concatenate([np.zeros(1, codebook.dtype), codebook])
    return Sparse(sparse.shape, sparse.pointers, sparse.rows, table[sparse.codes], codebook)

"""Weight sharing: k-means over the non-zero weights, so that a few values stand for all (Deep Compression, sec. 3)."""

import numpy as np

from workloads.formats.sparse import Sparse
from workloads.tensor import Array


def kmeans(values: Array, count: int, rounds: int = 100) -> Array:
    """`count` centroids of 1-D `values`, float64 ascending, from a linear start; fewer where some attract nothing."""
    ordered = np.sort(values.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(rounds):
        edges = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2)
        bounds = np.concatenate([[0], edges, [len(ordered)]])
        sizes = np.diff(bounds)
        means = np.divide(np.diff(sums[bounds]), sizes, out=centroids.copy(), where=sizes > 0)
        if np.array_equal(means, centroids):
            break
        centroids = means
    return np.unique(centroids[np.bincount(nearest(ordered, centroids), minlength=count) > 0])


def nearest(values: Array, centroids: Array) -> Array:
    """Index of the nearest of ascending `centroids` for each value."""
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)


def share(dense: Array, count: int) -> Sparse:
    """The non-zeros of a dense array as at most `count` shared values (exactly as they are, where that is enough)."""
    values = dense[dense != 0]
    if len(values) == 0 or (len(np.unique(values[: 1 << 16])) <= count and len(np.unique(values)) <= count):
        return Sparse.encode(dense, count)
    centroids = kmeans(values, count).astype(dense.dtype if dense.dtype.kind == "f" else np.float32)
    shared = np.zeros(dense.shape, centroids.dtype)
    shared[dense != 0] = centroids[nearest(values, centroids)]
    return Sparse.encode(shared, count)

"""Pruning and weight sharing during training (Han et al., Deep Compression, 2016, sections 2 and 3)."""

import numpy as np

from workloads.network import Array
from workloads.training.layers import Masked, Parameter, Shared


def prune(weight: Parameter, density: float) -> None:
    """Keep the `density` share of greatest magnitude; the rest is zero and stays zero in later training."""
    kept = round(density * weight.latent.size)
    order = np.argsort(-np.abs(weight.latent), axis=None, kind="stable")
    mask = np.zeros(weight.latent.size, np.float32)
    mask[order[:kept]] = 1
    weight.form = Masked(mask.reshape(weight.latent.shape))
    weight.form.settle(weight.latent)


def share(weight: Parameter, values: int) -> None:
    """Let the non-zero weights share `values` values; later training moves these values only.

    One-dimensional k-means, started from values spread evenly between the least and the greatest weight. A value that
    no weight is nearest to (pruning leaves none around zero) moves to the worst-served weight.
    """
    latent = weight.latent
    kept = latent[latent != 0].astype(np.float64)
    codebook = np.sort(cluster(kept, np.linspace(kept.min(), kept.max(), values)))
    index = np.where(latent != 0, nearest(latent, codebook) + 1, 0)
    weight.latent = np.concatenate([[0], codebook]).astype(np.float32)
    weight.form = Shared(index)


def cluster(points: Array, centres: Array, rounds: int = 100) -> Array:
    """Lloyd's k-means on a line from the given start; at most `rounds` rounds, no random choice."""
    for _ in range(rounds):
        centres = np.sort(centres)
        member = nearest(points, centres)
        count = np.bincount(member, minlength=len(centres))
        moved = np.bincount(member, points, len(centres)) / np.maximum(count, 1)
        empty = np.flatnonzero(count == 0)
        worst = np.argsort(-np.abs(points - centres[member]), kind="stable")
        moved[empty] = points[worst[: len(empty)]]
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def nearest(points: Array, centres: Array) -> Array:
    """Index of the centre (ascending) that is nearest to each point."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, points)

"""Pruning and weight sharing during training (Han et al., Deep Compression, 2016, sections 2 and 3)."""

import numpy as np

from workloads.compress.share import kmeans, nearest
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
    """Let the non-zero weights share at most `values` values; later training moves these values only."""
    latent = weight.latent
    codebook = kmeans(latent[latent != 0], values)
    index = np.where(latent != 0, nearest(latent, codebook) + 1, 0)
    weight.latent = np.concatenate([[0], codebook]).astype(np.float32)
    weight.form = Shared(index)

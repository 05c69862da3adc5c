"""EIE's format: the paper's example, random matrices there and back, and every stored bit counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sim.errors import InputError
from workloads.formats.csc import Csc
from workloads.formats.sparse import Sparse
from workloads.tensor import Array

small = arrays(
    np.int8, st.tuples(st.integers(1, 80), st.integers(1, 6)), elements=st.sampled_from([0] * 9 + [1, -2, 5])
)


def column(*values: int) -> Array:
    return np.array(values).reshape(-1, 1)


def test_the_papers_example() -> None:
    csc = Csc.encode(column(0, 0, 1, 2, *[0] * 18, 3), pes=1)
    assert csc.codes.tolist() == [1, 2, 0, 3]
    assert csc.runs.tolist() == [2, 0, 15, 2]
    assert csc.pointers.tolist() == [[0, 4]]


def test_rows_interleave_over_pes_and_runs_count_own_rows() -> None:
    csc = Csc.encode(np.array([[1, 0], [0, 2], [0, 2], [1, 0], [1, 2]]), pes=2)
    assert csc.pointers.tolist() == [[0, 2, 4], [0, 1, 2]]  # PE 0 has rows 0, 2, 4; PE 1 rows 1, 3
    assert csc.codes.tolist() == [1, 1, 2, 2, 1, 2]
    assert csc.runs.tolist() == [0, 1, 1, 0, 1, 0]
    assert csc.length.tolist() == [[2, 1], [2, 1]]


@pytest.mark.parametrize(("zeros", "fillers"), [(15, 0), (16, 1), (31, 1), (32, 2)])
def test_a_filler_stands_for_sixteen_rows(zeros: int, fillers: int) -> None:
    csc = Csc.encode(column(*[0] * zeros, 7), pes=1)
    assert (csc.entries, csc.fillers) == (fillers + 1, fillers)


@settings(max_examples=200, deadline=None)
@given(small, st.sampled_from([1, 2, 3, 7, 64]), st.integers(1, 5), st.integers(2, 8))
def test_decode_gives_back_what_was_encoded(dense: Array, pes: int, index_bits: int, weight_bits: int) -> None:
    sparse = Sparse.encode(dense)
    assert np.array_equal(sparse.decode(), dense)
    csc = Csc.encode(sparse, pes, index_bits, weight_bits)
    assert np.array_equal(csc.decode(), dense)
    assert csc.decode().dtype == dense.dtype
    assert csc.entries - csc.fillers == np.count_nonzero(dense)
    assert csc.runs.max(initial=0) < 1 << index_bits
    assert np.array_equal(csc.length.sum(axis=0), np.diff(csc.base))


@settings(max_examples=50, deadline=None)
@given(small, st.sampled_from([1, 3, 64]))
def test_bits_equal_what_is_stored(dense: Array, pes: int) -> None:
    csc = Csc.encode(dense, pes)
    stored = len(csc.codes) * 4 + len(csc.runs) * 4 + pes * (dense.shape[1] + 1) * 16 + 16 * 16
    assert csc.bits() == sum(csc.items().values()) == stored
    sparse = Sparse.encode(dense)
    assert sparse.bits() == sum(sparse.items().values())
    assert sparse.items()["codebook"] == 8 * sparse.codebook.nbytes


@settings(max_examples=50, deadline=None)
@given(small, st.integers(1, 9))
def test_one_plain_loop_encodes_the_same(dense: Array, pes: int) -> None:
    sparse = Sparse.encode(dense)
    stream = []
    for pe in range(pes):
        for values in dense[pe::pes].T:
            zeros = 0
            for value in values:
                if value == 0:
                    zeros += 1
                    continue
                stream += [(0, 15)] * (zeros // 16)
                stream.append((sparse.codebook.tolist().index(value, 1), zeros % 16))
                zeros = 0
    csc = Csc.encode(sparse, pes)
    assert list(zip(csc.codes.tolist(), csc.runs.tolist(), strict=True)) == stream


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="16 distinct non-zero values, at most 15"):
        Csc.encode(np.arange(17).reshape(17, 1), pes=2)
    with pytest.raises(InputError, match="pes: 0 is outside"):
        Csc.encode(np.ones((2, 2)), pes=0)
    with pytest.raises(InputError, match="finite"):
        Csc.encode(np.array([[np.nan]]), pes=1)


def test_by_column_holds_the_same_entries():
    csc = Csc.encode(np.array([[1, 0], [0, 2], [0, 2], [1, 0], [1, 2]]), pes=2)
    starts, owners, codes, runs = csc.by_column
    assert starts.tolist() == [0, 3, 6]
    assert owners.tolist() == [0, 0, 1, 0, 0, 1]
    assert codes.tolist() == [1, 1, 1, 2, 2, 2]
    assert runs.tolist() == [0, 1, 1, 1, 0, 0]

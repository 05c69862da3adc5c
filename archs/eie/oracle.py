"""The same numbers from the plain integers: no streams, no PEs, no runs. Written apart from the datapath.

The order of additions is the machine's (columns ascending, bias last), because 16-bit saturation depends on it. All
vectors go through a column together; one whose activation is zero there adds nothing.
"""

import numpy as np

from archs.eie.program import Matrix, Scales
from workloads.tensor import Array


def linear(matrix: Matrix, scales: Scales, activations: Array) -> Array:
    """Results (int32 `[images, rows]`) of 16-bit integer activations `[images, columns]`."""
    sparse = matrix.sparse
    weights = np.rint(sparse.codebook.astype(np.float64) * 2.0**scales.weight).astype(np.int64)
    bias = np.clip(np.rint(matrix.bias_values.astype(np.float64) * 2.0**scales.bias), -32768, 32767).astype(np.int64)
    sums = np.zeros((sparse.matrix_shape[0], len(activations)), np.int64)
    values = np.asarray(activations, np.int64)
    for column in np.flatnonzero(values.any(axis=0)):
        at = slice(sparse.pointers[column], sparse.pointers[column + 1])
        rows, mine = sparse.rows[at], np.flatnonzero(values[:, column])
        terms = np.floor_divide(np.multiply.outer(weights[sparse.codes[at]], values[mine, column]), 2**scales.shift)
        touched = np.ix_(rows, mine) if len(mine) < len(values) else rows
        sums[touched] = np.clip(sums[touched] + terms, -32768, 32767)
    if bias.size:
        sums = np.clip(sums + np.floor_divide(bias * scales.one, 2**scales.shift)[:, None], -32768, 32767)
    return sums.T.astype(np.int32)

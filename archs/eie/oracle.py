"""The same numbers from the plain integers: no streams, no PEs, no runs. Written apart from the datapath.

The order of additions is the machine's (columns ascending, bias last), because 16-bit saturation depends on it.
"""

import numpy as np

from archs.eie.program import Matrix, Scales
from workloads.tensor import Array


def linear(matrix: Matrix, scales: Scales, activations: Array) -> Array:
    """Results (int32 `[images, rows]`) of 16-bit integer activations `[images, columns]`."""
    sparse = matrix.sparse
    weights = np.rint(sparse.codebook.astype(np.float64) * 2.0**scales.weight).astype(np.int64)
    bias = np.clip(np.rint(matrix.bias_values.astype(np.float64) * 2.0**scales.bias), -32768, 32767).astype(np.int64)
    results = np.zeros((len(activations), sparse.matrix_shape[0]), np.int64)
    for result, vector in zip(results, activations, strict=True):
        for column in np.nonzero(vector)[0]:
            at = slice(sparse.pointers[column], sparse.pointers[column + 1])
            rows = sparse.rows[at]
            terms = np.floor_divide(weights[sparse.codes[at]] * int(vector[column]), 2**scales.shift)
            result[rows] = np.clip(result[rows] + terms, -32768, 32767)
        if bias.size:
            result[:] = np.clip(result + np.floor_divide(bias * scales.one, 2**scales.shift), -32768, 32767)
    return results.astype(np.int32)

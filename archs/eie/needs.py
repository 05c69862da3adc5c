"""What a matrix-vector product needs: its non-zero weights in the columns of non-zero activations."""

from collections.abc import Mapping

import numpy as np

from archs.eie.program import Matrix
from archs.eie.spec import EieSpec
from sim.plan import Needs
from workloads.tensor import Array


def needs(spec: EieSpec, matrices: Mapping[str, Matrix], vectors: Mapping[str, Array]) -> dict[str, Needs]:
    """By matrix, over all its vectors `[vectors, columns]`; every entry used and every activation sent is read."""
    found = {}
    for name, matrix in matrices.items():
        by_column = np.diff(matrix.sparse.pointers).astype(np.int64)
        hits = np.count_nonzero(vectors[name], axis=0).astype(np.int64)
        macs, entry_bits = int(by_column @ hits), spec.weight_bits + spec.index_bits
        traffic = {"spmat.weights.read": macs * entry_bits, "act.activations.read": 16 * int(hits.sum())}
        found[name] = Needs(macs, traffic | {"act.sums.read": 16 * macs, "act.sums.write": 16 * macs})
    return found


def together(parts: Mapping[str, list[Needs]]) -> dict[str, Needs]:
    """A layer's groups added up."""
    return {
        name: Needs(
            sum(need.macs_useful or 0 for need in mine),
            {key: sum(need.traffic_bits[key] for need in mine) for key in mine[0].traffic_bits},
        )
        for name, mine in parts.items()
    }

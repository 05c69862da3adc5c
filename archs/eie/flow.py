"""What EIE's stages do to values, so that a small layer can be computed by the timed graph itself.

`lnzd` puts (column, activation); each PE looks its entries up, adds, and hands its sums on with the last column.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from archs.eie.datapath import shifted
from archs.eie.model import broadcast
from archs.eie.program import MOST, Matrix, Scales, fixed
from sim.plan import Behaviour
from workloads.tensor import Array

Tokens = dict[str, list[Any]]


def behaviour(matrix: Matrix, scales: Scales, vector: Array) -> Behaviour:
    """One layer of one image of 16-bit integer activations."""
    pes, sent = matrix.csc.pes, broadcast(matrix, vector, matrix.csc.pes).columns
    padded = np.append(vector, scales.one)
    result = np.zeros(matrix.csc.shape[0], np.int32)

    def lnzd(k: int, _: Tokens) -> Tokens:
        return {"queue": [(int(sent[k]), int(padded[sent[k]]))]}

    def writeback(_: int, tokens: Tokens) -> Tokens:
        for pe, sums in enumerate(tokens["done"] if pes > 1 else [tokens["done"]]):
            result[pe::pes] = sums[-1]
        return {}

    lanes = [_pe(matrix, scales, pe, len(sent)) for pe in range(pes)]
    stages = {"lnzd": lnzd, "pe": lanes if pes > 1 else lanes[0], "writeback": writeback}
    return Behaviour(stages, lambda: {matrix.name: result})


def _pe(matrix: Matrix, scales: Scales, pe: int, last: int) -> Callable[[int, Tokens], Tokens]:
    csc, codebook = matrix.csc, fixed(matrix.csc.codebook, scales.weight)[0].astype(np.int64)
    bias = fixed(matrix.bias_values, scales.bias)[0].astype(np.int64)
    sums = np.zeros(-(-(csc.shape[0] - pe) // csc.pes), np.int64)

    def fire(k: int, tokens: Tokens) -> Tokens:
        column, value = tokens["queue"][0]
        stream, at = (csc, column) if column < csc.columns else (matrix.bias, 0)
        assert stream is not None
        span = slice(stream.base[pe] + stream.pointers[pe, at], stream.base[pe] + stream.pointers[pe, at + 1])
        rows = np.cumsum(stream.runs[span].astype(np.int64) + 1) - 1
        codes = stream.codes[span]
        weights = codebook[codes] if stream is csc else np.where(codes, bias[rows * csc.pes + pe], 0)
        sums[rows] = np.clip(sums[rows] + shifted(weights * value, scales.shift), -MOST - 1, MOST)
        return {"done": [sums.copy() if k == last - 1 else None]}

    return fire

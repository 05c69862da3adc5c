"""ONNX's own operator cases: what is imported computes ONNX's numbers; what is not is listed, never a traceback."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sim.errors import InputError
from workloads.execute import execute
from workloads.read_onnx import read_onnx

DIFFERENT = {"test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"}
"""The cases divide by a fractional size; onnxruntime, like this importer, by the whole one, and leaves them out too."""

IMAGES = {"Conv", "ConvTranspose", "InstanceNormalization", "GroupNormalization", "DepthToSpace", "SpaceToDepth", "LRN"}
"""Operators whose first axis is the batch: their cases are run on the first image."""


@pytest.mark.filterwarnings("ignore")
def test_every_case_is_right_or_listed(tmp_path: Path) -> None:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = Counter(_outcome(case, tmp_path / "m.onnx") for case in collect_testcases(None))
    assert outcomes["wrong"] == 0
    assert outcomes["right"] > 750


def _outcome(case, path: Path) -> str:  # type: ignore[no-untyped-def]
    """right, listed, error or skipped; a wrong number fails with the case's name. All inputs but the first are constants."""
    if case.model is None or not case.data_sets or "random" in case.name or "bernoulli" in case.name:
        return "skipped"
    inputs, outputs = case.data_sets[0]
    arrays = [*inputs, *outputs]
    plain = inputs and all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in arrays)
    if not plain or case.name in DIFFERENT or len(inputs) != len(case.model.graph.input):
        return "skipped"
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for entry, array in list(zip(model.graph.input, inputs, strict=True))[1:]:
        model.graph.initializer.append(numpy_helper.from_array(array, entry.name))
    path.write_bytes(model.SerializeToString())
    x, first = inputs[0], model.graph.input[0].name
    one = x.ndim > 1 and len(x) > 1 and model.graph.node[0].op_type in IMAGES
    x = x[:1] if one else x
    try:
        found = read_onnx(path, {first: x.shape} if x.shape and min(x.shape) else {})
        if found.unsupported:
            return "listed"
        own = {name: x.reshape(1, *shape) for name, shape in found.network.inputs.items()}
        values = {**own, **execute(found.network, own)}
    except InputError:
        return "error"
    for entry, want in zip(model.graph.output, outputs, strict=True):
        if entry.name in found.outputs:
            got = np.asarray(values[found.outputs[entry.name]]).reshape((want[:1] if one else want).shape)
            close = np.allclose(
                got.astype(np.float64), (want[:1] if one else want).astype(np.float64), 2e-3, 1e-4, True
            )
            assert close, f"{case.name}: {entry.name}"
    return "right"

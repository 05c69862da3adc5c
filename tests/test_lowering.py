"""The same numbers in another form: products as convolutions."""

import numpy as np
import pytest

from workloads.execute import execute
from workloads.load import load
from workloads.lowering import convolutions


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet5-shared4", "lenet5-dense"])
def test_products_become_convolutions(name: str) -> None:
    work = load(name, images=2)
    lowered = convolutions(work)
    assert {layer.op.kind for layer in lowered.network.layers} <= {"conv", "pool", "relu", "reshape"}
    one, other = execute(work.network, work.inputs), execute(lowered.network, lowered.inputs)
    last = work.network.outputs[0]
    np.testing.assert_allclose(other[last].reshape(one[last].shape), one[last], rtol=1e-4, atol=1e-4)
    assert sum(map(lowered.network.macs, other)) == sum(map(work.network.macs, one))

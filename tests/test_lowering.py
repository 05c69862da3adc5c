"""The same numbers in another form: convolutions as products, products as convolutions."""

import numpy as np
import pytest

from workloads.execute import execute
from workloads.load import load
from workloads.lowering import convolutions, products, vectors


@pytest.mark.parametrize("name", ["lenet-300-100", "lenet5-shared4", "lenet5-dense"])
def test_products_become_convolutions(name: str) -> None:
    work = load(name, images=2)
    lowered = convolutions(work)
    assert {layer.op.kind for layer in lowered.network.layers} <= {"conv", "pool", "relu", "reshape"}
    one, other = execute(work.network, work.inputs), execute(lowered.network, lowered.inputs)
    last = work.network.outputs[0]
    np.testing.assert_allclose(other[last].reshape(one[last].shape), one[last], rtol=1e-4, atol=1e-4)
    assert sum(map(lowered.network.macs, other)) == sum(map(work.network.macs, one))


def test_convolutions_become_products() -> None:
    work = load("lenet5-shared4", images=2)
    lowered = products(work)
    one, other = execute(work.network, work.inputs), execute(lowered.network, lowered.inputs)
    for name in ("conv1", "conv2", "ip1", "ip2"):
        wanted = one[name] if one[name].ndim == 2 else one[name].reshape(2, len(one[name][0]), -1).transpose(0, 2, 1)
        np.testing.assert_allclose(other[name], wanted, rtol=1e-4, atol=1e-4)
    assert vectors(work.network) == 24 * 24 + 8 * 8
    assert sum(map(lowered.network.macs, other)) == sum(map(work.network.macs, one))

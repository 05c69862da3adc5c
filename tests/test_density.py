"""`WORKLOAD@weight=...,activation=...`: other densities of what is drawn, and nothing else changed."""

import numpy as np
import pytest

from sim.errors import InputError
from workloads.load import digest, load
from workloads.network import decode


def test_densities_of_drawn_tensors() -> None:
    plain, thin = load("neuraltalk-we"), load("neuraltalk-we@weight=0.03,activation=0.2")
    layer = thin.network.layers[0]
    assert abs(np.mean(decode(layer.params["weight"]) != 0) - 0.03) < 0.003
    assert np.mean(next(iter(thin.inputs.values())) != 0) == pytest.approx(0.2, abs=0.001)
    assert thin.network.shapes == plain.network.shapes
    assert thin.sha256 != plain.sha256 and thin.name == "neuraltalk-we@weight=0.03,activation=0.2"

    assert digest(thin.name) == thin.sha256 and digest("neuraltalk-we") == plain.sha256


def test_a_part_is_hashed_apart() -> None:
    assert len({digest(text) for text in ("alexnet", "alexnet#fc6", "alexnet#fc7")}) == 3


def test_same_density_is_the_same_tensor() -> None:
    density = (load("neuraltalk-we").network.layers[0].density or {})["weight"]
    plain, same = (
        load(text).network.layers[0].params["weight"] for text in ("neuraltalk-we", f"neuraltalk-we@weight={density}")
    )
    assert np.array_equal(decode(plain), decode(same))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("neuraltalk-we@weight=1.5", "weight: found '1.5'; allowed: 0 to 1"),
        ("neuraltalk-we@weight=x", "weight: found 'x'; allowed: 0 to 1"),
        ("vgg19@weight=0.2", "no layer draws its weights at a density"),
    ],
)
def test_mistakes(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(text)

"""+-1 weights and +-1 activations on real digits: FINN's SFC (784-256-256-256-10), and LeNet-300-100's shape.

    python -m workloads.training.sfc --out DIR [--seed 0] [--network sfc-digits]

Inputs are +1 where a pixel is at least 128. Trained with straight-through signs (Courbariaux et al. 2016), a batch norm
before each sign; the last layer gives raw integer scores. What is shipped has no batch norm: it is folded into one
integer popcount threshold per neuron (strictly greater), a row of weights negated where gamma is negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workloads.digits import SIDE, Digits, binary_pixels
from workloads.formats.bits import PeWords
from workloads.network import Array, Layer, Network
from workloads.ops import Flatten
from workloads.ops import Linear as Fc
from workloads.quantised import Threshold
from workloads.training.fit import Recipe, accuracy, fit
from workloads.training.layers import BatchNorm, Binary, Linear, Model, Scale, Sign
from workloads.training.ship import arguments, digits, ship

WIDTHS = {"sfc-digits": (784, 256, 256, 256, 10), "lenet-300-100-w1a1": (784, 300, 100, 10)}
RECIPE = Recipe(250, 3e-3)


@dataclass(frozen=True, eq=False)
class Folded:
    """One layer as shipped: weight +-1 int8 [outputs, inputs]; threshold int32 [outputs], None in the last layer.

    Output is +1 where the number of inputs that agree with the weights exceeds the threshold, else -1.
    """

    weight: Array
    threshold: Array | None


def prepare(pixels: Array) -> Array:
    """Pixels to +-1 vectors."""
    return binary_pixels(pixels).astype(np.float32).reshape(len(pixels), -1)


def build(name: str, rng: np.random.Generator) -> Model:
    """A fresh network; `name` is one of WIDTHS."""
    widths = WIDTHS[name]
    layers: list[Linear | BatchNorm | Sign | Scale] = []
    for inputs, outputs in pairwise(widths):
        linear = Linear(outputs, inputs, rng, bias=False)
        linear.weight.form = Binary()
        layers += [linear, BatchNorm(outputs), Sign()]
    return Model([*layers[:-2], Scale(2 / np.sqrt(widths[-2]))])


def train(name: str, digits: Digits, seed: int = 0, brief: bool = False) -> tuple[list[Folded], float]:
    """The folded network and its accuracy on the held-out digits, computed from popcounts."""
    rng = np.random.default_rng(seed)
    model = build(name, rng)
    fit(model, digits, prepare, RECIPE.brief() if brief else RECIPE, rng)
    layers = fold_model(model)
    return layers, accuracy(scores(layers, binary_pixels(digits.test_images)), digits.test_labels)


def fold_model(model: Model) -> list[Folded]:
    """Each linear layer with the batch norm that follows it; the last has none."""
    linears = [layer for layer in model.layers if isinstance(layer, Linear)]
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm)]
    hidden = [fold(linear.weight.value, norm) for linear, norm in zip(linears, norms, strict=False)]
    return [*hidden, Folded(linears[-1].weight.value.astype(np.int8), None)]


def fold(weight: Array, norm: BatchNorm) -> Folded:
    """Sum s = 2 popcount - inputs; gamma (s - mean) / sigma + beta > 0 becomes popcount > threshold."""
    gamma, beta, mean, var = (
        a.astype(np.float64) for a in (norm.gamma.value, norm.beta.value, norm.mean, norm.var + norm.epsilon)
    )
    sign = np.where(gamma < 0, -1, 1)
    crossing = sign * (mean - beta * np.sqrt(var) / gamma)
    inputs = weight.shape[1]
    threshold = np.clip(np.floor((inputs + crossing) / 2), -1, inputs).astype(np.int32)
    return Folded((weight * sign[:, None]).astype(np.int8), threshold)


def scores(layers: Sequence[Folded], x: Array) -> Array:
    """Integer scores [images, 10] of +-1 images, from popcounts and thresholds alone."""
    x = x.reshape(len(x), -1)
    for layer in layers:
        # sums of at most 784 ones are exact in float32, and its matrix product is the fast one
        total = (x.astype(np.float32) @ layer.weight.T.astype(np.float32)).astype(np.int32)
        if layer.threshold is None:
            return total
        popcount = (total + layer.weight.shape[1]) // 2
        x = np.where(popcount > layer.threshold, np.int8(1), np.int8(-1))
    return x


def network(name: str, layers: Sequence[Folded]) -> Network:
    """The shipped form: uint8 pixels in, binarised by a threshold; weights as bits, a row a word; raw scores out."""
    limits = np.full((SIDE * SIDE, 1), 128, np.uint8)
    made = [
        Layer("flat", Flatten(), ("image",)),
        Layer("pixels", Threshold(1, strict=False), ("flat",), {"thresholds": limits}, {"activation": 8}),
    ]
    for number, layer in enumerate(layers, 1):
        outputs, inputs = layer.weight.shape
        weight, bits = PeWords.encode(layer.weight, pe=1, simd=inputs), {"weight": 1, "activation": 1}
        made.append(Layer(f"fc{number}", Fc(outputs, bias=False), (made[-1].name,), {"weight": weight}, bits))
        if layer.threshold is not None:
            sums = (2 * layer.threshold - inputs).astype(np.int16)[:, None]  # the op compares sums, not popcounts
            made.append(Layer(f"fc{number}_sign", Threshold(1), (made[-1].name,), {"thresholds": sums}))
    return Network(name, {"image": (1, SIDE, SIDE)}, made)


def main() -> None:
    chosen = arguments(__doc__, list(WIDTHS))
    layers, accuracy = train(chosen.network, digits(chosen.brief), chosen.seed, chosen.brief)
    print(f"{chosen.network}: {accuracy:.2%} in training")
    script = f"python -m workloads.training.sfc --network {chosen.network} --seed {chosen.seed}"
    source = "workloads/training/sfc.py: binary weights and activations, trained on 4,000 digits"
    ship(network(chosen.network, layers), chosen.out, 1, script, source)


if __name__ == "__main__":
    main()

"""Networks of +-1 weights and +-1 activations on real digits, as FINN runs them.

    python -m workloads.training.binary --out DIR [--seed 0] [--network sfc-digits]

FINN's SFC (784-256-256-256-10) and the shapes of LeNet-300-100 and LeNet-5. Inputs are +1 where a pixel is at least
128. Trained with straight-through signs (Courbariaux et al. 2016), a batch norm before each sign, pooling after it; the
last layer gives raw integer scores. What is shipped has no batch norm: it is folded into one integer popcount threshold
per neuron (strictly greater), a row of weights negated where gamma is negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workloads import ops
from workloads.digits import SIDE, Digits, binary_pixels
from workloads.formats.bits import PeWords
from workloads.network import Array, Layer, Network
from workloads.quantised import Threshold
from workloads.training.fit import Recipe, accuracy, fit
from workloads.training.layers import BatchNorm, Binary, Conv, Flatten, Linear, MaxPool, Model, Node, Scale, Sign
from workloads.training.ship import arguments, digits, ship

KERNEL = 5


@dataclass(frozen=True)
class Plan:
    """Channels of the convolutions (5 x 5, each with a 2 x 2 pool), widths of the fully connected layers, recipe."""

    channels: tuple[int, ...]
    widths: tuple[int, ...]
    recipe: Recipe


PLANS = {
    "sfc-digits": Plan((), (256, 256, 256, 10), Recipe(250, 3e-3)),
    "lenet-300-100-w1a1": Plan((), (300, 100, 10), Recipe(250, 3e-3)),
    "lenet5-w1a1": Plan((20, 50), (500, 10), Recipe(80, 3e-3)),
}


@dataclass(frozen=True, eq=False)
class Folded:
    """One layer as shipped: weight +-1 int8 (outputs, inputs) or (co, ci, kh, kw); threshold int32 [outputs] or None.

    Output is +1 where the number of inputs that agree with the weights exceeds the threshold, else -1; the last layer
    has no threshold and gives sums.
    """

    weight: Array
    threshold: Array | None


def prepare(pixels: Array) -> Array:
    """Pixels to +-1 pictures, channels last."""
    return binary_pixels(pixels).astype(np.float32).reshape(-1, SIDE, SIDE, 1)


def build(name: str, rng: np.random.Generator) -> Model:
    """A fresh network; `name` is one of PLANS."""
    plan, side = PLANS[name], SIDE
    layers: list[Node] = []
    for inputs, outputs in pairwise((1, *plan.channels)):
        layers += [Conv(outputs, inputs, KERNEL, 0, rng, bias=False), BatchNorm(outputs), Sign(), MaxPool()]
        side = (side - KERNEL + 1) // 2
    layers.append(Flatten())
    for inputs, outputs in pairwise((side * side * (plan.channels or (1,))[-1], *plan.widths)):
        layers += [Linear(outputs, inputs, rng, bias=False), BatchNorm(outputs), Sign()]
    for layer in layers:
        if isinstance(layer, Conv | Linear):
            layer.weight.form = Binary()
    return Model([*layers[:-2], Scale(2 / np.sqrt(plan.widths[-2]))])


def train(name: str, digits: Digits, seed: int = 0, brief: bool = False) -> tuple[list[Folded], float]:
    """The folded network and its accuracy on the held-out digits, computed from popcounts."""
    rng = np.random.default_rng(seed)
    model, recipe = build(name, rng), PLANS[name].recipe
    fit(model, digits, prepare, recipe.brief() if brief else recipe, rng)
    layers = fold_model(model)
    return layers, accuracy(scores(layers, binary_pixels(digits.test_images)), digits.test_labels)


def fold_model(model: Model) -> list[Folded]:
    """Each weighted layer with the batch norm that follows it; the last has none."""
    folded = []
    for layer, norm in pairwise(model.layers):
        if isinstance(layer, Conv | Linear):
            weight = layer.weight.value
            weight = weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight
            folded.append(fold(weight, norm) if isinstance(norm, BatchNorm) else Folded(weight.astype(np.int8), None))
    return folded


def fold(weight: Array, norm: BatchNorm) -> Folded:
    """Sum s = 2 popcount - inputs; gamma (s - mean) / sigma + beta > 0 becomes popcount > threshold."""
    gamma, beta, mean, var = (
        a.astype(np.float64) for a in (norm.gamma.value, norm.beta.value, norm.mean, norm.var + norm.epsilon)
    )
    sign = np.where(gamma < 0, -1, 1)
    crossing = sign * (mean - beta * np.sqrt(var) / gamma)
    inputs = weight[0].size
    threshold = np.clip(np.floor((inputs + crossing) / 2), -1, inputs).astype(np.int32)
    return Folded((weight * sign.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8), threshold)


def scores(layers: Sequence[Folded], x: Array) -> Array:
    """Integer scores [images, 10] of +-1 images [n, 28, 28], from popcounts and thresholds alone."""
    x = x[:, None]
    for layer in layers:
        total = _sums(layer.weight, x)
        if layer.threshold is None:
            return total
        popcount = (total + layer.weight[0].size) // 2
        limits = layer.threshold.reshape(-1, *[1] * (total.ndim - 2))
        x = np.where(popcount > limits, np.int8(1), np.int8(-1))
        if x.ndim == 4:
            x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max((3, 5))
    return x


def _sums(weight: Array, x: Array) -> Array:
    """Sums of products; at most 1,250 ones are exact in float32, and its matrix product is the fast one."""
    rows = weight.reshape(len(weight), -1).astype(np.float32)
    if weight.ndim == 2:
        return (x.reshape(len(x), -1).astype(np.float32) @ rows.T).astype(np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float32), weight.shape[2:], (2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(*windows.shape[:1], *windows.shape[2:4], -1)
    return (patches @ rows.T).astype(np.int32).transpose(0, 3, 1, 2)


def network(name: str, layers: Sequence[Folded]) -> Network:
    """The shipped form: uint8 pixels in, binarised by a threshold; weights as bits, a row a word; raw scores out."""
    made = [Layer("pixels", Threshold(1, strict=False), ("image",), {"thresholds": np.full((1, 1), 128, np.uint8)})]
    flat = False
    for number, layer in enumerate(layers, 1):
        if layer.weight.ndim == 2 and not flat:
            made.append(Layer("flat", ops.Flatten(), (made[-1].name,)))
            flat = True
        made += _layer(number, layer, made[-1].name)
    return Network(name, {"image": (1, SIDE, SIDE)}, made)


def _layer(number: int, layer: Folded, source: str) -> list[Layer]:
    """The matrix, its thresholds (on sums, as the op has them, not on popcounts) and its pool, where it has them."""
    conv, outputs = layer.weight.ndim == 4, len(layer.weight)
    name = f"conv{number}" if conv else f"fc{number}"
    op: ops.Op = ops.Conv(outputs, (KERNEL, KERNEL), bias=False) if conv else ops.Linear(outputs, bias=False)
    weight = PeWords.encode(layer.weight, pe=1, simd=layer.weight[0].size)
    made = [Layer(name, op, (source,), {"weight": weight}, {"weight": 1, "activation": 1})]
    if layer.threshold is not None:
        sums = (2 * layer.threshold - layer.weight[0].size).astype(np.int16)[:, None]
        made.append(Layer(f"{name}_sign", Threshold(1), (name,), {"thresholds": sums}))
    if conv:
        made.append(Layer(f"pool{number}", ops.Pool("max", (2, 2), (2, 2)), (made[-1].name,)))
    return made


def main() -> None:
    chosen = arguments(__doc__, list(PLANS))
    layers, accuracy = train(chosen.network, digits(chosen.brief), chosen.seed, chosen.brief)
    print(f"{chosen.network}: {accuracy:.2%} in training")
    script = f"python -m workloads.training.binary --network {chosen.network} --seed {chosen.seed}"
    source = "workloads/training/binary.py: binary weights and activations, trained on 4,000 digits"
    ship(network(chosen.network, layers), chosen.out, 1, script, source)


if __name__ == "__main__":
    main()

"""A convolution network with +-1 weights and real activations on real digits, shaped for YodaNN.

    python -m workloads.training.binaryconv --out DIR [--seed 0]

conv 3x3 1->32, pool, conv 3x3 32->64, pool, conv 3x3 64->64, fully connected to 10: the channels fill the chip's block
of 32, exceed it on the way out, then both ways. BinaryConnect (Courbariaux et al. 2015), zero padding, ReLU. Each batch
norm is folded into the scale and bias of its channel; those of the convolutions are multiplied by powers of two that
keep activations in the chip's Q2.9 and rounded to it (multiples of 1/512 in [-4, 4)). Batch norm comes before the pool,
and so do scale and bias: a negative scale cannot turn the maximum into a minimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from workloads import ops
from workloads.digits import Digits
from workloads.formats.binary import Binary as Signs
from workloads.network import Array, Layer, Network
from workloads.tensor import Tensor
from workloads.training.fit import Recipe, accuracy, fit
from workloads.training.layers import BatchNorm, Binary, Conv, Flatten, Linear, MaxPool, Model, Node, Relu
from workloads.training.ship import arguments, digits, ship

CHANNELS = 1, 32, 64, 64
POOLED = True, True, False
FEATURES = 64 * 7 * 7
RECIPE = Recipe(20, 2e-3)

STEP = 2.0**-9
LEAST, GREATEST = -4.0, 4.0 - STEP
BLOCK = 32


@dataclass(frozen=True, eq=False)
class Folded:
    """weight +-1 int8 (co, ci, kh, kw) or (outputs, inputs); float32 scale (> 0) and bias by output, as
    shipped multiples of 1/512 in a convolution."""

    weight: Array
    scale: Array
    bias: Array


def prepare(pixels: Array) -> Array:
    """pixel / 255, channels last."""
    return (pixels / np.float32(255)).reshape(-1, 28, 28, 1)


def build(rng: np.random.Generator) -> Model:
    layers: list[Node] = []
    for (inputs, outputs), pooled in zip(pairwise(CHANNELS), POOLED, strict=True):
        conv = Conv(outputs, inputs, 3, 1, rng, bias=False)
        conv.weight.form = Binary()
        layers += [conv, BatchNorm(outputs), Relu(GREATEST), *([MaxPool()] if pooled else [])]
    last = Linear(10, FEATURES, rng, bias=False)
    last.weight.form = Binary()
    return Model([*layers, Flatten(), last, BatchNorm(10)])


def train(digits: Digits, seed: int = 0, brief: bool = False) -> tuple[list[Folded], float, float]:
    """The folded layers, their held-out accuracy, and that of the chip's arithmetic (`chip_scores`)."""
    rng = np.random.default_rng(seed)
    model = build(rng)
    fit(model, digits, prepare, RECIPE.brief() if brief else RECIPE, rng)
    layers = [rounded(layer) for layer in in_range(fold(model), digits.train_images[:500] / 255)]
    images = digits.test_images / 255
    return (
        layers,
        accuracy(scores(layers, images, chip=False), digits.test_labels),
        accuracy(scores(layers, images, chip=True), digits.test_labels),
    )


def fold(model: Model) -> list[Folded]:
    """Every weighted layer with the batch norm behind it, as scale and bias."""
    folded = []
    for layer, norm in pairwise(model.layers):
        if isinstance(layer, Conv | Linear) and isinstance(norm, BatchNorm):
            weight = layer.weight.value
            weight = weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight
            scale, bias = norm.affine()
            flip = np.where(scale < 0, np.float32(-1), np.float32(1))
            weight, scale = weight * flip.reshape(-1, *[1] * (weight.ndim - 1)), scale * flip
            folded.append(Folded(np.ascontiguousarray(weight, np.int8), scale, bias))
    return folded


def in_range(layers: Sequence[Folded], images: Array) -> list[Folded]:
    """The same function with each convolution's outputs, on `images`, brought below 4 but for one in ten thousand.

    A layer's scale and bias are multiplied by a power of two, the next layer's scale is divided by it; ReLU and pooling
    let it through.
    """
    moved, x, before = [], images[:, None], 1.0
    for layer, pooled in zip(layers[:-1], POOLED, strict=True):
        y = _conv(layer, x, x.shape[1], chip=False)
        after = 2.0 ** -max(0, np.ceil(np.log2(np.quantile(y, 0.9999) / GREATEST)))
        moved.append(replace(layer, scale=layer.scale * after / before, bias=layer.bias * after))
        x, before = _host(y, pooled), after
    return [*moved, replace(layers[-1], scale=layers[-1].scale / np.float32(before))]


def rounded(layer: Folded) -> Folded:
    """A convolution's scale and bias in Q2.9 (a scale at least one step); a fully connected layer as it is."""
    if layer.weight.ndim == 2:
        return layer
    return replace(layer, scale=np.maximum(to_grid(layer.scale, np.rint), STEP), bias=to_grid(layer.bias, np.rint))


def to_grid(x: Array, rounding: np.ufunc) -> Array:
    """Q2.9: a multiple of 1/512, clamped to [-4, 4 - 1/512]."""
    grid: Array = np.clip(rounding(x / STEP) * STEP, LEAST, GREATEST).astype(np.float32)
    return grid


def scores(layers: Sequence[Folded], images: Array, chip: bool) -> Array:
    """Scores [images, 10] of images [n, 28, 28] in 0..1, from the folded layers.

    With `chip`, pixels are Q2.9 and each block of 32 input channels is scaled, truncated and clamped before the sum, as
    YodaNN does; the fully connected layer runs off the chip in both cases.
    """
    x = to_grid(images, np.floor) if chip else images
    x = x[:, None]
    for layer, pooled in zip(layers[:-1], POOLED, strict=True):
        x = _host(_conv(layer, x, BLOCK if chip else x.shape[1], chip), pooled)
    last = layers[-1]
    return np.asarray(x.reshape(len(x), -1) @ last.weight.T.astype(float) * last.scale + last.bias)


def _host(x: Array, pooled: bool) -> Array:
    """What the host does between two convolutions: ReLU, and the pool where there is one."""
    x = np.maximum(x, 0)
    return x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max((3, 5)) if pooled else x


def _conv(layer: Folded, x: Array, block: int, chip: bool) -> Array:
    """Scaled and biased 3x3 convolution, by blocks of input channels; with `chip` every block is rounded to Q2.9."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    total = np.zeros(1)
    for first in range(0, x.shape[1], block):
        chosen = slice(first, first + block)
        sums = np.tensordot(windows[:, chosen], layer.weight[:, chosen].astype(float), ((1, 4, 5), (1, 2, 3)))
        part = sums * layer.scale + (layer.bias if first == 0 else 0)
        total = total + (to_grid(part, np.floor) if chip else part)
    total = np.clip(total, LEAST, GREATEST) if chip else total
    return total.transpose(0, 3, 1, 2)


def network(layers: Sequence[Folded]) -> Network:
    """The shipped form: weights as sign bits with a scale an output, pixels / 255 in, scores out."""
    made: list[Layer] = []

    def add(name: str, op: ops.Op, folded: Folded | None = None) -> None:
        params: dict[str, Tensor] = {}
        if folded is not None:
            params = {"weight": Signs.of(folded.weight > 0, folded.scale), "bias": folded.bias}
        source = made[-1].name if made else "image"
        made.append(Layer(name, op, (source,), params, {"weight": 1} if params else None))

    for number, (folded, pooled) in enumerate(zip(layers[:-1], POOLED, strict=True), 1):
        add(f"conv{number}", ops.Conv(len(folded.weight), (3, 3), padding=(1, 1, 1, 1)), folded)
        add(f"conv{number}_relu", ops.Relu())
        if pooled:
            add(f"pool{number}", ops.Pool("max", (2, 2), (2, 2)))
    add("fc_flat", ops.Flatten())
    add("fc", ops.Linear(len(layers[-1].weight)), layers[-1])
    return Network("bc-digits", {"image": (1, 28, 28)}, made)


def main() -> None:
    chosen = arguments(__doc__)
    layers, accuracy, on_chip = train(digits(chosen.brief), chosen.seed, chosen.brief)
    print(f"bc-digits: {accuracy:.2%} in training, {on_chip:.2%} in the chip's Q2.9 arithmetic")
    script = f"python -m workloads.training.binaryconv --seed {chosen.seed}"
    source = "workloads/training/binaryconv.py: BinaryConnect trained on 4,000 digits"
    ship(network(layers), chosen.out, 255, script, source)


if __name__ == "__main__":
    main()

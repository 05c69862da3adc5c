"""LeNet-300-100 and LeNet-5 on real digits: dense, pruned and shared as in Deep Compression, and with few-bit weights.

    python -m workloads.training.lenet --out DIR [--seed 0] [--network lenet-300-100]

One dense network is trained; every variant starts from it: pruned, pruned and shared, ternary, power of two, binary.
Pruning goes to its density in steps, each followed by
retraining; the shared values are then trained on their own (Han et al. 2016, Tables 2 and 3 for densities and bits).
Inputs are pixel / 255. LeNet-5 has Caffe's shapes and, as there, no ReLU after its convolutions.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from workloads.digits import Digits
from workloads.formats.binary import Binary
from workloads.formats.coded import Coded
from workloads.formats.dense import Dense
from workloads.formats.sparse import Sparse
from workloads.load import ZOO
from workloads.network import Array, Network
from workloads.read_yaml import read_network
from workloads.tensor import Tensor
from workloads.training.fit import Prepare, Recipe, fit, held_out
from workloads.training.layers import (
    Conv,
    Flatten,
    Form,
    Linear,
    MaxPool,
    Model,
    PowerOfTwo,
    Relu,
    ScaledBinary,
    Ternary,
)
from workloads.training.ship import arguments, digits, ship
from workloads.training.shrink import prune, share

PRUNE_STEPS = 4


@dataclass(frozen=True)
class Plan:
    """Densities, shared non-zero values (2^bits - 1) by layer and the lengths of the stages."""

    density: Mapping[str, float]
    values: Mapping[str, Mapping[str, int]]
    dense: Recipe
    retrain: Recipe
    finetune: Recipe
    quantise: Recipe


PLANS = {
    "lenet-300-100": Plan(
        density={"fc1": 0.08, "fc2": 0.09, "fc3": 0.26},
        values={"shared": {"fc1": 15, "fc2": 15, "fc3": 15}},
        dense=Recipe(150, 1e-3, decay=0.01),
        retrain=Recipe(40, 1e-3),
        finetune=Recipe(20, 2e-4),
        quantise=Recipe(60, 5e-4),
    ),
    "lenet5": Plan(
        density={"conv1": 0.66, "conv2": 0.12, "ip1": 0.08, "ip2": 0.19},
        values={
            "shared": {"conv1": 255, "conv2": 255, "ip1": 31, "ip2": 31},
            "shared4": {"conv1": 15, "conv2": 15, "ip1": 15, "ip2": 15},
        },
        dense=Recipe(40, 1e-3, decay=0.01),
        retrain=Recipe(10, 1e-3),
        finetune=Recipe(6, 2e-4),
        quantise=Recipe(15, 5e-4),
    ),
}


SHIPPED = {
    "lenet-300-100": {
        "dense": "lenet-300-100-dense",
        "shared": "lenet-300-100",
        "ternary": "lenet-300-100-ternary",
        "pow2": "lenet-300-100-pow2",
        "binary": "lenet-300-100-binary",
    },
    "lenet5": {
        "dense": "lenet5-dense",
        "shared": "lenet5-shared",
        "shared4": "lenet5-shared4",
        "ternary": "lenet5-ternary",
        "pow2": "lenet5-pow2",
        "binary": "lenet5-binary",
    },
}
"""Zoo names of the variants that are shipped (the pruned network before sharing is not)."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A variant of a network: its weighted layers by name, and its accuracy on the held-out digits."""

    variant: str
    layers: Mapping[str, Linear | Conv]
    accuracy: float


def build(name: str, rng: np.random.Generator) -> tuple[Model, dict[str, Linear | Conv]]:
    """A fresh network and its weighted layers by their names in the zoo."""
    if name == "lenet-300-100":
        fc1, fc2, fc3 = Linear(300, 784, rng), Linear(100, 300, rng), Linear(10, 100, rng)
        return Model([fc1, Relu(), fc2, Relu(), fc3]), {"fc1": fc1, "fc2": fc2, "fc3": fc3}
    conv1, conv2 = Conv(20, 1, 5, 0, rng), Conv(50, 20, 5, 0, rng)
    ip1, ip2 = Linear(500, 800, rng), Linear(10, 500, rng)
    model = Model([conv1, MaxPool(), conv2, MaxPool(), Flatten(), ip1, Relu(), ip2])
    return model, {"conv1": conv1, "conv2": conv2, "ip1": ip1, "ip2": ip2}


def prepare(name: str) -> Prepare:
    """pixel / 255, as a vector for LeNet-300-100, as a one-channel picture (channels last) for LeNet-5."""
    shape = (784,) if name == "lenet-300-100" else (28, 28, 1)
    return lambda pixels: (pixels / np.float32(255)).reshape(-1, *shape)


def train(name: str, digits: Digits, seed: int = 0, brief: bool = False) -> Iterator[Trained]:
    """Variants as they are done: dense, pruned, the shared ones, ternary, pow2, binary."""
    plan, rng, ready = PLANS[name], np.random.default_rng(seed), prepare(name)
    model, layers = build(name, rng)

    def run(recipe: Recipe, variant: str) -> Trained:
        fit(model, digits, ready, recipe.brief() if brief else recipe, rng)
        return Trained(variant, copy.deepcopy(layers), held_out(model, digits, ready))

    def restore(saved: Trained) -> None:
        for layer, old in zip(layers.values(), saved.layers.values(), strict=True):
            layer.weight, layer.bias = copy.deepcopy(old.weight), copy.deepcopy(old.bias)

    dense = run(plan.dense, "dense")
    yield dense
    for step in range(1, PRUNE_STEPS + 1):
        for layer, density in plan.density.items():
            prune(layers[layer].weight, density ** (step / PRUNE_STEPS))
        pruned = run(plan.retrain, "pruned")
    yield pruned
    for variant, values in plan.values.items():
        restore(pruned)
        for layer, count in values.items():
            share(layers[layer].weight, count)
        yield run(plan.finetune, variant)
    for variant, form in _forms().items():
        restore(dense)
        for each in layers.values():
            each.weight.form = form
        yield run(plan.quantise, variant)


def _forms() -> dict[str, Form]:
    """Ternary (two bits), power of two (four bits: a sign, seven exponents, zero) and binary (one bit)."""
    return {"ternary": Ternary(), "pow2": PowerOfTwo(low=-7, high=-1), "binary": ScaledBinary()}


def export(layer: Linear | Conv) -> tuple[Array, Array | None]:
    """Weight and bias in the project's order: (outputs, inputs) or (co, ci, kh, kw)."""
    weight = layer.weight.value
    weight = weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight
    return np.ascontiguousarray(weight), None if layer.bias is None else layer.bias.value


def network(name: str, trained: Trained) -> Network:
    """The zoo's network with the trained tensors in the format of the variant."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for layer, done in trained.layers.items():
        weight, bias = export(done)
        assert bias is not None  # as `build` makes them
        tensors[layer] = {"weight": encode(weight, trained.variant), "bias": bias}
    shapes = read_network(ZOO / f"{name}.yaml").network.with_params(tensors)
    layers = [replace(layer, density=None) for layer in shapes.layers]
    return Network(SHIPPED[name][trained.variant], shapes.inputs, layers, shapes.notes)


def encode(weight: Array, variant: str) -> Tensor:
    """Half-precision values, codes of shared values with or without the zeros, or signs."""
    match variant:
        case "dense":
            return Dense.encode(weight.astype(np.float16))
        case "ternary" | "pow2":
            return Coded.encode(weight)
        case "binary":
            return Binary.encode(weight)
    return Sparse.encode(weight)


def main() -> None:
    chosen = arguments(__doc__, list(PLANS))
    script = f"python -m workloads.training.lenet --network {chosen.network} --seed {chosen.seed}"
    source = "workloads/training/lenet.py: trained on 4,000 digits; Han et al. 2016 for densities and bits"
    for done in train(chosen.network, digits(chosen.brief), chosen.seed, chosen.brief):
        print(f"{chosen.network} {done.variant}: {done.accuracy:.2%} in training")
        if done.variant in SHIPPED[chosen.network]:
            ship(network(chosen.network, done), chosen.out, 255, script, source)


if __name__ == "__main__":
    main()

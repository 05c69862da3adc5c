"""The training loop: augmentation, softmax loss, Adam with a cosine-shaped learning rate."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.ndimage import gaussian_filter

from workloads.digits import SIDE, Digits
from workloads.network import Array
from workloads.training.layers import Model, Parameter

LOG = logging.getLogger(__name__)
Prepare = Callable[[Array], Array]
"""From pixels (float32 0..255 [images, 28, 28]) to a model's input."""


class Augmenter:
    """Random small rotations, scalings, shears, shifts and elastic bends of digits (Simard et al. 2003), bilinear."""

    def __init__(self, rng: np.random.Generator, fields: int = 512, bend: float = 6.0) -> None:
        self.rng = rng
        noise = rng.uniform(-1, 1, (fields, 2, SIDE, SIDE))
        smooth = gaussian_filter(noise, (0, 0, 4, 4), mode="constant")
        self.fields = (smooth * (bend / 0.15 / SIDE)).astype(np.float32).reshape(fields, 2, -1)
        axis = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
        self.grid = np.stack(np.meshgrid(axis, axis, indexing="ij")).reshape(2, -1)

    def __call__(self, images: Array) -> Array:
        """uint8 or float [n, 28, 28] -> float32 [n, 28, 28], each image bent its own way."""
        count, rng = len(images), self.rng
        turn, grow, lean = rng.uniform([[-0.2], [-0.12], [-0.15]], [[0.2], [0.12], [0.15]], (3, count))
        matrix = np.stack([np.cos(turn), lean - np.sin(turn), np.sin(turn), np.cos(turn)], -1).reshape(-1, 2, 2)
        matrix *= (1 + grow)[:, None, None]
        where = matrix.astype(np.float32) @ self.grid + self.fields[rng.integers(len(self.fields), size=count)]
        where += rng.uniform(-1.5, 1.5, (count, 2, 1)).astype(np.float32) + (SIDE + 1) / 2
        return _bilinear(np.pad(images, ((0, 0), (1, 1), (1, 1))).astype(np.float32), where)


def _bilinear(padded: Array, where: Array) -> Array:
    """Sample images padded by one pixel at `where` [n, 2, 784], in padded coordinates; outside is zero."""
    where = np.clip(where, 0, SIDE + 0.999)
    corner = where.astype(np.int32)
    down, right = (where - corner).transpose(1, 0, 2)
    first = corner[:, 0] * (SIDE + 2) + corner[:, 1]
    flat = padded.reshape(len(padded), -1)

    def pixel(step: int) -> Array:
        return np.take_along_axis(flat, first + step, 1)

    top = pixel(0) * (1 - right) + pixel(1) * right
    bottom = pixel(SIDE + 2) * (1 - right) + pixel(SIDE + 3) * right
    sampled: Array = top * (1 - down) + bottom * down
    return sampled.reshape(-1, SIDE, SIDE)


class Adam:
    """Kingma and Ba 2015; steps in place and lets each form settle its stored numbers."""

    def __init__(self, parameters: Iterable[Parameter], decay: float = 0.0) -> None:
        self.parameters, self.decay, self.steps = list(parameters), decay, 0
        self.first = [np.zeros_like(p.latent) for p in self.parameters]
        self.second = [np.zeros_like(p.latent) for p in self.parameters]

    def step(self, rate: float) -> None:
        """One update with learning rate `rate`; weight decay (decoupled) on matrices and kernels only."""
        self.steps += 1
        rate = rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for p, first, second in zip(self.parameters, self.first, self.second, strict=True):
            first += 0.1 * (p.grad - first)
            second += 0.001 * (p.grad * p.grad - second)
            if p.latent.ndim > 1:
                p.latent *= 1 - rate * self.decay
            p.latent -= np.float32(rate) * first / (np.sqrt(second) + np.float32(1e-8))
            p.form.settle(p.latent)


@dataclass(frozen=True)
class Recipe:
    """How long and how fast: `epochs` over the training images in batches of `batch`, `rate` falling to zero."""

    epochs: int
    rate: float
    batch: int = 100
    decay: float = 0.0

    def brief(self) -> Self:
        """The same recipe for a smoke test."""
        return replace(self, epochs=1)


def softmax_gradient(scores: Array, labels: Array) -> tuple[float, Array]:
    """Mean cross-entropy and its gradient by the scores."""
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    share = shifted / shifted.sum(1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(-np.log(share[rows, labels] + 1e-12).mean())
    share[rows, labels] -= 1
    return loss, share / np.float32(len(labels))


def fit(model: Model, digits: Digits, prepare: Prepare, recipe: Recipe, rng: np.random.Generator) -> None:
    """Train in place on augmented training images; the held-out ones are not looked at."""
    augment, adam = Augmenter(rng), Adam(model.parameters(), recipe.decay)
    images, labels = digits.train_images, digits.train_labels
    batches = max(1, len(labels) // recipe.batch)
    for epoch in range(recipe.epochs):
        order, losses = rng.permutation(len(labels)), []
        for batch in range(batches):
            chosen = order[batch * recipe.batch : (batch + 1) * recipe.batch]
            scores = model.forward(prepare(augment(images[chosen])), training=True)
            loss, grad = softmax_gradient(scores, labels[chosen])
            model.backward(grad)
            done = (epoch + batch / batches) / recipe.epochs
            adam.step(recipe.rate * 0.5 * (1 + np.cos(np.pi * done)))
            losses.append(loss)
        LOG.info("epoch %d of %d: loss %.4f", epoch + 1, recipe.epochs, np.mean(losses))


def accuracy(scores: Array, labels: Array) -> float:
    """Share of images whose greatest score (the first of equals) is at their label."""
    return float((scores.argmax(1) == labels).mean())


def held_out(model: Model, digits: Digits, prepare: Prepare) -> float:
    """Accuracy on the held-out images."""
    return accuracy(model.forward(prepare(digits.test_images.astype(np.float32))), digits.test_labels)


def few(digits: Digits) -> Digits:
    """The first few images of each part, for smoke tests."""
    return Digits(*(part[:n] for part, n in zip(vars(digits).values(), (300, 300, 100, 100), strict=True)))

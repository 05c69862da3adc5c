"""Differentiable layers in numpy: forward, backward, and the form in which a layer's weights are constrained.

Activations are float32, images first: [images, features] or [images, height, width, channels] (channels last keeps the
patches of a convolution contiguous; `export` in the scripts turns weights to the project's channels-first order).
`backward` takes the gradient of the output, leaves the gradients of the parameters in `Parameter.grad` and returns that
of the input. Forms are straight-through where they have no useful derivative (Courbariaux et al. 2015, 2016; Li and Liu
2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from workloads.network import Array, Shape

CORNERS = (0, 0), (0, 1), (1, 0), (1, 1)


class Form(Protocol):
    """How the stored numbers (`latent`) become the weights that the layer computes with."""

    def value(self, latent: Array) -> Array: ...
    def pull(self, latent: Array, grad: Array) -> Array: ...
    def settle(self, latent: Array) -> None: ...


class Dense:
    """The weights are the stored numbers."""

    def value(self, latent: Array) -> Array:
        return latent

    def pull(self, latent: Array, grad: Array) -> Array:
        return grad

    def settle(self, latent: Array) -> None:
        pass


@dataclass(frozen=True, eq=False)
class Masked(Dense):
    """Pruned: weights outside the mask are zero and stay zero."""

    mask: Array

    def pull(self, latent: Array, grad: Array) -> Array:
        return grad * self.mask

    def settle(self, latent: Array) -> None:
        latent *= self.mask


@dataclass(frozen=True, eq=False)
class Shared(Dense):
    """Weights share the values of a codebook. The stored numbers are the codebook, entry 0 is zero and stays zero."""

    index: Array

    def value(self, latent: Array) -> Array:
        return latent[self.index]

    def pull(self, latent: Array, grad: Array) -> Array:
        return np.bincount(self.index.ravel(), grad.ravel(), len(latent)).astype(np.float32)

    def settle(self, latent: Array) -> None:
        latent[0] = 0


class Binary(Dense):
    """+1 or -1: the sign of the stored numbers (zero is +1), which are kept in [-1, 1]."""

    def value(self, latent: Array) -> Array:
        return np.where(latent >= 0, np.float32(1), np.float32(-1))

    def settle(self, latent: Array) -> None:
        np.clip(latent, -1, 1, out=latent)


class ScaledBinary(Binary):
    """+-scale, one scale an output (first axis): the mean magnitude of its stored numbers (Rastegari et al. 2016)."""

    def value(self, latent: Array) -> Array:
        axes = tuple(range(1, latent.ndim))
        scale: Array = np.abs(latent).mean(axes, dtype=np.float64, keepdims=True).astype(np.float32)
        return np.where(latent >= 0, scale, -scale)


class Ternary(Dense):
    """0 or +-scale, after Li and Liu: threshold 0.7 of the mean magnitude, scale the mean of what exceeds it."""

    def value(self, latent: Array) -> Array:
        magnitude = np.abs(latent)
        kept = magnitude > 0.7 * magnitude.mean()
        scale = magnitude[kept].mean(dtype=np.float64).astype(np.float32) if kept.any() else np.float32(0)
        return np.where(kept, np.sign(latent) * scale, np.float32(0))


@dataclass(frozen=True)
class PowerOfTwo(Dense):
    """0 or +-2^e with e in `low..high`, rounded in the logarithmic domain; below half of 2^low is zero."""

    low: int
    high: int

    def value(self, latent: Array) -> Array:
        magnitude = np.abs(latent)
        exponent = np.clip(np.rint(np.log2(np.maximum(magnitude, 1e-12))), self.low, self.high)
        kept = magnitude >= 2.0 ** (self.low - 1)
        return np.where(kept, np.sign(latent) * np.exp2(exponent), 0).astype(np.float32)


@dataclass(eq=False)
class Parameter:
    """Stored numbers, their form, and the gradient of the last backward pass (of the stored numbers)."""

    latent: Array
    form: Form = field(default_factory=Dense)
    grad: Array = field(init=False)

    def __post_init__(self) -> None:
        self.latent = self.latent.astype(np.float32)
        self.grad = np.zeros_like(self.latent)

    @property
    def value(self) -> Array:
        return self.form.value(self.latent)

    def take(self, grad: Array) -> None:
        self.grad = self.form.pull(self.latent, grad)


class Node(Protocol):
    """A layer."""

    def forward(self, x: Array, training: bool) -> Array: ...
    def backward(self, grad: Array) -> Array: ...
    def parameters(self) -> list[Parameter]: ...


class Plain:
    """A layer without parameters."""

    def parameters(self) -> list[Parameter]:
        return []


class Linear:
    """`x @ weight.T + bias`; weight [outputs, inputs], He-initialised; no bias where a batch norm follows."""

    def __init__(self, outputs: int, inputs: int, rng: np.random.Generator, bias: bool = True) -> None:
        self.weight = Parameter(rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs)))
        self.bias = Parameter(np.zeros(outputs)) if bias else None
        self._seen: tuple[Array, Array] = (np.empty(0), np.empty(0))

    def parameters(self) -> list[Parameter]:
        return [self.weight, self.bias] if self.bias else [self.weight]

    def forward(self, x: Array, training: bool) -> Array:
        weight = self.weight.value
        if training:
            self._seen = x, weight
        y: Array = x @ weight.T
        return y + self.bias.value if self.bias else y

    def backward(self, grad: Array) -> Array:
        x, weight = self._seen
        self.weight.take(grad.T @ x)
        if self.bias:
            self.bias.take(grad.sum(0))
        back: Array = grad @ weight
        return back


class Conv:
    """Square convolution, stride 1, zero padding on all sides; weight [outputs, kernel, kernel, inputs]."""

    def __init__(
        self, outputs: int, inputs: int, kernel: int, pad: int, rng: np.random.Generator, bias: bool = True
    ) -> None:
        shape = outputs, kernel, kernel, inputs
        self.weight = Parameter(rng.normal(0, np.sqrt(2 / (kernel * kernel * inputs)), shape))
        self.bias = Parameter(np.zeros(outputs)) if bias else None
        self.kernel, self.pad = kernel, pad
        self._seen: tuple[Array, Array, Shape] = (np.empty(0), np.empty(0), ())

    def parameters(self) -> list[Parameter]:
        return [self.weight, self.bias] if self.bias else [self.weight]

    def forward(self, x: Array, training: bool) -> Array:
        weight = self.weight.value
        x = np.pad(x, ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.kernel, self.kernel), (1, 2))
        images, height, width = windows.shape[:3]
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(images * height * width, -1)
        rows = weight.reshape(len(weight), -1)
        if training:
            self._seen = patches, rows, x.shape
        y: Array = (patches @ rows.T).reshape(images, height, width, -1)
        return y + self.bias.value if self.bias else y

    def backward(self, grad: Array) -> Array:
        patches, rows, shape = self._seen
        flat = grad.reshape(-1, grad.shape[-1])
        self.weight.take((flat.T @ patches).reshape(len(rows), self.kernel, self.kernel, -1))
        if self.bias:
            self.bias.take(flat.sum(0))
        if shape[-1] == 1:  # the image itself needs no gradient
            return np.zeros(0, np.float32)
        back = (flat @ rows).reshape(*grad.shape[:3], self.kernel, self.kernel, -1)
        return self._scatter(back, shape)

    def _scatter(self, back: Array, shape: Shape) -> Array:
        """Sum of each pixel's gradients over the windows it stood in, padding cut off."""
        height, width = back.shape[1:3]
        total = np.zeros(shape, np.float32)
        for i in range(self.kernel):
            for j in range(self.kernel):
                total[:, i : i + height, j : j + width] += back[:, :, :, i, j]
        inner = slice(self.pad, -self.pad or None)
        return total[:, inner, inner]


class BatchNorm:
    """Per last axis: gamma * (x - mean) / sqrt(var + epsilon) + beta; running statistics serve outside of training."""

    epsilon = 1e-4
    momentum = 0.1

    def __init__(self, features: int) -> None:
        self.gamma, self.beta = Parameter(np.ones(features)), Parameter(np.zeros(features))
        self.mean, self.var = np.zeros(features, np.float32), np.ones(features, np.float32)
        self._seen: tuple[Array, Array] = (np.empty(0), np.empty(0))

    def parameters(self) -> list[Parameter]:
        return [self.gamma, self.beta]

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            scale, shift = self.affine()
            return x * scale + shift
        flat = x.reshape(-1, x.shape[-1])
        mean, var = flat.mean(0), flat.var(0)
        self.mean += self.momentum * (mean - self.mean)
        self.var += self.momentum * (var - self.var)
        scale = 1 / np.sqrt(var + np.float32(self.epsilon))
        normal: Array = (x - mean) * scale
        self._seen = normal, scale
        return normal * self.gamma.value + self.beta.value

    def backward(self, grad: Array) -> Array:
        normal, scale = self._seen
        axes = tuple(range(grad.ndim - 1))
        self.beta.take(grad.sum(axes))
        self.gamma.take((grad * normal).sum(axes))
        grad = grad * self.gamma.value
        back: Array = scale * (grad - grad.mean(axes) - normal * (grad * normal).mean(axes))
        return back

    def affine(self) -> tuple[Array, Array]:
        """The scale and shift that the layer is once trained: y = scale * x + shift."""
        scale = self.gamma.value / np.sqrt(self.var + np.float32(self.epsilon))
        return scale, self.beta.value - scale * self.mean


class Relu(Plain):
    """max(x, 0), or with `ceiling` a clamp to [0, ceiling]."""

    def __init__(self, ceiling: float = np.inf) -> None:
        self.ceiling = ceiling
        self._open = np.empty(0, bool)

    def forward(self, x: Array, training: bool) -> Array:
        self._open = (x > 0) & (x < self.ceiling)
        return np.clip(x, 0, np.float32(self.ceiling))

    def backward(self, grad: Array) -> Array:
        return grad * self._open


class Sign(Plain):
    """+1 where x > 0, else -1; the gradient passes where |x| <= 1 (straight-through)."""

    def __init__(self) -> None:
        self._open = np.empty(0, bool)

    def forward(self, x: Array, training: bool) -> Array:
        self._open = np.abs(x) <= 1
        return np.where(x > 0, np.float32(1), np.float32(-1))

    def backward(self, grad: Array) -> Array:
        return grad * self._open


class MaxPool(Plain):
    """2 x 2, stride 2; the gradient goes to the first of equal maxima."""

    def __init__(self) -> None:
        self._hits: list[Array] = []

    def forward(self, x: Array, training: bool) -> Array:
        corners = [x[:, i::2, j::2] for i, j in CORNERS]
        y: Array = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
        if training:
            self._hits, free = [], np.ones(y.shape, bool)
            for corner in corners:
                self._hits.append(free & (corner == y))
                free &= ~self._hits[-1]
        return y

    def backward(self, grad: Array) -> Array:
        images, height, width, channels = grad.shape
        back = np.empty((images, 2 * height, 2 * width, channels), np.float32)
        for (i, j), hit in zip(CORNERS, self._hits, strict=True):
            back[:, i::2, j::2] = grad * hit
        return back


class Flatten(Plain):
    """[images, height, width, channels] to [images, features], features in channels-first order as in the artifacts."""

    def __init__(self) -> None:
        self._shape: Shape = ()

    def forward(self, x: Array, training: bool) -> Array:
        x = x.transpose(0, 3, 1, 2)
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad: Array) -> Array:
        return grad.reshape(self._shape).transpose(0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class Scale(Plain):
    """Multiplication by a constant, to bring integer scores into the range of a softmax."""

    factor: float

    def forward(self, x: Array, training: bool) -> Array:
        return x * np.float32(self.factor)

    def backward(self, grad: Array) -> Array:
        return grad * np.float32(self.factor)


@dataclass(frozen=True, eq=False)
class Model:
    """Layers one after the other."""

    layers: Sequence[Node]

    def forward(self, x: Array, training: bool = False) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, grad: Array) -> None:
        for layer in reversed(self.layers):
            grad = layer.backward(grad)

    def parameters(self) -> list[Parameter]:
        return [parameter for layer in self.layers for parameter in layer.parameters()]

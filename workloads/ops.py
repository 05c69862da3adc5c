"""The layer kinds: what each one does to shapes, which parameters it has and how many multiply-accumulates it takes.

An op holds attributes only; its numbers are a layer's `params`, its arithmetic is `workloads.execute`. Shapes are those
of one image. Padding is given as all beginnings, then all ends: `(top, left, bottom, right)` in two dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from sim.errors import InputError
from workloads.tensor import Shape


@dataclass(frozen=True, slots=True)
class Op:
    """A layer kind. `output` raises a one-line InputError where the input shapes do not fit."""

    kind: ClassVar[str] = ""
    arity: ClassVar[tuple[int, int]] = (1, 1)

    def output(self, *inputs: Shape) -> Shape:
        """Output shape; the same as the input's unless a kind says otherwise."""
        return inputs[0]

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        """Shape of every parameter, by name."""
        return {}

    def macs(self, *inputs: Shape) -> int:
        """Multiply-accumulates of one image; zeros and padding count."""
        return 0


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """y = W x + b over the last axis; W is (outputs, inputs)."""

    outputs: int
    bias: bool = True
    kind: ClassVar[str] = "linear"

    def output(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.outputs)

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (self.outputs, inputs[0][-1])}
        return weight | ({"bias": (self.outputs,)} if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return prod(inputs[0]) * self.outputs


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """Convolution over (channels, *space); the weight is (outputs, channels/groups, *kernel)."""

    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0, 0, 0)
    groups: int = 1
    dilation: tuple[int, ...] = (1, 1)
    bias: bool = True
    kind: ClassVar[str] = "conv"

    def output(self, *inputs: Shape) -> Shape:
        _check_window(self.kernel, self.stride, self.padding, inputs[0])
        if len(self.dilation) != len(self.kernel) or min(self.dilation) < 1:
            raise InputError(f"dilation {self.dilation} does not fit kernel {self.kernel}")
        if self.groups < 1 or inputs[0][0] % self.groups or self.outputs % self.groups:
            raise InputError(f"{inputs[0][0]} to {self.outputs} channels cannot be cut into {self.groups} groups")
        space = windows(inputs[0][1:], reach(self.kernel, self.dilation), self.stride, self.padding)
        return (self.outputs, *space)

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (self.outputs, inputs[0][0] // self.groups, *self.kernel)}
        return weight | ({"bias": (self.outputs,)} if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return prod(self.output(*inputs)) * (inputs[0][0] // self.groups) * prod(self.kernel)


@dataclass(frozen=True, slots=True)
class ConvTranspose(Op):
    """Transposed convolution: every input value adds a scaled kernel. Weight (channels, outputs/groups, *kernel).

    `padding` is cut off the full result, `extra` values are added at each axis' end (ONNX's output_padding).
    """

    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0, 0, 0)
    groups: int = 1
    dilation: tuple[int, ...] = (1, 1)
    extra: tuple[int, ...] = (0, 0)
    bias: bool = True
    kind: ClassVar[str] = "convtranspose"

    def output(self, *inputs: Shape) -> Shape:
        _check_window(self.kernel, self.stride, self.padding, inputs[0])
        if self.groups < 1 or inputs[0][0] % self.groups or self.outputs % self.groups:
            raise InputError(f"{inputs[0][0]} to {self.outputs} channels cannot be cut into {self.groups} groups")
        half, extents = len(self.kernel), reach(self.kernel, self.dilation)
        cut = [self.padding[axis] + self.padding[half + axis] - self.extra[axis] for axis in range(half)]
        sizes = zip(inputs[0][1:], extents, self.stride, cut, strict=True)
        return (self.outputs, *((size - 1) * s + k - c for size, k, s, c in sizes))

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        weight = {"weight": (inputs[0][0], self.outputs // self.groups, *self.kernel)}
        return weight | ({"bias": (self.outputs,)} if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return prod(inputs[0]) * (self.outputs // self.groups) * prod(self.kernel)


@dataclass(frozen=True, slots=True)
class Matmul(Op):
    """Product of two activations, matrices in the last two axes, batched over the others like numpy's."""

    kind: ClassVar[str] = "matmul"
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def output(self, *inputs: Shape) -> Shape:
        a, b = inputs
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise InputError(f"cannot multiply shapes {_list(inputs)}")
        if len(a) > 2 and len(b) > 2 and any(m != n and 1 not in (m, n) for m, n in zip(a[-3::-1], b[-3::-1])):
            raise InputError(f"cannot multiply shapes {_list(inputs)}")
        longer, shorter = sorted((a[:-2], b[:-2]), key=len, reverse=True)
        padded = (1,) * (len(longer) - len(shorter)) + shorter
        return (*(max(m, n) for m, n in zip(longer, padded, strict=True)), a[-2], b[-1])

    def macs(self, *inputs: Shape) -> int:
        return prod(self.output(*inputs)) * inputs[0][-1]


@dataclass(frozen=True, slots=True)
class Einsum(Op):
    """A product of activations by index letters, as `abc,acd->abd`; one MAC per combination of all letters."""

    equation: str
    kind: ClassVar[str] = "einsum"
    arity: ClassVar[tuple[int, int]] = (1, 1 << 30)

    def sizes(self, *inputs: Shape) -> dict[str, int]:
        """Size of every letter."""
        terms = self.equation.split("->")[0].split(",")
        if len(terms) != len(inputs) or any(len(term) != len(shape) for term, shape in zip(terms, inputs, strict=True)):
            raise InputError(f"{self.equation} does not fit shapes {_list(inputs)}")
        pairs = [pair for term, shape in zip(terms, inputs, strict=True) for pair in zip(term, shape, strict=True)]
        sizes = dict(pairs)
        if any(sizes[letter] != size for letter, size in pairs):
            raise InputError(f"{self.equation} does not fit shapes {_list(inputs)}")
        return sizes

    def output(self, *inputs: Shape) -> Shape:
        sizes = self.sizes(*inputs)
        return tuple(sizes[letter] for letter in self.equation.split("->")[1]) or (1,)

    def macs(self, *inputs: Shape) -> int:
        return prod(self.sizes(*inputs).values()) if len(inputs) > 1 else 0


@dataclass(frozen=True, slots=True)
class Pool(Op):
    """Max or average over windows. `ceil` rounds the number of windows up (Caffe), else down (torch default).

    A window that would start beyond the padded beginning of the image is left out, as Caffe and torch do. Averages
    count padding zeros unless `include_pad` is false; what lies beyond the padding never counts.
    """

    mode: Literal["max", "avg"]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] = (0, 0, 0, 0)
    ceil: bool = False
    include_pad: bool = True
    dilation: tuple[int, ...] = ()
    kind: ClassVar[str] = "pool"

    def output(self, *inputs: Shape) -> Shape:
        _check_window(self.kernel, self.stride, self.padding, inputs[0])
        if self.dilation and (len(self.dilation) != len(self.kernel) or min(self.dilation) < 1):
            raise InputError(f"dilation {self.dilation} does not fit kernel {self.kernel}")
        space = windows(inputs[0][1:], reach(self.kernel, self.dilation), self.stride, self.padding, self.ceil)
        return (inputs[0][0], *space)


@dataclass(frozen=True, slots=True)
class Relu(Op):
    """max(x, 0)."""

    kind: ClassVar[str] = "relu"


@dataclass(frozen=True, slots=True)
class Sign(Op):
    """+1 where x >= 0, else -1."""

    kind: ClassVar[str] = "sign"


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Sum of all inputs, all of one shape."""

    kind: ClassVar[str] = "add"
    arity: ClassVar[tuple[int, int]] = (2, 1 << 30)

    def output(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) > 1:
            raise InputError(f"cannot add shapes {_list(inputs)}")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Inputs one after another along `axis` (0 = channels)."""

    axis: int = 0
    kind: ClassVar[str] = "concat"
    arity: ClassVar[tuple[int, int]] = (1, 1 << 30)

    def output(self, *inputs: Shape) -> Shape:
        if not 0 <= self.axis < len(inputs[0]):
            raise InputError(f"axis {self.axis} is outside shape {inputs[0]}")
        if len({(s[: self.axis], s[self.axis + 1 :]) for s in inputs}) > 1:
            raise InputError(f"cannot concatenate shapes {_list(inputs)} along axis {self.axis}")
        return (*inputs[0][: self.axis], sum(s[self.axis] for s in inputs), *inputs[0][self.axis + 1 :])


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """gamma (x - mean) / sqrt(var + epsilon) + beta, per channel (axis 0)."""

    epsilon: float = 1e-5
    kind: ClassVar[str] = "batchnorm"

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return dict.fromkeys(("gamma", "beta", "mean", "var"), inputs[0][:1])


@dataclass(frozen=True, slots=True)
class Lrn(Op):
    """x / (k + alpha/size * sum of x^2 over `size` neighbouring channels) ** beta, as in Caffe, torch and ONNX."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    kind: ClassVar[str] = "lrn"


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """All axes into one, in memory order."""

    kind: ClassVar[str] = "flatten"

    def output(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)


@dataclass(frozen=True, slots=True)
class Shuffle(Op):
    """Channel shuffle of ShuffleNet: channels seen as (groups, rest) become (rest, groups)."""

    groups: int
    kind: ClassVar[str] = "shuffle"

    def output(self, *inputs: Shape) -> Shape:
        if self.groups < 1 or inputs[0][0] % self.groups:
            raise InputError(f"{inputs[0][0]} channels cannot be shuffled in {self.groups} groups")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Lstm(Op):
    """An LSTM over (steps, features), or one step over (features,); the output is every step's h.

    Gates in the order input, forget, output, candidate, as NeuralTalk has them; h = o tanh(c), or o c without `tanh`.
    Further inputs h0 and c0 of shape (hidden,) start the state; it is zero otherwise. With `cell`, every step's c
    follows its h.
    """

    hidden: int
    tanh: bool = True
    bias: bool = True
    cell: bool = False
    kind: ClassVar[str] = "lstm"
    arity: ClassVar[tuple[int, int]] = (1, 3)

    def output(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) > 2 or any(shape != (self.hidden,) for shape in inputs[1:]):
            raise InputError(f"an LSTM of {self.hidden} units takes (steps, features), h and c, not {_list(inputs)}")
        return (*inputs[0][:-1], self.hidden * (2 if self.cell else 1))

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return _gate_weights(4, self.hidden, inputs[0][-1]) | ({"bias": (4 * self.hidden,)} if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return _gate_macs(4, self.hidden, inputs[0])


@dataclass(frozen=True, slots=True)
class Gru(Op):
    """A GRU over (steps, features); gates in the order update, reset, candidate; the output is every step's h.

    `late` applies the reset gate after the recurrent product (ONNX's linear_before_reset, cuDNN's form): the second
    bias, `recurrent_bias`, is then inside the gate. A second input of shape (hidden,) starts the state.
    """

    hidden: int
    late: bool = False
    bias: bool = True
    kind: ClassVar[str] = "gru"
    arity: ClassVar[tuple[int, int]] = (1, 2)

    def output(self, *inputs: Shape) -> Shape:
        return _states("a GRU", self.hidden, inputs)

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        biases = {"bias": (3 * self.hidden,), "recurrent_bias": (3 * self.hidden,)}
        return _gate_weights(3, self.hidden, inputs[0][-1]) | (biases if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return _gate_macs(3, self.hidden, inputs[0])


@dataclass(frozen=True, slots=True)
class Rnn(Op):
    """h = tanh(W x + R h + b), or relu with `function`, over (steps, features); a second input (hidden,) starts h."""

    hidden: int
    function: Literal["tanh", "relu"] = "tanh"
    bias: bool = True
    kind: ClassVar[str] = "rnn"
    arity: ClassVar[tuple[int, int]] = (1, 2)

    def output(self, *inputs: Shape) -> Shape:
        return _states("an RNN", self.hidden, inputs)

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return _gate_weights(1, self.hidden, inputs[0][-1]) | ({"bias": (self.hidden,)} if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return _gate_macs(1, self.hidden, inputs[0])


@dataclass(frozen=True, slots=True)
class Unsupported(Op):
    """An operator that is not computed here: its name, and the shape it is known to produce."""

    operator: str
    shape: tuple[int, ...]
    kind: ClassVar[str] = "unsupported"
    arity: ClassVar[tuple[int, int]] = (0, 1 << 30)

    def output(self, *inputs: Shape) -> Shape:
        return self.shape


def _states(name: str, hidden: int, inputs: tuple[Shape, ...]) -> Shape:
    """Shape of every step's h, of an input (steps, features) and perhaps a first h."""
    if len(inputs[0]) != 2 or any(shape != (hidden,) for shape in inputs[1:]):
        raise InputError(f"{name} of {hidden} units takes (steps, features) and h, not {_list(inputs)}")
    return (inputs[0][0], hidden)


def _gate_weights(gates: int, hidden: int, features: int) -> dict[str, Shape]:
    """Of all gates, one below the other: from the input, and from the h before."""
    return {"weight": (gates * hidden, features), "recurrent": (gates * hidden, hidden)}


def _gate_macs(gates: int, hidden: int, shape: Shape) -> int:
    return prod(shape[:-1]) * gates * hidden * (shape[-1] + hidden)


def reach(kernel: Shape, dilation: Shape) -> Shape:
    """Extent of a dilated window; no dilation is a dilation of 1."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation or (1,) * len(kernel), strict=True))


def windows(space: Shape, reach: Shape, stride: Shape, padding: Shape, ceil: bool = False) -> Shape:
    """Number of windows along each axis of `space`, each `reach` long, `stride` apart."""
    counts = []
    for axis, (size, k, s) in enumerate(zip(space, reach, stride, strict=True)):
        begin, end = padding[axis], padding[len(space) + axis]
        room = size + begin + end - k
        if room < 0:
            raise InputError(f"a window of {k} does not fit {size} values padded by {begin} and {end}")
        count = (-(-room // s) if ceil else room // s) + 1
        counts.append(count - 1 if ceil and (count - 1) * s >= size + begin else count)
    return tuple(counts)


def _check_window(kernel: Shape, stride: Shape, padding: Shape, shape: Shape) -> None:
    if len(shape) != len(kernel) + 1:
        raise InputError(f"a kernel {kernel} needs an input (channels, {len(kernel)} axes), not {shape}")
    if len(stride) != len(kernel) or min(stride) < 1 or min(kernel) < 1:
        raise InputError(f"stride {stride} does not fit kernel {kernel}")
    if len(padding) != 2 * len(kernel) or min(padding) < 0:
        raise InputError(f"padding {padding} of kernel {kernel} needs {2 * len(kernel)} counts, beginnings then ends")


def _list(shapes: tuple[Shape, ...]) -> str:
    return " and ".join(str(shape) for shape in shapes)

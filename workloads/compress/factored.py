"""Low-rank layers as the chains of smaller layers that compute them: what a machine runs instead of the expanded tensor.

| kind    | linear layer      | convolution                                                     |
|---------|-------------------|-----------------------------------------------------------------|
| svd     | two linear layers | k x k to r channels, 1 x 1                                      |
| spatial |                   | k x 1 to r channels, 1 x k                                      |
| cp      | two linear layers | 1 x 1 to r channels, k x 1 and 1 x k a channel at a time, 1 x 1 |
| tucker  |                   | 1 x 1, k x k, 1 x 1                                             |

Grouped or dilated convolutions, tensor trains and Kronecker products stay expanded.
"""

from dataclasses import replace

import numpy as np

from workloads.formats.factors import Factors
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear
from workloads.tensor import Array, Tensor, decode

ONE, NONE = (1, 1), (0, 0, 0, 0)


def factored(network: Network) -> Network:
    """The network with every low-rank layer as its chain; the last of a chain keeps the layer's name and bias."""
    layers: list[Layer] = []
    for layer in network.layers:
        layers += chain(layer)
    return Network(network.name, network.inputs, layers, network.notes)


def chain(layer: Layer) -> list[Layer]:
    """The layers that compute one layer; itself where it is no low-rank layer, or of a kind that stays expanded."""
    weight = layer.params.get("weight")
    if not isinstance(weight, Factors):
        return [layer]
    if isinstance(layer.op, Linear) and weight.kind in ("svd", "cp"):
        return _linear(layer, weight)
    plain = isinstance(layer.op, Conv) and layer.op.groups == 1 and layer.op.dilation == ONE
    if isinstance(layer.op, Conv) and plain and len(layer.op.kernel) == 2:
        match weight.kind:
            case "svd":
                return _svd(layer, layer.op, weight)
            case "spatial":
                return _spatial(layer, layer.op, weight)
            case "cp":
                return _cp(layer, layer.op, weight)
            case "tucker":
                return _tucker(layer, layer.op, weight)
    return [layer]


def _linear(layer: Layer, weight: Factors) -> list[Layer]:
    u, v = weight.factors
    first = v if weight.kind == "svd" else decode(v).T
    return _linked(layer, [(Linear(first.shape[0], False), first), (Linear(u.shape[0]), u)])


def _svd(layer: Layer, op: Conv, weight: Factors) -> list[Layer]:
    u, v = weight.factors
    kernels = decode(v).reshape(-1, *weight.shape[1:])
    return _linked(layer, [(replace(op, outputs=len(kernels), bias=False), kernels), _point(decode(u))])


def _spatial(layer: Layer, op: Conv, weight: Factors) -> list[Layer]:
    across, down = (decode(factor) for factor in weight.factors)
    return _linked(
        layer,
        [
            (_down(op, len(down)), down[:, :, :, None]),
            (_across(op, len(across)), across[:, :, None, :]),
        ],
    )


def _cp(layer: Layer, op: Conv, weight: Factors) -> list[Layer]:
    a, b, c, d = (decode(factor) for factor in weight.factors)
    r = a.shape[1]
    return _linked(
        layer,
        [
            _point(b.T),
            (replace(_down(op, r), groups=r), c.T[:, None, :, None]),
            (replace(_across(op, r), groups=r), d.T[:, None, None, :]),
            _point(a),
        ],
    )


def _tucker(layer: Layer, op: Conv, weight: Factors) -> list[Layer]:
    a, b, core = (decode(factor) for factor in weight.factors)
    return _linked(layer, [_point(b.T), (replace(op, outputs=len(core), bias=False), core), _point(a)])


def _point(matrix: Array) -> tuple[Conv, Array]:
    return Conv(len(matrix), ONE, ONE, NONE, bias=False), matrix[:, :, None, None]


def _down(op: Conv, outputs: int) -> Conv:
    top, _, bottom, _ = op.padding
    return replace(op, outputs=outputs, kernel=(op.kernel[0], 1), stride=(op.stride[0], 1),
                   padding=(top, 0, bottom, 0), bias=False)  # fmt: skip


def _across(op: Conv, outputs: int) -> Conv:
    _, left, _, right = op.padding
    return replace(op, outputs=outputs, kernel=(1, op.kernel[1]), stride=(1, op.stride[1]),
                   padding=(0, left, 0, right), bias=False)  # fmt: skip


def _linked(layer: Layer, parts: list[tuple[Linear | Conv, Tensor]]) -> list[Layer]:
    """Layers one after another; the last one has the layer's name and bias."""
    made: list[Layer] = []
    source = layer.inputs
    for number, (op, weight) in enumerate(parts):
        last = number == len(parts) - 1
        name = layer.name if last else f"{layer.name}.{number}"
        has_bias = last and bool(getattr(layer.op, "bias", False))
        params = {"weight": weight if not isinstance(weight, np.ndarray) else np.ascontiguousarray(weight)}
        extra = {"bias": layer.params["bias"]} if has_bias and "bias" in layer.params else {}
        made.append(replace(layer, name=name, op=replace(op, bias=has_bias), inputs=source, params={**params, **extra}))
        source = (name,)
    return made

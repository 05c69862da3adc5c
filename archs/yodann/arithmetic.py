"""Number formats of the chip, as integers in steps of 2^-9, and how the host prepares weights, scale, bias and pixels.

Pixels, scale and bias are Q2.9 (12 bit), channel sums Q7.9 (17 bit), scaled sums Q10.18 (29 bit), outputs Q2.9 again by
floor and clamp. |sum| <= 2^16, |alpha| <= 2^11 and |beta << 9| <= 2^20, so a scaled sum with its bias is at most
2^27 + 2^20 < 2^28: the 29 bits hold it, and no further bit is a question.
"""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from archs.yodann.kernel import quantise
from archs.yodann.settings import Yodann
from sim.errors import InputError
from workloads.formats.binary import Binary, magnitudes
from workloads.network import Array, Layer, Network
from workloads.ops import BatchNorm, Conv

FRACTION = 9
STEP = 2.0**-FRACTION
PIXEL = (-(2**11), 2**11 - 1)
SUM = (-(2**16), 2**16 - 1)


@dataclass(frozen=True, eq=False, slots=True)
class Filters:
    """What the chip and its scale-bias unit hold for a layer.

    `weight` float32 (co, ci/groups, kh, kw) of whole numbers: +-1, or Q2.9 steps in the fixed-point baseline, whose
    products have 18 fraction bits (`shift` 9 of them are dropped after the channel sum). `alpha`, `beta` int32 [co] in
    steps of 2^-9.
    """

    weight: Array
    alpha: Array
    beta: Array
    shift: int
    exact: bool
    """Whether weights, scale and bias are stored without any rounding."""
    notes: tuple[str, ...] = ()


def takes(network: Network, name: str) -> str:
    """Why the chip does not take a layer; empty where it does."""
    op = network.layer(name).op
    if not isinstance(op, Conv):
        return f"{op.kind} runs on the host"
    if len(op.kernel) != 2:
        return f"{len(op.kernel)}-D convolution; the chip's window is 2-D"
    if max(op.dilation) > 1:
        return f"dilation {op.dilation[0]} x {op.dilation[1]}; the chip's window is dense"
    return ""


def folded(network: Network, name: str) -> Layer | None:
    """The batch norm that the scale-bias unit absorbs: the only reader of convolution `name`."""
    readers = list(network.graph.successors(name))
    layer = network.layer(readers[0]) if len(readers) == 1 else None
    return layer if layer is not None and isinstance(layer.op, BatchNorm) else None


def output_name(network: Network, name: str) -> str:
    """The layer whose values convolution `name` puts out: itself, or the batch norm folded into it."""
    norm = folded(network, name)
    return norm.name if norm else name


def filters(spec: Yodann, network: Network, layer: Layer) -> Filters:
    """Weights, scale and bias of `layer`, with the batch norm behind it folded in."""
    scale, weight, exact = _weights(spec, layer)
    bias = layer.array("bias").astype(np.float64) if "bias" in layer.params else np.zeros(len(weight))
    norm = folded(network, layer.name)
    if norm is not None and norm.params:
        scale, bias = _absorb(norm, scale, bias)
    alpha, beta = _quantise(scale), _quantise(bias)
    rounded = bool((alpha * STEP != scale).any() or (beta * STEP != bias).any())
    notes: tuple[str, ...] = (f"{layer.name}: scale and bias rounded to Q2.9",) if rounded else ()
    clipped = int(((np.abs(scale) > 4) | (np.abs(bias) > 4)).sum())
    if clipped:
        notes += (f"{layer.name}: {clipped} channels have a scale or bias beyond +-4; clamped",)
    return Filters(weight, alpha, beta, FRACTION if spec.weights == "q2.9" else 0, exact and not rounded, notes)


def _weights(spec: Yodann, layer: Layer) -> tuple[Array, Array, bool]:
    """(float64 scale [co], weight in whole numbers, exact)."""
    tensor = layer.params["weight"]
    if spec.weights == "q2.9":
        real = np.asarray(layer.array("weight"), np.float64)
        fixed = _quantise(real)
        return np.ones(len(real)), fixed.astype(np.float32), bool((fixed * STEP == real).all())
    if isinstance(tensor, Binary):
        return tensor.scale.astype(np.float64), tensor.signs().astype(np.float32), True
    real = layer.array("weight")
    scale = magnitudes(real)
    if scale is None and spec.real_weights == "binarise":
        nearest = Binary.binarise(real)
        return nearest.scale.astype(np.float64), nearest.signs().astype(np.float32), False
    if scale is None:
        raise InputError(
            "its weights are not binary (one magnitude an output, no zeros): set real_weights=binarise to take signs and "
            "mean magnitudes, or take the 12-bit configuration q2.9-8x8",
            setting=layer.name,
        )
    return scale.astype(np.float64), np.copysign(np.float32(1), real), True


def _absorb(norm: Layer, scale: Array, bias: Array) -> tuple[Array, Array]:
    """Scale and bias of sum -> batch norm(scale * sum + bias)."""
    op = norm.op
    assert isinstance(op, BatchNorm)
    gain = norm.array("gamma") if "gamma" in norm.params else 1.0
    factor = np.asarray(gain / np.sqrt(norm.array("var") + op.epsilon), np.float64)
    offset = norm.array("beta") if "beta" in norm.params else 0.0
    return scale * factor, (bias - norm.array("mean")) * factor + offset


def _quantise(real: Array) -> Array:
    """Nearest Q2.9, int32."""
    return np.clip(np.rint(np.asarray(real, np.float64) / STEP), *PIXEL).astype(np.int32)


def fill(spec: Yodann, network: Network, seed: int = 0) -> Network:
    """The network with seeded weights, of the kind the chip stores, in every convolution that has none.

    Signs are fair; the scale keeps the variance of activations through ReLU layers and is a multiple of 2^-9.
    """
    lacking = [x for x in network.layers if not takes(network, x.name) and "weight" not in x.params]
    return network.replace({layer.name: _seeded(spec, network, layer, seed) for layer in lacking})


def _seeded(spec: Yodann, network: Network, layer: Layer, seed: int) -> Layer:
    op = layer.op
    assert isinstance(op, Conv)
    shape = op.parameters(*network.sources(layer.name))["weight"]
    rng = np.random.default_rng([seed, crc32(f"{layer.name}.weight".encode())])
    spread = (2 / np.prod(shape[1:])) ** 0.5
    if spec.weights == "q2.9":
        steps = np.clip(np.rint(rng.normal(0, spread / STEP, shape)), *PIXEL)
        return replace(layer, params={**layer.params, "weight": (steps * STEP).astype(np.float32)})
    scale = np.full(shape[0], max(1, round(spread / STEP)) * STEP)
    weight = Binary.of(rng.integers(0, 2, shape, np.int8).astype(bool), scale)
    return replace(layer, params={**layer.params, "weight": weight})


def to_pixels(spec: Yodann, real: Array) -> tuple[Array, int]:
    """Real numbers as Q2.9 steps in float32 (exact), and how many were clamped."""
    given = np.ascontiguousarray(real, np.float64 if real.dtype == np.float64 else np.float32)
    whole = np.empty(real.shape, np.float32)
    clamped = quantise(given.reshape(-1), 1 / STEP, spec.pixels == "truncate", whole.reshape(-1))
    return whole, clamped

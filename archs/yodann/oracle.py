"""The same numbers from the definition alone: plain integer convolution, one channel after the other.

Shares nothing with the datapath but the filters it is given: no blocks of outputs, no tiles, no bounds. A channel's
window sums are added into saturating Q7.9 accumulators in channel order, 32 channels a partial image; each is scaled,
truncated, clamped and added.
"""

import numpy as np

from archs.yodann.arithmetic import Filters
from archs.yodann.settings import Yodann
from workloads.network import Array
from workloads.ops import Conv

STRIPE_MACS = 2**18
"""MACs at a time: what stays in a cache, and in one thread of the BLAS. It changes nothing but the time."""


def convolve(spec: Yodann, op: Conv, filters: Filters, image: Array) -> Array:
    """Output int64 (co, height, width) in steps of 2^-9 of one int image (ci, height, width), same steps."""
    top, left, bottom, right = _padding(spec, op)
    padded = np.pad(np.asarray(image, np.int64), ((0, 0), (top, bottom), (left, right)))
    kh, kw = op.kernel
    size = [(padded.shape[1] - kh) // op.stride[0] + 1, (padded.shape[2] - kw) // op.stride[1] + 1]
    total = np.zeros((op.outputs, size[0] * size[1]), np.int64)
    bias = True
    for row, height in _pieces(kh):
        for column, width in _pieces(kw):
            rows, columns = range(row, row + height), range(column, column + width)
            if not _meets_image(padded, rows, columns, op, size, (top, left), image.shape):
                continue
            taps = np.stack([_plane(padded, y, x, op.stride, size) for y in rows for x in columns], axis=1)
            weight = filters.weight[:, :, row : row + height, column : column + width].reshape(
                *filters.weight.shape[:2], -1
            )
            _add(spec, op.groups, filters, weight, taps, total, bias)
            bias = False
    return total.reshape(op.outputs, *size)


def _add(spec: Yodann, groups: int, filters: Filters, weight: Array, taps: Array, total: Array, bias: bool) -> None:
    """Add the partial images of one kernel piece; `taps` is (ci, piece size, pixels)."""
    outputs, inputs = len(weight) // groups, weight.shape[1]
    for group in range(groups):
        outs = slice(group * outputs, (group + 1) * outputs)
        step = max(1, STRIPE_MACS // (outputs * taps.shape[1]))
        for pixel in range(0, taps.shape[2], step):
            span = slice(pixel, pixel + step)
            for first in range(0, inputs, spec.channels):
                channels = slice(first, min(first + spec.channels, inputs))
                chosen = slice(group * inputs + channels.start, group * inputs + channels.stop)
                sums = _accumulate(spec, filters.shift, weight[outs, channels], taps[chosen, :, span])
                beta = filters.beta[outs] if bias and first == 0 else np.zeros(outputs, np.int64)
                scaled = sums * filters.alpha[outs, None].astype(np.int64) + (beta.astype(np.int64)[:, None] << 9)
                image = np.clip(scaled >> 9, -2048, 2047)
                total[outs, span] += image
                if spec.host_add == "clamp":
                    total[outs, span] = np.clip(total[outs, span], -2048, 2047)


def _accumulate(spec: Yodann, shift: int, weight: Array, taps: Array) -> Array:
    """Q7.9 sums [co, pixels]: channel after channel, limited after each."""
    limit = 1 << (16 + shift)
    sums = np.zeros((len(weight), taps.shape[2]))
    weight, taps = weight.astype(np.float64), taps.astype(np.float64)  # integers below 2^53 are exact
    for channel in range(len(taps)):
        sums += weight[:, channel] @ taps[channel]
        if spec.summer == "saturate":
            np.clip(sums, -limit, limit - 1, out=sums)
        else:
            sums = (sums + limit) % (2 * limit) - limit
    return sums.astype(np.int64) >> shift


def _plane(padded: Array, y: int, x: int, stride: tuple[int, ...], size: list[int]) -> Array:
    """What kernel tap (y, x) sees at every output, (channels, pixels)."""
    rows = slice(y, y + (size[0] - 1) * stride[0] + 1, stride[0])
    columns = slice(x, x + (size[1] - 1) * stride[1] + 1, stride[1])
    return padded[:, rows, columns].reshape(len(padded), -1)


def _padding(spec: Yodann, op: Conv) -> tuple[int, ...]:
    top, left, bottom, right = op.padding
    for axis, (low, high) in enumerate(((top, bottom), (left, right))):
        size = op.kernel[axis]
        if spec.even_padding != "layer" and size % 2 == 0 and low + high == size - 1:
            low = size // 2 - (spec.even_padding == "high")
            top, left, bottom, right = (
                (low, left, size - 1 - low, right) if axis == 0 else (top, low, bottom, size - 1 - low)
            )
    return top, left, bottom, right


def _pieces(size: int) -> list[tuple[int, int]]:
    """(first, length) of the fewest pieces of at most 7, the longer ones first."""
    count = -(-size // 7)
    lengths = [size // count + (i < size % count) for i in range(count)]
    return [(sum(lengths[:i]), length) for i, length in enumerate(lengths)]


def _meets_image(
    padded: Array,
    rows: range,
    columns: range,
    op: Conv,
    size: list[int],
    before: tuple[int, int],
    shape: tuple[int, ...],
) -> bool:
    """Whether a kernel piece sees any pixel of the image at any position of stride 1 (else the chip leaves it out)."""
    last = padded.shape[1] - op.kernel[0] + rows[-1], padded.shape[2] - op.kernel[1] + columns[-1]
    return all(
        piece[0] < low + length and end >= low
        for piece, low, length, end in zip((rows, columns), before, shape[1:], last, strict=True)
    )

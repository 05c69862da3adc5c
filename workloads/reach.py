"""Which input pixels a layer looks at: all, but for strides beyond the kernel and rests that no window covers."""

from math import prod
from typing import Any

Shape = tuple[int, ...]


def pixels(op: Any, source: Shape, out: Shape) -> int:
    """Positions of `source` [channels, *space] that some window of a convolution or pooling covers."""
    pads = getattr(op, "padding", None) or (0,) * (2 * len(op.kernel))
    dilation = getattr(op, "dilation", (1,) * len(op.kernel))
    counts = []
    for axis, (size, width, step, apart) in enumerate(zip(source[1:], op.kernel, op.stride, dilation)):
        covered = {n * step + tap * apart - pads[axis] for n in range(out[1 + axis]) for tap in range(width)}
        counts.append(sum(0 <= place < size for place in covered))
    return prod(counts)

"""What a design takes of a device: LUTs, block RAMs, DSPs, by FINN-R's formulas and by those of the 2018 tool.

FINN-R: Blott et al., arXiv 1809.04570, as the open finn repository has them. Both are estimates before synthesis; the
README says how far they are from the six published and five post-route designs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log2

from archs.finn.chain import Matrix, Pooling, Unit
from archs.finn.fold import Fold
from archs.finn.spec import FinnSpec
from archs.finn.units import Process

LUTS_PER_OP_2018 = (0, 2.5, 4.1, 5.7, 7.3, 8.9, 10.5, 12.1, 13.7)
"""By weight bits * activation bits (Xilinx/finn e1f95162f, FINN/core/config.py)."""

LUTRAM_DEPTH = 64
"""Memories up to this deep sit in LUTs, deeper ones in block RAM."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device's LUTs, 36-kbit block RAMs and DSP slices."""

    luts: int
    brams: float
    dsps: int


DEVICES = {
    "xc7z020": Device(53_200, 140, 220),
    "xc7z045": Device(218_600, 545, 900),
    "zu3eg": Device(70_560, 216, 360),
}
"""Xilinx DS190 and DS891; PYNQ-Z1, ZC706, Ultra96."""


@dataclass(frozen=True, slots=True)
class Cost:
    """LUTs, 36-kbit block RAMs, DSP slices."""

    luts: float = 0.0
    brams: float = 0.0
    dsps: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.luts + other.luts, self.brams + other.brams, self.dsps + other.dsps)


def total(costs: Iterable[Cost]) -> Cost:
    """All of them together."""
    return sum(costs, Cost())


def of(process: Process, unit: Unit | None, fold: Fold | None, spec: FinnSpec) -> Cost:
    """The cost of one process."""
    if isinstance(unit, Matrix) and fold is not None:
        return matrix(unit, fold) if spec.resources == "finn-r" else matrix_2018(unit, fold)
    if isinstance(unit, Pooling):
        return Cost(unit.source[0] * unit.incoming.bits * (unit.source[1] // unit.window) / 32 + 100)
    if process.kind == "swu":
        return window(process, spec)
    if process.kind == "dwc":
        return Cost(process.in_width + process.out_width)
    return Cost(300.0 if process.kind == "dma" else 100.0)


def accumulator_bits(unit: Matrix, fold: Fold) -> int:
    """Bits of an accumulator over the layer's columns."""
    alpha = log2(fold.mw) + unit.weight_bits + unit.incoming.bits - 1 - (unit.weight_bits > 1)
    return ceil(alpha + log2(1 + 2**-alpha) + 1)


def matrix(unit: Matrix, fold: Fold) -> Cost:
    """FINN-R: multipliers, adder tree, accumulators, thresholds and comparators per PE; weights in LUTs or BRAM."""
    w, a, q = unit.weight_bits, unit.incoming.bits, fold.simd
    accumulator = accumulator_bits(unit, fold)
    multipliers = q * (2 * ceil((w + a) / 6) - 1) * (w + a)
    tree = (w + a) * (2 * q - 1)
    thresholds = unit.levels * accumulator * ceil(fold.nf / 64)
    compare = unit.levels * accumulator
    luts = 300 + 1.1 * fold.pe * (multipliers + tree + accumulator + thresholds + compare)
    return Cost(luts) + weights(fold, w)


def matrix_2018(unit: Matrix, fold: Fold) -> Cost:
    """The 2018 tool: operations per cycle times a cost per operation."""
    product = unit.weight_bits * unit.incoming.bits
    per_op = LUTS_PER_OP_2018[product] if product < len(LUTS_PER_OP_2018) else LUTS_PER_OP_2018[-1] * product / 8
    return Cost(2 * fold.pe * fold.simd * per_op) + weights(fold, unit.weight_bits)


def weights(fold: Fold, bits: int) -> Cost:
    """Weight memories, one per PE: `nf * sf` words of SIMD fields."""
    if fold.cycles <= LUTRAM_DEPTH:
        return Cost(luts=fold.pe * fold.simd * bits * ceil(fold.cycles / 64))
    return Cost(brams=fold.pe * brams18(fold.cycles, fold.simd * bits) / 2)


def brams18(depth: int, width: int) -> int:
    """18-kbit block RAMs of a memory, by the aspect ratios a block offers."""
    for most, blocks in ((1, 16384), (2, 8192)):
        if width <= most:
            return ceil(depth / blocks)
    if width <= 4:
        return ceil(depth / 4096) * ceil(width / 4)
    if width <= 9:
        return ceil(depth / 2048) * ceil(width / 9)
    if width <= 18 or depth > 512:
        return ceil(depth / 1024) * ceil(width / 18)
    return ceil(depth / 512) * ceil(width / 36)


def window(process: Process, spec: FinnSpec) -> Cost:
    """Sliding window unit: 300 LUTs and its line buffers; the HLS unit keeps kernel/stride + 1 blocks apart."""
    if process.view is None:
        return Cost(300)
    view, width = process.view, process.in_width
    if spec.window == "blocks":
        return Cost(300, (-(-view.kernel // view.stride) + 1) * ceil(view.read / 512) * ceil(width / 36) / 2)
    return Cost(300, brams18(view.words if spec.window == "frame" else view.fill, width) / 2)


def fifo(depth: int, width: int) -> Cost:
    """A FIFO: shift registers up to 256 deep, block RAM beyond."""
    luts = 2 * ceil(log2(max(2, depth)))
    return Cost(luts + ceil(depth / 32) * ceil(width / 2)) if depth <= 256 else Cost(luts, brams18(depth, width) / 2)

"""The loops of FINN's units: what one image makes each of them read and write, iteration by iteration.

A unit is one or more pipelined loops of one iteration per cycle. `reads[k]` and `writes[k]` are the stream words that
iteration k takes and makes. Sources: the FPGA 2017 paper, section 4; Xilinx/BNN-PYNQ and finn-hlslib (behaviour only).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from archs.finn.fold import Fold
from sim.errors import InputError

Pattern = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Loop:
    """One pipelined loop: words read and written per iteration, for one image."""

    reads: Pattern
    writes: Pattern


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window over a square image: `folds` words per pixel, `out` window positions a row."""

    size: int
    kernel: int
    stride: int
    out: int
    folds: int

    @property
    def fill(self) -> int:
        """Words before the first window: kernel rows."""
        return self.size * self.kernel * self.folds

    @property
    def write(self) -> int:
        """Window words per output row."""
        return self.out * self.kernel * self.kernel * self.folds

    @property
    def read(self) -> int:
        """Words of the `stride` new rows per output row."""
        return self.stride * self.size * self.folds

    @property
    def words(self) -> int:
        """Words of the image."""
        return self.size * self.size * self.folds


@dataclass(frozen=True, eq=False, slots=True)
class Process:
    """A unit between two streams: its loops for one image, `pipe` stages deep.

    `spanning`: its one loop runs over all images of a batch and never drains between them. Otherwise every loop of
    every image drains and `pause` idle cycles follow. Widths are in bits.
    """

    name: str
    kind: str
    loops: tuple[Loop, ...]
    pipe: int
    spanning: bool
    pause: int = 0
    in_width: int = 0
    out_width: int = 0
    activity: dict[str, int] = field(default_factory=dict)
    view: Window | None = None

    @property
    def words_in(self) -> int:
        return sum(int(loop.reads.sum()) for loop in self.loops)

    @property
    def words_out(self) -> int:
        return sum(int(loop.writes.sum()) for loop in self.loops)

    @property
    def iterations(self) -> int:
        return sum(len(loop.reads) for loop in self.loops)


def pattern(values: Iterable[int] | Pattern) -> Pattern:
    """A read-only int64 array."""
    array = np.ascontiguousarray(values, np.int64)
    array.setflags(write=False)
    return array


def mover(words: int, incoming: bool) -> Loop:
    """DMA: one memory word per cycle, in or out."""
    one, none = np.ones(words, np.int64), np.zeros(words, np.int64)
    return Loop(pattern(none if incoming else one), pattern(one if incoming else none))


@lru_cache(maxsize=256)
def convert(words: int, width: int, to_words: int, to_width: int) -> Loop:
    """Width converter: reads a word when it holds too few bits for one output word, writes one when it can.

    With widths that divide one another that is one cycle per narrow word. Bits left over at the image's end are dropped,
    missing ones filled up.
    """
    reads, writes = [], []
    held = taken = made = 0
    while taken < words or made < to_words:
        read = taken < words and (held < to_width or made == to_words)
        taken, held = taken + read, held + width * read
        write = made < to_words and (held >= to_width or taken == words)
        made, held = made + write, max(0, held - to_width * write)
        reads.append(int(read))
        writes.append(int(write))
    return Loop(pattern(reads), pattern(writes))


def multiply(fold: Fold, vectors: int) -> Loop:
    """Matrix unit: SF input words are read in the first of NF folds of the rows; a result word leaves every SF cycles."""
    reads = np.zeros((vectors, fold.nf, fold.sf), np.int64)
    writes = np.zeros_like(reads)
    reads[:, 0], writes[:, :, -1] = 1, 1
    return Loop(pattern(reads.ravel()), pattern(writes.ravel()))


def slide_blocks(w: Window) -> Loop:
    """The HLS unit since 2017-06: `kernel / stride + 1` line blocks; rows are read while windows are written.

    After the fill every iteration writes a window word; the first read-1 iterations of a block also read. A block's
    counter wraps one iteration short, so reading rows catches up over the frame.
    """
    after = w.out * max(w.write, w.read)
    reads = np.zeros(after, np.int64)
    writes = np.zeros(after, np.int64)
    left, block = w.words - w.fill, max(w.write, w.read) - 1
    if w.write >= w.read and block > 0:
        place = np.arange(after) % block
        wanted = np.flatnonzero(place < w.read - 1)
        writes[:] = 1
    else:  # more to read than to write: whole blocks, windows first
        place = np.arange(after) % max(w.write, w.read)
        wanted = np.arange(after)
        writes[place < w.write] = 1
    late = max(0, left - len(wanted))
    reads[wanted[:left]] = 1
    tail = np.ones(late, np.int64)
    fill, none = np.ones(w.fill, np.int64), np.zeros(w.fill, np.int64)
    return Loop(
        pattern(np.concatenate([fill, reads, tail])), pattern(np.concatenate([none, writes, np.zeros(late, np.int64)]))
    )


def slide_frame(w: Window) -> Loop:
    """The paper's unit: a whole frame is written to memory, then all windows are read from it, without overlap."""
    total = w.out * w.write
    reads = np.concatenate([np.ones(w.words, np.int64), np.zeros(total, np.int64)])
    return Loop(pattern(reads), pattern(1 - reads))


def slide_rtl(w: Window) -> Loop:
    """Today's RTL unit: windows start as soon as the first window's last pixel is there.

    Per output row it runs max(window words, new words) cycles; reading never waits for a block to end.
    """
    fill = ((w.kernel - 1) * w.size + w.kernel - 1 + 1) * w.folds
    after = w.out * max(w.write, w.read)
    place = np.arange(after) % max(w.write, w.read)
    writes = (place < w.write).astype(np.int64)
    reads = np.zeros(after, np.int64)
    reads[_spread(w, fill, after)] = 1
    return Loop(
        pattern(np.concatenate([np.ones(fill, np.int64), reads])),
        pattern(np.concatenate([np.zeros(fill, np.int64), writes])),
    )


def _spread(w: Window, fill: int, after: int) -> Pattern:
    """Iterations after the fill that read: as early as the buffer of one window's rows lets them."""
    left = w.words - fill
    return np.arange(min(left, after))


def gather(window: int, size: int) -> tuple[Loop, ...]:
    """Pooling: per pooled row `window` image rows are read into a row buffer, then the row is written; never both."""
    read = Loop(pattern(np.ones(window * size, np.int64)), pattern(np.zeros(window * size, np.int64)))
    write = Loop(pattern(np.zeros(size // window, np.int64)), pattern(np.ones(size // window, np.int64)))
    return (read, write) * (size // window)


def surround(size: tuple[int, int], padding: tuple[int, ...], folds: int) -> Loop:
    """Padding unit: one word per cycle of the padded image, read where it lies inside."""
    top, left, bottom, right = padding
    inside = np.zeros((size[0] + top + bottom, size[1] + left + right, folds), np.int64)
    inside[top : top + size[0], left : left + size[1]] = 1
    return Loop(pattern(inside.ravel()), pattern(np.ones(inside.size, np.int64)))


def check_pixels(channels: int, simd: int) -> int:
    """Words per pixel; the sliding window unit cuts between channels."""
    if channels % simd and simd % channels:
        raise InputError(f"SIMD {simd} does not divide {channels} channels", setting="simd")
    return max(1, channels // simd)

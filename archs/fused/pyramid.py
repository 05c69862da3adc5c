"""Pyramid geometry: which rows and columns of every map each pyramid computes, exact at the borders.

A group's final map is cut into tiles of `tile` x `tile`; going backwards, every layer's part of a pyramid follows from
its window: D_in = S * (D_out - 1) + K (Alwani et al., MICRO 2016, section III), clipped to the map. Rows and columns
are independent, so a *span* describes one axis: for pyramid row (or column) i, map `name` computes `[low, high)`.

With *reuse* a span is what no earlier pyramid computed; with *recompute* it is the whole part of the pyramid. `need`
is where the readers' windows begin: `[need, low)` must come from the buffers of the reuse model. A value that no
window ever looks at belongs to no pyramid and is not computed.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from archs.fused.stack import Group, Window

Ints = npt.NDArray[np.int64]
Scheme = Literal["reuse", "recompute", "baseline"]


@dataclass(frozen=True, eq=False)
class Span:
    """One map along one axis, an entry per pyramid row (or column): computes `[low, high)`, readers look from `need`."""

    low: Ints
    high: Ints
    need: Ints
    size: int

    @cached_property
    def fresh(self) -> Ints:
        """Values computed (or loaded) per pyramid."""
        return self.high - self.low

    @cached_property
    def frontier(self) -> Ints:
        """One past the last value known before each pyramid (reuse)."""
        return np.concatenate([[0], np.maximum.accumulate(self.high)[:-1]])

    @cached_property
    def kept(self) -> int:
        """Most values carried from one pyramid to the next (reuse), K - S for one reader away from the borders."""
        return int(np.maximum(self.high[:-1] - self.need[1:], 0).max(initial=0))

    @cached_property
    def distinct(self) -> int:
        """Values that some pyramid computes, each counted once."""
        before = np.concatenate([[0], np.maximum.accumulate(self.high)[:-1]])
        return int(np.maximum(self.high - np.maximum(self.low, before), 0).sum())


@dataclass(frozen=True, eq=False)
class Pyramids:
    """All pyramids of a group in raster order: spans of every map by rows and by columns."""

    group: Group
    tile: int
    scheme: Scheme
    rows: dict[str, Span]
    columns: dict[str, Span]

    @cached_property
    def count(self) -> tuple[int, int]:
        """Pyramid rows and columns."""
        return len(self.rows[self.group.last.name].low), len(self.columns[self.group.last.name].low)

    def fresh(self, name: str) -> Ints:
        """Pixels (of one map) that each pyramid computes or loads, in raster order."""
        return np.outer(self.rows[name].fresh, self.columns[name].fresh).ravel()

    def pixels(self, name: str) -> int:
        """Pixels of one map over all pyramids, recomputed ones each time."""
        return int(self.rows[name].fresh.sum()) * int(self.columns[name].fresh.sum())

    def distinct(self, name: str) -> int:
        """Pixels of one map that are computed at all."""
        return self.rows[name].distinct * self.columns[name].distinct

    def stored(self, name: str) -> Ints:
        """Pixels of one map that each pyramid is the first to compute, in raster order: what an exit writes."""
        return np.outer(_first(self.rows[name]), _first(self.columns[name])).ravel()


def _first(span: Span) -> Ints:
    return np.maximum(span.high - np.maximum(span.low, span.frontier), 0)


def pyramids(group: Group, tile: int, scheme: Scheme) -> Pyramids:
    """The pyramids of `group` for final tiles of `tile` x `tile`."""
    rows = _axis(group, tile, scheme, 0)
    square = all(node.windows[0] == node.windows[1] for node in group.nodes)
    square = square and all(shape[1] == shape[2] for shape in group.shapes.values())
    return Pyramids(group, tile, scheme, rows, rows if square else _axis(group, tile, scheme, 1))


def _axis(group: Group, tile: int, scheme: Scheme, axis: int) -> dict[str, Span]:
    """Spans of every map along one axis, from the last layer back to the entries."""
    final = group.last.shape[axis + 1]
    ends = np.minimum(np.arange(1, -(-final // tile) + 1, dtype=np.int64) * tile, final)
    spans: dict[str, Span] = {}
    for name in (*(node.name for node in reversed(group.nodes)), *group.entries):
        size = group.shapes[name][axis + 1]
        readers = [(spans[node.name], node.windows[axis]) for node in group.readers[name]]
        if not readers:  # other sinks advance in proportion to the last layer
            high = -(-ends * size // final)
            low = np.concatenate([[0], high[:-1]])
            spans[name] = Span(low, high, low, size)
        else:
            spans[name] = _behind(readers, size, name in group.exits, scheme)
    return spans


def _behind(readers: list[tuple[Span, Window]], size: int, leaves: bool, scheme: Scheme) -> Span:
    """The span of a map from those of its readers. A map that also leaves the group is computed to its end."""
    needs = [(span.low * w.stride - w.before).clip(0, size) for span, w in readers]
    reaches = [_reach(span, w, size) for span, w in readers]
    idle = [span.fresh == 0 for span, _ in readers]
    if scheme == "recompute":
        need = np.minimum.reduce([np.where(off, size, at) for at, off in zip(needs, idle, strict=True)])
        high = np.maximum.reduce([np.where(off, 0, at) for at, off in zip(reaches, idle, strict=True)])
        if leaves:
            high[-1] = size
            need = np.minimum(need, np.concatenate([[0], np.maximum.accumulate(high)[:-1]]))
        need = np.minimum(need, high)
        return Span(need, high, need, size)
    need = np.minimum.reduce(needs)
    high = np.maximum.accumulate(np.maximum.reduce(reaches))
    if leaves:
        high[-1] = size
    before = np.concatenate([[0], high[:-1]])
    low = before if leaves else np.minimum(np.maximum(before, need), high)
    return Span(low, high, np.minimum(need, low), size)


def _reach(span: Span, window: Window, size: int) -> Ints:
    """One past the last value that a reader has looked at after each pyramid."""
    end = (span.high - 1) * window.stride + window.reach - window.before
    return np.where(span.high > 0, end, 0).clip(0, size)


def sides(group: Group, tile: int) -> dict[str, int]:
    """Side of a whole pyramid at every map, unclipped: D_in = S * (D_out - 1) + K over its readers."""
    found: dict[str, int] = {}
    for name in (*(node.name for node in reversed(group.nodes)), *group.entries):
        windows = [(found[node.name], node.windows[0]) for node in group.readers[name]]
        found[name] = max((w.stride * (side - 1) + w.reach for side, w in windows), default=tile)
    return found

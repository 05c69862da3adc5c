"""Sequences over a batch of images: what happens once a pyramid, written out for few images and repeated for many."""

from dataclasses import dataclass

import numpy as np

from archs.fused.pyramid import Ints
from sim.rates import Rate, Repeat


@dataclass(frozen=True, slots=True)
class Batch:
    """`period` steps an image, `images` images, and `fill` more steps in which the last ones drain.

    A step sees the same work as one period earlier from step `fill` on, until the last image is in.
    """

    period: int
    fill: int
    images: int

    @property
    def written(self) -> int:
        """Images written out; where there are more, the others repeat."""
        return min(self.images, 1 + -(-self.fill // self.period))

    @property
    def steps(self) -> int:
        """All steps."""
        return self.period * self.images + self.fill

    @property
    def short(self) -> int:
        """Steps written out."""
        return self.period * self.written + self.fill

    def at(self, values: Ints, delay: int) -> Ints:
        """Values of a period by step, for who is `delay` steps late."""
        row = np.zeros(self.short, np.int64)
        row[delay : delay + self.period * self.written] = np.tile(values, self.written)
        return row

    def by_step(self, *rows: Ints) -> Rate:
        """Firings that happen `len(rows)` to a step, from their values by (written out) step."""
        flat, many = np.stack(rows, 1).astype(np.int64).ravel(), len(rows)
        if self.written == self.images:
            return flat
        head, body = self.fill * many, self.period * many
        return Repeat(flat[:head], flat[head : head + body], self._times, flat[head + body :])

    def by_image(self, values: Ints) -> Rate:
        """One firing a value, image after image."""
        values = np.asarray(values, np.int64)
        if self.written == self.images:
            return np.tile(values, self.images)
        return Repeat(values[:0], values, self._times, np.tile(values, self.written - 1))

    @property
    def _times(self) -> int:
        return self.images - self.written + 1

"""Which points are worth having: the Pareto set, the hypervolume it covers, and which parameters matter.

Objectives are numbers to minimise here (`Objective.sign` turns the others round), `[points, objectives]`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def pareto(values: Values) -> npt.NDArray[np.bool_]:
    """Points that no other beats or equals in everything; equal points are all kept."""
    import moocore

    if not len(values) or values.shape[1] == 1:
        return np.asarray(values[:, 0] == values[:, 0].min(initial=np.inf), bool)
    return np.asarray(moocore.is_nondominated(values, keep_weakly=True), bool)


def hypervolume(values: Values, best: Values, worst: Values) -> float:
    """Share of the box from `best` to `worst` that the points dominate: 0 to 1. A side without width counts as one."""
    import moocore

    inside = values[(values <= worst).all(axis=1)]
    if not len(inside):
        return 0.0
    width = worst - best
    scaled = np.where(width > 0, (inside - best) / np.where(width > 0, width, 1), 0.0)
    if len(best) == 1:
        return float(1 - scaled.min())
    return float(moocore.hypervolume(scaled, ref=np.ones(len(best))))


class Fronts:
    """A front per group of points that may be compared."""

    def __init__(self, objectives: int) -> None:
        self.objectives = objectives
        self.groups: dict[tuple[str, ...], Front] = {}

    def add(self, group: tuple[str, ...], values: Values) -> None:
        """Feasible points of one group."""
        self.groups.setdefault(group, Front(self.objectives)).add(values)

    @property
    def feasible(self) -> int:
        """Points of all groups."""
        return sum(front.feasible for front in self.groups.values())

    @property
    def hypervolume(self) -> float:
        """Mean of all groups."""
        return float(np.mean([front.hypervolume for front in self.groups.values()])) if self.groups else 0.0


class Front:
    """The front so far, of points as they come; the box spans all feasible points seen."""

    def __init__(self, objectives: int) -> None:
        self.values = np.zeros((0, objectives))
        self.best, self.worst = np.full(objectives, np.inf), np.full(objectives, -np.inf)
        self.feasible = 0

    def add(self, values: Values) -> None:
        """Feasible points."""
        if len(values):
            self.feasible += len(values)
            self.best, self.worst = (
                np.minimum(self.best, values.min(axis=0)),
                np.maximum(self.worst, values.max(axis=0)),
            )
            both = np.unique(np.concatenate([self.values, values]), axis=0)
            self.values = both[pareto(both)]

    @property
    def hypervolume(self) -> float:
        """Of the front so far, in the box so far."""
        return hypervolume(self.values, self.best, self.worst) if self.feasible else 0.0


def importance(settings: Sequence[Mapping[str, Any]], values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Share of an objective's variance (of its logarithm, where all are positive) that each parameter explains alone.

    Exact on a full grid: the variance of the means over each of its values. Values of a range are put into ten groups.
    """
    if len(values) < 2:
        return {}
    seen = np.log(values) if (values > 0).all() else values
    whole = float(seen.var()) if len(np.unique(seen)) > 1 else 0.0
    names = list(dict.fromkeys(name for chosen in settings for name in chosen))
    return {
        name: _explained(_groups([s.get(name) for s in settings]), seen) / whole if whole else 0.0 for name in names
    }


def _groups(values: Sequence[Any]) -> npt.NDArray[np.int64]:
    """A group number per value: the value itself where there are few, else tenths of the order."""
    known = {text: n for n, text in enumerate(dict.fromkeys(map(str, values)))}
    plain = np.array([known[str(value)] for value in values])
    if len(known) <= max(10, len(values) // 20) or not all(isinstance(v, int | float) for v in values):
        return plain
    order = np.argsort(np.argsort(np.array(values, float), kind="stable"), kind="stable")
    return order * 10 // len(values)


def _explained(groups: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> float:
    counts = np.bincount(groups)
    sums = np.bincount(groups, values)
    held = counts > 0
    means = sums[held] / counts[held]
    return float(np.average((means - values.mean()) ** 2, weights=counts[held]))

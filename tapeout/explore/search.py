"""A study from its file to its front: ask, look into the store, hand out what is not there, keep what comes back."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, nearest
from tapeout.explore import sharing, workers
from tapeout.explore.front import Fronts
from tapeout.explore.methods import Outcome, rounds
from tapeout.explore.point import DONE, FAILED, Point, Row, evaluate, forget, summed
from tapeout.explore.space import Assignment, Axis
from tapeout.explore.store import TEXTS, Store
from tapeout.explore.study import Plan, Study, made_of, point
from tapeout.sources import code

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Tally:
    """What a study knows of its points while it runs: an outcome per key, the front, and how many failed or were lost."""

    front: Fronts
    outcomes: dict[str, Outcome | None] = field(default_factory=dict)
    asked: dict[str, None] = field(default_factory=dict)
    networks: dict[str, Assignment] = field(default_factory=dict)
    """By a point's workload: the workload of the study, and the parameters that made the one of the other."""
    counted: int = 0
    failed: int = 0
    lost: int = 0
    fresh: int = 0
    first_s: float | None = None
    worker_s: float = 0.0
    cpu_s: float = 0.0


def judge(study: Study, row: Mapping[str, Any]) -> Outcome | None:
    """What a row is worth to this study; None where it failed or lacks an objective."""
    names = {name: value for name, value in row.items() if name not in TEXTS and value is not None}
    found = {metric: summed(names, metric) for metric in study.metrics}
    values = [found[objective.metric] for objective in study.objectives]
    if row["status"] != DONE or any(value is None or not isfinite(value) for value in values):
        return None
    missed = 0.0
    for constraint in study.constraints:
        value, (low, high) = found[constraint.metric], constraint.bounds()
        over = float("inf") if value is None else max(low - value, value - high, 0.0)
        missed += over / (abs(high if isfinite(high) else low) or 1.0)
    signs = [objective.sign for objective in study.objectives]
    group = tuple(row[name] for name in study.apart)
    return Outcome(tuple(sign * float(value or 0) for sign, value in zip(signs, values)), missed, group)


def explore(plan: Plan, out: Path, jobs: int, scheduler: str | None, told: Progress) -> Tally:
    """Run every point of the study that the store in `out` does not hold yet. Raises InputError; an interrupt passes."""
    began, study = time.perf_counter(), plan.study
    store, tally = Store(out / "store"), Tally(Fronts(len(study.objectives)))
    with ExitStack() as stack:
        folder = stack.enter_context(workers.shared_folder())
        sharing.use(folder)
        stack.callback(sharing.use, "")
        start: Callable[[], Executor] = partial(workers.local, jobs)
        if scheduler is not None:
            executor, jobs = stack.enter_context(workers.cluster(scheduler))
            start = partial(_same, executor)
        forget()
        seconds = probe(plan)
        _remember(store, study, tally)
        team = workers.Workers(start, jobs, folder, code() if scheduler else "")
        stack.callback(team.close)
        size = study.budget or plan.space.size()
        pace = Pace(seconds)
        method, answer = rounds(plan), None
        while True:
            try:
                asked = method.send(answer)
            except StopIteration:
                return tally
            keys: list[str] = []
            for rows, spent, gone in team.rows(chunks(study, tally, asked, keys, pace)):
                if rows:
                    store.append(rows)
                    pace.seen(len(rows), spent.wall_s)
                    tally.worker_s += spent.wall_s
                    tally.cpu_s += spent.cpu_s
                    tally.first_s = tally.first_s or time.perf_counter() - began
                _count(study, tally, rows, len(gone))
                told(_line(tally), tally.counted, size)
            answer = [tally.outcomes.get(key) for key in keys] if study.learns else None


def _same(executor: Executor) -> Executor:
    return executor


@dataclass(slots=True)
class Pace:
    """Seconds a point takes, as measured, and so how many make a chunk."""

    seconds: float

    def seen(self, points: int, seconds: float) -> None:
        """A chunk came back."""
        self.seconds += 0.3 * (seconds / points - self.seconds)

    @property
    def limit(self) -> int:
        """Points of a chunk."""
        return max(1, min(1000, int(workers.SECONDS / max(self.seconds, 1e-6))))


def chunks(
    study: Study, tally: Tally, asked: Iterable[Assignment], keys: list[str], pace: Pace
) -> Iterator[workers.Chunk]:
    """Points that nobody has done, cut so that those that share a network and its encoding stay together.

    Every point's key goes to `keys`, in the order in which they were asked.
    """
    todo = _todo(study, tally, asked, keys)
    piece: workers.Chunk = []
    for _, group in groupby(todo, key=lambda pair: pair[1].group):
        while more := list(islice(group, pace.limit)):
            if piece and len(piece) + len(more) > pace.limit:
                yield piece
                piece = []
            piece = piece + more
    if piece:
        yield piece


def _todo(study: Study, tally: Tally, asked: Iterable[Assignment], keys: list[str]) -> Iterator[tuple[str, Point]]:
    for chosen in asked:
        this = point(study, chosen)
        key = this.key
        if this.workload not in tally.networks:
            tally.networks[this.workload] = made_of(study, chosen)
        if study.learns:
            keys.append(key)
        new = key not in tally.asked
        tally.asked[key] = None
        if new and key in tally.outcomes:
            tally.counted += 1
            _add(tally, [tally.outcomes[key]])
        elif new:
            yield key, this


def _remember(store: Store, study: Study, tally: Tally) -> None:
    """Outcomes of all points that the store holds, whichever study did them."""
    for part in store.rows({"key", "status", "arch", "workload", *study.metrics}, study.metrics):
        beyond = [m for m in study.metrics if m.startswith(("layers.", "arch.")) and m not in part.columns]
        for row in part.iter_rows(named=True):
            if row["status"] == FAILED or not beyond:
                tally.outcomes[row["key"]] = judge(study, row)


def _count(study: Study, tally: Tally, rows: Sequence[Row], lost: int) -> None:
    tally.lost += lost
    tally.counted += len(rows) + lost
    tally.fresh += len(rows)
    tally.failed += sum(row["status"] == FAILED for row in rows)
    outcomes = {row["key"]: judge(study, row) for row in rows}
    if study.learns:
        tally.outcomes |= outcomes
    _add(tally, outcomes.values())


def _add(tally: Tally, outcomes: Iterable[Outcome | None]) -> None:
    good = [outcome for outcome in outcomes if outcome is not None and outcome.missed == 0]
    for group in dict.fromkeys(outcome.group for outcome in good):
        tally.front.add(group, np.array([outcome.values for outcome in good if outcome.group == group]))


def _line(tally: Tally) -> str:
    """Progress in words."""
    return f"{tally.front.feasible:,} feasible, hypervolume {tally.front.hypervolume:.4f}, {tally.failed} failed"


def probe(plan: Plan) -> float:
    """Seconds that a point takes, networks loaded; InputError where no accelerator has a metric the study speaks of."""
    known: set[str] = set()
    seconds = 0.0
    for arch in plan.study.arch:
        for share in (0, -1, 1):
            chosen = plan.space.walk(partial(_sample, arch, share))
            this = point(plan.study, chosen)
            if (row := evaluate(this, "probe"))["status"] == DONE:
                began = time.perf_counter()
                evaluate(this, "probe")
                seconds = max(seconds, time.perf_counter() - began)
                known |= {name for name, value in row.items() if name not in TEXTS and value is not None}
                if not _unknown(plan, known):
                    break
    if known and (missing := _unknown(plan, known)):
        raise InputError(f"{missing[0]}: no such figure; {nearest(missing[0], known)}", where=plan.source)
    return seconds or 0.01


def _unknown(plan: Plan, known: set[str]) -> list[str]:
    """Metrics of the study that no point has shown."""
    return [metric for metric in plan.study.metrics if summed(dict.fromkeys(known, 0.0), metric) is None]


def _sample(arch: str, share: int, axis: Axis) -> Any:
    values = axis.domain.ends()
    return arch if axis.name == "arch" else values[min(share, len(values) - 1)]

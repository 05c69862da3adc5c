"""STUDY.yaml: what is varied, what is wanted, what is allowed, and how points are chosen. Read strictly, checked early.

question: "Which queue depth and SRAM width does AlexNet fc7 want?"
arch: eie                                   # or a list; NAME:CONFIG as in `tapeout run`
workload: alexnet-fc7                       # or a list
settings: {overflow: assume}                # the same for every point
compress: ["prune(density={kept})", "share(bits={weight_bits})"]    # optional; as for `tapeout compress --apply`
parameters:        # settings of the accelerator, density.weight, density.activation, names in `compress` (or both)
  queue_depth: [2, 4, 8, 16]
  clock: {low: 200 MHz, high: 1.6 GHz, log: true, steps: 4}
  pes: {low: 8, high: 64, when: {arch: eie}}    # whole numbers; only where `arch` is eie
  kept: [0.05, 0.1]
  weight_bits: [3, 4]
objectives: [{minimise: time_s}, {maximise: ops_per_j}]
constraints: [{metric: area_m2, most: 50 mm2}]
method: grid                                # random, sobol, tpe, nsga2, gp
budget: 2000                                # points
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

import archs
from sim.config import Document, Spec, make, read_yaml
from sim.errors import InputError, nearest
from sim.result import UNITS
from sim.units import parse
from tapeout.explore.point import Point, own, spec
from tapeout.explore.space import Axis, Range, Space, Values
from workloads.compress.steps import parse_step

DENSITIES = ("density.weight", "density.activation")
ITEM = re.compile(r"(.+?)\.(\d+)\.(.+)")
"""A parameter may be a setting of a list's item: `fold.layers.0.pe`."""
NAMED = re.compile(r"\{([^{}]*)\}")
METHODS = Literal["grid", "random", "sobol", "tpe", "nsga2", "gp"]

Texts = Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v), Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]


class Objective(Spec):
    """One metric to minimise or to maximise."""

    minimise: str | None = None
    maximise: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.minimise is None) == (self.maximise is None):
            raise ValueError("allowed: one of minimise and maximise")
        return self

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.minimise or self.maximise or ""

    @property
    def sign(self) -> int:
        """What a value is multiplied with to be minimised."""
        return 1 if self.minimise else -1


class Constraint(Spec):
    """A metric's least and most value, SI numbers or texts with a unit."""

    metric: str
    least: float | str | None = None
    most: float | str | None = None

    def bounds(self) -> tuple[float, float]:
        """(least, most) as SI numbers; infinite where there is none."""
        unit = UNITS.get(self.metric, "")
        low, high = (parse(v, unit) if isinstance(v, str) else v for v in (self.least, self.most))
        return (float("-inf") if low is None else low), (float("inf") if high is None else high)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            low, high = self.bounds()
        except KeyError:
            raise ValueError(f"{self.metric} is a number without a unit of ours; allowed: a bare number") from None
        except InputError as error:
            raise ValueError(error.message) from None
        if self.least is None and self.most is None:
            raise ValueError("allowed: least, most or both")
        if low > high:
            raise ValueError(f"nothing is at least {_said(self.least)} and at most {_said(self.most)}")
        return self


def _said(value: float | str | None) -> str:
    return value if isinstance(value, str) else f"{value:g}"


class Study(Spec):
    """A study as written; `Plan` is what becomes of it."""

    question: Annotated[str, Field(min_length=1)]
    arch: Texts
    workload: Texts
    settings: Mapping[str, Any] = Field(default_factory=dict)
    compress: tuple[str, ...] = ()
    """Steps on every workload; one that names a parameter which is not active is left out."""
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    constraints: tuple[Constraint, ...] = ()
    apart: tuple[Literal["workload", "arch"], ...] = ()
    """Points are compared only with those of the same workload (a density is another workload) or accelerator."""
    method: METHODS = "grid"
    budget: Count | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    batch: Count = 1
    numbers: bool = False
    """Run the datapath too, and prove every point: slow, but gives accuracy, sqnr_db and saturations."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [objective.metric for objective in self.objectives]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]} is an objective twice; allowed: once")
        return self

    @property
    def compressing(self) -> tuple[str, ...]:
        """Parameters that compression steps name."""
        return tuple(dict.fromkeys(name for step in self.compress for name in NAMED.findall(step)))

    @property
    def learns(self) -> bool:
        """Whether the method asks what it asks because of what came back."""
        return self.method not in ("grid", "random", "sobol")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics the study speaks of, objectives first."""
        named = [o.metric for o in self.objectives] + [c.metric for c in self.constraints]
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class Plan:
    """A study that was checked, and the space its parameters span."""

    study: Study
    space: Space
    source: str


def read(path: str | Path) -> Plan:
    """The study in a file; every mistake that shows without running a point is an InputError that points into it."""
    document = read_yaml(path)
    study = make(Study, document)
    axes = [Axis("arch", Values(values=study.arch)), Axis("workload", Values(values=study.workload))]
    for name, written in study.parameters.items():
        axes.append(_axis(document, name, written, axes))
    _check_steps(document, study, axes)
    _check_arms(document, study, axes)
    space = Space.of(axes, _first(study))
    space = Space.of(axes, _first(study), _last(study, space))
    plan = Plan(study, space, str(path))
    _check_method(document, study, plan.space)
    return plan


def _axis(document: Document, name: str, written: Any, before: Iterable[Axis]) -> Axis:
    """One parameter: a list of values, or a table of Range or of Values, each with `when`."""
    at = ("parameters", name)
    if name in ("arch", "workload"):
        raise document.error(f"stands beside the parameters: {name}: [...]", at)
    if not isinstance(written, Mapping):
        written = {"values": written if isinstance(written, tuple) else (written,)}
    table, when = {k: v for k, v in written.items() if k != "when"}, written.get("when") or {}
    kind: type[Values] | type[Range] = Values if "values" in table else Range
    marks = {place[2:]: mark for place, mark in document.marks.items() if place[:2] == at}
    try:
        domain: Values | Range = make(kind, Document(document.path, table, marks))
    except InputError as error:
        raise InputError(error.message, where=error.where, setting=f"parameters.{name}") from None
    if name in DENSITIES and not all(type(end) in (int, float) and 0 <= end <= 1 for end in domain.ends()):
        raise document.error("allowed: numbers from 0 to 1", at)
    if not isinstance(when, Mapping):
        raise document.error("allowed: {parameter: value or list}", (*at, "when"))
    known = {axis.name: axis for axis in before}
    for other, value in when.items():
        if other not in known:
            raise document.error(f"no parameter before it; {nearest(other, known)}", (*at, "when", other))
        for each in value if isinstance(value, tuple) else (value,):
            if not known[other].domain.holds(each):
                ends = ", ".join(map(str, known[other].domain.ends()))
                raise document.error(f"{other} is never {each}; allowed: {ends}", (*at, "when", other))
    return Axis(name, domain, {o: v if isinstance(v, tuple) else (v,) for o, v in when.items()})


def _check_steps(document: Document, study: Study, axes: Iterable[Axis]) -> None:
    """Every compression step can be read with every value that may stand in it, all others at their first."""
    known = {axis.name: axis.domain.ends() for axis in axes}
    for n, step in enumerate(study.compress):
        for name in (names := NAMED.findall(step)):
            if name not in study.parameters:
                raise document.error(f"no such parameter; {nearest(name, study.parameters)}", ("compress", n))
        for name in names or [""]:
            for value in known.get(name, [None]):
                try:
                    parse_step(written(step, {other: known[other][0] for other in names} | {name: value}))
                except InputError as error:
                    raise document.error(
                        f"{error.setting}: {error.message}".removeprefix(": "), ("compress", n)
                    ) from None


def written(step: str, chosen: Mapping[str, Any]) -> str:
    """A compression step with its parameters' values."""
    return NAMED.sub(lambda found: f"{value:g}" if isinstance(value := chosen[found[1]], float) else str(value), step)


def _check_arms(document: Document, study: Study, axes: Sequence[Axis]) -> None:
    """Every accelerator exists, and takes every setting and every value that may reach it."""
    for n, text in enumerate(study.arch):
        try:
            name, _, config = text.partition(":")
            archs.settings(name, config or None, own(name, study.settings))
        except InputError as error:
            at = ("settings", error.setting) if error.setting in study.settings else ("arch", n)
            raise document.error(error.message, at) from None
        for axis in axes:
            apart = ("arch", "workload", *DENSITIES, *(n for n in study.compressing if not _sets(name, n)))
            if axis.name not in apart and axis.reaches(text, {each.name: each for each in axes}):
                _check_values(document, name, config or None, axis)


def _sets(arch: str, name: str) -> bool:
    """Whether the accelerator has such a setting."""
    return name.partition(".")[0] in archs.find(arch).SPEC.model_fields


def _check_values(document: Document, name: str, config: str | None, axis: Axis) -> None:
    if ITEM.fullmatch(axis.name) and axis.name.partition(".")[0] in archs.find(name).SPEC.model_fields:
        return  # a list can be checked as a whole only
    for value in axis.domain.ends():
        try:
            archs.settings(name, config, own(name, {axis.name: value}))
        except InputError as error:
            if error.message.startswith("unknown setting"):
                allowed = [*archs.find(name).SPEC.model_fields, *DENSITIES]
                message = f"{name} has no such setting; {nearest(axis.name, allowed)}"
                raise document.error(message, ("parameters", axis.name)) from None
            if error.setting == axis.name:  # a value that is wrong whatever the others are
                raise document.error(error.message, ("parameters", axis.name)) from None


def _check_method(document: Document, study: Study, space: Space) -> None:
    if study.method == "grid":
        if open_ := [axis.name for axis in space.axes if axis.domain.count is None]:
            raise document.error("a grid needs `steps` of a range", ("parameters", open_[0]))
        if study.budget is not None and (size := space.size()) > study.budget:
            raise document.error(f"the grid has {size} points; allowed: {study.budget} (budget)", ("budget",))
    elif study.apart and study.learns:
        raise document.error(f"{study.method} looks for one front; allowed: grid, random, sobol", ("apart",))
    elif study.budget is None:
        raise document.error(f"missing; {study.method} needs a number of points", ("budget",))


def _first(study: Study) -> tuple[str, ...]:
    """What decides which network is loaded and how it is encoded, outermost first: points that agree in it share it."""
    encoding = [s for text in study.arch for s in getattr(archs.find(text.partition(":")[0]), "ENCODING", ())]
    return tuple(dict.fromkeys(("workload", *DENSITIES, *study.compressing, "arch", *encoding)))


def _last(study: Study, space: Space) -> set[str]:
    """Parameters that change prices alone at the first point of every accelerator: neighbours then share their times."""
    found = []
    for text in study.arch:
        plugin = archs.find(text.partition(":")[0])
        first = point(study, space.walk(partial(_first_of, text)))
        try:
            found.append(set(plugin.prices(spec(first)) if hasattr(plugin, "prices") else ()))
        except InputError:
            found.append(set())
    return set.intersection(*found)


def _first_of(arch: str, axis: Axis) -> Any:
    return arch if axis.name == "arch" else axis.domain.ends()[0]


def point(study: Study, chosen: Mapping[str, Any]) -> Point:
    """The point that an assignment means; densities and compression steps become part of the workload's name."""
    only = {n for n in study.compressing if not _sets(chosen["arch"].partition(":")[0], n)}
    varied = {n: value for n, value in chosen.items() if n not in {"arch", "workload", *DENSITIES} | only}
    settings = dict(study.settings) | gathered(varied)
    wanted = tuple(name for name in study.metrics if name.startswith(("layers.", "arch.")))
    network = workload(study, chosen)
    return Point(chosen["arch"], network, tuple(settings.items()), study.seed, study.batch, study.numbers, wanted)


def made_of(study: Study, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What `workload` looks at."""
    return {name: chosen[name] for name in ("workload", *DENSITIES, *study.compressing) if name in chosen}


def workload(study: Study, chosen: Mapping[str, Any]) -> str:
    """The workload that an assignment means, as `tapeout run` takes it."""
    given = [f"{name.partition('.')[2]}={chosen[name]:g}" for name in DENSITIES if name in chosen]
    steps = [written(step, chosen) for step in study.compress if all(name in chosen for name in NAMED.findall(step))]
    drawn = f"{chosen['workload']}@{','.join(given)}" if given else chosen["workload"]
    return "|".join((drawn, *steps))


def gathered(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a list's items as that list: `fold.layers.0.pe`, `fold.layers.1.pe` as `fold.layers`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        item = ITEM.fullmatch(name)
        if item:
            found.setdefault(item[1], {}).setdefault(int(item[2]), {})[item[3]] = value
        else:
            found[name] = value
    lists = {item[1] for name in settings if (item := ITEM.fullmatch(name))}
    return {name: [value[n] for n in sorted(value)] if name in lists else value for name, value in found.items()}

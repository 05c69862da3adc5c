"""The only way in: simulate one design, or execute a network on a machine and assemble the result."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

from sim import verdict
from sim.errors import DesignError
from sim.graph import Design
from sim.plan import Array, Behaviour, Machine, Phase, Plan
from sim.result import Request, Result, assemble, metrics
from sim.timeline import Closed, Timeline

Engine = Literal["fast", "des"]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are."""


KEPT_EVENTS = 50_000_000
"""Firings of one run whose times (16 bytes each) are kept after it; of later phases only what a result needs."""


def simulate(design: Design, engine: Engine = "fast", values: "object | None" = None) -> Timeline:
    """Run a design to its end on the compiled recurrence ("fast") or the simpy engine ("des"): the same times.

    `values` (des only) sends real values through the FIFOs: see `sim.des.run`. Raises DesignError where the design
    breaks its contract, DeadlockError where it cannot finish.
    """
    design.check()
    if engine not in ("fast", "des"):
        raise DesignError(f"{design.name}: engine is {engine!r}; allowed: fast, des")
    if engine == "des":
        from sim import des

        return Timeline(design, design, des.run(design, values))  # type: ignore[arg-type]
    from sim import periodic

    return periodic.run(design)


@dataclass(frozen=True, eq=False, slots=True)
class Timing:
    """A plan, when everything in it happens, and the cycles of one image when a long batch is under way, by phase."""

    plan: Plan
    timelines: Sequence[Timeline]
    steady: Sequence[float]


def timing(
    arch: Any, spec: Any, network: Any, seen: Mapping[str, Array], request: Request,
    progress: Progress = lambda what, done, steps: None, walls: dict[str, float] | None = None,
) -> Timing:  # fmt: skip
    """Build and simulate alone. `seen` are the inputs and the activations that are known; `walls` gets the seconds."""
    walls = {} if walls is None else walls
    with _timed(walls, "build"):
        plan: Plan = arch.build(spec, network, seen)
    with _timed(walls, "engine"):
        timelines = _simulated(plan, request.engine, request.check, progress)
        steady = [_steady(phase, line) for phase, line in zip(plan, timelines, strict=True)]
    return Timing(plan, timelines, steady)


def execute(
    arch: Any,
    spec: Any,
    network: Any,
    inputs: Mapping[str, Array],
    request: Request,
    machine: Machine | None = None,
    floats: Mapping[str, Array] | None = None,
    labels: Array | None = None,
    progress: Progress = lambda what, done, steps: None,
    timed: Timing | None = None,
) -> Result:
    """Run `network` on the plug-in `arch` (see sim.plan) and assemble the result.

    `machine` replaces the plug-in's own (another energy table); `floats` are all layers in floating point, for
    fidelity; `labels` are the images' classes, for accuracy; `timed` is what `timing` gave for these settings, or for
    others that differ in `arch.prices` alone. Raises CheckError where `request.check` finds the engines,
    the access counts or the values that went through the FIFOs to differ.
    """
    walls: dict[str, float] = {}
    computed = judged = checks = None
    references: Mapping[str, Array] = {}
    with _timed(walls, "encode"):
        if hasattr(arch, "prepare"):
            arch.prepare(spec, network)
    if not request.timing_only:
        with _timed(walls, "compute"):
            computed = arch.compute(spec, network, inputs)
        with _timed(walls, "reference"):
            references = arch.reference(spec, network, inputs)
            judged = verdict.judge(computed, references, floats)
    seen = {**inputs, **computed.activations} if computed else inputs
    timed = timed or timing(arch, spec, network, seen, request, progress, walls)
    plan, timelines = timed.plan, timed.timelines
    if request.check:
        small = computed is not None and computed.counts is not None and hasattr(arch, "values")
        behaviours: Sequence[Behaviour | None] = arch.values(spec, network, inputs) if small else (None,) * len(plan)
        with _timed(walls, "check"):
            _check_times(plan, timelines, behaviours, request.engine, progress)
        checks = {
            "engines_equal": True,
            "accesses_equal": (computed is not None and verdict.same_counts(plan, computed)) or None,
            "values_equal": verdict.same_values(behaviours, references) or None,  # null: too large to be compared
        }
    chip = machine or arch.machine(spec)
    result = assemble(
        request,
        chip,
        plan,
        timelines,
        timed.steady,
        order={layer.name: layer.op.kind for layer in network.layers},
        skips=arch.skips(spec, network),
        computed=computed,
        verdict=judged,
        checks=checks,
        extras=arch.extras(spec, network, seen, plan, timelines, chip) if hasattr(arch, "extras") else None,
        own=metrics(Path(arch.__file__).with_name("metrics.yaml")),
    )
    if hasattr(arch, "needs"):
        verdict.check_needs(result.data, arch.needs(spec, network, seen))
    scores = _scores(network, computed.outputs) if computed else None
    if scores is not None and labels is not None:
        scores = arch.ranked(network, scores) if hasattr(arch, "ranked") else scores
        result.data["accuracy"] = verdict.accuracy(scores, labels)
    result.run["wall_s"] = walls
    return replace(result, outputs=_last(network, computed.outputs) if computed else None)


def _last(network: Any, outputs: Mapping[str, Array]) -> Array | None:
    """The raw numbers of the last layer that the machine computed."""
    return next((outputs[layer.name] for layer in reversed(network.layers) if layer.name in outputs), None)


def _scores(network: Any, outputs: Mapping[str, Array]) -> Array | None:
    """What the last computed layer gives, if it holds the network's scores: nothing behind it multiplies or shrinks."""
    for layer in reversed(network.layers):
        if layer.name in outputs:
            whole = prod(network.shapes[layer.name]) == prod(network.shapes[network.layers[-1].name])
            return outputs[layer.name] if whole else None
        if network.macs(layer.name):
            return None
    return None


@contextmanager
def _timed(walls: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    walls[name] = time.perf_counter() - began


def _simulated(plan: Plan, engine: Engine, whole: bool, progress: Progress) -> list[Timeline]:
    """Every phase's timeline; beyond KEPT_EVENTS those of single images are closed, unless all are needed `whole`."""
    lines: list[Timeline] = []
    events = 0
    for n, phase in enumerate(plan):
        progress(phase.name, n, len(plan))
        line = simulate(phase.design, engine)
        events += sum(stage.firings * stage.lanes for stage in phase.design.stages.values())
        lines.append(line if whole or phase.sink or events <= KEPT_EVENTS else Closed(line))
    return lines


def _steady(phase: Phase, line: Timeline) -> float:
    """Cycles of one image when a long batch is under way: a period of `phase.steady`, else the phase's own share."""
    if phase.steady is None:
        return line.cycles / phase.images
    found = simulate(phase.steady).period
    if found is None:
        raise DesignError(f"{phase.steady.name}: a steady design must be periodic: give it more repetitions")
    cycles, repetitions = found
    return cycles / repetitions


def _check_times(
    plan: Plan,
    timelines: Sequence[Timeline],
    behaviours: Sequence[Behaviour | None],
    engine: Engine,
    progress: Progress,
) -> None:
    """Every event again on the other engine, CheckError where one differs; values go through the FIFOs."""
    for n, (phase, line, behaviour) in enumerate(zip(plan, timelines, behaviours, strict=True)):
        progress(f"{phase.name}, both engines", n, len(plan))
        verdict.same_times(line, simulate(phase.design, "des", behaviour.stages if behaviour else None))
        if engine == "des":
            verdict.same_times(line, simulate(phase.design, "fast"))

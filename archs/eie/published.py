"""Our values for the rows of published.yaml.

A published layer is a density, an activation density and one unknown vector, so ours is the median over seeds 0-8 of
seeded layers with the row and column spread of pruned layers. `fitted` rows scale the density, seed by seed, until the
theoretical time is the published one: what remains to be checked there is the ratio of actual to theoretical.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import exp, fsum, log
from pathlib import Path
from statistics import median
from typing import Any

from archs import eie
from archs.published import Row
from sim.config import read_yaml
from sim.energy import Interval
from sim.errors import InputError, nearest
from sim.run import simulate
from workloads import generate
from workloads.load import load
from workloads.network import Layer, Network

SEEDS = range(9)
SPEC = eie.SPEC()
BASELINES: dict[str, Any] = read_yaml(Path(__file__).with_name("baselines.yaml")).data


@dataclass(frozen=True, slots=True)
class Run:
    """One seeded layer: theoretical and actual seconds, and core joules over the range of their constants."""

    theoretical_s: float
    actual_s: float
    energy: Interval

    @property
    def energy_j(self) -> float:
        return self.energy.nominal


def measure(row: Row) -> float:
    """The value that stands beside `row.value`, in the row's unit."""
    if row.metric not in METRICS:
        raise InputError(f"{row.id}: unknown metric {row.metric}; {nearest(row.metric, METRICS)}")
    return METRICS[row.metric](row.workload or "")


@cache
def runs(workload: str, fitted: bool = False) -> tuple[Run, ...]:
    """One run per seed."""
    return tuple(_fitted(workload, seed) if fitted else _run(workload, seed) for seed in SEEDS)


_load = lru_cache(maxsize=1)(load)  # the runs of one fit follow one another


def _layer(network: Network) -> Layer:
    return next(layer for layer in network.layers if layer.op.kind == "linear")


def _run(workload: str, seed: int, density: float | None = None) -> Run:
    made = _load(workload, seed)
    network = made.network
    if density is not None:
        network = _with_density(network, _layer(network), density, seed)
    phase = eie.build(SPEC, network, made.inputs)[0]
    work, seconds = phase.layers[0], simulate(phase.design).cycles / SPEC.clock
    theory = (work.macs_useful + work.macs_wasted["filler"]) / SPEC.pes / SPEC.clock
    joules = eie.machine(SPEC).energy.price(phase.design.activity(), seconds, "core").interval
    return Run(theory, seconds, joules)


def _with_density(network: Network, layer: Layer, density: float, seed: int) -> Network:
    shape = layer.op.parameters(*network.sources(layer.name))["weight"]
    weight = generate.sparse(generate.generator(seed, f"{layer.name}.weight"), shape, density)
    return network.with_params({layer.name: {"weight": weight}})


def _fitted(workload: str, seed: int) -> Run:
    """Density scaled by secant steps until the theoretical time is within 0.1 % of the published one."""
    target = _published("theoretical", workload)
    run, density = runs(workload)[seed], (_layer(_load(workload, seed).network).density or {})["weight"]
    power = 1.0
    for _ in range(6):
        miss = log(target / run.theoretical_s)
        if abs(miss) < 1e-3:
            break
        tried = density * exp(miss / power)
        again = _run(workload, seed, tried)
        power = log(again.theoretical_s / run.theoretical_s) / log(tried / density)
        run, density = again, tried
    return run


def _published(what: str, workload: str) -> float:
    """Seconds of Table IV."""
    return float(BASELINES["time_us"][what][BASELINES["layers"].index(workload)]) * 1e-6


def _microseconds(pick: Callable[[Run], float], fitted: bool = False) -> Callable[[str], float]:
    return lambda workload: median(pick(run) for run in runs(workload, fitted)) * 1e6


def _ratio(workload: str) -> float:
    return median(run.actual_s / run.theoretical_s for run in runs(workload))


def _actual_s() -> list[float]:
    return [median(run.actual_s for run in runs(layer)) for layer in BASELINES["layers"]]


def _geomean(values: Sequence[float]) -> float:
    return exp(fsum(log(value) for value in values) / len(values))


def _speedup(platform: str) -> Callable[[str], float]:
    """Geometric mean over the nine layers of a platform's published time over ours."""
    return lambda _: _geomean([
        us * 1e-6 / ours for us, ours in zip(BASELINES["time_us"][platform], _actual_s(), strict=True)
    ])  # fmt: skip


def _table_speedup(_: str) -> float:
    """The same within Table IV: what its own rows say."""
    times = BASELINES["time_us"]
    return _geomean([cpu / ours for cpu, ours in zip(times["cpu_dense"], times["actual"], strict=True)])


def _efficiency(joules: Sequence[float]) -> float:
    """Geometric mean of CPU joules over EIE joules."""
    cpu = zip(BASELINES["cpu_power_w"], BASELINES["time_us"]["cpu_dense"], strict=True)
    return _geomean([watts * us * 1e-6 / ours for (watts, us), ours in zip(cpu, joules, strict=True)])


def _constant_power(_: str) -> float:
    """Fig. 7's convention: 0.600 W times the time."""
    return _efficiency([0.600 * seconds for seconds in _actual_s()])


def _counted(_: str) -> float:
    """Energy from the accesses that our runs count."""
    return _efficiency([median(run.energy_j for run in runs(layer)) for layer in BASELINES["layers"]])


def _over_gpu(_: str) -> float:
    return _constant_power("") / _geomean(BASELINES["efficiency_over_cpu_dense"]["gpu_dense"])


def _power_w(workload: str) -> float:
    return median(run.energy_j / run.actual_s for run in runs(workload))


METRICS: dict[str, Callable[[str], float]] = {
    "theoretical_time": _microseconds(lambda run: run.theoretical_s),
    "actual_time": _microseconds(lambda run: run.actual_s),
    "actual_over_theoretical": _ratio,
    "fitted_actual_time": _microseconds(lambda run: run.actual_s, fitted=True),
    "speedup_over_cpu_dense": _speedup("cpu_dense"),
    "speedup_over_gpu_dense": _speedup("gpu_dense"),
    "speedup_over_mgpu_dense": _speedup("mgpu_dense"),
    "speedup_within_table": _table_speedup,
    "efficiency_over_cpu_dense": _constant_power,
    "efficiency_over_gpu_dense": _over_gpu,
    "efficiency_over_cpu_dense_counted": _counted,
    "frames_per_s": lambda workload: 1 / median(run.actual_s for run in runs(workload)),
    "power": _power_w,
    "mean_power": lambda _: median(_power_w(layer) for layer in BASELINES["layers"]),
    "frames_per_j": lambda workload: 1 / (0.59 * median(run.actual_s for run in runs(workload))),
    "area": lambda _: float(eie.machine(SPEC).resources["area_m2"]) * 1e6,
    "peak": lambda _: 2 * SPEC.pes * SPEC.clock / 1e9,
}

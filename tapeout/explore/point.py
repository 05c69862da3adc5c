"""One point of a study: what it is called, and what it is worth. This is what worker processes run.

A point's figures are those of `tapeout run --timing-only` of the same settings; networks, encodings and activations are
kept between points, since all points of a study on one network share them. A point that fails is a row with its reason.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import archs
from sim.errors import InputError, SimError
from sim.plan import Array
from sim.result import Request, Source
from sim.run import Timing, execute, timing
from tapeout.explore import memory, sharing
from tapeout.session import filled, priced
from tapeout.sources import code
from workloads.load import Workload
from workloads.network import Network

Row = dict[str, Any]
FAILED = "failed"
"""The point cannot be: a row with the reason. A point that was lost with its worker is no row: it is tried again."""
DONE = "done"


class Cost(NamedTuple):
    """Seconds by the wall and of this process's own time."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Point:
    """An accelerator, its settings, a workload and how it runs. `wanted` are metrics to keep beside the total's."""

    arch: str
    workload: str
    settings: tuple[tuple[str, Any], ...]
    seed: int = 0
    batch: int = 1
    numbers: bool = False
    wanted: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that remakes it."""
        words = ["tapeout", "run", self.arch, self.workload]
        words += [word for name, value in self.settings for word in ("--set", f"{name}={_text(value)}")]
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--batch", str(self.batch)] if self.batch > 1 else []
        return shlex.join(words + ([] if self.numbers else ["--timing-only"]))

    @property
    def group(self) -> tuple[str, ...]:
        """Points of one group share a network and its encoding."""
        settings = dict(self.settings)
        encoding = getattr(archs.find(self.arch.partition(":")[0]), "ENCODING", ())
        return self.workload, self.arch, *(repr(settings.get(name)) for name in encoding)

    @property
    def key(self) -> str:
        """Content hash of the code, the resolved settings and the workload: the same point in every study."""
        try:
            settings: Any = spec(self).model_dump(mode="json")
        except InputError:
            settings = [self.settings]
        file = dict(self.settings).get("energy") or (settings.get("energy") if isinstance(settings, dict) else None)
        said = {
            "code": code(),
            "arch": self.arch.partition(":")[0],
            "settings": settings,
            "energy": hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None,
            "workload": sharing.digest(self.workload),
            "run": [self.seed, self.batch, self.numbers],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def spec(point: Point) -> Any:
    """The accelerator's settings at this point, checked."""
    name, _, config = point.arch.partition(":")
    return archs.settings(name, config or None, own(name, dict(point.settings)))


def own(arch: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the accelerator knows itself: `energy`, a file of prices, may be given to any."""
    known = "energy" in archs.find(arch).SPEC.model_fields
    return {name: value for name, value in settings.items() if known or name != "energy"}


def evaluate(point: Point, key: str = "") -> Row:
    """The row of a point: never an exception of ours, so that one bad point costs no study."""
    row: Row = {
        "key": key or point.key,
        "arch": point.arch,
        "workload": point.workload,
        "settings": json.dumps(dict(point.settings), sort_keys=True),
        "status": DONE,
        "why": "",
    }
    try:
        return row | _figures(point)
    except (SimError, MemoryError, ArithmeticError, ValueError, LookupError, TypeError) as error:
        said = str(error) if isinstance(error, SimError) else f"{type(error).__name__}: {error}"
        return row | {"status": FAILED, "why": " ".join(said.split())[:500]}


def _figures(point: Point) -> dict[str, float | None]:
    settings = spec(point)
    name = point.arch.partition(":")[0]
    plugin = archs.find(name)
    file = None if "energy" in plugin.SPEC.model_fields else dict(point.settings).get("energy")
    machine, prices = priced(plugin.machine(settings), file, getattr(settings, "energy", None))
    work = _workload(point.workload, point.seed, point.batch)
    network = _network(plugin, settings, work, point)
    request = Request(
        arch=name,
        config=settings.model_dump(mode="json") | prices,
        workload=Source(work.name, work.source, work.sha256),
        inputs_sha256="",
        images=len(next(iter(work.inputs.values()))),
        engine="fast",
        seed=point.seed,
        check=False,
        timing_only=not point.numbers,
    )
    inputs = _seen(plugin, settings, network, work, point)
    timed = None if point.numbers else _timed(plugin, settings, network, inputs, request, point)
    result = execute(plugin, settings, network, inputs, request, machine, labels=work.labels, timed=timed)
    if not result.data["total"]["macs"]:
        raise InputError(f"{name} takes no layer of it", where=point.workload)
    total: dict[str, float | None] = dict(flat(result.data))
    return total | {metric: figure(result.data, metric) for metric in point.wanted}


@lru_cache(maxsize=2)
def _workload(text: str, seed: int, batch: int) -> Workload:
    """A workload that points share; two, so that neighbours in the grid find theirs."""
    return sharing.load(text, seed, batch)


def forget() -> None:
    """Begin anew: files may have changed since the last study of this process."""
    sharing.digest.cache_clear()
    _workload.cache_clear()
    for kept in (_FILLED, _SEEN, _TIMED):
        kept.clear()


_FILLED: dict[str, tuple[Any, Network]] = {}
_SEEN: dict[str, tuple[Any, Mapping[str, Array]]] = {}
_TIMED: dict[str, tuple[Any, Timing]] = {}
"""The last network, activations and times of each accelerator: those that its next point needs, as points are ordered."""


def _network(plugin: Any, settings: Any, work: Workload, point: Point) -> Network:
    """The network as `tapeout run` has it: with seeded tensors where it has none and where they matter."""
    if not point.numbers and not hasattr(plugin, "VALUES"):
        return work.network
    kind = _untimed(plugin, settings) if hasattr(plugin, "fill") else ""
    key = (point.workload, point.seed, point.batch, kind)
    if plugin.__name__ not in _FILLED or _FILLED[plugin.__name__][0] != key:
        _FILLED[plugin.__name__] = key, filled(plugin, settings, work.network, point.seed)
    return _FILLED[plugin.__name__][1]


def _untimed(plugin: Any, settings: Any) -> str:
    """The settings that cycles depend on."""
    names = plugin.prices(settings) if hasattr(plugin, "prices") else ()
    return repr(settings.model_copy(update=dict.fromkeys(names)))


def _timed(
    plugin: Any, settings: Any, network: Network, inputs: Mapping[str, Array], request: Request, point: Point
) -> Timing:
    """Plan and timelines, shared with the point before where only prices changed since."""
    key = (point.workload, point.seed, point.batch, _untimed(plugin, settings))
    if plugin.__name__ not in _TIMED or _TIMED[plugin.__name__][0] != key:
        _TIMED.pop(plugin.__name__, None)
        _TIMED[plugin.__name__] = key, timing(plugin, settings, network, inputs, request)
    return _TIMED[plugin.__name__][1]


def _seen(plugin: Any, settings: Any, network: Network, work: Workload, point: Point) -> Mapping[str, Array]:
    """The inputs, with every layer's activations where the machine's timing depends on them: computed once."""
    if point.numbers or not hasattr(plugin, "VALUES"):
        return work.inputs
    key = (point.workload, point.seed, point.batch, *(getattr(settings, name) for name in plugin.VALUES))
    if plugin.__name__ not in _SEEN or _SEEN[plugin.__name__][0] != key:
        activations = plugin.compute(settings, network, work.inputs).activations
        _SEEN[plugin.__name__] = key, {**work.inputs, **activations}
    return _SEEN[plugin.__name__][1]


def flat(data: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number of the total by its dotted name, and what a run with numbers adds."""
    yield from _flat(data["total"], "")
    for part in ("accuracy", "fidelity", "equivalence"):
        yield from _flat(data.get(part) or {}, "")


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and isfinite(value):
            yield prefix + name, float(value)


def figure(data: Mapping[str, Any], metric: str) -> float | None:
    """A metric of the result: of the total, or from the top (`layers.fc7.stalls.blocked`); a table is summed.

    `traffic_bytes.dram` is the sum of all that begin so. None where the machine has no such figure.
    """
    layers = {layer["name"]: layer for layer in data["layers"] if "skipped" not in layer}
    settings = dict(_flat(data["arch"]["config"], "arch.config."))
    names = dict(_flat(layers, "layers.")) | settings | dict(flat(data))
    return summed(names, metric)


def summed(names: Mapping[str, float], metric: str) -> float | None:
    """The figure of that name, or the sum of all figures whose names go on after it."""
    if metric in names:
        return names[metric]
    parts = [value for name, value in names.items() if name.startswith(f"{metric}.")]
    return float(sum(parts)) if parts else None


def chunk(points: Sequence[tuple[str, Point]], folder: str, made_by: str) -> tuple[list[Row], Cost]:
    """Rows of several points and what they took, in a worker that shares networks through `folder`.

    A worker elsewhere is told by which code the study was `made_by`: another would give other figures under its keys.
    """
    if made_by and code() != made_by:
        raise InputError("runs another version of this code than the study", where="worker")
    memory.keep()
    if sharing.use(folder):
        forget()
    began, used = perf_counter(), process_time()
    rows = [evaluate(point, key) for key, point in points]
    return rows, Cost(perf_counter() - began, process_time() - used)

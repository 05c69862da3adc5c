"""Did the machine compute the right numbers, do both engines agree, and does a result obey its own laws?

Equivalence compares what the datapath computed with a reference written independently of it: integers must be equal bit
for bit, floats to rounding. The laws (`check`) hold for every result of every machine and are checked on every run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isclose, log10, sqrt
from typing import Any

import numpy as np

from sim.errors import CheckError
from sim.plan import Array, Behaviour, Computed, Needs, Plan
from sim.timeline import Timeline

FLOAT_TOLERANCE = 1e-5
"""Of the largest magnitude in a layer: float sums may be taken in another order."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Equivalence with the reference, and fidelity to the network in floating point (None where it was not given)."""

    passed: bool
    exact: bool
    max_abs_error: float
    first_failing_layer: str | None
    sqnr_db: float | None = None


def judge(computed: Computed, reference: Mapping[str, Array], floats: Mapping[str, Array] | None = None) -> Verdict:
    """Compare a machine's numbers with the reference, layer by layer; `floats` is the network in floating point."""
    failing, exact, worst = [], True, 0.0
    for layer, wanted in reference.items():
        found = computed.outputs.get(layer)
        if found is None or found.shape != wanted.shape:
            failing.append(layer)
            exact = False
            continue
        if np.array_equal(found, wanted):
            continue
        error = _distance(found, wanted)
        exact, worst = False, max(worst, error)
        integer = found.dtype.kind in "biu" and wanted.dtype.kind in "biu"
        allowed = 0.0 if integer else FLOAT_TOLERANCE * float(np.max(np.abs(wanted), initial=0))
        if not error <= allowed:
            failing.append(layer)
    return Verdict(not failing, exact, worst, failing[0] if failing else None, _sqnr_db(computed, floats or {}))


def _distance(found: Array, wanted: Array) -> float:
    if found.size == 0:
        return 0.0
    if found.dtype.kind in "biu" and wanted.dtype.kind in "biu":
        return float(np.max(np.abs(found.astype(np.int64) - wanted.astype(np.int64))))
    return float(np.max(np.abs(found.astype(np.float64) - wanted.astype(np.float64))))


def _sqnr_db(computed: Computed, floats: Mapping[str, Array]) -> float | None:
    """Signal to quantisation noise of the last layer both have; None where there is none, no scale, or no noise.

    To a hundredth: the last digits of a float sum depend on the number of threads.
    """
    layer = next(
        (name for name in reversed(list(floats)) if name in computed.outputs and name in computed.scales), None
    )
    if layer is None or computed.outputs[layer].shape != floats[layer].shape:
        return None
    wanted = floats[layer].astype(np.float64)
    noise = float(np.sum((computed.outputs[layer] * computed.scales[layer] - wanted) ** 2))
    signal = float(np.sum(wanted**2))
    return round(10 * log10(signal / noise), 2) if signal > 0 and noise > 0 else None


def accuracy(scores: Array, labels: Array) -> dict[str, Any]:
    """Share of images `[images, ..., classes]` whose largest score is the label's, with Wilson's 95 % interval."""
    n = len(labels)
    right = int((scores.reshape(n, -1).argmax(axis=1) == labels).sum())
    share, z2 = right / n, 1.96**2
    middle, half = share + z2 / (2 * n), 1.96 * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return {"top1": share, "n": n, "interval95": [(middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)]}


def same_times(one: Timeline, other: Timeline) -> None:
    """Raise CheckError at the first stage whose starts or releases differ between two engines."""
    for stage in one.design.stages:
        for event in ("starts", "releases"):
            ours, theirs = getattr(one, event)(stage), getattr(other, event)(stage)
            if not np.array_equal(ours, theirs):
                k = int(np.argwhere((ours != theirs).any(axis=1))[0, 0])
                raise CheckError(f"the engines differ: {one.design.name}: {stage}: {event} of firing {k}")


def same_counts(plan: Plan, computed: Computed) -> bool:
    """Whether a loop datapath's accesses were there to be compared; CheckError where they differ from the design's.

    An action that it counts in any layer is compared in all layers that it walked; so is one it names and never makes.
    """
    if computed.counts is None:
        return False
    described: dict[str, dict[str, int]] = {}
    for phase in plan:
        for work in phase.layers:
            sums = described.setdefault(work.name, {})
            for action, count in phase.design.activity(work.stages).items():
                sums[action] = sums.get(action, 0) + count
    known = {action for counts in computed.counts.values() for action in counts}
    for layer, counts in computed.counts.items():
        for action in sorted(known):
            made, said = counts.get(action, 0), described.get(layer, {}).get(action, 0)
            if made != said:
                raise CheckError(f"{layer}: the datapath made {made} {action}, the design counts {said}")
    return True


def same_values(behaviours: Sequence[Behaviour | None], reference: Mapping[str, Array]) -> bool:
    """Whether values went through the timed graph; CheckError where what came out, image after image, is not the
    reference's."""
    out: dict[str, list[Array]] = {}
    for behaviour in filter(None, behaviours):
        for layer, values in behaviour.outputs().items():
            out.setdefault(layer, []).append(np.ravel(values))
    for layer, parts in out.items():
        if not np.array_equal(np.concatenate(parts), np.ravel(reference[layer])):
            raise CheckError(f"{layer}: the values that went through the FIFOs are not the reference's")
    return bool(out)


def check(data: Mapping[str, Any]) -> None:
    """Raise CheckError where a result breaks one of its laws."""
    total = data["total"]
    for layer in data["layers"]:
        if "skipped" in layer:
            continue
        _require(0 <= layer["utilization"] <= 1, f"{layer['name']}: utilization is {layer['utilization']}")
        _require(layer["macs_useful"] <= layer["macs"], f"{layer['name']}: more useful MACs than the layer has")
        spent = layer["unit_cycles_useful"] + sum(layer["stalls"].values())
        negative = [cause for cause, cycles in layer["stalls"].items() if cycles < 0]
        _require(not negative and layer["unit_cycles_useful"] >= 0, f"{layer['name']}: negative cycles: {negative}")
        _require(
            spent == layer["units"] * layer["cycles"],
            f"{layer['name']}: {spent} unit-cycles told, {layer['units']} units x {layer['cycles']} cycles spent",
        )
    low, nominal, high = total["energy_interval_j"]
    _require(low <= nominal <= high and nominal == total["energy_j"], "the energy interval is out of order")
    _require(
        isclose(fsum(total["energy_by_component_j"].values()), total["energy_j"], rel_tol=1e-12, abs_tol=1e-30),
        "the components' energy does not add up to the total",
    )
    _check_sums(data)
    _require(0 <= total["utilization"] <= 1, f"utilization of the whole run is {total['utilization']}")
    _require(total["latency_s"] <= total["time_s"] * (1 + 1e-12), "the first image is done after the last")


def _check_sums(data: Mapping[str, Any]) -> None:
    """Phases, layers and boundaries add up to the total."""
    total, layers = data["total"], [layer for layer in data["layers"] if "skipped" not in layer]
    _require(
        sum(phase["cycles"] for phase in data["phases"]) == total["cycles"], "the phases' cycles are not the run's"
    )
    _require(max((layer["cycles"] for layer in layers), default=0) <= total["cycles"], "a layer is longer than the run")
    for key in ("macs", "macs_useful"):
        _require(sum(layer[key] for layer in layers) == total[key], f"the layers' {key} do not add up to the total")
    spent = fsum(joules for layer in layers for joules in layer["energy_j"].values())
    _require(spent <= total["energy_j"] * (1 + 1e-9), "the layers' energy is more than the total")
    core, chip, system = (total["energy_by_boundary_j"][name] for name in ("core", "chip", "system"))
    _require(core <= chip * (1 + 1e-12) <= system * (1 + 2e-12), "a boundary has more energy than the one around it")
    moved: dict[str, float] = {}
    for layer in layers:
        for key, amount in layer["traffic_bytes"].items():
            moved[key] = moved.get(key, 0) + amount
    over = [key for key, amount in moved.items() if amount > total["traffic_bytes"].get(key, 0) * (1 + 1e-12)]
    _require(not over, f"the layers move more than the run: {', '.join(over)}")


def check_needs(data: Mapping[str, Any], needs: Mapping[str, Needs]) -> None:
    """Raise CheckError where a layer, or the run (""), counts other MACs than the network has, or too little traffic."""
    layers = {layer["name"]: layer for layer in data["layers"] if "skipped" not in layer}
    for name, need in needs.items():
        _require(not name or name in layers, f"{name} is not in the result")
        found, where = (layers[name], f"{name}: ") if name else (data["total"], "")
        _require(
            need.macs_useful is None or found["macs_useful"] == need.macs_useful,
            f"{where}{found['macs_useful']} useful MACs told, the network has {need.macs_useful} on this input",
        )
        for key, bits in need.traffic_bits.items():
            moved = found["traffic_bytes"].get(key, 0)
            _require(8 * moved >= bits, f"{where}{moved} bytes of {key}, no run can do with less than {bits / 8:g}")


def _require(holds: bool, law: str) -> None:
    if not holds:
        raise CheckError(f"the result contradicts itself: {law}")

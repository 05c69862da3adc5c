"""Does my network survive? Layer by layer: what the machine's encoding and arithmetic make of a network's numbers.

Equivalence proves that the datapath computes the encoded network; this compares with the network as it was given.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import inf, log10
from pathlib import Path
from typing import Any

import numpy as np

import archs
from sim.errors import InputError
from sim.plan import Array, Computed, Stored
from sim.verdict import accuracy, judge
from tapeout.session import _checked, filled, named
from workloads.execute import execute
from workloads.load import load
from workloads.network import Network

MAP = ".out"
"""What a convolution's map is called where it runs as a matrix under its own name (`workloads.lower`)."""


def validate(
    workload: str | Path,
    on: str,
    inputs: Mapping[str, Array] | Array | None = None,
    labels: Array | None = None,
    settings: Mapping[str, object] | None = None,
    images: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Rows per layer, notes, accuracy of the network in floats and on the machine; `passed` and the first failing layer.

    It fails where the datapath differs from its reference, where the layers together exceed a memory (unless the settings
    reload it, `overflow=partition`), or where labels show the machine significantly worse: its accuracy below the 95 %
    interval of the network's own.
    """
    name, config = named(on)
    plugin, spec = archs.find(name), archs.settings(name, config, dict(settings or {}))
    work = load(str(workload), seed, images)
    arrays = dict(work.inputs) if inputs is None else _checked(work.network, inputs, 1)
    labels = work.labels if labels is None and inputs is None else labels
    network = filled(plugin, spec, work.network, seed)
    own = {key: array for key, array in arrays.items() if key in network.inputs}
    floats = execute(network, own)
    computed: Computed = plugin.compute(spec, network, own)
    verdict = judge(computed, plugin.reference(spec, network, own), floats)
    skipped = plugin.skips(spec, network)
    rows = [_row(network, layer.name, computed, floats, skipped) for layer in network.layers]
    found: dict[str, Any] = {
        "workload": work.name,
        "on": on,
        "images": len(next(iter(own.values()))),
        "layers": rows,
        "encoding_exact": computed.encoding_exact,
        "saturations": computed.saturations,
        "notes": list(computed.notes),
        "equivalence": {"passed": verdict.passed, "first_failing_layer": verdict.first_failing_layer},
        "accuracy": _accuracy(network, computed, floats, labels, getattr(plugin, "ranked", _plain)),
    }
    worse = _worse(found["accuracy"])
    noisy = min((row for row in rows if row["sqnr_db"] is not None), key=lambda row: row["sqnr_db"], default=None)
    over = next((row["name"] for row in rows if row["exceeds"]), None)
    over = None if getattr(spec, "overflow", None) == "partition" else over
    found["passed"] = verdict.passed and not over and not worse
    found["first_failing_layer"] = verdict.first_failing_layer or over or (noisy["name"] if worse and noisy else None)
    return found


def _row(
    network: Network, name: str, computed: Computed, floats: Mapping[str, Array], skipped: Mapping[str, str]
) -> dict[str, Any]:
    """One layer: signal to noise against the float network, its own notes, or why it was passed over."""
    mine = [note for note in computed.notes if note.startswith(f"{name}:")]
    sqnr_db = _sqnr_db(computed, floats, name)
    return {
        "name": name,
        "op": network.layer(name).op.kind,
        "sqnr_db": None if sqnr_db == inf else sqnr_db,
        "exact": sqnr_db == inf,
        **_stored(computed.stored.get(name)),
        "notes": [note.removeprefix(f"{name}: ") for note in mine],
        "skipped": skipped.get(name),
    }


def _stored(stored: Stored | None) -> dict[str, Any]:
    """What encoding made of a layer; `exceeds` names the memories that the layers up to this one fill."""
    rooms = stored.rooms if stored else {}
    return {
        "encoding_exact": stored.exact if stored else None,
        "saturations": stored.saturations if stored else None,
        "filler_share": stored.filler_share if stored else None,
        "empty_columns": stored.empty_columns if stored else None,
        "memories": {name: asdict(room) for name, room in rooms.items()},
        "exceeds": [name for name, room in rooms.items() if room.together_bytes > room.available_bytes],
    }


def _sqnr_db(computed: Computed, floats: Mapping[str, Array], name: str) -> float | None:
    """None where the machine gives no real values of the layer; infinite where they are exact.

    Integers without a scale (FINN's counts of matches) are real values only where they are equal.
    """
    own = next((n for n in (name, f"{name}{MAP}") if n in computed.outputs and _fits(computed, floats, n, name)), None)
    if own is None:
        return None
    wanted = floats[name].astype(np.float64)
    noise = float(np.sum((computed.outputs[own] * computed.scales.get(own, 1.0) - wanted) ** 2))
    signal = float(np.sum(wanted**2))
    if not noise:
        return inf
    if own not in computed.scales and computed.outputs[own].dtype.kind in "biu":
        return None
    return 10 * log10(signal / noise) if signal else None


def _fits(computed: Computed, floats: Mapping[str, Array], own: str, name: str) -> bool:
    return computed.outputs[own].shape == floats[name].shape


def _plain(network: Network, scores: Array) -> Array:
    """The class is the first maximum."""
    return scores


def _accuracy(
    network: Network,
    computed: Computed,
    floats: Mapping[str, Array],
    labels: Array | None,
    ranked: Callable[[Network, Array], Array] = _plain,
) -> dict[str, Any] | None:
    """Top-1 with 95 % intervals of the network in floats and on the machine; None without labels or machine scores."""
    if labels is None:
        return None
    last = network.outputs[-1]
    scores = floats[last]
    if len(labels) != len(scores) or labels.ndim != 1:
        raise InputError(f"{labels.shape} labels for {len(scores)} images", where="--labels")
    classes = scores[0].size
    wrong = [label for label in labels.tolist() if label not in range(classes)]
    if wrong:
        raise InputError(f"found {wrong[0]!r}; allowed: classes 0 to {classes - 1}", where="--labels")
    found = {"float": accuracy(ranked(network, scores), labels)}
    if last in computed.outputs:
        found["machine"] = accuracy(ranked(network, computed.outputs[last]), labels)
    return found


def _worse(found: Mapping[str, Any] | None) -> bool:
    if found is None or "machine" not in found:
        return False
    return bool(found["machine"]["top1"] < found["float"]["interval95"][0])


def _shown(row: Mapping[str, Any]) -> str:
    return "exact" if row["exact"] else "-" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _memories(row: Mapping[str, Any]) -> str:
    """Each memory's fill by the layers up to this one."""
    full = {name: room["together_bytes"] / room["available_bytes"] for name, room in row["memories"].items()}
    return ", ".join(f"{name} {share:.0%}{' EXCEEDED' if share > 1 else ''}" for name, share in full.items()) or "-"


def table(found: Mapping[str, Any]) -> str:
    """The rows as text, and what they come to."""
    from reports.tables import columns

    said = {True: "exact", False: "approximated", None: "-"}
    rows = [
        (row["name"], row["op"], _shown(row), said[row["encoding_exact"]],
         "-" if row["saturations"] is None else str(row["saturations"]), _share(row["filler_share"]),
         _share(row["empty_columns"]), _memories(row), row["skipped"] or "; ".join(row["notes"]) or "-")
        for row in found["layers"]
    ]  # fmt: skip
    head = (
        "layer",
        "op",
        "signal to noise",
        "encoding",
        "saturations",
        "fillers",
        "empty columns",
        "memories filled",
        "",
    )
    lines = [columns(head, rows, left=2), ""]
    lines.append(f"encoding exact: {'yes' if found['encoding_exact'] else 'no'}; saturations: {found['saturations']}")
    lines += [f"note: {note}" for note in found["notes"]]
    for who, figures in (found["accuracy"] or {}).items():
        low, high = figures["interval95"]
        lines.append(f"top-1, {who}: {figures['top1']:.1%} ({low:.1%} to {high:.1%}, {figures['n']} images)")
    lines.append(f"survives: {'yes' if found['passed'] else 'no, first ' + str(found['first_failing_layer'])}")
    return "\n".join(lines)

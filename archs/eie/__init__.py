"""EIE (Han et al., ISCA 2016): sparse, weight-shared matrix-vector products with 16-bit activations.

It runs linear layers, bias and ReLU included; element-wise layers between them run beside it on what it put out.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from archs.eie import capacity, datapath, flow, model, oracle
from archs.eie import needs as least
from archs.eie.program import EXACT, Matrix, Scales, calibrate, encode, fixed, given, integers, lowered, measured
from archs.eie.spec import EieSpec
from sim.energy import EnergyTable
from sim.errors import InputError
from sim.plan import Behaviour, Computed, Machine, Needs, Phase, Plan
from sim.timeline import Timeline
from workloads import execute
from workloads.network import Network
from workloads.ops import Conv, Linear
from workloads.tensor import Array

__all__ = [
    "ENCODING",
    "SPEC",
    "VALUES",
    "EieSpec",
    "bound",
    "build",
    "compute",
    "extras",
    "machine",
    "needs",
    "prepare",
    "prices",
    "reference",
    "skips",
    "values",
]

SPEC = EieSpec
ENERGY = Path(__file__).with_name("energy.yaml")
VALUES = ("weight_bits",)
ENCODING = ("weight_bits", "index_bits", "pes")
MOST_FIRINGS = 4_000_000_000
"""Each is a service of one byte or two until the run is over."""
SMALL = 40_000
"""Accesses (entries and empty columns) up to which the loop datapath runs too, to count them."""

Product = Callable[[Matrix, Scales, Array], Array]


def machine(spec: EieSpec) -> Machine:
    """64 PEs of Table II at 800 MHz; clock network and area scale with the PEs."""
    return capacity.machine(spec, _prices())


def prices(spec: EieSpec) -> tuple[str, ...]:
    """What no cycle depends on."""
    return "clock", "energy", "accounting"


@cache
def _prices() -> EnergyTable:
    return EnergyTable.load(ENERGY)


def skips(spec: EieSpec, network: Network) -> dict[str, str]:
    """Layers that are neither matrix-vector products nor done on their way; the host runs them, uncounted."""
    return {
        layer.name: f"{layer.op.kind} is not a matrix-vector product"
        + ("; lower=im2col makes it one per position" if isinstance(layer.op, Conv) else "")
        for layer in network.layers
        if not isinstance(layer.op, Linear | EXACT) and not (isinstance(layer.op, Conv) and spec.lower == "im2col")
    }


def prepare(spec: EieSpec, network: Network) -> None:
    """Every matrix encoded, and kept with the network."""
    encode(spec, lowered(spec, network))


def build(spec: EieSpec, network: Network, inputs: Mapping[str, Array]) -> Plan:
    """One phase per image, linear layer and position, in the order they run; a group's are its convolution's."""
    network, whole = lowered(spec, network), network
    matrices = encode(spec, network)
    capacity.check(spec, network, matrices)
    seen = _seen(network, matrices, inputs) or compute(spec, whole, inputs).activations
    _check_size(spec, matrices, seen)
    images = len(next(iter(inputs.values()))) if matrices else 0
    vectors = {name: _vectors(seen[name]) for name in matrices}
    phases: list[Phase] = []
    for image in range(images):
        for name, matrix in matrices.items():
            each = len(vectors[name]) // images
            for vector in vectors[name][image * each : (image + 1) * each]:
                macs = network.macs(name) // each
                reload = capacity.reload_words(spec, matrices, matrix)
                owner = _owner(whole, name)
                kind = whole.layer(owner).op.kind
                phases.append(model.layer_phase(spec, matrix, vector, macs, (owner, kind), image, reload))
    return tuple(phases)


def _seen(network: Network, matrices: Mapping[str, Matrix], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The 16-bit activations that enter every matrix, where all of them are given; else none."""
    found = {name: given(network, inputs, name) for name in matrices}
    known = {name: integers(array) for name, array in found.items() if array is not None}
    return known if len(known) == len(found) else {}


def _owner(network: Network, name: str) -> str:
    """The layer of `network` that a matrix stands for: itself, or the convolution that it is a group of."""
    return name if any(layer.name == name for layer in network.layers) else name.rpartition(".")[0]


def _check_size(spec: EieSpec, matrices: Mapping[str, Matrix], inputs: Mapping[str, Array]) -> None:
    firings = sum(int(np.count_nonzero(inputs[name])) for name in matrices) * spec.pes
    if firings > MOST_FIRINGS:
        raise InputError(
            f"{firings} broadcasts to PEs; allowed: {MOST_FIRINGS}. Run fewer images or layers", setting="lower"
        )


def _vectors(array: Array) -> Array:
    """`[images, steps..., features]` as `[images * steps, features]`: one matrix-vector product each."""
    return array.reshape(-1, array.shape[-1])


def compute(spec: EieSpec, network: Network, inputs: Mapping[str, Array]) -> Computed:
    """All numbers through the encoded streams; 16-bit results of linear layers, as integers with their scale."""
    network, whole = lowered(spec, network), network
    matrices = encode(spec, network)
    scales, values = calibrate(spec, network, inputs)
    saturated: Counter[str] = Counter()

    def product(matrix: Matrix, scale: Scales, x: Array) -> Array:
        out, clipped = datapath.linear(matrix, scale, x)
        saturated[matrix.name] += clipped
        return out

    outputs, units, activations, clipped = _walk(network, matrices, scales, values, inputs, product)
    notes = tuple(
        f"{name}: more than {2**spec.weight_bits - 1} distinct weights; clustered to share values"
        for name, matrix in matrices.items()
        if not matrix.exact
    )
    return Computed(
        outputs,
        units,
        activations,
        _counts(spec, whole, matrices, scales, activations),
        saturated.total() + clipped,
        all(matrix.exact for matrix in matrices.values()),
        notes + capacity.notes(spec, matrices),
        capacity.stored(spec, matrices, saturated, lambda name: _owner(whole, name)),
    )


def reference(spec: EieSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The same numbers from the plain integers."""
    network = lowered(spec, network)
    scales, values = calibrate(spec, network, inputs)
    return _walk(network, encode(spec, network), scales, values, inputs, oracle.linear)[0]


def values(spec: EieSpec, network: Network, inputs: Mapping[str, Array]) -> tuple[Behaviour, ...]:
    """What each phase of `build` does to values. Outputs are one image's `[rows]` of the linear layer."""
    seen = compute(spec, network, inputs).activations
    network = lowered(spec, network)
    matrices, (scales, _) = encode(spec, network), calibrate(spec, network, inputs)
    images = len(next(iter(seen.values())))
    return tuple(
        flow.behaviour(matrix, scales[name], vector)
        for image in range(images)
        for name, matrix in matrices.items()
        for vector in _vectors(seen[name][image : image + 1])
    )


def bound(spec: EieSpec, network: Network, inputs: Mapping[str, Array]) -> int:
    """The PEs can do no better than share all stored entries of the broadcast columns evenly."""
    phases = build(spec, network, inputs)
    entries = sum(phase.design.activity()["mac"] for phase in phases if phase.design.stages["pe"].firings)
    return -(-entries // spec.pes)


def needs(spec: EieSpec, network: Network, inputs: Mapping[str, Array]) -> dict[str, Needs]:
    """Useful MACs and the least reads of every layer, where all their inputs are known, as `build` asks too."""
    network, whole = lowered(spec, network), network
    matrices = encode(spec, network)
    seen = _seen(network, matrices, inputs)
    if not seen:
        return {}
    found = least.needs(spec, matrices, {name: _vectors(array) for name, array in seen.items()})
    parts: dict[str, list[Needs]] = {}
    for name, need in found.items():
        parts.setdefault(_owner(whole, name), []).append(need)
    return least.together(parts)


def extras(
    spec: EieSpec,
    network: Network,
    inputs: Mapping[str, Array],
    plan: Plan,
    timelines: tuple[Timeline, ...],
    chip: Machine,
) -> dict[str, Any]:
    """Loading the memories, reported apart; theoretical time per layer; and images' cycles where there are several."""
    matrices = encode(spec, lowered(spec, network))
    return {
        "total": {"load": capacity.load(spec, matrices), "overflow": capacity.overflows(spec, matrices)}
        | _distribution(plan, timelines),
        "layers": _theory(plan, spec),
    }


def _theory(plan: Plan, spec: EieSpec) -> dict[str, dict[str, float]]:
    """Section VI: stored entries in broadcast columns, fillers included, shared evenly at one per PE and cycle."""
    seconds: dict[str, float] = {}
    for phase in plan:
        for work in phase.layers:
            entries = work.macs_useful + work.macs_wasted["filler"]
            seconds[work.name] = seconds.get(work.name, 0.0) + entries / spec.pes / spec.clock
    return {name: {"theoretical_time_s": value} for name, value in seconds.items()}


def _distribution(plan: Plan, timelines: tuple[Timeline, ...]) -> dict[str, Any]:
    """Cycles per image: EIE's time depends on the data."""
    cycles: dict[int, int] = {}
    for phase, line in zip(plan, timelines, strict=True):
        cycles[phase.image] = cycles.get(phase.image, 0) + line.cycles
    if len(cycles) < 2:
        return {}
    spread = np.sort(np.array(list(cycles.values())))
    marks = {"least": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "most": 1.0}
    at = {name: int(spread[round(share * (len(spread) - 1))]) for name, share in marks.items()}
    return {"cycles_per_image": at | {"mean": float(spread.mean())}}


def _walk(
    network: Network, matrices: Mapping[str, Matrix], scales: Mapping[str, Scales], values: Mapping[str, Array],
    inputs: Mapping[str, Array], product: Product,
) -> tuple[dict[str, Array], dict[str, float], dict[str, Array], int]:  # fmt: skip
    """Every layer's output, what its numbers are worth, every linear layer's 16-bit input, and inputs clipped.

    Integers pass through ReLU and changes of shape as they are; any other layer works on real values. What comes before
    the first linear layer is in `values`, as calibration computed it.
    """
    whole: dict[str, tuple[Array, int]] = {}
    real = {name: values[name] for name in network.inputs}
    before = set(network.inputs)
    outputs, units, activations, clipped = {}, {}, {}, 0
    for layer in network.layers:
        source = layer.inputs[0]
        if isinstance(layer.op, Linear):
            scale, instead = scales[layer.name], measured(network, inputs, layer.name)
            if instead is not None:
                x = integers(instead)
            elif source in whole and whole[source][1] == scale.activation:
                x = whole[source][0]
            else:
                x, more = fixed(real[source], scale.activation)
                clipped += more
            activations[layer.name] = x
            flat = product(matrices[layer.name], scale, _vectors(x))
            whole[layer.name] = flat.reshape(*x.shape[:-1], -1), scale.result
        elif before.issuperset(layer.inputs):
            real[layer.name] = values[layer.name]
            before.add(layer.name)
        elif isinstance(layer.op, EXACT) and source in whole:
            whole[layer.name] = execute.forward(layer.op, layer.params, [whole[source][0]]), whole[source][1]
        else:
            real[layer.name] = execute.forward(layer.op, layer.params, [real[name] for name in layer.inputs])
        if layer.name in whole:
            outputs[layer.name], fraction = whole[layer.name]
            units[layer.name] = 2.0**-fraction
            real[layer.name] = outputs[layer.name] * units[layer.name]
        else:
            outputs[layer.name] = real[layer.name]
    return outputs, units, activations, clipped


def _counts(
    spec: EieSpec, network: Network, matrices: Mapping[str, Matrix], scales: Mapping[str, Scales],
    activations: Mapping[str, Array],
) -> dict[str, dict[str, int]] | None:  # fmt: skip
    """Accesses of the loop datapath per layer, over all images; None where that would take long."""
    vectors = {name: _vectors(activations[name]) for name in matrices}
    steps = sum(
        int(np.maximum(matrices[name].length[: x.shape[1]].astype(np.int64), 1)[np.flatnonzero(row)].sum())
        for name, x in vectors.items()
        if prod(x.shape) <= SMALL
        for row in x
    )
    if steps > SMALL or any(prod(x.shape) > SMALL for x in vectors.values()):
        return None
    counts: dict[str, Counter[str]] = {}
    for name, x in vectors.items():
        loops = [datapath.Loop(matrices[name], scales[name], spec.entries_per_row, model.held(spec)) for _ in x]
        for loop, row, wanted in zip(loops, x, datapath.linear(matrices[name], scales[name], x)[0], strict=True):
            if not np.array_equal(loop.run(row), wanted):
                raise InputError(f"{name}: the compiled datapath and the loop disagree")
        for loop in loops:
            counts.setdefault(_owner(network, name), Counter()).update(loop.counts)
    return {name: dict(sums) for name, sums in counts.items()}

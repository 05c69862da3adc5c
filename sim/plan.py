"""What an accelerator hands to the simulator: a plan of phases, the machine's facts, and the numbers it computed.

Every module `archs/<name>/__init__.py` is a plug-in of this shape (`spec` is an instance of its SPEC):

    SPEC                                      frozen pydantic model of all settings, defaults = the paper's machine
    machine(spec) -> Machine                  clock, peak, energy table, traffic keys, area
    skips(spec, network) -> {layer: reason}   layers this machine does not take
    build(spec, network, inputs) -> Plan      timing: designs that either engine runs
    compute(spec, network, inputs) -> Computed     numbers, through the encoded tensors and the machine's arithmetic
    reference(spec, network, inputs) -> {layer: array}    the same numbers by plain numpy, written independently
    fill(spec, network, seed) -> Network      optional: seeded weights of this machine's own kind where there are none
    prepare(spec, network)                    optional: encodes the weights ahead, for `build` and `compute` to find with
        the network; a machine without it encodes while it computes
    uses(spec, network) -> names              optional: layers it or its host looks into; others get no weights
    values(spec, network, inputs) -> (Behaviour per phase)    optional, for small layers: see Behaviour
    extras(spec, network, inputs, plan, timelines, machine) -> mapping   optional: more keys of the result, merged in:
        "total": {...}; "layers": {name: {...}} (a "stalls" mapping there is merged too); other keys at the top level.
        `machine` has the prices in use; a metrics.yaml beside the module explains the figures
    bound(spec, network, inputs) -> cycles         optional: a closed-form lower bound of the total
    needs(spec, network, inputs) -> {layer: Needs}   optional: work and traffic that no run can do without, "" for the run
    ranked(network, scores) -> scores              optional: scores whose first maximum is the class, for other rules
    VALUES, ENCODING                               optional, for studies: names of the settings that decide the
        activations `compute` gives (where `build` looks at them), and the encoding that `build` keeps with a network
    prices(spec) -> names                          optional, for studies: settings that `build` does not look at: they
        change seconds and joules, never a cycle; points that differ in them alone share one plan and its timelines
    example(spec) -> (network, inputs)             optional: a small case for the contract tests (tests/test_archs.py)

`inputs` maps a layer's name, or the network input's, to an array `[images, *shape]`; `build` takes any layer's input
activations it finds there (keys as in Computed.activations) and computes the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt

from sim.energy import EnergyTable
from sim.graph import Design

Array = npt.NDArray[Any]
Boundary = Literal["core", "chip", "system"]


@dataclass(frozen=True, slots=True)
class Access:
    """An action that moves data: its traffic key `memory.what.direction` and the bits moved per action."""

    key: str
    bits: int


@dataclass(frozen=True, eq=False, slots=True)
class Work:
    """One layer as a machine runs it, beside what the timeline tells.

    `stages` are its stages in the phase's design: its time and activity are theirs (none for a layer that lives inside
    another's stage; `unit` is then empty). `unit` names the stage whose lanes
    are the processing units (`units` of them, `macs_per_cycle` together at peak); `idle` splits that stage's busy
    unit-cycles that did no useful work, by cause. `macs` counts the uncompressed layer, for the images of the phase.
    """

    name: str
    op: str
    stages: tuple[str, ...]
    unit: str
    units: int
    macs_per_cycle: int
    macs: int
    macs_useful: int
    op_width: str
    weight_bits: int
    macs_wasted: Mapping[str, int] = field(default_factory=dict)
    idle: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a layer needs whatever the machine's timing: from shapes and decoded tensors, not from the plan.

    `macs_useful` is exact; `traffic_bits` are the least by traffic key.
    """

    macs_useful: int | None = None
    traffic_bits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Phase:
    """A stretch of the run with the machine to itself; phases follow one another.

    It works on `images` images, the first being number `image`. The first image is done at the release of firing
    `first_done` of stage `sink` (default: at the end of the phase). `steady`, where given, is the design whose period
    is the steady cost of one image (a batch too short to show it itself).
    """

    name: str
    design: Design
    layers: tuple[Work, ...]
    image: int = 0
    images: int = 1
    sink: str = ""
    first_done: int = -1
    steady: Design | None = None


Plan = tuple[Phase, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Behaviour:
    """What the stages of a phase do to the values that pass through them, and what came out after the run.

    `stages` are the reference engine's `values` (see `sim.des.run`); a stage it leaves out passes nothing but None.
    `outputs()`, called after the run, gives `{layer: array}`, to be equal to the reference's.
    """

    stages: Mapping[str, Any]
    outputs: Callable[[], Mapping[str, Array]]


@dataclass(frozen=True, eq=False, slots=True)
class Machine:
    """Facts that hold for any workload. `accesses` maps actions that move data to their traffic."""

    clock_hz: float
    macs_per_cycle: int
    energy: EnergyTable
    boundary: Boundary
    accesses: Mapping[str, Access] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Computed:
    """What a datapath computed.

    `outputs[layer]` are the machine's own numbers (integers where it is an integer machine), `scales[layer]` turns them
    into real values. `activations[layer]` is each layer's input as the machine saw it. `counts[layer]` are the accesses
    a loop datapath made, None where the fast one ran. `notes` say in words what was approximated or exceeded.
    `stored[layer]` is what encoding made of a layer, as far as the machine has it.
    """

    outputs: Mapping[str, Array]
    scales: Mapping[str, float] = field(default_factory=dict)
    activations: Mapping[str, Array] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] | None = None
    saturations: int = 0
    encoding_exact: bool = True
    notes: tuple[str, ...] = ()
    stored: Mapping[str, "Stored"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What a layer takes of a memory, what all layers up to it take together, and what there is: bytes."""

    layer_bytes: int
    together_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One layer as encoded: whether its weights are the given ones, results clipped, what it takes of each memory.

    `filler_share` is of the stored entries; `empty_columns` the share of (column, unit) pairs without an entry, which
    cost a cycle and do no work. None where the machine has no such thing.
    """

    exact: bool
    saturations: int = 0
    rooms: Mapping[str, Room] = field(default_factory=dict)
    filler_share: float | None = None
    empty_columns: float | None = None

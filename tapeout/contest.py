"""Who runs in a comparison, and on what: every machine on one artifact, or each on its best variant for one task.

What a machine cannot exploit is expanded here (products as convolutions, convolutions as products over patches, weights as
12-bit numbers) and named; a machine is left out only where it cannot run the artifact, with its own reason.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod

import archs
from reports.compare import Comparison
from reports.entries import BOUNDARIES, Entry, Part
from reports.scaling import RULES
from sim.errors import InputError, SimError, nearest
from sim.result import Result
from tapeout import session
from workloads import lower
from workloads.load import Workload, load
from workloads.network import Network
from workloads.ops import Conv, Linear

Progress = Callable[[str, int, int], None]
Settings = Mapping[str, object]
WORD_BITS = 16
"""Width of an activation on the link of a machine that prices no link."""
MOST_PRODUCTS = 12_800
"""Matrix-vector products up to which convolutions are simulated as products: 20 images of LeNet-5, 3 of AlexNet."""
TASK_IMAGES, ARTIFACT_IMAGES = 200, 2


@dataclass(frozen=True, slots=True)
class Share:
    """A machine's part in an entry. `form`: as it is, all layers as convolutions, or all as products."""

    machine: str
    form: str = ""
    settings: Settings = field(default_factory=dict)
    expanded: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One entry before it ran."""

    name: str
    artifact: str
    shares: tuple[Share, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Round:
    """How the plans of one comparison run. `done`: what ran already, since mixed plans repeat shares of others."""

    images: int
    timing_only: bool
    products: int
    progress: Progress
    done: dict[tuple[str, str, str], tuple[Result, str]] = field(default_factory=dict)


FC_AS_CONV = Share("", "convolutions", {}, "fully connected layers as convolutions over one position")
IM2COL = "convolutions as one product an output pixel: each patch is loaded again as a vector"
SEEDED = "the artifact has no weights: seeded ones of the kind this machine stores, not the numbers of the others"
FIXED = "weights as 12-bit numbers on the fixed-point baseline of its paper: binary weights are its point"
TAKES: dict[str, tuple[tuple[Settings, str], ...]] = {
    "yodann": (({}, ""), ({"large_kernels": "split"}, "kernels beyond 7 x 7 in pieces (large_kernels=split)")),
    "fused": (
        ({}, ""),
        ({"overflow": "stream"}, "weights that do not fit are read again for every pyramid (overflow=stream)"),
        ({"overflow": "cut"}, "cut into groups that fit, their maps go through DRAM (overflow=cut)"),
    ),
}
"""Settings with which a machine runs what it otherwise refuses, at its own cost and with the same numbers; in order, in
words where it needs them."""

TASKS: dict[str, tuple[Plan, ...]] = {
    "digits": (
        Plan("eie MLP", "lenet-300-100", (Share("eie"),)),
        Plan("yodann 1.2 V MLP", "lenet-300-100-binary", (Share("yodann:1.2V", "convolutions"),)),
        Plan("yodann 0.6 V MLP", "lenet-300-100-binary", (Share("yodann:0.6V", "convolutions"),)),
        Plan("finn MLP", "lenet-300-100-w1a1", (Share("finn"),)),
        Plan("fused MLP", "lenet-300-100-dense", (Share("fused", "convolutions"),)),
        Plan("eie CNN", "lenet5-shared4", (Share("eie", "products", {"lower": "im2col"}, IM2COL),)),
        Plan("fused + eie CNN", "lenet5-shared4", (Share("fused"), Share("eie"))),
        Plan("yodann 1.2 V CNN", "lenet5-binary", (Share("yodann:1.2V", "convolutions"),)),
        Plan("yodann 0.6 V CNN", "lenet5-binary", (Share("yodann:0.6V", "convolutions"),)),
        Plan("finn CNN", "lenet5-w1a1", (Share("finn"),)),
        Plan("fused CNN", "lenet5-dense", (Share("fused", "convolutions"),)),
    ),
}


def compare(
    name: str,
    on: Sequence[str],
    batch: int,
    timing_only: bool,
    rate: float | None,
    boundary: str,
    scaling: str,
    progress: Progress,
    most_products: int = MOST_PRODUCTS,
) -> Comparison:
    """Table A where `name` is a task (each machine its best variant), else table B (that artifact on every machine)."""
    if boundary not in BOUNDARIES:
        raise InputError(f"found {boundary!r}; {nearest(boundary, BOUNDARIES)}", where="--boundary")
    rule = next((rule for rule in RULES if rule == scaling), None)
    if rule is None:
        raise InputError(f"found {scaling!r}; {nearest(scaling, RULES)}", where="--scaling")
    if rate is not None and not rate > 0:
        raise InputError(f"found {rate:g}; allowed: more than 0", where="--rate")
    if name in TASKS:
        images = batch or TASK_IMAGES
        todo = tuple(plan for plan in TASKS[name] if not on or {share.machine for share in plan.shares} <= set(on))
        title = f"A: same task ({name})"
        said = f"Task {name}, {images} held-out images; every machine on the variant trained for it."
    else:
        images, todo = batch or ARTIFACT_IMAGES, plans(name, on, batch or ARTIFACT_IMAGES)
        title = f"B: same numbers ({name})"
        said = f"One artifact, {name}: the same numbers everywhere unless a note says otherwise."
    found = list(entries(todo, Round(images, timing_only, most_products, progress)))
    return Comparison(title, found, boundary, rule, rate, (said,))


def plans(workload: str, on: Sequence[str] = (), images: int = 1) -> tuple[Plan, ...]:
    """The ways in which our machines can run one artifact."""
    network = read(workload, images).network
    convs = any(isinstance(layer.op, Conv) for layer in network.layers)
    linear = any(isinstance(layer.op, Linear) for layer in network.layers)
    found = [plan for machine in (on or defaults()) for plan in _ways(machine, workload, convs, linear)]
    if convs and linear and not on:
        found += [_mixed("fused", workload), _mixed("yodann:q2.9-8x8", workload, FIXED)]
    return tuple(found)


def defaults() -> list[str]:
    """Every machine that can run, once for each published corner that changes its energy."""
    ready = [name for name in archs.names() if hasattr(archs.find(name), "SPEC")]
    corners = {"yodann": ("yodann:1.2V", "yodann:0.6V", "yodann:q2.9-8x8"), "fused": ("fused", "fused:baseline")}
    return [machine for name in ready for machine in corners.get(name, (name,))]


def _ways(machine: str, workload: str, convs: bool, linear: bool) -> Iterator[Plan]:
    name = machine.partition(":")[0]
    if name == "eie":
        form = Share(machine, "products", {"lower": "im2col"}, IM2COL) if convs else Share(machine)
        yield Plan(machine, workload, (form,))
        if convs and linear:
            yield Plan(f"{machine}, products only", workload, (Share(machine),))
    elif name in ("yodann", "fused"):
        said = FIXED if "q2.9" in machine else ""
        more = "; ".join(word for word in (said, FC_AS_CONV.expanded if linear else "") if word)
        yield Plan(machine, workload, (Share(machine, "convolutions" if linear else "", {}, more),))
        if convs and linear:
            yield Plan(f"{machine}, convolutions only", workload, (Share(machine, "", {}, said),))
    else:
        yield Plan(machine, workload, (Share(machine),))


def _mixed(machine: str, workload: str, expanded: str = "") -> Plan:
    return Plan(f"{machine} + eie", workload, (Share(machine, "", {}, expanded), Share("eie")))


def entries(todo: Sequence[Plan], how: Round) -> Iterator[Entry]:
    """Every plan run, or why it could not."""
    for n, plan in enumerate(todo):
        how.progress(plan.name, n, len(todo))
        try:
            network = read(plan.artifact, how.images).network
            macs = sum(network.macs(layer.name) for layer in network.layers)
            yield Entry(plan.name, plan.artifact, macs, _run(plan, how))
        except SimError as error:
            yield Entry(plan.name, plan.artifact, 0, refused=str(error))


def _run(plan: Plan, how: Round) -> tuple[Part, ...]:
    """Every share of a plan; each machine runs the layers it takes, and two never the same one."""
    parts, taken = [], set[str]()
    for share in plan.shares:
        part, mine = _part(plan.artifact, share, how)
        if mine & taken:
            raise InputError(f"two machines ran {', '.join(sorted(mine & taken))}", where=plan.name)
        taken |= mine
        parts.append(part)
    return tuple(parts)


def _part(artifact: str, share: Share, how: Round) -> tuple[Part, set[str]]:
    """One machine's part, and the layers it ran."""
    if not hasattr(archs.find(share.machine.partition(":")[0]), "SPEC"):
        raise InputError("this machine has no model yet", where=share.machine)
    work = form(artifact, share.form, how.images, how.products)
    if how.timing_only:
        _check_binary(share.machine, work.network)
    key = artifact, share.machine, share.form
    if key not in how.done:
        result, needed = _first(share, work, how)
        how.done[key] = replace(result, plan=(), timelines=()), needed  # events of large networks are gigabytes
    result, needed = how.done[key]
    mine = ran(result)
    drawn = SEEDED if hasattr(archs.find(share.machine.partition(":")[0]), "fill") and _unweighted(work.network) else ""
    bits = patch_bits(work.network, mine) if share.form == "products" else link_bits(work.network, mine)
    said = "; ".join(word for word in (drawn, share.expanded, needed) if word)
    return Part(share.machine, result, said, bits), mine


def _unweighted(network: Network) -> bool:
    """Whether weights of some layer are known by their shape alone."""
    shapes = ((layer, layer.op.parameters(*network.sources(layer.name))) for layer in network.layers)
    return any("weight" in needed and "weight" not in layer.params for layer, needed in shapes)


def _first(share: Share, work: Workload, how: Round) -> tuple[Result, str]:
    """The result under the first of the machine's settings that takes the workload, and what that was needed for.

    The last refusal stands.
    """
    *others, last = TAKES.get(share.machine.partition(":")[0], (({}, ""),))
    for settings, said in others:
        try:
            return _simulated(share, work, settings, how), said
        except InputError:
            continue
    settings, said = last
    return _simulated(share, work, settings, how), said


def _simulated(share: Share, work: Workload, settings: Settings, how: Round) -> Result:
    def told(what: str, done: int, steps: int) -> None:
        how.progress(f"{work.name} on {share.machine}: {what}", done, steps)

    chosen = {**settings, **share.settings}
    return session.run(share.machine, work, settings=chosen, timing_only=how.timing_only, progress=told)


def _check_binary(machine: str, network: Network) -> None:
    """Without numbers a machine of binary weights does not see what it is given: refuse what is known to be other."""
    spec = archs.settings(*session.named(machine), {})
    if getattr(spec, "weights", "") != "binary":
        return
    for layer in network.layers:
        known = (layer.density or {}).get("weight", 1.0) < 1 or (layer.bits or {}).get("weight", 1) > 1
        if known and network.macs(layer.name):
            raise InputError(f"{layer.name}: its weights are not binary", where=machine)


@lru_cache(maxsize=1)
def read(name: str, images: int) -> Workload:
    """A workload, read once for all machines."""
    return load(name, 0, images)


@lru_cache(maxsize=3)
def form(name: str, how: str, images: int, most_products: int = MOST_PRODUCTS) -> Workload:
    """The workload as it is, as convolutions, or (for a machine that lowers them itself) as products over patches.

    As products there may be fewer images: no more than make `most_products`.
    """
    work = read(name, images)
    if how == "convolutions":
        return lower.convolutions(work)
    if how != "products":
        return work
    count = products(work.network)
    if count > most_products:
        raise InputError(
            f"not run: {count:,} matrix-vector products an image once its convolutions are products (minutes, gigabytes); "
            f"--products {count} runs them"
        )
    some = slice(most_products // count if count else None)
    inputs = {name: array[some] for name, array in work.inputs.items()}
    return replace(work, inputs=inputs, labels=None if work.labels is None else work.labels[some])


def ran(result: Result) -> set[str]:
    """Layers with multiply-accumulates that a result covers."""
    return {layer["name"] for layer in result.layers if layer.get("macs")}


def products(network: Network) -> int:
    """Matrix-vector products of one image once its convolutions are products: one an output pixel."""
    convs = (layer for layer in network.layers if isinstance(layer.op, Conv))
    return sum(prod(network.shapes[layer.name][1:]) for layer in convs)


def patch_bits(network: Network, mine: set[str]) -> int:
    """As `link_bits`, where every layer takes its input as vectors, one patch an output pixel, and gives its sums back."""
    values = 0
    for name in mine:
        layer, (shape, *_) = network.layer(name), network.sources(name)
        op = layer.op
        patch = prod(op.kernel) * shape[0] if isinstance(op, Conv) else prod(shape)
        pixels = prod(network.shapes[name][1:]) if isinstance(op, Conv) else 1
        values += patch * pixels + prod(network.shapes[name])
    return WORD_BITS * values


def link_bits(network: Network, mine: set[str]) -> int:
    """Bits an image over a machine's edge: what enters a layer of its from outside, and what leaves one.

    Activations and flattening between two of its layers stay inside; one value is a 16-bit word.
    """
    inside = set(mine)
    for layer in network.layers:
        if layer.op.kind in ("relu", "flatten", "reshape") and inside & set(layer.inputs):
            inside.add(layer.name)
    entering = {source for name in mine for source in network.layer(name).inputs if source not in inside}
    leaving = {
        name
        for name in inside
        if not (users := list(network.graph.successors(name))) or any(user not in inside for user in users)
    }
    return WORD_BITS * sum(prod(network.shapes[name]) for name in entering | leaving)

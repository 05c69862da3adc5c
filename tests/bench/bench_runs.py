"""Representative layers and networks on every machine: what a run's parts take, how fast the engine is, how much memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

CASE = Path(__file__).with_name("case.py")
MIB = 2**20


class Case(NamedTuple):
    """`until` is the last layer of the float forward pass beside it; `whole` names what keeps a whole network from 2.0."""

    arch: str
    workload: str
    cycles: int
    batch: int = 1
    settings: dict[str, object] = {}  # noqa: RUF012
    until: str = ""
    whole: str = ""


CASES = [
    Case("eie", "alexnet-fc6", 23_235),
    Case("eie", "alexnet-fc7", 10_480),
    Case("eie", "vgg16-fc6", 20_072),
    Case("eie", "lenet-300-100", 46_831, 100),
    Case("yodann", "bc-cifar10", 1_617_598),
    Case("yodann", "vgg13", 22_910_170),
    Case("yodann", "vgg19", 39_032_242),
    Case("finn:pynq-lfc-w1a1", "lfc", 841_978, 1000),
    Case("finn:pynq-cnv-w1a1", "cnv", 516_553, 10),
    Case("fused", "alexnet", 819_958, 1, {"layers": "conv1..pool2"}, "pool2"),
    Case("fused", "vgg19", 11_936_232, 1, {"layers": "conv1_1..conv3_1"}, "conv3_1_relu"),
]
HOST = "the convolutions run on the host for the datapath and for the reference; coded weights are clustered"
BLOCKS = "sums of 32 input channels are clipped one after another, in the datapath and again in the reference"
ORDER = "every sum is added in the machine's order, in the datapath and again in the reference"
MEMORY = {
    "eie": "float32 weights, decoded for the float forward pass and the scales",
    "yodann": "float32 weights of the host's layers, convolution windows of the float forward pass",
    "finn": "times of every event of a dozen images, and of the steady design",
    "fused": "maps of datapath and reference beside each other, convolution windows",
}
"""What most of the memory beyond the goal is."""
WHOLE = [
    Case("eie", "alexnet-deep-compression", 40_332, whole=HOST),
    Case("eie", "vgg16-deep-compression", 34_611, whole=HOST),
    Case("yodann", "alexnet", 19_776_413, settings={"large_kernels": "split"}, whole=BLOCKS),
    Case("yodann", "vgg16", 30_971_206, whole=BLOCKS),
    Case("fused:whole", "alexnet", 1_608_426, until="pool5", whole=ORDER),
    Case("fused:whole", "vgg16", 28_897_425, until="pool5", whole=ORDER),
    Case("fused:baseline", "alexnet", 1_768_724, until="pool5", whole=ORDER),
    Case("fused:baseline", "vgg16", 27_984_096, until="pool5", whole=ORDER),
]
SMALL = [
    Case("eie", "lenet-300-100", 520),
    Case("yodann", "bc-cifar10", 1_617_598),
    Case("finn:pynq-lfc-w1a1", "lfc", 1_819),
    Case("fused", "alexnet", 819_958, 1, {"layers": "conv1..pool2"}, "pool2"),
]
TIMED = ("load", "float", "encode", "compute", "build", "engine", "reference", "total")


def measure(case, **more):
    """The figures of a case, from a process of its own; cycles and numbers are checked."""
    asked = {"arch": case.arch, "workload": case.workload, "batch": case.batch, "until": case.until, **more}
    asked["settings"] = case.settings
    made = subprocess.run([sys.executable, CASE, json.dumps(asked)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    figures = json.loads(made.stdout)
    assert figures["passed"]
    assert figures["cycles"] == case.cycles
    return figures


def label(case):
    return f"{case.arch} {case.workload} x{case.batch}{' whole' if case.whole else ''}"


@pytest.mark.parametrize("case", CASES + WHOLE, ids=label)
def test_runs(table, case):
    found = measure(case)
    wall, forward = found["wall_s"], found["forward_s"]
    what = {"machine": case.arch, "workload": case.workload}
    what["workload"] += "".join(f" {key}={value}" for key, value in case.settings.items())
    milliseconds = {name: wall[name] * 1e3 for name in TIMED}
    first = {"first": found["first_s"] * 1e3, "forward": forward * 1e3}
    table("Runs", **what, images=case.batch, cycles=found["cycles"], **milliseconds, **first)
    timing = wall["build"] + wall["engine"]
    numbers = wall["encode"] + wall["compute"]
    ours = timing + numbers + wall["reference"]
    if case.whole:
        shares = {"timing": timing, "datapath": numbers, "equivalence": wall["reference"], "all": ours}
        multiples = {name: spent / forward for name, spent in shares.items()}
        own = {"all / own reference": ours / wall["reference"]}
        table("Whole networks", **what, **multiples, **own, cause=case.whole if ours > 2 * forward else "")
    speed = {"firings": found["firings"], "M firings/s": found["firings"] / wall["engine"] / 1e6}
    table("Engines", **what, engine="fast", **speed, **{"G MACs/s": found["macs"] / wall["engine"] / 1e9})
    goal = 1.5 * (found["stored_bytes"] + found["activation_bytes"]) / MIB + 100
    peak = max(found["loading_bytes"], found["running_bytes"]) / MIB
    sizes = {name: found[f"{name}_bytes"] / MIB for name in ("loading", "running", "stored", "activation")}
    cause = "" if peak <= goal else MEMORY[case.arch.partition(":")[0]]
    table("Memory", **what, images=case.batch, **sizes, goal=goal, beyond=max(0.0, peak - goal), cause=cause)


@pytest.mark.parametrize("case", SMALL, ids=label)
def test_reference_engine(table, case):
    """The same cycles from simpy, and how fast."""
    found = measure(case, des=True)
    plain = found["des"]
    assert plain["cycles"] == case.cycles
    rates = {
        "M firings/s": found["firings"] / plain["engine_s"] / 1e6,
        "G MACs/s": found["macs"] / plain["engine_s"] / 1e9,
    }
    what = {"machine": case.arch, "workload": case.workload}
    table("Engines", **what, engine="des", firings=found["firings"], **rates)

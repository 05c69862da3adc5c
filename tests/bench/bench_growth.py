"""How time grows with layer size, PEs, images and design points: an exponent, fitted, and how well it fits."""

import numpy as np
import pytest

import archs
from archs import eie
from archs.finn.chain import chain
from archs.finn.folding import resolve
from archs.finn.model import pipeline
from sim.run import simulate
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Linear


@pytest.fixture
def growth(table, seconds):
    """`growth(what, axis, sizes, prepare)`: times `prepare(size)()` for each size and fits size^exponent."""

    def measure(what, axis, sizes, prepare, times=5):
        spent = [seconds(prepare(size), times) for size in sizes]
        x, y = np.log(sizes), np.log(spent)
        exponent, start = np.polyfit(x, y, 1)
        residual = float(((y - start - exponent * x) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        ends = f"{spent[0] * 1e3:.3g} .. {spent[-1] * 1e3:.3g}"
        sizes = f"{sizes[0]:,} .. {sizes[-1]:,}"
        table(
            "Growth", time=what, against=axis, sizes=sizes, milliseconds=ends, exponent=float(exponent), r2=1 - residual
        )

    return measure


def square(side):
    """A drawn matrix of `side` x `side` at a tenth of its weights, and a vector at a third."""
    drawn = Layer("fc", Linear(side, bias=False), ("x",), density={"weight": 0.1, "activation": 0.35})
    return Network(f"square{side}", {"x": (side,)}, [drawn])


def drawn(side):
    from workloads.generate import activations, filled, generator

    network = square(side)
    network = network.replace({"fc": filled(network, network.layers[0], 0)})
    return network, {"x": activations(generator(0, "x"), (side,), 0.35, 1)}


SIDES = (1448, 2048, 2896, 4096, 5792, 8192)  # below, the counting loops run too
CYCLES = {2048: 2_738, 8192: 44_810}


def test_layer_size(growth):
    """EIE on square matrices: encoding, timing and numbers are each linear in the entries, the side squared."""
    spec, cases = eie.SPEC(), {side: drawn(side) for side in SIDES}
    seen = {side: eie.compute(spec, *case).activations for side, case in cases.items()}

    def timing(side):
        return lambda: [simulate(phase.design).cycles for phase in eie.build(spec, cases[side][0], seen[side])]

    growth("EIE: build and engine", "entries", [side**2 // 10 for side in SIDES], lambda n: timing(side_of(n)))
    growth("EIE: compute", "entries", [side**2 // 10 for side in SIDES],
           lambda n: lambda: eie.compute(spec, *cases[side_of(n)]))  # fmt: skip
    assert {side: timing(side)()[0] for side in CYCLES} == CYCLES


def side_of(entries):
    return next(side for side in SIDES if side**2 // 10 == entries)


def test_pes(growth):
    """EIE's engine on fc7 over its processing elements."""
    work = load("alexnet-fc7")
    seen = eie.compute(eie.SPEC(), work.network, work.inputs).activations
    specs = {pes: eie.SPEC(pes=pes) for pes in (16, 64, 256, 1024)}
    plans = {pes: eie.build(spec, work.network, seen) for pes, spec in specs.items()}
    growth("EIE: engine, fc7", "PEs", list(specs), lambda pes: lambda: simulate(plans[pes][0].design))
    assert simulate(plans[64][0].design).cycles == 10_480


def test_different_images(growth):
    """Every image has its own time on EIE: build, engine and compute of LeNet-300-100 on digits."""
    spec, cases = eie.SPEC(), {images: load("lenet-300-100", images=images) for images in (8, 32, 128, 512)}

    def run(images):
        work = cases[images]

        def whole():
            made = eie.compute(spec, work.network, work.inputs)
            for phase in eie.build(spec, work.network, {**work.inputs, **made.activations}):
                simulate(phase.design)

        return whole

    growth("EIE: LeNet-300-100", "different images", list(cases), run, 3)


def test_equal_images(growth):
    """A batch through FINN's pipeline is periodic: no more than its first periods is stepped."""
    spec = archs.settings("finn", "pynq-lfc-w1a1")
    lowered = chain(load("lfc").network, archs.find("finn").precision(spec))
    line = pipeline(spec, lowered, resolve(spec, lowered))
    growth("FINN: timing of LFC", "equal images", [100, 1000, 10_000, 100_000, 1_000_000],
           lambda images: lambda: simulate(line.design(images)))  # fmt: skip
    assert simulate(line.design(10_000)).cycles == 8_410_978


def test_design_points(growth):
    """Points of a sweep share the encoding: fc7 over queue depths."""
    work = load("alexnet-fc7")
    seen = eie.compute(eie.SPEC(), work.network, work.inputs).activations

    def sweep(points):
        return lambda: [
            simulate(phase.design)
            for depth in range(2, 2 + points)
            for phase in eie.build(eie.SPEC(queue_depth=depth), work.network, seen)
        ]

    growth("EIE: queue depths of fc7", "design points", [4, 16, 64, 256], sweep, 3)

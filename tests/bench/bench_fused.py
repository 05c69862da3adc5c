"""Fused layers: how long the searches take, and timing and datapath of VGG's pyramid against the numpy reference."""

import numpy as np

import archs
from archs.fused.partition import Costs, enumerate_points, front
from archs.fused.stack import stack
from archs.fused.storage import PRECISIONS
from sim.run import simulate
from workloads.execute import execute
from workloads.generate import fill
from workloads.load import load
from workloads.network import Network


def test_searches(row, seconds):
    """All 64 partitions of VGG's first seven layers; the Pareto front of all 2^20 of VGG-19 by dynamic programming."""
    network, precision = load("vgg19").network, PRECISIONS["float32"]
    head, whole = stack(network, "conv1_1..conv3_1"), stack(network)
    assert len(enumerate_points(Costs(head, 1, "reuse", precision))) == 64
    assert len(front(Costs(whole, 1, "reuse", precision))) == 28
    row("VGG, 7 layers: all partitions", seconds(lambda: enumerate_points(Costs(head, 1, "reuse", precision))), "s")
    row("VGG-19, 21 layers: dynamic programme", seconds(lambda: front(Costs(whole, 1, "reuse", precision))), "s")


def test_vgg_pyramid_against_the_reference(row, seconds):
    """224 x 224, seven layers: build, engine and datapath over the float32 forward pass of the same layers."""
    full, plugin = load("vgg19").network, archs.find("fused")
    names = [layer.name for layer in full.layers]
    network = fill(Network("head", full.inputs, full.layers[: names.index("conv3_1_relu") + 1]))
    spec = plugin.SPEC(layers="conv1_1..conv3_1")
    inputs = {"image": np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)}
    plugin.compute(plugin.SPEC(layers="conv1_1"), network, inputs)
    assert sum(simulate(phase.design).cycles for phase in plugin.build(spec, network, inputs)) == 11_936_232
    reference = seconds(lambda: execute(network, inputs))
    timing = seconds(lambda: [simulate(phase.design) for phase in plugin.build(spec, network, inputs)])
    compute = seconds(lambda: plugin.compute(spec, network, inputs))
    row("VGG, 7 layers: numpy reference", reference * 1e3, "ms")
    row("VGG, 7 layers: timing / reference", timing / reference, "1")
    row("VGG, 7 layers: datapath / reference", compute / reference, "1")

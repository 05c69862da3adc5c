"""YodaNN's speed as ratios in one process: all convolutions of VGG-19 against their float32 forward pass."""

import resource

import numpy as np

from archs import yodann
from archs.yodann.compute import compute
from sim.run import simulate
from workloads.execute import forward
from workloads.generate import fill
from workloads.load import load
from workloads.network import Network
from workloads.ops import Conv


def test_vgg19_against_its_float32_forward_pass(row, seconds):
    """Timing and datapath of the 16 convolutions, pools and ReLUs on the host, against numpy's own forward pass."""
    spec, work = yodann.SPEC(), load("vgg19")
    layers = [layer for layer in work.network.layers if not layer.name.startswith("fc")]
    network = fill(yodann.fill(spec, Network("vgg19", work.network.inputs, layers)))
    convolutions = [layer for layer in network.layers if isinstance(layer.op, Conv)]
    real = network.with_params({layer.name: {"weight": layer.array("weight")} for layer in convolutions})
    inputs = {name: array.astype(np.float32) for name, array in work.inputs.items()}

    def floats():
        values = dict(inputs)
        for layer in real.layers:
            values[layer.name] = forward(layer.op, layer.params, [values[source] for source in layer.inputs])
        return values

    def timing():
        return sum(simulate(phase.design).cycles for phase in yodann.build(spec, network, inputs))

    assert timing() == 39_032_242
    reference = seconds(floats)
    clock, datapath = seconds(timing), seconds(lambda: compute(spec, network, inputs))
    row("VGG-19: float32 forward pass", reference * 1e3, "ms")
    row("VGG-19: timing alone", clock, "s", "1 or less")
    row("VGG-19: timing + datapath / float32 forward pass", (clock + datapath) / reference, "1", "2 or less")
    row("VGG-19: peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB", "3 or less")

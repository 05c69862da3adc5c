"""What a group of fused layers needs: its inputs, outputs and weights once, and every MAC of a non-zero weight."""

from math import prod

import numpy as np

from archs.fused.layout import Layout
from archs.fused.storage import weight_bits
from sim.plan import Needs


def needs(made: Layout, images: int) -> dict[str, Needs]:
    """By layer, and for the run its feature maps: input pixels that some window covers, all outputs."""
    found, read, written = {}, 0, 0
    for part in made.parts:
        group, bits = part.group, part.storage.precision
        for name, shape in group.entries.items():
            read += shape[0] * group.wanted[name] * bits.map_bits
        written += sum(prod(group.shapes[name]) for name in group.exits) * bits.map_bits
        for node in group.convs:
            layer = node.layer  # its convolution as `groups` cuts it
            macs = layer.op.macs(*node.sources) // prod(node.shape[1:])
            if "weight" in layer.params:
                macs = int(np.count_nonzero(layer.array("weight")))
            macs *= group.wanted[node.name]
            loads = {"dram.weights.read": weight_bits(node, bits.weight_bits)}
            found[node.name] = Needs(macs * images, loads)
    features = {"dram.features.read": read * images, "dram.features.write": written * images}
    return found | {"": Needs(None, features)}

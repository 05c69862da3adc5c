"""What a pipeline needs: every MAC of every layer, every weight for every output pixel, images in and scores out."""

from math import prod

from archs.finn.chain import Chain
from sim.plan import Needs
from workloads.network import Network


def needs(network: Network, lowered: Chain, images: int) -> dict[str, Needs]:
    """By unit, and for the run what crosses its pins."""
    found = {
        unit.name: Needs(
            network.macs(unit.name) * images,
            {"weights.weights.read": unit.rows * unit.columns * unit.weight_bits * unit.vectors * images},
        )
        for unit in lowered.matrices
    }
    first, last = lowered.units[0], lowered.units[-1]
    pixels = prod(next(iter(network.inputs.values()))) * first.incoming.bits
    scores = prod(last.out)
    return found | {"": Needs(None, {"dram.features.read": pixels * images, "dram.outputs.write": scores * images})}

"""What a convolution needs through the chip's pins: pixels some window covers, weights, outputs; and its MACs."""

from math import prod

from archs.yodann.settings import Yodann
from sim.plan import Needs
from workloads import reach
from workloads.network import Layer, Network


def needs(spec: Yodann, network: Network, layers: list[Layer], images: int) -> dict[str, Needs]:
    """By layer, over all images; weights come anew for each."""
    found, bits = {}, 1 if spec.weights == "binary" else 12
    for layer in layers:
        (source,), out, op = network.sources(layer.name), network.shapes[layer.name], layer.op
        weights = prod(op.parameters(source)["weight"]) * bits
        traffic = {
            "io.in.read": source[0] * reach.pixels(op, source, out) * 12,
            "io.out.write": prod(out) * 12,
            "io.weights.read": weights,
        }
        macs = network.macs(layer.name) * images
        found[layer.name] = Needs(macs, {key: amount * images for key, amount in traffic.items()})
    return found

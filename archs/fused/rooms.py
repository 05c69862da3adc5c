"""What every convolution's weights, and its group's buffers with them, take of the memory on chip."""

from archs.fused.layout import Layout
from archs.fused.spec import FusedSpec
from archs.fused.storage import weight_bits
from sim.plan import Room


def rooms(spec: FusedSpec, found: Layout) -> dict[str, dict[str, Room]]:
    """By convolution. A group is loaded as a whole, one group after another; one that does not fit is refused, cut or
    streamed before this, as the settings have it."""
    made: dict[str, dict[str, Room]] = {}
    for part in found.parts:
        storage = part.storage
        for node in part.group.convs:
            own = 0 if storage.streamed else -(-weight_bits(node, storage.precision.weight_bits) // 8)
            made[node.name] = {"on chip": Room(own, storage.total, int(spec.on_chip))}
    return made

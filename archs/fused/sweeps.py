"""Sweeps behind the figures: records for reports.figures, one row a point."""

from typing import Any

from archs.fused.partition import Costs, enumerate_points, front, pareto
from archs.fused.stack import stack
from archs.fused.storage import PRECISIONS
from workloads.load import load

VGG_HEAD = "conv1_1..conv3_1"


def storage_transfer(
    workload: str = "vgg19", layers: str = VGG_HEAD, precision: str = "float32"
) -> list[dict[str, Any]]:
    """All partitions of a range: bytes carried on chip, bytes of feature maps moved, and whether any other beats it.

    A (every layer on its own) and C (all in one pyramid) are the paper's points.
    """
    found = stack(load(workload).network, layers)
    points = enumerate_points(Costs(found, 1, "reuse", PRECISIONS[precision]))
    best = {point.sizes for point in pareto(points)}
    marks = {(1,) * len(found.units): "A", (len(found.units),): "C"}
    return [
        {
            "workload": workload,
            "partition": " ".join(map(str, point.sizes)),
            "storage_bytes": point.storage,
            "transfer_bytes": point.transfer,
            "front": point.sizes in best,
            "point": marks.get(point.sizes, ""),
        }
        for point in sorted(points, key=lambda p: (p.storage, p.transfer, p.sizes))
    ]


def whole_network(workload: str = "vgg19", precision: str = "float32") -> list[dict[str, Any]]:
    """The Pareto front of all partitions of a whole network, by dynamic programming."""
    found = stack(load(workload).network)
    return [
        {
            "workload": workload,
            "partition": " ".join(map(str, point.sizes)),
            "storage_bytes": point.storage,
            "transfer_bytes": point.transfer,
        }
        for point in front(Costs(found, 1, "reuse", PRECISIONS[precision]))
    ]

"""What the figures of YodaNN show: peak efficiency over the supply voltage, and every layer of the paper's networks."""

from collections.abc import Iterator
from typing import Literal

from archs.yodann import build
from archs.yodann.power import machine
from archs.yodann.published import kernel
from archs.yodann.settings import Yodann
from sim.run import simulate
from workloads.load import load

Point = dict[str, str | float]
NETWORKS = ("bc-cifar10", "bc-svhn-yodann", "resnet18-yodann", "vgg13", "alexnet-yodann")
STEPS = 25
ENDS = ("", "_low", "_high")
THRESHOLDS = (0.5, 0.567)
PUBLISHED = ((0.6, 54.77e9, 61.2e12), (1.2, 1510e9, 1510e9 / 153e-3))
"""Supply, operations/s and operations/J of the 7x7 chip as printed: 1510 GOp/s and 153 mW, 895 uW and 61.2 TOp/s/W."""


def voltage() -> Iterator[Point]:
    """Peak of 7x7, 5x5 and 3x3 from 0.6 V to 1.2 V, core alone and with pads, for two thresholds of the law."""
    for threshold in THRESHOLDS:
        for step in range(STEPS):
            spec = Yodann(voltage=round(0.6 + 0.6 * step / (STEPS - 1), 4), threshold=threshold)
            for size in (7, 5, 3):
                found = kernel(spec, size)
                yield {
                    "threshold_v": threshold,
                    "voltage_v": spec.voltage,
                    "kernel": f"{size}x{size}",
                    "clock_hz": found["clock"] * 1e6,
                    "ops_per_s": found["peak_throughput"] * 1e9,
                    **{f"core_ops_per_j{end}": found[f"core_efficiency{end}"] * 1e12 for end in ENDS},
                    **{f"chip_ops_per_j{end}": found[f"device_efficiency{end}"] * 1e9 for end in ENDS},
                }


def layers(
    networks: tuple[str, ...] = NETWORKS, corners: tuple[float, ...] = (0.6, 1.2), boundary: Literal["core"] = "core"
) -> Iterator[Point]:
    """Efficiency and throughput of every convolution layer in both accountings."""
    for name in networks:
        network = load(name).network
        for volts in corners:
            for accounting in ("paper", "full"):
                spec = Yodann(voltage=volts, accounting=accounting, boundary=boundary)
                chip = machine(spec)
                for phase in build(spec, network, {}):
                    (work,), seconds = phase.layers, simulate(phase.design).cycles / chip.clock_hz
                    ops = 2 * work.macs_useful
                    joules = chip.energy.price(phase.design.activity(), seconds, boundary).interval
                    yield {
                        "network": name,
                        "layer": work.name,
                        "voltage_v": volts,
                        "accounting": accounting,
                        "ops_per_j": ops / joules.nominal,
                        "ops_per_j_low": ops / joules.high,
                        "ops_per_j_high": ops / joules.low,
                        "ops_per_s": ops / seconds,
                    }

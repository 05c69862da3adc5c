"""Clock and energy over the supply voltage, from published end points; facts of the chip as a machine.

f ~ (V - Vt)^a / V and energy a cycle ~ V^b, each through two published points. A generic node polynomial predicts x2.8 in
delay between 0.6 V and 1.2 V where the chip shows x27.5: near threshold only the chip's own points will do.
"""

from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path

from archs.yodann.geometry import macs_per_cycle
from archs.yodann.settings import Yodann
from sim.energy import EnergyTable
from sim.errors import InputError
from sim.plan import Access, Machine

ENERGY = Path(__file__).with_name("energy.yaml")


@dataclass(frozen=True, slots=True)
class Law:
    """Two measured points (V, Hz), and the ratio of energy a cycle between them, by the kind of cycle."""

    low: tuple[float, float]
    high: tuple[float, float]
    energy: dict[str, float]

    def clock_hz(self, voltage: float, threshold: float) -> float:
        """The greatest clock at `voltage`, exact at both points whatever the threshold."""
        (v0, f0), (v1, f1) = self.low, self.high
        exponent = log(f1 * v1 / (f0 * v0)) / log((v1 - threshold) / (v0 - threshold))
        clock: float = f1 * ((voltage - threshold) / (v1 - threshold)) ** exponent * v1 / voltage
        return clock

    def energy_factor(self, kind: str, voltage: float) -> float:
        """Energy a cycle at `voltage` by that at 1.2 V."""
        factor: float = (voltage / self.high[0]) ** (log(self.energy[kind]) / log(self.high[0] / self.low[0]))
        return factor


LOW_HZ = 61.2e12 * 895e-6 / 3136
"""17.466 MHz: the found 61.2 TOp/s/W and 895 uW over 3136 operations a cycle."""

SCM = Law(
    (0.6, LOW_HZ),
    (1.2, 480e6),
    # k7: 153 mW / 480 MHz by 895 uW / 17.466 MHz, both found. k3: VGG-13's energy at both corners, fitted. k5, k7only:
    # no low point is known; they take k7's.
    {"k7": (153e-3 / 480e6) / (895e-6 / LOW_HZ), "k5": (153e-3 / 480e6) / (895e-6 / LOW_HZ), "k3": 6.553,
     "k7only": (153e-3 / 480e6) / (895e-6 / LOW_HZ)},
)  # fmt: skip
SRAM = Law((0.8, 131e9 / 784), (1.2, 348e9 / 784), {"q2.9": (185e-3 / 348e9) / (31e-3 / 131e9)})
"""Table I, 12-bit weights and SRAM, as recalled; SRAM stops at 0.8 V."""

AREA_M2 = 1.9e-6
AREA_GE = {32: 1.33e6, 8: 0.60e6}
"""Gate equivalents of the binary chip by channels: found; Table I as recalled."""


def law(spec: Yodann) -> Law:
    """The law of the memory that the chip is built with."""
    return SCM if spec.weights == "binary" else SRAM


def kind(spec: Yodann, native: int) -> str:
    """The kind of cycle of a native kernel size: its suffix in energy.yaml."""
    if spec.weights == "q2.9":
        return "q2.9"
    return f"k{native}" if spec.kernels == "multi" else "k7only"


def clock_hz(spec: Yodann) -> float:
    """The clock in use; InputError where supply or clock leave what is known."""
    points = law(spec)
    if not points.low[0] <= spec.voltage <= points.high[0]:
        raise InputError(
            f"found {spec.voltage:g} V; allowed: {points.low[0]:g} V to {points.high[0]:g} V, the published points",
            setting="voltage",
        )
    most = points.clock_hz(spec.voltage, spec.threshold)
    if spec.clock is not None and spec.clock > most * (1 + 1e-9):
        raise InputError(
            f"found {spec.clock / 1e6:g} MHz; at most {most / 1e6:.4g} MHz at this voltage", setting="clock"
        )
    return most if spec.clock is None else spec.clock


@cache
def _prices() -> EnergyTable:
    return EnergyTable.load(ENERGY)


def table(spec: Yodann) -> EnergyTable:
    """Prices at the voltage in use; pads and link do not see the core supply."""
    base, points = _prices(), law(spec)
    actions = {}
    for name, action in base.actions.items():
        parts = name.split(".", 1)[-1].rsplit(".", 1)
        if parts[0] in points.energy and action.boundary == "core":
            factor = points.energy_factor(parts[0], spec.voltage)
            actions[name] = action.model_copy(update={"energy": action.energy.times(factor)})
        elif name.startswith("io."):
            factor = spec.link_energy / 21e-12
            actions[name] = action.model_copy(update={"energy": action.energy.times(factor)})
    return base.replace(actions)


def machine(spec: Yodann) -> Machine:
    """Clock, the best peak over kernel sizes (5 x 5 in the multi-kernel chip), prices, traffic and area."""
    resources = {"area_m2": AREA_M2} if spec.channels == 32 and spec.kernels == "multi" else {}
    if spec.weights == "binary" and spec.channels in AREA_GE:
        resources["area_ge"] = AREA_GE[spec.channels]
    return Machine(
        clock_hz=clock_hz(spec),
        macs_per_cycle=max(macs_per_cycle(spec, k, k, k) for k in spec.natives),
        energy=table(spec),
        boundary=spec.boundary,
        accesses=accesses(spec),
        resources=resources,
    )


def accesses(spec: Yodann) -> dict[str, Access]:
    """Actions that move data. A host addition brings in one 12-bit partial result."""
    bits = 1 if spec.weights == "binary" else 12
    return {
        "io.pixels": Access("io.in.read", 12),
        "io.outputs": Access("io.out.write", 12),
        "io.weights": Access("io.weights.read", 12),
        "host.adds": Access("host.adds.write", 12),
        "image_memory.read": Access("image_memory.pixels.read", 12),
        "image_memory.write": Access("image_memory.pixels.write", 12),
        "filter_bank.write": Access("filter_bank.weights.write", bits),
    }

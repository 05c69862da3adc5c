"""The record beside a network that was trained here: on which data, by which script, and how well it does.

`training.yaml` stands in the network's folder next to `network.yaml`. Its `accuracy` is that of `workloads.execute` on
all held-out images; a test repeats the measurement.
"""

import json
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from sim.config import Spec, load
from sim.errors import InputError
from sim.files import write
from workloads import digits
from workloads.execute import execute
from workloads.network import Array, Network
from workloads.tensor import Shape

RECORD = "training.yaml"
INKED = 0.19
"""Share of the pixels of a digit that are not zero."""
Inputs = dict[str, Array]


class Record(Spec):
    """`divide_by` turns pixels into the network's input: 255 for float32 in 0..1, 1 for the uint8 pixels themselves."""

    data: Literal["digits"]
    divide_by: PositiveInt
    accuracy: float
    images: PositiveInt
    script: str


def read_record(folder: Path) -> Record | None:
    """The record in a network's folder, None where there is none."""
    path = folder / RECORD
    return load(Record, path) if path.is_file() else None


def write_record(folder: Path, record: Record) -> None:
    """Write `training.yaml`."""
    write(folder / RECORD, "".join(f"{key}: {json.dumps(value)}\n" for key, value in record.model_dump().items()))


def examples(network: Network, record: Record, count: int, rng: np.random.Generator) -> tuple[Inputs, Array | None]:
    """`count` held-out digits and their labels; where the digits are not installed, random pixels as often inked."""
    name, shape = _entry(network)
    try:
        return held_out(network, record.divide_by, count)
    except InputError:
        pixels = rng.integers(1, 256, (count, *shape), np.uint8) * (rng.random((count, *shape)) < INKED)
        return {name: _scaled(pixels, record.divide_by)}, None


def held_out(network: Network, divide_by: int, count: int) -> tuple[Inputs, Array]:
    """The first `count` held-out digits as the network's input, and their labels; more than there are begin anew.

    InputError with the install hint when the digits are not installed.
    """
    loaded = digits.load()
    chosen = np.arange(count) % len(loaded.test_labels)
    name, shape = _entry(network)
    pixels = loaded.test_images[chosen].reshape(count, *shape)
    return {name: _scaled(pixels, divide_by)}, loaded.test_labels[chosen]


def _entry(network: Network) -> tuple[str, Shape]:
    """Name and shape of the one input, which must hold a digit."""
    for name, shape in network.inputs.items():
        if len(network.inputs) == 1 and prod(shape) == digits.SIDE**2:
            return name, shape
    raise InputError(f"inputs {network.inputs} do not take one digit of 28 x 28 pixels", where=network.name)


def _scaled(pixels: Array, divide_by: int) -> Array:
    return pixels if divide_by == 1 else pixels / np.float32(divide_by)


def accuracy(network: Network, divide_by: int) -> tuple[float, int]:
    """Share of the held-out digits whose greatest score (the first of equals) is at their label, and their number."""
    count = len(digits.load().test_labels)
    inputs, labels = held_out(network, divide_by, count)
    (last,) = network.outputs
    scores = execute(network, inputs)[last]
    return float((scores.reshape(count, -1).argmax(1) == labels).mean()), count

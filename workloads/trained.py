"""The record beside a network that was trained here: on which data, by which script, and how well it does.

`training.yaml` stands in the network's folder next to `network.yaml`. Its `accuracy` is that of `workloads.execute` on
all held-out images; a test repeats the measurement.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from sim.config import Spec, load
from workloads import digits
from workloads.execute import execute
from workloads.network import Array, Network

RECORD = "training.yaml"


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
    (folder / RECORD).write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in record.model_dump().items()))


def held_out(network: Network, divide_by: int, count: int) -> tuple[dict[str, Array], Array]:
    """The first `count` held-out digits as the network's input, and their labels; more than there are begin anew.

    InputError with the install hint when the digits are not installed.
    """
    loaded = digits.load()
    chosen = np.arange(count) % len(loaded.test_labels)
    ((name, shape),) = network.inputs.items()
    pixels = loaded.test_images[chosen].reshape(count, *shape)
    return {name: pixels if divide_by == 1 else pixels / np.float32(divide_by)}, loaded.test_labels[chosen]


def accuracy(network: Network, divide_by: int) -> tuple[float, int]:
    """Share of the held-out digits whose greatest score (the first of equals) is at their label, and their number."""
    count = len(digits.load().test_labels)
    inputs, labels = held_out(network, divide_by, count)
    (last,) = network.outputs
    scores = execute(network, inputs)[last]
    return float((scores.reshape(count, -1).argmax(1) == labels).mean()), count

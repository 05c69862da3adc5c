"""From a trained network to its folder: saved, read back, measured as read back, and the measurement recorded."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from workloads import trained
from workloads.digits import Digits, load
from workloads.network import Network
from workloads.save import read_saved, save
from workloads.training.fit import few


def arguments(description: str | None, networks: Sequence[str] = ()) -> argparse.Namespace:
    """`--out DIR --seed N --brief --verbose`, the same for each script, and `--network` where there is a choice."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write the networks to, a folder each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--brief", action="store_true", help="a smoke test: few images, one epoch a stage")
    parser.add_argument("--verbose", action="store_true", help="log the loss of each epoch")
    if networks:
        parser.add_argument("--network", choices=networks, default=networks[0])
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO if chosen.verbose else logging.WARNING, format="%(message)s")
    return chosen


def digits(brief: bool) -> Digits:
    """All digits, or a few for a smoke test."""
    return few(load()) if brief else load()


def ship(network: Network, out: Path, divide_by: int, script: str, source: str) -> trained.Record:
    """Write `out/<network name>/` and print one line about it; accuracy is that of what was read back."""
    folder = out / network.name
    save(network, folder, source)
    accuracy, images = trained.accuracy(read_saved(folder).network, divide_by)
    record = trained.Record(data="digits", divide_by=divide_by, accuracy=accuracy, images=images, script=script)
    trained.write_record(folder, record)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner may read
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{network.name}: {accuracy:.2%} of {images} held-out digits, {size / 1000:.1f} kB")
    return record

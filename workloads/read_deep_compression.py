"""The published compressed SqueezeNet: a .net file of entry counts, then codebook, bias, codes and runs of every layer.

Little-endian: 26 uint32 entry counts; per layer 256 float32 codebook values (the first is 0), a float32 bias per output,
one byte per code, 4 bits per run (low half first). Layers in the order of SqueezeNet 1.0. The file holds no shapes.
"""

from pathlib import Path

import numpy as np

from sim.errors import InputError
from workloads.formats.gaps import Gaps
from workloads.network import Network
from workloads.ops import Conv
from workloads.read_yaml import read_network
from workloads.tensor import Array, Tensor

BASE = Path(__file__).parent / "zoo" / "squeezenet1.0.yaml"
CODEBOOK = 256
MOST_BYTES = 64 << 20


def read_deep_compression(path: str | Path) -> Network:
    """SqueezeNet 1.0 with the file's weights, still encoded; every byte of the file is accounted for."""
    path = Path(path)
    base = read_network(BASE).network
    layers = [layer for layer in base.layers if isinstance(layer.op, Conv)]
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"larger than {MOST_BYTES} bytes", where=str(path))
        data = _Bytes(path)
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=str(path)) from None
    counts = data.take(len(layers), np.dtype("<u4"), "entry counts")
    params: dict[str, dict[str, Tensor]] = {}
    for layer, count in zip(layers, counts.tolist(), strict=True):
        shapes = layer.op.parameters(*base.sources(layer.name))
        codebook = data.take(CODEBOOK, np.dtype("<f4"), f"codebook of {layer.name}")
        bias = data.take(shapes["bias"][0], np.dtype("<f4"), f"bias of {layer.name}")
        codes = data.take(count, np.dtype("u1"), f"codes of {layer.name}")
        halves = data.take((count + 1) // 2, np.dtype("u1"), f"runs of {layer.name}")
        runs = np.stack([halves & 15, halves >> 4], axis=1).ravel()[:count]
        weight = Gaps(shapes["weight"], codes, runs, codebook)
        try:
            weight.check()
        except InputError as error:
            raise InputError(error.message, where=str(path), setting=layer.name) from None
        params[layer.name] = {"weight": weight, "bias": bias}
    data.finish()
    found = base.with_params(params)
    return Network("squeezenet1.0-compressed", found.inputs, found.layers)


class _Bytes:
    """A file read from front to back."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, count: int, dtype: np.dtype[np.generic], what: str) -> Array:
        end = self.at + count * dtype.itemsize
        if end > len(self.data):
            raise InputError(f"ends within the {what}", where=str(self.path))
        array = np.frombuffer(self.data, dtype, count, self.at)
        self.at = end
        return array.astype(dtype.newbyteorder("="))

    def finish(self) -> None:
        if self.at != len(self.data):
            raise InputError(f"{len(self.data) - self.at} bytes after the last layer", where=str(self.path))

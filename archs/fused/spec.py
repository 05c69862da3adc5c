"""The settings of the machine; defaults are the fused design of the paper's board (Virtex-7 XC7V690T, fp32, 100 MHz)."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sim.config import Bytes, BytesPerSecond, Hertz, Spec

Positive = Annotated[int, Field(ge=1)]
_UNROLL = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")

DEVICE_BRAM18 = 2940
DEVICE_DSPS = 3600
"""XC7V690T (Xilinx DS180)."""


class FusedSpec(Spec):
    """Settings of the fused-layer machine and of its layer-by-layer baseline."""

    layers: str = ""
    """`first..last` or one name; empty: every layer the machine takes."""
    partition: str | tuple[Positive, ...] = "all"
    """Group sizes, pools counted as layers; or `all` (one group), `each` (one layer a group), `best` (least transfer
    that fits)."""
    scheme: Literal["reuse", "recompute", "baseline"] = "reuse"
    tile: Positive | None = None
    """Side of the final output tile; of the convolution's output tile in the baseline. Default 1, baseline 28."""
    unroll: (
        str
        | tuple[Positive, Positive]
        | dict[str, str | tuple[Positive, Positive]]
        | tuple[str | tuple[Positive, Positive], ...]
    ) = "balance"
    """`balance` under the DSP budget, `64x9` for every layer, `{conv1_1: 3x3, ...}` or one per convolution in order; a
    pair may be `[64, 9]` too."""
    dsps: Positive = 2880
    """DSP48 slices that `balance` may use: 64 x 9 fp32 multiply-accumulates, as in the published VGG baseline."""
    precision: Literal["float32", "fixed16", "fixed8"] = "float32"
    pipeline: Literal["lockstep", "free"] = "lockstep"
    dram_bandwidth: BytesPerSecond | None = None
    """Of the one DRAM port; none: the port is never the limit, as in the published cycle counts."""
    accounting: Literal["full", "paper"] = "full"
    """`paper`: cycles of arithmetic alone, whatever the bandwidth."""
    groups: Annotated[int, Field(ge=0, le=1)] = 0
    """1: one group of a network with grouped convolutions (the paper's AlexNet figures); 0: the network as it is."""
    transfer: Literal["pool_merged", "raw", "per_layer", "trips"] = "per_layer"
    """How passes that are only pools are counted, and (`trips`) whether the baseline re-reads its inputs."""
    overflow: Literal["refuse", "cut", "stream"] = "refuse"
    on_chip: Bytes = DEVICE_BRAM18 * 18 * 1024 / 8
    """Block memory for weights, carried rows and columns, and tiles."""
    clock: Hertz = 100e6

    @field_validator("partition", "unroll", mode="before")
    @classmethod
    def _lists(cls, value: object) -> object:
        return _tuples(value)

    @field_validator("partition")
    @classmethod
    def _words(cls, value: str | tuple[int, ...]) -> str | tuple[int, ...]:
        if isinstance(value, str) and value not in ("all", "each", "best"):
            raise ValueError(f"found {value!r}; allowed: all, each, best or group sizes such as [3,1,2,1]")
        return value

    @field_validator("unroll")
    @classmethod
    def _factors(cls, value: str | dict[str, object] | tuple[object, ...]) -> object:
        texts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        for text in texts:
            if isinstance(text, str) and text != "balance" and not _UNROLL.fullmatch(text):
                raise ValueError(f"found {text!r}; allowed: Tm x Tn such as 64x9, or balance")
        return value


def _tuples(value: object) -> object:
    """Lists, at any depth, as tuples."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def factors(text: str | tuple[int, int]) -> tuple[int, int]:
    """`64x9` as (64, 9)."""
    if not isinstance(text, str):
        return text
    found = _UNROLL.fullmatch(text)
    assert found, text
    return int(found[1]), int(found[2])

"""The settings of the YodaNN model; the defaults are the 32 x 32 channel chip at 1.2 V.

Every choice that the paper leaves open is a setting here. Sections are those of Andri et al., TCAD 37(1), 2018.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.config import Hertz, JoulesPerBit, Spec, Volts

Positive = Annotated[int, Field(ge=1)]


class Yodann(Spec):
    """One chip, its supply and the host's habits."""

    channels: Annotated[int, Field(ge=1, le=64)] = 32
    """Input channels of a block = SoP units. The paper has 8, 16 and 32."""
    weights: Literal["binary", "q2.9"] = "binary"
    """`q2.9` is the fixed-point baseline of Table I: 12-bit weights, 7x7 only, SRAM image memory."""
    kernels: Literal["multi", "7x7"] = "multi"
    """`7x7` leaves the split adder tree out: all kernels run as 7x7, one filter a SoP (last column of Table II)."""
    voltage: Volts = 1.2
    """Core supply. Between the two published corners f and energy follow `power.py`."""
    threshold: Annotated[Volts, Field(ge=0.3, lt=0.6)] = 0.5
    """Vt of the clock's law between the corners. With 0.567 V the law also comes within 3 % of Table I (recalled) at
    0.8 V; with 0.5 V it stays 34 % below."""
    clock: Hertz | None = None
    """Core clock; default: the most that `voltage` allows."""

    accounting: Literal["full", "paper"] = "full"
    """`paper`: compute phase / eta as in Tables III-V. `full`: everything that the chip spends."""
    tile_rows: Annotated[int, Field(ge=8, le=1024)] = 32
    """Image rows that the memory holds for each channel: 1024 / 32."""
    weights_per_word: Annotated[int, Field(ge=1, le=12)] = 12
    """Binary weights that one 12-bit input word carries."""
    filter_load: Literal["block", "tile"] = "block"
    """`block`: the filters of a channel block stay for all row tiles. `tile`: Algorithm 1 as printed, again for each."""
    scale_load: Literal["charged", "hidden"] = "charged"
    """Scale and bias words, two an output, come with each filter load, or cost nothing."""
    preload: Literal["serial", "overlap"] = "serial"
    """`serial`: after the filters, before the first pixel. `overlap`: while the last columns of the tile before compute,
    as the paper claims; only where no filter load stands between."""
    refill: Literal["overlap", "load"] = "overlap"
    """Rows a column shares with the tile above: `overlap` steps through them like output rows (the formula's eta_tile);
    `load` costs n_in cycles each."""
    pipeline_depth: Annotated[int, Field(ge=0, le=64)] = 4
    """Cycles from a channel sum to the first output word."""
    input_word_cycles: Positive = 1
    """Cycles between two words of a host that is slower than the chip."""
    output_word_cycles: Positive = 1
    """Cycles between two words that the host takes from one output stream (back-pressure)."""
    stream_order: Literal["even", "halves"] = "even"
    """Outputs on two streams: shared evenly, or filters 1..n on the first and the others on the second."""

    summer: Literal["saturate", "wrap"] = "saturate"
    """What a channel summer does beyond Q7.9."""
    real_weights: Literal["refuse", "binarise"] = "refuse"
    """Weights of several magnitudes an output: refuse, or take the sign of each and the mean magnitude."""
    pixels: Literal["truncate", "nearest"] = "truncate"
    """How the host turns real numbers into Q2.9."""
    host_add: Literal["wide", "clamp"] = "wide"
    """The host adds partial images as wide integers, or clamps to Q2.9 after each addition."""
    even_padding: Literal["layer", "low", "high"] = "layer"
    """Same-padded even kernels: the side of the odd row and column as the layer says, or always top-left or bottom-right."""
    stride: Literal["discard", "refuse"] = "discard"
    """Strided layers: compute at stride 1 and drop (charged), or refuse."""
    large_kernels: Literal["refuse", "split"] = "refuse"
    """Kernels beyond 7: refuse, or cut into parts of at most 7 whose images the host adds."""

    boundary: Literal["core", "chip", "system"] = "core"
    """What stands behind power and efficiency: the core as in the paper's headlines, with pads, or with the link."""
    link_energy: JoulesPerBit = 21e-12
    """System: moving one bit to or from the chip (I/O energy of Hyperdrive, same group)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weights == "q2.9" and self.kernels == "multi":
            raise ValueError("weights q2.9 goes with kernels 7x7 only: the baseline has no split adder tree")
        return self

    @property
    def natives(self) -> tuple[int, ...]:
        """Kernel sizes the SoP units can form."""
        return (3, 5, 7) if self.kernels == "multi" else (7,)

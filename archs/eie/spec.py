"""EIE's settings; the defaults are the machine of the ISCA 2016 paper."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.config import File, Hertz, Spec

Count = Annotated[int, Field(ge=1, le=4096)]


class EieSpec(Spec):
    """Settings of EIE. Section numbers are the paper's."""

    pes: Count = 64
    """Processing elements; row i of a matrix belongs to PE i mod pes (section III.B)."""
    queue_depth: Annotated[int, Field(ge=2, le=65536)] = 8
    """Ring size of each PE's activation queue: a ring of 8 holds 7 activations, 2 is the least."""
    spmat_width_bits: Annotated[int, Field(ge=8, le=4096)] = 64
    """Width of the sparse-matrix SRAM: a row holds this many bits of (weight, index) entries (section VI)."""
    clock: Hertz = 800e6
    index_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Bits of the count of zeros before an entry."""
    weight_bits: Annotated[int, Field(ge=1, le=8)] = 4
    """Bits of a codebook index; entry 0 is zero."""
    overflow: Literal["assume", "refuse", "partition"] = "assume"
    """A network over an SRAM's capacity: run all the same and say so, refuse, or reload in passes (charged)."""
    lower: Literal["none", "im2col"] = "none"
    """`im2col`: convolutions run as one matrix-vector product per output position; `none`: they are skipped."""
    accounting: Literal["full", "paper"] = "full"
    """`paper`: energy is 0.600 W times the time, the convention behind the paper's Fig. 7."""
    spmat_kib: Annotated[float, Field(gt=0)] = 128
    pointer_kib: Annotated[float, Field(gt=0)] = 32
    activation_kib: Annotated[float, Field(gt=0)] = 2
    """SRAM per PE (Table II)."""
    energy: File | None = None
    """A YAML file with one's own technology numbers, in the form of energy.yaml."""

    @model_validator(mode="after")
    def _row_holds_an_entry(self) -> "EieSpec":
        if self.spmat_width_bits < self.entry_bits:
            raise ValueError(
                f"spmat_width_bits {self.spmat_width_bits} is less than one entry of {self.entry_bits} bits"
            )
        return self

    @property
    def entry_bits(self) -> int:
        """Bits of one stored entry: codebook index and run of zeros."""
        return self.index_bits + self.weight_bits

    @property
    def entries_per_row(self) -> int:
        """Entries in one row of the sparse-matrix SRAM."""
        return self.spmat_width_bits // self.entry_bits

    @property
    def slots(self) -> int:
        """Activations a queue holds when full: a ring is full when its write pointer would meet the read pointer."""
        return self.queue_depth - 1

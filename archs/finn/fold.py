"""A folding: how many rows (PE) and columns (SIMD) of a layer's matrix its unit works on per cycle."""

from dataclasses import dataclass

from workloads.formats.bits import check_folding


@dataclass(frozen=True, slots=True)
class Fold:
    """PE rows and SIMD columns per cycle of a padded matrix of `mh` rows and `mw` columns."""

    pe: int
    simd: int
    mh: int
    mw: int

    def __post_init__(self) -> None:
        check_folding(self.mh, self.mw, self.pe, self.simd)

    @property
    def matrix(self) -> tuple[int, int]:
        return self.mh, self.mw

    @property
    def nf(self) -> int:
        """Folds of the rows."""
        return self.mh // self.pe

    @property
    def sf(self) -> int:
        """Folds of the columns."""
        return self.mw // self.simd

    @property
    def cycles(self) -> int:
        """Cycles per matrix-vector product."""
        return self.nf * self.sf

"""Where the cycles of `full` accounting go that `paper` accounting does not know."""

from functools import lru_cache
from math import ceil

from archs.yodann.geometry import Cut
from archs.yodann.model import Formula, Timed


@lru_cache(maxsize=64)
def beyond(cut: Cut) -> dict[str, int]:
    """Cycles of one image by cause; they add up to full minus paper.

    stride: outputs computed and dropped. tiles_and_blocks: exact tiles with their overlap in place of ceil(h / 32), and
    blocks of outputs that are not full. filter_load, scale_load and preload: before the first pixel, where not hidden.
    drain: pipeline and output of the layer's last pixel. Input slower than a word a cycle counts where it waits.
    """
    full, paper = Timed(cut), Formula(cut)
    kept = cut.out[0] * cut.out[1]
    dense = ceil(sum(cut.paper_cycles(each) * each.out_height * each.out_width / kept for each in cut.passes))
    compute = sum(run.columns * cycles for run, cycles in zip(cut.runs, full.column_cycles, strict=True))
    words = cut.spec.input_word_cycles
    parts = {
        "stride": dense - paper.cycles,
        "tiles_and_blocks": compute - dense,
        "filter_load": sum(run.filter_words for run in cut.runs) * words,
        "scale_load": sum(run.scale_words for run in cut.runs) * words,
        "drain": full.tail(-1),
    }
    return parts | {"preload": full.cycles - paper.cycles - sum(parts.values())}

"""The same schedule in its finest grain: words on the port, channel cycles, output words.

`design` is the proof that columns are tokens enough: it must give the same cycles as `model.Timed.design`
(tests/test_yodann_model.py). Far too fine for real layers.
"""

import numpy as np

from archs.yodann.geometry import Cut, Run
from archs.yodann.model import Timed
from sim.graph import Design, Fifo, Stage


def design(cut: Cut) -> Design:
    """Stages `load` (a firing a word, filters first, then preload), `channel` (a firing a channel cycle) and `drain` (a
    firing a word time of the output streams). A marker firing of no time opens and closes what a run loads."""
    graph = Design(f"{cut.name} by pixels")
    loads = [_load(run, cut.spec.input_word_cycles) for run in cut.runs]
    channels = [_channels(cut, run) for run in cut.runs]
    drains = [_drain(cut, run) for run in cut.runs]
    service = np.concatenate([cycles for cycles, _ in channels])
    done = np.concatenate([output for _, output in channels])
    graph.add(Stage("load", np.concatenate(loads), sum(map(len, loads))))
    graph.add(Stage("channel", service, len(service)))
    graph.add(Stage("drain", np.concatenate([cycles for cycles, _ in drains]), sum(len(c) for c, _ in drains)))
    lengths = [len(cycles) for cycles, _ in channels]
    graph.connect("load", "channel", Fifo("loaded", 1, _at_end(loads), _at_start(lengths), 0))
    graph.connect(
        "channel", "load", Fifo("port", 2, _turns(cut, lengths), _at_start(list(map(len, loads))), 0, initial=1)
    )
    depth = cut.spec.pipeline_depth
    graph.connect(
        "channel", "drain", Fifo("sums", depth + 1, done, np.concatenate([take for _, take in drains]), depth)
    )
    last = _at_end([cycles for cycles, _ in drains])
    graph.connect("drain", "channel", Fifo("scale_bias", 2, last, _at_start(lengths), 0, initial=1))
    return graph


def _load(run: Run, word: int) -> np.ndarray:
    """Service of the words of one run between two markers."""
    words = (run.filters + run.preload) // word
    return np.concatenate([[0], np.full(words, word), [0]])


def _channels(cut: Cut, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Service of every channel cycle of one run, and a 1 where a pixel of output is complete."""
    word = cut.spec.input_word_cycles
    row = np.full((run.columns, run.steps, run.inputs), word)
    waits = slice(0, None) if cut.spec.refill == "overlap" else slice(run.refill, None)
    row[:, waits, -1] += run.pace - run.feed
    done = np.zeros_like(row)
    done[:, run.refill :, -1] = 1
    return row.ravel(), done.ravel()


def _drain(cut: Cut, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Service of every output word time of one run, and a 1 where it takes the next pixel's sums."""
    pixels, times = run.columns * (run.steps - run.refill), run.drain // cut.spec.output_word_cycles
    return np.full(pixels * times, cut.spec.output_word_cycles), np.tile(np.arange(times) == 0, pixels).astype(np.int64)


def _turns(cut: Cut, lengths: list[int]) -> np.ndarray:
    """A 1 at the channel cycle after which the port turns to the next run."""
    marks = []
    for number, (run, length) in enumerate(zip(cut.runs, lengths, strict=True)):
        mark = np.zeros(length, np.int64)
        mark[length - 1 - Timed(cut).early(number) * run.steps * run.inputs] = 1
        marks.append(mark)
    return np.concatenate(marks)


def _at_start(lengths: list[int]) -> np.ndarray:
    mark = np.zeros(sum(lengths), np.int64)
    mark[np.cumsum([0, *lengths[:-1]])] = 1
    return mark


def _at_end(parts: list[np.ndarray]) -> np.ndarray:
    mark = np.zeros(sum(map(len, parts)), np.int64)
    mark[np.cumsum([len(part) for part in parts]) - 1] = 1
    return mark

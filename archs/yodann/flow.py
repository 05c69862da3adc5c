"""What the stages do to values, so that a small layer can be computed by the timed graph itself.

`filters` hands the bank's weights on, `preload` adds the tile, `compute` puts a column of channel sums and `drain` scales
them and gives them to the host.
"""

from collections import Counter
from typing import Any

import numpy as np

from archs.yodann import loop
from archs.yodann.arithmetic import Filters
from archs.yodann.geometry import Cut
from archs.yodann.model import Timed
from sim.plan import Behaviour
from sim.rates import IntArray
from workloads.network import Array

Tokens = dict[str, list[Any]]


def behaviour(cut: Cut, held: Filters, image: Array, name: str) -> Behaviour:
    """One image of integer pixels through the design of `cut`; what comes out is called `name`."""
    plan = list(loop.schedule(cut))
    made = {edge.fifo.name: edge.fifo.produce for edge in Timed(cut).design().edges}
    columns = [(number, column) for number, (*_, run) in enumerate(plan) for column in range(run.columns)]
    host = np.zeros((cut.outputs, *cut.out), np.int64)
    seen = np.zeros(host.shape, bool)
    bank: list[Array] = []
    current: list[Any] = []

    def filters(k: int, _: Tokens) -> Tokens:
        each, block, tile, run = plan[k]
        if run.filter_words:
            bank[:] = [loop.load(cut, each, block, tile, held, Counter())]
        return {"filters_loaded": [bank[0]]}

    def preload(k: int, tokens: Tokens) -> Tokens:
        each, block, tile, _ = plan[k]
        rows = slice(each.top + tile.first, each.top + tile.first + tile.rows)
        pixels = image[block.inputs, rows, each.left : each.left + each.width].astype(np.int64)
        return {"image_loaded": [(tokens["filters_loaded"][0], pixels)]}

    def compute(k: int, tokens: Tokens) -> Tokens:
        number, column = columns[k]
        if tokens["image_loaded"]:
            current[:] = tokens["image_loaded"]
        each, _, tile, run = plan[number]
        weight, pixels = current[0]
        memory = {(x, y): pixels[:, y, x] for x in range(each.width) for y in range(tile.rows)}
        above = each.padding[0] if tile.first == 0 else 0
        sums = [
            loop.sums(
                cut,
                held.shift,
                weight,
                loop.window(each, tile, memory, row - above, column - each.padding[1], run.inputs),
            )
            for row in range(run.steps - run.refill)
        ]
        return {"sums": [sums], "bank": [None] * _at(made["bank"], k)}

    def drain(k: int, tokens: Tokens) -> Tokens:
        number, column = columns[k]
        each, block, tile, _ = plan[number]
        first = 0 if tile.first == 0 else tile.first + each.padding[0]
        for row, sums in enumerate(tokens["sums"][0]):
            out = loop.scaled(sums, held.alpha[block.outputs], loop.bias(cut, each, block, held))
            loop.host_add(cut, block, first + row, column, out, host, seen, Counter())
        return {"scale_bias": [None] * _at(made["scale_bias"], k)}

    stages = {"filters": filters, "preload": preload, "compute": compute, "drain": drain}
    return Behaviour(stages, lambda: {name: host})


def _at(rate: object, firing: int) -> int:
    """Tokens put by a firing."""
    assert isinstance(rate, np.ndarray)
    counts: IntArray = rate
    return int(counts[firing])

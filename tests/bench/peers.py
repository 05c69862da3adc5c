"""`make peers`: the same dense layers in scalesim, zigzag-dse and here: time, memory, and every cycle and byte that differs.

Each peer runs in a virtual environment of its own under `--folder`; one that is absent is skipped with that reason. The
differences are closed forms of the layers' shapes; what they leave unexplained stands in the tables and fails the command.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path

HERE = Path(__file__).parent
WORD = 4
ROWS, COLUMNS = 9, 64
TILE = 28
"""Side of the baseline's tiles of output; each reads the weights again."""
LAYERS = [
    ("conv1", 227, 227, 11, 3, 96, 4),
    ("conv2", 31, 31, 5, 48, 128, 1),
    ("conv3", 15, 15, 3, 256, 384, 1),
    ("conv4", 15, 15, 3, 192, 192, 1),
    ("conv5", 15, 15, 3, 192, 128, 1),
]
MATRIX = ("fc7", 1, 1, 1, 4096, 4096, 1)
DENSE = "alexnet-fc7@weight=1,activation=1"
TOLD = [
    ("scalesim 3.0.0", "AlexNet's convolutions", "78 s, 1.9 GB"),
    ("scalesim 3.0.0", "FC6, dense", "240 s"),
    ("zigzag-dse 3.9.1", "AlexNet", "74 s"),
    ("EIE authors' C++ simulator", "FC6, sparse", "0.145 s"),
    ("STONNE", "FC6, sparse", "54 s"),
    ("SAM", "FC6, sparse", "about 40 s"),
    ("Stream", "VGG-19's first five layers", "9.7 s a tile size"),
    ("DeFiNES", "VGG-19's first five layers", "75 s a tile size"),
]
MOVED = ("features.read", "weights.read", "features.write")
FIDELITY = {
    "tapeout": "every event of the design simulated; with numbers, also every value computed, encoded and compared",
    "scalesim": "an operand address for every cell and cycle of a systolic array; no values ("
    '"cycle accurate SRAM/DRAM access logs": [PyPI, scalesim 3.0.0](https://pypi.org/project/scalesim/))',
    "zigzag": "closed forms of latency and energy, minimised over loop orders; no events, no values "
    '("fast and accurate HW cost estimation": [PyPI, zigzag-dse 3.9.1](https://pypi.org/project/zigzag-dse/3.9.1/))',
}


def spawn(command):
    """(printed, seconds, peak bytes) of a process of its own."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        spent = time.perf_counter() - began
        for stream in (out, err):
            stream.seek(0)
        if status:
            raise SystemExit(f"{command[:2]}: {err.read()[-600:]}")
        return out.read(), spent, used.ru_maxrss * 1024


def table(rows):
    """Markdown of a list of mappings."""
    heads = list(rows[0])
    right = ["---:" if isinstance(rows[0][head], int | float) else "---" for head in heads]
    cells = [[f"{v:,}" if isinstance(v, int) else f"{v:,.3g}" if isinstance(v, float) else str(v) for v in row.values()]
             for row in rows]  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, *cells][:1]) + f"\n|{'|'.join(right)}|\n" + "".join(
        f"| {' | '.join(row)} |\n" for row in cells)  # fmt: skip


class Shape:
    """What closed forms need of a layer."""

    def __init__(self, name, height, width, kernel, maps, filters, stride):
        self.name, self.kernel, self.maps, self.filters = name, kernel, maps, filters
        sides = ((height - kernel) // stride + 1), ((width - kernel) // stride + 1)
        self.out = prod(sides)
        self.words = {"weights": kernel**2 * maps * filters, "output": self.out * filters}
        self.again = (1 - prod(-(-side // TILE) for side in sides)) * self.words["weights"]

    def folds(self, rows, columns):
        """Times a weight-stationary array is loaded: rows of the unrolled window, columns of filters."""
        return -(-(self.kernel**2) * self.maps // rows) * -(-self.filters // columns)


def ours(arch, workload, *more):
    """(document, seconds, peak) of `tapeout run`."""
    tapeout = Path(sys.executable).with_name("tapeout")
    text, spent, peak = spawn([tapeout, "run", arch, workload, "--json", *more])
    return json.loads(text), spent, peak


def costs(name, job, spent, peak):
    return {"tool": name, "job": job, "seconds": spent, "peak_MiB": peak / 2**20}


def peer(folder, name, **asked):
    """(its rows, seconds, peak), or None where it is not installed."""
    python = Path(folder, name, "bin", "python")
    if not python.exists():
        return None
    text, spent, peak = spawn([python, HERE / f"peer_{name}.py", json.dumps(asked)])
    return json.loads(text), spent, peak


def convolutions(folder, page):
    """AlexNet's convolutions (one group of those with two) on 64 x 9 multipliers, from one file of shapes."""
    with tempfile.TemporaryDirectory() as room:
        file = Path(room, "layers.csv")
        head = "Layer, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
        rows = (f"{n}, {h}, {w}, {k}, {k}, {c}, {m}, {s},\n" for n, h, w, k, c, m, s in LAYERS)
        file.write_text(head + "".join(rows))
        timing, spent, peak = ours("fused:baseline", file, "--timing-only")
        page["costs"].append(costs("tapeout, timing only", "AlexNet conv", spent, peak))
        _, spent, peak = ours("fused:baseline", file)
        page["costs"].append(costs("tapeout, with numbers", "AlexNet conv", spent, peak))
    known = {layer["name"]: layer for layer in timing["layers"]}
    shapes = [Shape(*layer) for layer in LAYERS]
    found = peer(folder, "scalesim", rows=ROWS, columns=COLUMNS, dataflow="ws", layers=LAYERS)
    if found:
        page["costs"].append(costs("scalesim", "AlexNet conv", *found[1:]))
        rows = list(zip(shapes, (known[shape.name] for shape in shapes), found[0], strict=True))
        page["scalesim"] = [systolic(*row) for row in rows]
        page["scalesim_words"] = [systolic_words(*row) for row in rows]
    found = peer(folder, "zigzag", rows=ROWS, columns=COLUMNS, word_bytes=WORD, layers=LAYERS)
    if found:
        page["costs"].append(costs("zigzag", "AlexNet conv", *found[1:]))
        rows = list(zip(shapes, (known[shape.name] for shape in shapes), found[0], strict=True))
        page["zigzag"] = [mapped(shape, layer["cycles"], row) for shape, layer, row in rows]
        page["zigzag_bytes"] = [mapped_bytes(*row) for row in rows]


def systolic(shape, layer, row):
    """A weight-stationary array against the same multipliers side by side: cycles."""
    mine, theirs = layer["cycles"], int(row["Total Cycles"])
    folds = shape.folds(ROWS, COLUMNS)
    blocks = shape.kernel**2 * -(-shape.maps // ROWS) * -(-shape.filters // COLUMNS)
    packing, filling = shape.out * (folds - blocks), folds * (2 * ROWS + COLUMNS - 2)
    return {
        "layer": shape.name,
        "tapeout": mine,
        "packing": packing,
        "filling": filling,
        "last cycle's number": -1,
        "scalesim": theirs,
        "unexplained": theirs - mine - packing - filling + 1,
    }


def systolic_words(shape, layer, row):
    """The array hands every load's partial sums to memory, ours adds them on chip: words between DRAM and the chip."""
    mine = sum(layer["traffic_bytes"][f"dram.{key}"] // WORD for key in MOVED)
    loads = shape.folds(ROWS, COLUMNS) // -(-shape.filters // COLUMNS)
    sums = (loads - 1) * shape.words["output"]
    theirs = sum(int(row[f"DRAM {key}"]) for key in ("IFMAP Reads", "Filter Reads", "OFMAP Writes"))
    return {
        "layer": shape.name,
        "tapeout": mine,
        "weights of further tiles": shape.again,
        "partial sums": sums,
        "scalesim": theirs,
        "unexplained": theirs - mine - shape.again - sums,
    }


def mapped(shape, mine, row, columns=COLUMNS):
    """The same unrolling, evaluated: one cycle to hand over each finished tile of sums, and the path to and from DRAM."""
    tiles = shape.out * -(-shape.filters // columns)
    total = int(row["total_cycles"])
    return {
        "layer": shape.name, "tapeout": mine, "zigzag, mapped": int(row["mapped_cycles"]), "handing over": tiles - 2,
        "to and from DRAM": 4, "zigzag, total": total, "unexplained": total - mine - tiles - 2,
    }  # fmt: skip


def mapped_bytes(shape, layer, row):
    """Bytes between DRAM and the chip."""
    mine = sum(layer["traffic_bytes"][f"dram.{key}"] for key in MOVED)
    levels = row["dram"]
    theirs = WORD * (levels["I"][-1]["out_below"] + levels["W"][-1]["out_below"] + levels["O"][-1]["in_below"])
    return {
        "layer": shape.name,
        "tapeout": mine,
        "weights of further tiles": WORD * shape.again,
        "zigzag": theirs,
        "unexplained": theirs - mine - WORD * shape.again,
    }


def matrix(folder, page):
    """Dense fc7 on 64 multipliers: EIE with every weight and activation kept, against a row of 64 cells."""
    shape = Shape(*MATRIX)
    document, spent, peak = ours("eie", DENSE, "--timing-only")
    page["costs"].append(costs("tapeout, timing only", "fc7, dense", spent, peak))
    (layer,) = (layer for layer in document["layers"] if layer["name"] == "fc7")
    steps = prod((shape.maps, shape.filters)) // 64
    stalls = {cause: cycles // 64 for cause, cycles in layer["stalls"].items()}
    rows = [{"tool": "tapeout, EIE", "cycles": layer["cycles"], "multiplications": steps,
             "more": ", ".join(f"{cause} {cycles}" for cause, cycles in stalls.items() if cycles),
             "unexplained": layer["cycles"] - steps - sum(stalls.values())}]  # fmt: skip
    found = peer(folder, "scalesim", rows=1, columns=64, dataflow="os", layers=[MATRIX])
    if found:
        page["costs"].append(costs("scalesim", "fc7, dense", *found[1:]))
        theirs, folds = int(found[0][0]["Total Cycles"]), shape.filters // 64
        rows.append({"tool": "scalesim, output stationary", "cycles": theirs, "multiplications": steps,
                     "more": f"filling {folds} x 63, last cycle's number -1",
                     "unexplained": theirs - steps - folds * 63 + 1})  # fmt: skip
    found = peer(folder, "zigzag", rows=1, columns=64, word_bytes=WORD, layers=[MATRIX])
    if found:
        page["costs"].append(costs("zigzag", "fc7, dense", *found[1:]))
        theirs = int(found[0][0]["total_cycles"])
        rows.append({"tool": "zigzag", "cycles": theirs, "multiplications": steps,
                     "more": "handing over 62, to and from DRAM 4", "unexplained": theirs - steps - 62 - 4})  # fmt: skip
    page["matrix"] = rows
    page["matrix_bytes"] = {
        "tapeout": layer["traffic_bytes"]["spmat.weights.read"],
        "dense": shape.words["weights"],
    }


SYSTOLIC = """The layer-by-layer baseline (Zhang et al., FPGA 2015) has the same 576 multipliers, 64 output maps x 9 input
maps. Of two groups one is run.

- **packing**: a column of 9 cells holds any 9 weights of the window, the baseline 9 input maps at one place of it:
  ceil(K^2 N / 9) against K^2 ceil(N / 9) passes over the output.
- **filling**: each load of the array takes 9 cycles, filling and draining 9 + 64 - 2 more; the baseline's loads are hidden
  behind arithmetic.
- **last cycle's number**: it counts from 0.
- **partial sums**: every load of the array writes its sums to memory; the baseline adds them on chip.
- **weights of further tiles**: the baseline reads the weights for each 28 x 28 tile of output; only conv1 has several."""
MAPPED = """The same unrolling, given to it; the loop order is its own choice.

- **handing over**: registers of sums are emptied in a cycle of their own, once a tile of outputs but for two (registers of
  twice the size halve it); the baseline's are double.
- **to and from DRAM**: two cycles before the first and two after the last multiplication.
- **weights of further tiles**: as above."""
MATRIX_TEXT = """fc7 of AlexNet (4,096 x 4,096), one vector: EIE with nothing pruned against one row of 64 cells. Of EIE's
cycles `bias` is one more column, `starved` the first broadcast, `tail` the last entry's way through the pipe. EIE reads
{tapeout:,} bytes of weights, on chip: 8 bits for each of the {dense:,} and each of 4,096 biases; the peers move a word for
each weight."""


def text(page, skipped):
    """The page."""
    costs_text = (
        "Whole processes, imports included. The same layers, dense; `with numbers` also makes weights, computes every value "
        f"and proves it. Load average at the start: {page['load_average']:.1f} on {page['cores']} cores."
    )
    parts = ["# Against peers", "Written by `make peers`; the numbers are in `peers.json`."]
    parts += [f"{name} skipped: not installed." for name in skipped]
    parts += ["## What each run costs", costs_text, table(page["costs"]), "What each tells:"]
    parts += ["\n".join(f"- **{name}**: {said}" for name, said in FIDELITY.items())]
    parts += ["As told of other machines of two cores, not measured here (grade: recalled):"]
    parts += [table([{"tool": tool, "job": job, "figure": figure} for tool, job, figure in TOLD])]
    if "scalesim" in page:
        parts += ["## scalesim: 9 x 64 cells, weights stationary", SYSTOLIC, "Cycles:", table(page["scalesim"])]
        parts += ["DRAM words:", table(page["scalesim_words"])]
    if "zigzag" in page:
        parts += ["## zigzag-dse: 64 output maps x 9 input maps", MAPPED, "Cycles:", table(page["zigzag"])]
        parts += ["DRAM bytes at 4 a word:", table(page["zigzag_bytes"])]
    parts += ["## A dense matrix on 64 multipliers", MATRIX_TEXT.format(**page["matrix_bytes"]), table(page["matrix"])]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def unexplained(value):
    """Everything that no closed form covers."""
    if isinstance(value, dict):
        return sum(abs(v) for k, v in value.items() if "unexplained" in k) + sum(
            unexplained(v) for v in value.values() if isinstance(v, dict | list))  # fmt: skip
    return sum(unexplained(item) for item in value) if isinstance(value, list) else 0


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--folder", default="out/peers", help="where the peers' virtual environments are")
    asked.add_argument("--page", default="out", help="where peers.md and peers.json go")
    given = asked.parse_args()
    page = {"load_average": os.getloadavg()[0], "cores": os.cpu_count(), "costs": []}
    ours("fused:baseline", "alexnet", "--timing-only")  # compiled code comes from the cache from here on
    convolutions(given.folder, page)
    matrix(given.folder, page)
    skipped = [name for name in ("scalesim", "zigzag") if name not in page]
    Path(given.page, "peers.json").write_text(json.dumps(page, indent=1) + "\n")
    Path(given.page, "peers.md").write_text(text(page, skipped))
    if left := unexplained(page):
        raise SystemExit(f"{left} cycles or words unexplained: see {given.page}/peers.md")


if __name__ == "__main__":
    main()

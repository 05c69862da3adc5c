"""Runs in scalesim's own interpreter: `python peer_scalesim.py '{"rows": 9, "columns": 64, "layers": [...]}'` prints JSON.

A layer is `[name, height, width, kernel, maps, filters, stride]`, height and width with their padding. Memories hold any
layer and the interface is as wide as wanted ("CALC"), so that what is told is the array's time and compulsory traffic.
"""

import contextlib
import csv
import io
import json
import sys
import tempfile
from pathlib import Path

from scalesim.scale_sim import scalesim

CONFIG = """[general]
run_name = peer
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = 65536
FilterSramSzkB = 65536
OfmapSramSzkB = 65536
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Dataflow = {dataflow}
Bandwidth = 64
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 64
IfmapSRAMBankNum = 64
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 64
FilterSRAMBankNum = 64
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def report(folder, name):
    with open(next(Path(folder).rglob(name)), newline="") as file:
        rows = list(csv.reader(file))
    head = [cell.strip() for cell in rows[0]]
    return [dict(zip(head, (cell.strip() for cell in row), strict=False)) for row in rows[1:] if row]


def main(asked):
    with tempfile.TemporaryDirectory() as folder:
        config, layers, layout = (Path(folder, name) for name in ("c.cfg", "layers.csv", "layout.csv"))
        config.write_text(CONFIG.format(**asked))
        head = "Layer,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"
        lines = (f"{n},{h},{w},{k},{k},{c},{m},{s},\n" for n, h, w, k, c, m, s in asked["layers"])
        layers.write_text(head + "".join(lines))
        layout.write_text("Layer,\n" + "".join(f"{layer[0]}{',1' * 20},\n" for layer in asked["layers"]))
        with contextlib.redirect_stdout(io.StringIO()):
            run = scalesim(
                save_disk_space=True, verbose=False, config=str(config), topology=str(layers), layout=str(layout)
            )
            run.run_scale(top_path=folder)
        times, accesses = report(folder, "COMPUTE_REPORT.csv"), report(folder, "DETAILED_ACCESS_REPORT.csv")
    print(
        json.dumps(
            [{"layer": layer[0], **t, **a} for layer, t, a in zip(asked["layers"], times, accesses, strict=True)]
        )
    )


main(json.loads(sys.argv[1]))

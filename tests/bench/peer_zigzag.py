"""Runs in zigzag-dse's own interpreter: `python peer_zigzag.py '{"rows": 9, "columns": 64, "layers": [...]}'` prints JSON.

A layer is `[name, height, width, kernel, maps, filters, stride]`, height and width with their padding. The machine is a
`columns` x `rows` array over output maps x input maps, registers for weights and sums, memories that hold any layer, and
DRAM, all so wide that arithmetic alone takes time.
"""

import contextlib
import io
import json
import logging
import sys
import tempfile
from pathlib import Path

import yaml

WIDE = 1 << 22


def port(name, kind, *allocation):
    return {"name": name, "type": kind, "bandwidth_min": 8, "bandwidth_max": WIDE, "allocation": list(allocation)}


def memory(size, operands, served):
    ports = []
    for n, o in enumerate(operands, 1):
        ports.append(port(f"r_port_{n}", "read", f"{o}, tl", *([f"{o}, th"] if o == "O" else [])))
        ports.append(port(f"w_port_{n}", "write", f"{o}, fh", *([f"{o}, fl"] if o == "O" else [])))
    cost = {"r_cost": 1, "w_cost": 1, "area": 0, "latency": 1}
    return {"size": size, **cost, "operands": operands, "ports": ports, "served_dimensions": served}


def machine(rows, columns, bits):
    both = ["D1", "D2"]
    memories = {
        "weights": memory(bits, ["I2"], []),
        "sums": memory(bits, ["O"], ["D2"]),
        "chip": memory(1 << 32, ["I1", "I2", "O"], both),
        "dram": memory(1 << 40, ["I1", "I2", "O"], both),
    }
    array = {"unit_energy": 1, "unit_area": 1, "dimensions": both, "sizes": [columns, rows]}
    return {"name": "array", "memories": memories, "operational_array": array}


def layer(number, shape, bits):
    name, height, width, kernel, maps, filters, stride = shape
    out = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    return {
        "id": number,
        "name": name,
        "operator_type": "Conv",
        "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
        "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
        "loop_dims": ["B", "G", "K", "C", "OY", "OX", "FY", "FX"],
        "loop_sizes": [1, 1, filters, maps, *out, kernel, kernel],
        "operand_precision": {"W": bits, "I": bits, "O": bits, "O_final": bits},
        "operand_source": {"I": number, "W": number},
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [width, height],
        "padding": [[0, 0], [0, 0]],
    }


def moved(cme):
    """Values that each operand moves over the lower and the upper side of each memory, from the array outwards."""
    from zigzag.hardware.architecture.memory_port import DataDirection as Way
    from zigzag.mapping.data_movement import DataMoveAttr

    sides = {
        "out_below": Way.RD_OUT_TO_LOW, "in_below": Way.WR_IN_BY_LOW,
        "in_above": Way.WR_IN_BY_HIGH, "out_above": Way.RD_OUT_TO_HIGH,
    }  # fmt: skip
    found = {}
    for operand, levels in cme.mapping.unit_mem_data_movement.items():
        counts = [level.get_attribute(DataMoveAttr.DATA_ELEM_MOVE_COUNT) for level in levels]
        found[str(operand)] = [{side: int(count.get(way)) for side, way in sides.items()} for count in counts]
    return found


def main(asked):
    logging.disable(logging.CRITICAL)
    from zigzag.api import get_hardware_performance_zigzag

    bits = 8 * asked["word_bytes"]
    links = {"O": "O", "W": "I2", "I": "I1"}
    spread = {"D1": [f"K, {asked['columns']}"], "D2": [f"C, {asked['rows']}"]}
    mapping = [{"name": "default", "spatial_mapping": spread, "memory_operand_links": links}]
    parts = {
        "machine": machine(asked["rows"], asked["columns"], bits),
        "mapping": mapping,
        "layers": [layer(number, shape, bits) for number, shape in enumerate(asked["layers"])],
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.yaml") for name in parts}
        for name, part in parts.items():
            paths[name].write_text(yaml.safe_dump(part, sort_keys=False))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            *_, found = get_hardware_performance_zigzag(
                str(paths["layers"]), str(paths["machine"]), str(paths["mapping"]), opt="latency",
                dump_folder=f"{folder}/out", loma_show_progress_bar=False,
            )  # fmt: skip
    rows = []
    for cme, _ in found[0][1]:
        rows.append({
            "layer": cme.layer.name,
            "ideal_cycles": cme.ideal_cycle,
            "mapped_cycles": cme.ideal_temporal_cycle,
            "computation_cycles": cme.latency_total0,
            "total_cycles": cme.latency_total2,
            "mapping": str(cme.spatial_mapping),
            "dram": moved(cme),
        })  # fmt: skip
    print(json.dumps(rows))


main(json.loads(sys.argv[1]))

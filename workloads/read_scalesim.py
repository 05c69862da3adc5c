"""SCALE-Sim topology files, in and out: a CSV line per layer, shapes only.

    Layer name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, strides
    Layer, M, N, K                                                   (the matrix form)

Such a file says nothing of what feeds what: every layer gets an input of its own. Input sizes include padding. A grouped
convolution is written with the channels of one group, so that its MACs are right.
"""

from pathlib import Path

from sim.errors import InputError
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear, Matmul, Op
from workloads.tensor import Shape

HEAD = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
MOST_BYTES = 8 << 20


def read_scalesim(path: str | Path) -> Network:
    """A network of unconnected layers."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"larger than {MOST_BYTES} bytes", where=str(path))
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    inputs: dict[str, Shape] = {}
    layers: list[Layer] = []
    for number, line in enumerate(lines[1:], 2):
        words = [word.strip() for word in line.split(",")]
        words = words[: max((i + 1 for i, word in enumerate(words) if word), default=0)]
        if words:
            try:
                _add(words, inputs, layers)
            except InputError as error:
                raise InputError(error.message, where=f"{path}:{number}", setting=words[0]) from None
    if not layers:
        raise InputError("no layers in it; the first line is a heading", where=str(path))
    return Network(path.stem, inputs, layers)


def write_scalesim(network: Network) -> str:
    """The convolutions and linear layers of a network in SCALE-Sim's form; others are left out."""
    lines = [HEAD]
    for layer in network.layers:
        shape = network.shapes[layer.inputs[0]] if layer.inputs else ()
        if isinstance(layer.op, Linear):
            rows = shape[-2] if len(shape) > 1 else 1
            lines.append(_line(layer.name, rows, 1, 1, 1, shape[-1], layer.op.outputs, 1))
        elif isinstance(layer.op, Conv) and len(layer.op.kernel) == 2:
            top, left, bottom, right = layer.op.padding
            size = (shape[1] + top + bottom, shape[2] + left + right)
            channels = shape[0] // layer.op.groups
            lines.append(_line(layer.name, *size, *layer.op.kernel, channels, layer.op.outputs, layer.op.stride[0]))
    return "\n".join(lines) + "\n"


def _line(name: str, *numbers: int) -> str:
    return ", ".join([name.replace(",", "_"), *map(str, numbers)]) + ","


def _add(words: list[str], inputs: dict[str, Shape], layers: list[Layer]) -> None:
    name, numbers = words[0], words[1:]
    if len(numbers) not in (3, 7, 8) or not all(
        word.isdecimal() and word.isascii() and len(word) < 12 and 0 < int(word) < 1 << 31 for word in numbers[:8]
    ):
        raise InputError("found no name and 7 whole numbers (8 with two strides, 3 for M, N, K)")
    sizes = [int(word) for word in numbers]
    source = f"{name}.in"
    op: Op
    if len(sizes) == 3:
        inputs[source], inputs[f"{name}.in2"] = (sizes[0], sizes[2]), (sizes[2], sizes[1])
        layers.append(Layer(name, Matmul(), (source, f"{name}.in2")))
        return
    height, width, kernel_height, kernel_width, channels, filters, stride = sizes[:7]
    inputs[source] = (channels, height, width)
    steps = (stride, sizes[7] if len(sizes) == 8 else stride)
    op = Conv(filters, (kernel_height, kernel_width), steps, bias=False)
    if (height, width, kernel_height, kernel_width) == (1, 1, 1, 1):
        inputs[source], op = (channels,), Linear(filters, bias=False)
    layers.append(Layer(name, op, (source,)))

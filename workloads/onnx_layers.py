"""ONNX operators with weights: convolutions, matrix products, recurrent layers, pooling, batch norm."""

from dataclasses import replace
from math import prod

import numpy as np

from workloads import elementwise, ops
from workloads.onnx_model import Node, Value
from workloads.ops import reach
from workloads.read_onnx import Handler, Importer, NotTaken, constant, given, leads, required, shape_of, stripped
from workloads.shaping import Reshape, Slice, Transpose
from workloads.tensor import Array, Shape


def conv(net: Importer, node: Node) -> None:
    x, weight = required(node, 0), constant(node, 1, "weights")
    kernel = tuple(weight.shape[2:])
    groups = node.attribute("group", 1)
    stride, dilation, padding = _window(node, kernel, _space(x))
    bias = {"bias": constant(node, 2, "a bias")} if given(node, 2) is not None else {}
    if leads(shape_of(x)):
        op = ops.Conv(len(weight), kernel, stride, padding, groups, dilation, bool(bias))
        net.put(node, op, [net.holder(x)], {"weight": weight, **bias})
        return
    half = len(kernel)
    wide = (0, *padding[:half], 0, *padding[half:])
    op = ops.Conv(len(weight), (1, *kernel), (1, *stride), wide, groups, (1, *dilation), bool(bias))
    _items(net, node, op, x, {"weight": weight[:, :, None], **bias})


def _items(net: Importer, node: Node, op: ops.Op, x: Value, params: dict[str, Array]) -> None:
    """An operator on several items inside one image (items, channels, *space): the items become one more axis of space
    that windows of 1 pass over, so counts and numbers are those of the items one by one."""
    shape, out = shape_of(x), shape_of(node.outputs[0])
    axes = (1, 0, *range(2, len(shape)))
    turned = (shape[1], shape[0], *shape[2:])
    source = net.add(f"{node.name}_items", Transpose(axes), [net.holder(x)], turned, True)
    made = net.add(node.name, op, [source], (out[1], out[0], *out[2:]), True, params)
    net.put(node, Transpose(axes), [made], name=f"{node.name}_back")


def conv_transpose(net: Importer, node: Node) -> None:
    x, weight = required(node, 0), constant(node, 1, "weights")
    groups, kernel, space = node.attribute("group", 1), tuple(weight.shape[2:]), _space(x)
    half = len(kernel)
    stride, dilation = _each(node, "strides", half, 1), _each(node, "dilations", half, 1)
    extra = _each(node, "output_padding", half, 0)
    padding = _each(node, "pads", 2 * half, 0)
    outputs = shape_of(node.outputs[0])[2:]
    auto = _text(node, "auto_pad", "NOTSET")
    if node.attribute("output_shape") is not None or auto.startswith("SAME"):
        sizes = zip(space, stride, extra, reach(kernel, dilation), outputs, strict=True)
        total = [max(0, s * (n - 1) + e + k - out) for n, s, e, k, out in sizes]
        small, big = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        padding = small + big if auto == "SAME_UPPER" else big + small
    params = {"weight": weight}
    if given(node, 2) is not None:
        params["bias"] = constant(node, 2, "a bias")
    biased = "bias" in params
    if leads(shape_of(x)):
        op = ops.ConvTranspose(weight.shape[1] * groups, kernel, stride, padding, groups, dilation, extra, biased)
        net.put(node, op, [net.holder(x)], params)
        return
    wide = (0, *padding[:half], 0, *padding[half:])
    op = ops.ConvTranspose(
        weight.shape[1] * groups, (1, *kernel), (1, *stride), wide, groups, (1, *dilation), (0, *extra), biased
    )
    _items(net, node, op, x, params | {"weight": weight[:, :, None]})


def pool(net: Importer, node: Node) -> None:
    x = required(node, 0)
    kernel = tuple(node.attribute("kernel_shape"))
    ceil, mode = bool(node.attribute("ceil_mode", 0)), "max" if node.op == "MaxPool" else "avg"
    stride, dilation, padding = _window(node, kernel, _space(x))
    include = bool(node.attribute("count_include_pad", 0))
    if len(node.outputs) > 1 and node.outputs[1].name and net.model.uses[node.outputs[1].name]:
        raise NotTaken("the positions of its maxima are used")
    dilation = () if set(dilation) == {1} else dilation
    op = ops.Pool("max" if mode == "max" else "avg", kernel, stride, padding, ceil, include, dilation)
    _window_of(net, node, op, x)


def global_pool(net: Importer, node: Node) -> None:
    x = required(node, 0)
    kernel = _space(x)
    mode = "max" if node.op == "GlobalMaxPool" else "avg"
    op = ops.Pool("max" if mode == "max" else "avg", kernel, (1,) * len(kernel), (0,) * (2 * len(kernel)))
    _window_of(net, node, op, x)


def _window_of(net: Importer, node: Node, op: ops.Pool, x: Value) -> None:
    """A pool over one item or several."""
    if leads(shape_of(x)):
        net.put(node, op, [net.holder(x)])
        return
    half = len(op.kernel)
    wide = (0, *op.padding[:half], 0, *op.padding[half:])
    dilation = (1, *op.dilation) if op.dilation else ()
    _items(
        net, node, replace(op, kernel=(1, *op.kernel), stride=(1, *op.stride), padding=wide, dilation=dilation), x, {}
    )


def batch_norm(net: Importer, node: Node) -> None:
    if node.attribute("training_mode", 0):
        raise NotTaken("training mode")
    names = ("gamma", "beta", "mean", "var")
    params = {name: constant(node, index, name) for index, name in enumerate(names, 1)}
    op = ops.BatchNorm(float(node.attribute("epsilon", 1e-5)))
    x = required(node, 0)
    if leads(shape_of(x)):
        net.put(node, op, [net.holder(x)], params)
    else:
        _items(net, node, op, x, params)


def lrn(net: Importer, node: Node) -> None:
    size, alpha = int(node.attribute("size")), float(node.attribute("alpha", 1e-4))
    op = ops.Lrn(size, alpha, float(node.attribute("beta", 0.75)), float(node.attribute("bias", 1.0)))
    net.put(node, op, [_batched(net, required(node, 0))])


def gemm(net: Importer, node: Node) -> None:
    """alpha A' B' + beta C. B constant: a linear layer, alpha and beta folded in; else a product of activations."""
    a, b, c = required(node, 0), required(node, 1), given(node, 2)
    alpha, beta = float(node.attribute("alpha", 1.0)), float(node.attribute("beta", 1.0))
    source = net.holder(a)
    if node.attribute("transA", 0):
        turned = shape_of(a)[::-1]
        source = net.add(f"{node.name}_turned", Transpose((1, 0)), [net.whole(a)], turned)
    if b.const is None:
        _gemm_of_activations(net, node, source, alpha, beta)
        return
    weight = b.const if node.attribute("transB", 0) else b.const.T
    if alpha != 1.0:
        weight = (weight * np.asarray(alpha, weight.dtype)).astype(weight.dtype)
        net.approximate(node, f"alpha = {alpha:g} is multiplied into the weights")
    bias = None if c is None or c.const is None else _row(c.const, len(weight))
    params: dict[str, Array] = {"weight": weight}
    if bias is not None:
        params["bias"] = bias if beta == 1.0 else (bias * np.asarray(beta, bias.dtype)).astype(bias.dtype)
    op = ops.Linear(len(weight), bias is not None)
    if c is None or bias is not None:
        net.put(node, op, [source], params)
        return
    made = net.add(node.name, op, [source], shape_of(node.outputs[0]), params=params)
    net.holders[node.outputs[0].name] = _with_offset(net, node, made, c, beta)


def _with_offset(net: Importer, node: Node, made: str, c: Value, beta: float) -> str:
    """beta C added to a product."""
    offset = net.holder(c)
    if beta != 1.0:
        offset = net.add(f"{node.name}_beta", elementwise.Elementwise("scale", (beta,)), [offset], shape_of(c))
    return net.add(f"{node.name}_sum", elementwise.Elementwise("add"), [made, offset], shape_of(node.outputs[0]))


def _gemm_of_activations(net: Importer, node: Node, source: str, alpha: float, beta: float) -> None:
    """A Gemm without constant weights: a matrix product, then alpha and beta C."""
    b, c = required(node, 1), given(node, 2)
    shape = shape_of(node.outputs[0])
    left = source
    if len(net.shapes[source]) < 2:
        rows = (shape[0], net.shapes[source][-1])
        left = net.add(f"{node.name}_left", Reshape(rows), [source], rows, True)
    right = net.whole(b)
    if node.attribute("transB", 0):
        right = net.add(f"{node.name}_right", Transpose((1, 0)), [right], shape_of(b)[::-1], True)
    made = net.add(node.name, ops.Matmul(), [left, right], shape)
    if alpha != 1.0:
        made = net.add(f"{node.name}_alpha", elementwise.Elementwise("scale", (alpha,)), [made], shape)
    net.holders[node.outputs[0].name] = made if c is None else _with_offset(net, node, made, c, beta)


def einsum(net: Importer, node: Node) -> None:
    """Index letters over whole shapes; the axes of an ellipsis get letters of their own."""
    equation = _spelt(_text(node, "equation", "").replace(" ", ""), [len(shape_of(required(node, index)))
                      for index in range(len(node.inputs))])  # fmt: skip
    if "->" not in equation:
        letters = equation.replace(",", "")
        equation += "->" + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    if any(len(set(term)) < len(term) for term in equation.split("->")[0].split(",")):
        raise NotTaken("a diagonal")
    if len(node.inputs) == 2 and _projected(net, node, equation):
        return
    net.put(node, ops.Einsum(equation), [net.whole(required(node, index)) for index in range(len(node.inputs))])


def _projected(net: Importer, node: Node, equation: str) -> bool:
    """An einsum that multiplies activations by a constant matrix (its letters summed away, its letters kept) as a linear
    layer; whether it is one."""
    left, _, right = equation.partition("->")
    terms = left.split(",")
    values = [required(node, 0), required(node, 1)]
    if values[0].const is not None:
        terms, values = terms[::-1], values[::-1]
    (mine, weights), (x, w) = terms, values
    summed = [letter for letter in mine if letter in weights]
    kept = [letter for letter in weights if letter not in mine]
    batch = [letter for letter in mine if letter not in weights]
    if x.const is not None or w.const is None or not (summed and kept) or {*right} != {*batch, *kept}:
        return False
    size = dict(zip(mine, shape_of(x), strict=True)) | dict(zip(weights, shape_of(w), strict=True))

    def sizes(letters: list[str]) -> Shape:
        return tuple(size[letter] for letter in letters)

    rows, inner = (prod(sizes(batch)), prod(sizes(summed))), [*batch, *summed]
    matrix = w.const.transpose([weights.index(letter) for letter in [*kept, *summed]]).reshape(-1, rows[1])
    order = Transpose(tuple(mine.index(letter) for letter in inner))
    source = net.add(f"{node.name}_order", order, [net.whole(x)], sizes(inner), True)
    flat = net.add(f"{node.name}_rows", Reshape(rows), [source], rows, True)
    made = net.add(node.name, ops.Linear(len(matrix), False), [flat], (rows[0], len(matrix)), True, {"weight": matrix})
    outer = [*batch, *kept]
    wide = net.add(f"{node.name}_axes", Reshape(sizes(outer)), [made], sizes(outer), True)
    net.put(node, Transpose(tuple(outer.index(letter) for letter in right)), [wide], name=f"{node.name}_back")
    return True


def _spelt(equation: str, ranks: list[int]) -> str:
    """An equation with letters for its ellipses, the last ones for the shorter of them."""
    if "..." not in equation:
        return equation
    left, _, right = equation.partition("->")
    terms = left.split(",")
    counts = [rank - len(term) + 3 if "..." in term else 0 for term, rank in zip(terms, ranks, strict=True)]
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    axes = "".join(free[: max(counts)])
    terms = [term.replace("...", axes[len(axes) - count :]) for term, count in zip(terms, counts, strict=True)]
    if not right:
        plain = left.replace(",", "").replace(".", "")
        right = "..." + "".join(sorted(letter for letter in set(plain) if plain.count(letter) == 1))
    return f"{','.join(terms)}->{right.replace('...', axes)}"


def matmul(net: Importer, node: Node) -> None:
    """A constant second factor is a linear layer, a constant first one too (turned); else a product of activations."""
    a, b = required(node, 0), required(node, 1)
    if b.const is not None and _flat(b.const) is not None and len(shape_of(a)) > 0:
        weight = _flat(b.const)
        assert weight is not None
        if len(shape_of(a)) == 1 or b.const.ndim == 1:
            net.put(node, ops.Linear(weight.shape[1], False), [net.holder(a)], {"weight": weight.T})
        else:
            net.put(node, ops.Linear(weight.shape[1], False), [_columns(net, a)], {"weight": weight.T})
        return
    if a.const is not None and a.const.ndim == 2 and len(shape_of(b)) == 2:
        turned = net.add(f"{node.name}_turned", Transpose((1, 0)), [net.whole(b)], shape_of(b)[::-1])
        shape = (shape_of(b)[1], len(a.const))
        made = net.add(node.name, ops.Linear(len(a.const), False), [turned], shape, params={"weight": a.const})
        whole = (
            made if net.shapes[made] == shape else net.add(f"{node.name}_whole", Reshape(shape), [made], shape, True)
        )
        net.put(node, Transpose((1, 0)), [whole], name=f"{node.name}_back")
        return
    left, right = _matrix(net, a, True), _matrix(net, b, False)
    net.put(node, ops.Matmul(), [left, right])


def lstm(net: Importer, node: Node) -> None:
    """One layer per direction; gates from ONNX's order input, output, forget, candidate to ours."""
    _plain_cell(node, "LSTM", ["Sigmoid", "Tanh", "Tanh"])
    if node.attribute("input_forget", 0) or given(node, 7) is not None:
        raise NotTaken("coupled gates or peepholes")

    def order(rows: Array) -> Array:
        i, o, f, g = np.split(rows, 4)
        return np.concatenate([i, f, o, g])

    cells = len(node.outputs) > 2 and bool(net.model.uses[node.outputs[2].name])
    hidden = int(node.attribute("hidden_size"))

    def one(weight: Array, recurrent: Array, bias: Array | None) -> tuple[ops.Op, dict[str, Array]]:
        params = {"weight": order(weight), "recurrent": order(recurrent)}
        if bias is not None:
            params["bias"] = order(bias[: 4 * hidden] + bias[4 * hidden :])
        return ops.Lstm(hidden, True, bias is not None, cells), params

    _recurrent(net, node, one, cells)


def gru(net: Importer, node: Node) -> None:
    _plain_cell(node, "GRU", ["Sigmoid", "Tanh"])
    hidden, late = int(node.attribute("hidden_size")), bool(node.attribute("linear_before_reset", 0))

    def one(weight: Array, recurrent: Array, bias: Array | None) -> tuple[ops.Op, dict[str, Array]]:
        params = {"weight": weight, "recurrent": recurrent}
        if bias is not None:
            params |= {"bias": bias[: 3 * hidden], "recurrent_bias": bias[3 * hidden :]}
        return ops.Gru(hidden, late, bias is not None), params

    _recurrent(net, node, one, False)


def rnn(net: Importer, node: Node) -> None:
    names = [a.decode() if isinstance(a, bytes) else a for a in node.attribute("activations", ["Tanh"])]
    kinds = {name.lower() for name in names}
    if kinds - {"tanh", "relu"} or len(kinds) > 1 or node.attribute("clip") is not None:
        raise NotTaken(f"RNN activations {', '.join(names)}")
    hidden = int(node.attribute("hidden_size"))

    def one(weight: Array, recurrent: Array, bias: Array | None) -> tuple[ops.Op, dict[str, Array]]:
        params = {"weight": weight, "recurrent": recurrent}
        if bias is not None:
            params["bias"] = bias[:hidden] + bias[hidden:]
        return ops.Rnn(hidden, "relu" if "relu" in kinds else "tanh", bias is not None), params

    _recurrent(net, node, one, False)


def fold_bias(net: Importer, node: Node) -> bool:
    """Take a constant that is added to a linear or convolution layer without bias into that layer."""
    values = [required(node, 0), required(node, 1)]
    for value, other in (values, values[::-1]):
        layer = net.layers.get(net.holders.get(value.name, "")) if value.const is None else None
        if layer is None or other.const is None or not net.sole(value) or shape_of(value) != shape_of(node.outputs[0]):
            continue
        if isinstance(layer.op, ops.Linear) and not layer.op.bias:
            row = _row(other.const, layer.op.outputs)
        elif isinstance(layer.op, ops.Conv | ops.ConvTranspose) and not layer.op.bias:
            row = _channels(other.const, layer.op.outputs, len(layer.op.kernel))
        else:
            continue
        if row is not None and net.shapes[layer.name] == stripped(shape_of(value)):
            net.extend(layer.name, replace(layer.op, bias=True), {"bias": row})
            net.holders[node.outputs[0].name] = layer.name
            return True
    return False


def _recurrent(net: Importer, node: Node, one, cells: bool) -> None:  # type: ignore[no-untyped-def]
    """The directions of an LSTM or GRU, and the outputs Y, Y_h, Y_c made from them."""
    weights, recurrents = constant(node, 1, "weights"), constant(node, 2, "weights")
    bias = None if given(node, 3) is None else constant(node, 3, "a bias")
    x, hidden = required(node, 0), int(node.attribute("hidden_size"))
    layout = int(node.attribute("layout", 0))
    steps, batch = shape_of(x)[layout], shape_of(x)[1 - layout]
    if batch != 1:
        raise NotTaken(f"a batch of {batch} sequences")
    lengths = given(node, 4)
    if lengths is not None and (lengths.const is None or int(lengths.const.ravel()[0]) != steps):
        raise NotTaken("sequences shorter than the input")
    entry = net.add(
        f"{node.name}_steps", Reshape((steps, shape_of(x)[2])), [net.holder(x)], (steps, shape_of(x)[2]), True
    )
    names, lasts, ends = [], [], []
    for index in range(len(weights)):
        backwards = index == 1 or _text(node, "direction", "forward") == "reverse"
        op, params = one(weights[index], recurrents[index], None if bias is None else bias[index])
        width = hidden * (2 if cells else 1)
        source = _turned(net, node, entry, (steps, shape_of(x)[2])) if backwards else entry
        state = _state(net, node, index, len(weights), hidden)
        suffix = f"_{index}" if len(weights) > 1 else ""
        made = net.add(f"{node.name}{suffix}", op, [source, *state], (steps, width), True, params)
        last = Slice((steps - 1, 0), (1, hidden), (1, 1))
        lasts.append(net.add(f"{node.name}{suffix}_last", last, [made], (1, hidden), True))
        if cells:
            end = Slice((steps - 1, hidden), (1, hidden), (1, 1))
            ends.append(net.add(f"{node.name}{suffix}_cell", end, [made], (1, hidden), True))
            made = net.add(
                f"{node.name}{suffix}_h", Slice((0, 0), (steps, hidden), (1, 1)), [made], (steps, hidden), True
            )
        names.append(_turned(net, node, made, (steps, hidden)) if backwards else made)
    everything = names[0] if len(names) == 1 else net.add(
        f"{node.name}_both", ops.Concat(1), names, (steps, len(names) * hidden), True)  # fmt: skip
    for number, parts in enumerate(([everything], lasts, ends)):
        if number < len(node.outputs) and node.outputs[number].name and net.model.uses[node.outputs[number].name]:
            shape = shape_of(node.outputs[number])
            joined = parts[0] if len(parts) == 1 else net.add(
                f"{node.name}_states", ops.Concat(0), parts, (len(parts), hidden), True)  # fmt: skip
            if number == 0 and layout == 1 and len(names) > 1:
                raise NotTaken("two directions with the batch first")
            target = stripped(shape)
            held = joined if net.shapes[joined] == target else net.add(
                f"{node.name}_out{number}", Reshape(target), [joined], target, True)  # fmt: skip
            net.holders[node.outputs[number].name] = held


def _turned(net: Importer, node: Node, name: str, shape: Shape) -> str:
    """The steps in reverse order."""
    op = Slice((shape[0] - 1, 0), shape, (-1, 1))
    return net.add(f"{node.name}_reversed", op, [name], shape, True)


def _state(net: Importer, node: Node, index: int, directions: int, hidden: int) -> list[str]:
    """Layers that hold the initial states of one direction; none where they are absent or zero."""
    states = [value for value in (given(node, 5), given(node, 6) if node.op == "LSTM" else None) if value is not None]
    if all(value.const is not None and not value.const.any() for value in states):
        return []
    if node.op == "LSTM" and len(states) < 2:
        raise NotTaken("only one of its two initial states")
    names = []
    for value in states:
        shape = (directions, hidden)
        name = net.add(f"{node.name}_init", Reshape(shape), [net.holder(value)], shape, True)
        part = net.add(f"{node.name}_init", Slice((index, 0), (1, hidden), (1, 1)), [name], (1, hidden), True)
        names.append(net.add(f"{node.name}_init", Reshape((hidden,)), [part], (hidden,), True))
    return names


def _plain_cell(node: Node, kind: str, usual: list[str]) -> None:
    given_names = [a.decode() if isinstance(a, bytes) else a for a in node.attribute("activations", [])]
    if given_names and any(name.title() != usual[i % len(usual)] for i, name in enumerate(given_names)):
        raise NotTaken(f"{kind} activations {', '.join(given_names)}")
    if node.attribute("clip") is not None:
        raise NotTaken(f"a clipped {kind}")


def _window(node: Node, kernel: Shape, space: Shape) -> tuple[Shape, Shape, Shape]:
    """(stride, dilation, padding) of a window operator; auto_pad resolved, beginnings first."""
    half = len(kernel)
    stride, dilation = _each(node, "strides", half, 1), _each(node, "dilations", half, 1)
    auto = _text(node, "auto_pad", "NOTSET")
    if auto == "VALID":
        return stride, dilation, (0,) * (2 * half)
    if not auto.startswith("SAME"):
        return stride, dilation, _each(node, "pads", 2 * half, 0)
    sizes = zip(space, stride, reach(kernel, dilation), strict=True)
    total = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in sizes]
    small, big = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return stride, dilation, big + small if auto == "SAME_LOWER" else small + big


def _each(node: Node, name: str, count: int, default: int) -> Shape:
    found = tuple(int(v) for v in node.attribute(name, None) or (default,) * count)
    if len(found) != count:
        raise NotTaken(f"{name} {found} for {count} counts")
    if min(found) < 0:
        raise NotTaken(f"negative {name}")
    return found


def _text(node: Node, name: str, default: str) -> str:
    found = node.attribute(name, default)
    return found.decode() if isinstance(found, bytes) else str(found)


def _space(x: Value) -> Shape:
    if len(shape_of(x)) < 3:
        raise NotTaken(f"an input of shape {shape_of(x)}")
    return shape_of(x)[2:]


def _batched(net: Importer, x: Value) -> str:
    """The layer of a value whose first ONNX axis must be the batch."""
    if not leads(shape_of(x)):
        raise NotTaken(f"a batch of {(shape_of(x) or (0,))[0]} inside the network")
    return net.holder(x)


def _flat(weight: Array) -> Array | None:
    """A constant second factor as one matrix (inputs, outputs); None where it is a stack of matrices."""
    if weight.ndim == 1:
        return weight[:, None]
    return weight.reshape(weight.shape[-2:]) if prod(weight.shape[:-2]) == 1 else None


def _columns(net: Importer, a: Value) -> str:
    """The layer of a first factor whose last axis is multiplied."""
    return net.holder(a)


def _matrix(net: Importer, value: Value, left: bool) -> str:
    """A factor with at least two axes, as layers have them."""
    shape = shape_of(value)
    if len(shape) == 1:
        grown = (1, shape[0]) if left else (shape[0], 1)
        return net.add(f"{net.holder(value)}_matrix", Reshape(grown), [net.holder(value)], grown, True)
    return net.whole(value) if len(stripped(shape)) < 2 else net.holder(value)


def _row(array: Array, outputs: int) -> Array | None:
    """A constant as one value per output on the last axis; None where it is none."""
    if array.size == 1 and outputs >= 1:
        return np.full(outputs, array.reshape(()))
    return array.reshape(-1) if array.shape[-1:] == (outputs,) and array.size == outputs else None


def _channels(array: Array, outputs: int, axes: int) -> Array | None:
    """A constant as one value per channel; None where it is none."""
    if array.size == 1:
        return np.full(outputs, array.reshape(()))
    fits = array.size == outputs and array.ndim > axes and array.shape[-axes - 1] == outputs
    return array.reshape(-1) if fits else None


HANDLERS: dict[str, Handler] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": pool, "AveragePool": pool,
    "GlobalAveragePool": global_pool, "GlobalMaxPool": global_pool, "BatchNormalization": batch_norm, "LRN": lrn,
    "Gemm": gemm, "MatMul": matmul, "LSTM": lstm, "GRU": gru, "RNN": rnn, "Einsum": einsum,
}  # fmt: skip

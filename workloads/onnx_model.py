"""ONNX models made plain: loaded with care, axes pinned, constants folded, the shape of every value known.

What comes out is a list of nodes in order, each with the shapes and types of what it reads and writes; everything that
does not depend on the network's inputs has become a number. Nothing here knows layers.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
    inliner,
    numpy_helper,
)
from onnx.checker import ValidationError
from onnx.defs import SchemaError
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import InferenceError

from sim.errors import InputError, nearest
from workloads.onnx_microsoft import approximated, spelt
from workloads.tensor import MAX_VALUES, Array, Shape

FOLD_VALUES = 1 << 28
"""Values that folding may produce in all."""

AS_INPUT = ("GroupNormalization", "LayerNormalization")
"""ONNX infers no shape for the first, and for the second none in versions that do not have it yet."""

SMALL = 4096
"""Constants up to this size take part in shape inference (they may hold shapes)."""

SCALED = ("QuantizeLinear", "DequantizeLinear")
REFERENCE = 21
"""ONNX's reference knows the SCALED operators only in later versions, which take the forms of all earlier ones."""

MOST_BYTES = 2 << 30
MOST_NODES = 100_000
PURE_SHAPE = ("Shape", "Size")
SPELT_OUT = ("Attention", "RotaryEmbedding", "SwiGLU", "LinearAttention", "CausalConvWithState", "MeanVarianceNormalization",
             "CenterCropPad", "AffineGrid")  # fmt: skip
"""Operators that are read as ONNX itself defines them by others."""
GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


@dataclass(eq=False, slots=True)
class Value:
    """What is known of a tensor: its shape (None: not before the run), element type, and its numbers if constant."""

    name: str
    shape: Shape | None = None
    element: int = TensorProto.FLOAT
    const: Array | None = None


@dataclass(eq=False, slots=True)
class Node:
    """A node that is left after folding, with the values it reads (None: left out) and writes."""

    name: str
    op: str
    domain: str
    attributes: Mapping[str, Any]
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    version: int

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


@dataclass(eq=False, slots=True)
class Model:
    """The nodes in order, network inputs, outputs, and how often each value is read."""

    name: str
    inputs: list[Value]
    outputs: dict[str, Value]
    nodes: list[Node]
    uses: Counter[str]
    approximated: dict[str, str] = field(default_factory=dict)
    unsupported: list[tuple[str, str]] = field(default_factory=list)


Foreign = Callable[[NodeProto, tuple[Value | None, ...]], Sequence[Shape | Array] | None]
"""What a node of another domain gives: each output's shape, or its numbers where they are known; None: unknown."""


def read_model(path: Path, shapes: Mapping[str, Shape], foreign: Mapping[str, Foreign] | None = None) -> Model:
    """Read, pin and fold; `foreign[operator]` answers for operators that ONNX does not define.

    InputErrors name the file and, where there is one, the node.
    """
    try:
        model = load_model(path)
        folder = _Folder(path, model, foreign or {})
        folder.result.approximated |= approximated(model)
        return folder.run(shapes)
    except InputError as error:
        raise error if error.where else InputError(error.message, where=str(path), setting=error.setting) from None


def load_model(path: Path) -> ModelProto:
    """The model; external data only from its own folder, only as long as the file there. InputErrors name no file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"larger than {MOST_BYTES} bytes")
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(error.strerror or "cannot be read") from None
    except (DecodeError, ValueError, TypeError):
        raise InputError("not an ONNX model") from None
    if not model.graph.node and not model.graph.output:
        raise InputError("not an ONNX model, or one without nodes")
    if not all(isinstance(text, str) for text in _texts(model.graph)):
        raise InputError("not an ONNX model: a name that is no UTF-8 text")
    _load_external(model, path)
    if model.functions:
        try:
            model = inliner.inline_local_functions(model)
        except (ValidationError, RuntimeError, ValueError) as error:
            raise InputError(f"its own functions cannot be put in: {' '.join(str(error).split())}") from None
    model = spelt(model)
    if any(node.op_type in SPELT_OUT and _core(node) for node in model.graph.node):
        model = _spelt_out(model)
    if len(model.graph.node) > MOST_NODES:
        raise InputError(f"{len(model.graph.node)} nodes; allowed: {MOST_NODES}")
    return model


def _spelt_out(model: ModelProto) -> ModelProto:
    """SPELT_OUT operators replaced by their definitions, as far as ONNX has one for this version."""
    named = [("", name) for name in SPELT_OUT]
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    try:
        for node in model.graph.node:  # a definition does not see the defaults of attributes left out
            if node.op_type in SPELT_OUT and _core(node):
                defaults = onnx.defs.get_schema(node.op_type, version, "").attributes.items()
                there = {attribute.name for attribute in node.attribute}
                node.attribute.extend(
                    d.default_value for name, d in defaults if name not in there and d.default_value.name
                )
        return inliner.inline_selected_functions(model, named, inline_schema_functions=True)
    except (InferenceError, ValidationError, SchemaError, RuntimeError, ValueError, TypeError):
        return model


def _load_external(model: ModelProto, path: Path) -> None:
    folder = path.parent.resolve()
    for tensor in _tensors(model.graph):
        count = prod(tensor.dims)
        if count > MAX_VALUES or any(size < 0 for size in tensor.dims):
            raise InputError(f"shape {tuple(tensor.dims)} is not allowed", setting=tensor.name)
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        place = _beside(folder, facts.get("location", ""))
        if place is None:
            raise InputError("its external data is no file beside the model", setting=tensor.name)
        offset, length = _number(facts.get("offset", "0")), _number(facts.get("length", "-1"))
        if tensor.data_type not in helper.get_all_tensor_dtypes():
            raise InputError(f"element type {tensor.data_type} is not known", setting=tensor.name)
        wanted = count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if length not in (-1, wanted) or offset < 0 or offset + wanted > place.stat().st_size:
            raise InputError(f"its external data is not {wanted} bytes long", setting=tensor.name)
        with open(place, "rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(wanted)
        tensor.data_location = TensorProto.DEFAULT


def _beside(folder: Path, name: str) -> Path | None:
    """The file `name` in a folder or below it; None where it is none, or elsewhere."""
    try:
        place = (folder / name).resolve()
        return place if folder in place.parents and place.is_file() else None
    except (OSError, ValueError, TypeError):  # no name that a file may have
        return None


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else -2


def _texts(graph: GraphProto) -> Iterator[object]:
    """Every name in a graph; what is not UTF-8 comes out as bytes."""
    yield graph.name
    for entry in (*graph.input, *graph.output, *graph.initializer):
        yield entry.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.type == AttributeProto.GRAPH:
                yield from _texts(attribute.g)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor in a graph and in the graphs in it, whatever an attribute says of its own type."""
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


class _Folder:
    """One walk over a model: values by name, what is left as nodes."""

    def __init__(self, path: Path, model: ModelProto, foreign: Mapping[str, Foreign]) -> None:
        self.model, self.graph, self.foreign = model, model.graph, foreign
        self.versions = {entry.domain: entry.version for entry in model.opset_import}
        self.values: dict[str, Value] = {}
        self.declared = {entry.name: entry.type for entry in (*self.graph.value_info, *self.graph.output)}
        self.nodes: list[Node] = []
        self.names: Counter[str] = Counter()
        self.folded = 0
        self.result = Model(self.graph.name or path.stem, [], {}, self.nodes, Counter())

    def run(self, shapes: Mapping[str, Shape]) -> Model:
        self._initialisers(self.graph)
        entries = [entry for entry in self.graph.input if entry.name not in self.values]
        for name in shapes:
            if name not in {entry.name for entry in entries}:
                allowed = nearest(name, [e.name for e in entries]) if entries else "the network has none"
                raise InputError(f"no such input; {allowed}", where="--shape", setting=name)
        for entry in entries:
            self.values[entry.name] = self._input(entry.name, entry.type, shapes.get(entry.name))
        self.result.inputs = [self.values[entry.name] for entry in entries]
        self._walk(self.graph, "")
        self.result.outputs = {entry.name: self._value(entry.name) for entry in self.graph.output}
        for node in self.nodes:
            self.result.uses.update(value.name for value in node.inputs if value is not None)
        self.result.uses.update(value.name for value in self.result.outputs.values())
        return self.result

    def _initialisers(self, graph: GraphProto) -> None:
        for tensor in graph.initializer:
            self.values[tensor.name] = self._constant(tensor.name, _array(tensor))
        if graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise InputError("sparse initialisers are not read; store them as dense ones", setting=name)

    def _constant(self, name: str, array: Array) -> Value:
        if array.dtype.kind == "f" and not np.isfinite(array.flat[: 1 << 26]).all() and array.size > SMALL:
            raise InputError("a weight that is not finite", setting=name)
        return Value(name, array.shape, _element(array), array)

    def _input(self, name: str, kind: TypeProto, pinned: Shape | None) -> Value:
        """An input with every axis known: as pinned, as declared, or 1 for an open first axis."""
        if not kind.HasField("tensor_type"):
            raise InputError("an input that is no tensor", setting=name)
        declared = [d.dim_value if d.dim_value > 0 else None for d in kind.tensor_type.shape.dim]
        if pinned is not None:
            if len(pinned) != len(declared) or min(pinned, default=1) < 1:
                raise InputError(
                    f"found {len(pinned)} axes; allowed: {len(declared)}, all above 0", where="--shape", setting=name
                )
            declared = list(pinned)
        elif len(declared) >= 4 and declared[0] is not None and declared[0] > 1:
            self.result.approximated[name] = f"a batch of {declared[0]} is read as one image"
            declared[0] = 1
        if declared and declared[0] is None:
            declared[0] = 1
        if None in declared:
            shown = ",".join("?" if size is None else str(size) for size in declared)
            raise InputError(
                f"axes of {name} are open; allowed: --shape {name}={shown} with numbers for ?", setting=name
            )
        shape = tuple(size for size in declared if size is not None)
        if prod(shape) > MAX_VALUES:
            raise InputError(f"shape {shape} has more than {MAX_VALUES} values", setting=name)
        return Value(name, shape, kind.tensor_type.elem_type)

    def _value(self, name: str) -> Value:
        if name not in self.values:
            self.values[name] = Value(name)
        return self.values[name]

    def _walk(self, graph: GraphProto, prefix: str) -> None:
        for index, proto in enumerate(_sorted(graph, set(self.values))):
            name = self._single(
                prefix + (proto.name or (proto.output[0] if proto.output else f"{proto.op_type}_{index}"))
            )
            try:
                self._node(proto, name)
            except InputError as error:
                raise error if error.setting else InputError(error.message, setting=name) from None
            except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
                raise InputError(f"its attributes and inputs do not fit: {error}", setting=name) from None

    def _single(self, name: str) -> str:
        """A name that no node has yet: files may give one to several, and layers are told apart by it."""
        self.names[name] += 1
        return name if self.names[name] == 1 else self._single(f"{name}#{self.names[name]}")

    def _node(self, proto: NodeProto, name: str) -> None:
        inputs = tuple(self._value(entry) if entry else None for entry in proto.input)
        if proto.op_type == "If" and _core(proto):
            self._branches(proto, name, inputs[0] if inputs else None)
            return
        self._infer(proto, inputs)
        if not self._fold(proto, inputs):
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
            version = self.versions.get(proto.domain, self.versions.get("", 1))
            outputs = tuple(self._value(entry) for entry in proto.output if entry or len(proto.output) > 1)
            self.nodes.append(Node(name, proto.op_type, proto.domain, attributes, inputs, outputs, version))

    def _branches(self, proto: NodeProto, name: str, condition: Value | None) -> None:
        """If: the branch taken where the condition is constant, else both, and a Where that picks."""
        branches = {a.name: a.g for a in proto.attribute if a.type == AttributeProto.GRAPH}
        taken = [branches[key] for key in ("then_branch", "else_branch") if key in branches]
        if len(taken) < 2 or condition is None:
            raise InputError("an If without two branches")
        if condition.const is not None:
            taken = taken[:1] if bool(np.all(condition.const)) else taken[1:]
        for branch in taken:
            self._initialisers(branch)
            self._walk(branch, f"{name}/")
        for index, output in enumerate(proto.output):
            found = [self._value(branch.output[index].name) for branch in taken]
            if len(found) == 1:
                self.values[output] = found[0]
                continue
            self.result.approximated[name] = "the condition is open: both branches are computed, one is picked"
            if found[0].shape is None or found[0].shape != found[1].shape:
                self.result.approximated[name] = "both branches are computed; of unlike results the first goes on"
                self.values[output] = found[0]
                continue
            self.values[output] = Value(output, found[0].shape, found[0].element)
            operands = (condition, *found)
            self.nodes.append(Node(f"{name}/{output}", "Where", "", {}, operands, (self.values[output],), 16))

    def _infer(self, proto: NodeProto, inputs: tuple[Value | None, ...]) -> None:
        """Shapes and types of the outputs, as far as ONNX can tell them."""
        for output in proto.output:
            if output:
                self.values[output] = Value(output)
        if any(v is not None and v.shape is None for v in inputs):
            return
        if not _core(proto):
            self._ask(proto, inputs)
            self._as_declared(proto)
            return
        known = {name: v for name, v in zip(proto.input, inputs, strict=True) if v is not None}
        kinds = {name: helper.make_tensor_type_proto(v.element, v.shape) for name, v in known.items()}
        data = {n: numpy_helper.from_array(np.ascontiguousarray(v.const), n)
                for n, v in known.items() if v.const is not None and v.const.size <= SMALL}  # fmt: skip
        try:
            schema = onnx.defs.get_schema(proto.op_type, self.versions.get("", 1), "")
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                proto,
                kinds,
                data,
                opset_imports=list(self.model.opset_import),
                ir_version=self.model.ir_version,
            )
        except (InferenceError, ValidationError, SchemaError, RuntimeError, ValueError, TypeError, KeyError):
            found = {}
        self._take(found)
        if any(name and self.values[name].shape is None for name in proto.output):
            self._take(self._infer_expanded(proto, kinds))
        self._as_declared(proto)

    def _as_declared(self, proto: NodeProto) -> None:
        """Shapes that nothing tells are those that the file declares, where it declares every axis."""
        source = self.values.get(proto.input[0]) if proto.op_type in AS_INPUT else None
        if source is not None and self.values[proto.output[0]].shape is None:
            self.values[proto.output[0]].shape, self.values[proto.output[0]].element = source.shape, source.element
        open_ = {name for name in proto.output if name and self.values[name].shape is None}
        self._take({name: self.declared[name] for name in open_ & self.declared.keys()})

    def _take(self, found: Mapping[str, TypeProto]) -> None:
        """Note the shapes and types that are known whole."""
        for name, kind in found.items():
            if kind.HasField("tensor_type") and name in self.values:
                tensor = kind.tensor_type
                sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
                self.values[name].element = tensor.elem_type
                if tensor.HasField("shape") and None not in sizes:
                    self.values[name].shape = self._checked(tuple(size for size in sizes if size is not None))

    def _infer_expanded(self, proto: NodeProto, kinds: Mapping[str, TypeProto]) -> Mapping[str, TypeProto]:
        """Operators that ONNX defines by others have no rule of their own: the whole-model inference looks inside."""
        entries = [helper.make_value_info(name, kind) for name, kind in kinds.items()]
        outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
        graph = helper.make_graph([proto], "one", entries, outputs)
        model = helper.make_model(graph, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version)
        try:
            found = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except (InferenceError, ValidationError, SchemaError, RuntimeError, ValueError, TypeError):
            return {}
        return {output.name: output.type for output in found.graph.output}

    def _ask(self, proto: NodeProto, inputs: tuple[Value | None, ...]) -> None:
        """Shapes or numbers of the outputs of an operator from another domain, from whoever knows it."""
        found = self.foreign[proto.op_type](proto, inputs) if proto.op_type in self.foreign else None
        for name, result in zip(proto.output, found or ()):
            if isinstance(result, np.ndarray):
                self._become(self.values[name], result)
            else:
                self.values[name].shape = self._checked(result)

    @staticmethod
    def _checked(shape: Shape) -> Shape:
        if prod(shape) > MAX_VALUES or min(shape, default=0) < 0:
            raise InputError(f"shape {shape} has more than {MAX_VALUES} values")
        return shape

    def _fold(self, proto: NodeProto, inputs: tuple[Value | None, ...]) -> bool:
        """Turn the node into numbers where all it reads is constant (Shape reads only a shape)."""
        if not proto.output or not proto.output[0]:
            return False
        out = self.values[proto.output[0]]
        if not _core(proto):
            return out.const is not None
        if proto.op_type in PURE_SHAPE and inputs and inputs[0] is not None and inputs[0].shape is not None:
            self._become(out, self._measured(proto, inputs[0].shape))
            return True
        if proto.op_type in ("Identity", "Dropout") and inputs and inputs[0] is not None:
            self.values[proto.output[0]] = inputs[0]
            return True
        if any(v is not None and v.const is None for v in inputs) or proto.op_type.startswith(("Random", "Bernoulli")):
            return False
        if any(a.type in GRAPHS for a in proto.attribute):
            return False
        if proto.op_type == "ConstantOfShape" and inputs[0] is not None and inputs[0].const is not None:
            value = next((_array(a.t) for a in proto.attribute if a.name == "value"), np.zeros(1, np.float32))
            shape = self._checked(tuple(int(size) for size in inputs[0].const))
            self._become(out, np.broadcast_to(value.reshape(()), shape))
            return True
        if proto.op_type != "Constant" and out.shape is None and not self._small(proto, inputs):
            return False
        return self._evaluate(proto, inputs)

    @staticmethod
    def _small(proto: NodeProto, inputs: tuple[Value | None, ...]) -> bool:
        """Whether a node's numbers are few though ONNX cannot tell its shape: counted, or no more than it reads."""
        if proto.op_type in ("NonZero", "Compress", "Unique"):
            return True
        if proto.op_type != "Range":
            return False
        start, limit, step = (
            float(np.reshape(v.const, -1)[0]) for v in inputs if v is not None and v.const is not None
        )
        return bool(step) and (limit - start) / step <= FOLD_VALUES

    def _evaluate(self, proto: NodeProto, inputs: tuple[Value | None, ...]) -> bool:
        """Run one node of constants with ONNX's own reference."""
        self.folded += sum(prod(self.values[name].shape or ()) for name in proto.output if name)
        if self.folded > FOLD_VALUES:
            raise InputError(f"folding constants gives more than {FOLD_VALUES} values")
        known = {name: v for name, v in zip(proto.input, inputs, strict=True) if v is not None}
        entries = [helper.make_tensor_value_info(n, v.element, v.shape) for n, v in known.items()]
        results = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
        graph = helper.make_graph([proto], "one", entries, results)
        opsets = [helper.make_opsetid("", REFERENCE)] if proto.op_type in SCALED else list(self.model.opset_import)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.model.ir_version)
        try:
            arrays = ReferenceEvaluator(model).run(None, {n: v.const for n, v in known.items()})
        except Exception:  # the reference raises whatever its numpy raises; the node then stays a node
            return False
        if not all(isinstance(array, np.ndarray | np.generic) for array in arrays):
            return False
        for name, array in zip((n for n in proto.output if n), arrays, strict=True):
            self._become(self.values[name], np.asarray(array))
        return True

    def _become(self, value: Value, array: Array) -> None:
        value.const, value.shape, value.element = array, self._checked(array.shape), _element(array)

    @staticmethod
    def _measured(proto: NodeProto, shape: Shape) -> Array:
        if proto.op_type == "Size":
            return np.asarray(prod(shape), np.int64)
        bounds = {a.name: a.i for a in proto.attribute}
        return np.asarray(shape[bounds.get("start", 0) : bounds.get("end", len(shape))], np.int64)


def _core(proto: NodeProto) -> bool:
    return proto.domain in ("", "ai.onnx")


def _element(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _array(tensor: TensorProto) -> Array:
    """The numbers of a tensor; bfloat16 and float8 become float32."""
    try:
        array: Array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError("its data does not fit its shape", setting=tensor.name) from None
    return (
        array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name.startswith(("bfl", "float8")) else array
    )


def _reads(node: NodeProto) -> Iterator[str]:
    """Every name a node reads, those that its branches and loops read from outside included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in GRAPHS else ():
            for inner in graph.node:
                yield from _reads(inner)
            yield from (output.name for output in graph.output)


def _sorted(graph: GraphProto, known: set[str]) -> Iterator[NodeProto]:
    """The nodes, each after those it reads from. InputError where that cannot be."""
    made = {output for node in graph.node for output in node.output if output}
    waiting: dict[str, list[int]] = {}
    missing, ready = [], []
    for index, node in enumerate(graph.node):
        needs = {name for name in _reads(node) if name in made and name not in known}
        missing.append(len(needs))
        for name in needs:
            waiting.setdefault(name, []).append(index)
        if not needs:
            ready.append(index)
    done = 0
    ready.reverse()
    while ready:
        node = graph.node[ready.pop()]
        done += 1
        yield node
        for output in node.output:
            for index in reversed(waiting.pop(output, [])):
                missing[index] -= 1
                if not missing[index]:
                    ready.append(index)
    if done < len(graph.node):
        stuck = next(node for node, count in zip(graph.node, missing, strict=True) if count)
        raise InputError("the graph has a cycle", setting=stuck.name or stuck.op_type)

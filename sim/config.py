"""The one YAML loader, and frozen specs made from YAML files and `--set` strings.

YAML here is strict: 1.2 scalars (`on` is a string, `010` is ten, `8e6` is a float), no duplicate keys, no anchors or
tags, one document, bounded size and depth. Every value keeps its position, so that every error can point at it:
`FILE:LINE:COLUMN: setting: what was found, what is allowed, nearest valid name`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from sim.errors import InputError, nearest
from sim.units import parse

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 32

At = tuple[str | int, ...]


class Spec(BaseModel):
    """Base of every settings model: frozen, no unknown keys, no silent conversions. Sequences are tuples."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, tuple, str, int, float, bool, None) and where each part stands, by path of keys and indices."""

    path: str
    data: Any
    marks: Mapping[At, tuple[int, int]]

    def where(self, at: At = ()) -> str:
        """`FILE:LINE:COLUMN` of the value at `at`, or of its nearest known ancestor."""
        while at and at not in self.marks:
            at = at[:-1]
        line, column = self.marks.get(at, (1, 1))
        return f"{self.path}:{line}:{column}"

    def error(self, message: str, at: At = ()) -> InputError:
        """An InputError about the value at `at`."""
        return InputError(message, where=self.where(at), setting=dotted(at))


def dotted(at: At) -> str:
    """`("a", 0, "b")` as `a.0.b`."""
    return ".".join(map(str, at))


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file strictly. An empty file gives None."""
    name = str(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=name) from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES} bytes", where=name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text: byte {error.start}", where=name) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str = "text") -> Document:
    """Parse YAML text strictly; `name` stands for the file in errors."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("not UTF-8 text", where=name)
    return _Builder(name).build(text)


class _Builder:
    """Builds plain data from parser events; no composer runs, so nothing can alias or recurse without bound."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[At, tuple[int, int]] = {}

    def build(self, text: str) -> Document:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            events = (e for e in yaml.parse(text, Loader=loader) if not isinstance(e, yaml.StreamStartEvent))
            if isinstance(next(events), yaml.StreamEndEvent):
                return Document(self.name, None, {})
            data = self._value(next(events), events, ())
            next(events)
            if not isinstance(after := next(events), yaml.StreamEndEvent):
                raise self._error(after, (), "a second document; allowed: one per file")
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark
            place = self.name if mark is None else f"{self.name}:{mark.line + 1}:{mark.column + 1}"
            raise InputError(f"not YAML: {error.problem}", where=place) from None
        except yaml.YAMLError as error:
            raise InputError(f"not YAML: {' '.join(str(error).split())}", where=self.name) from None
        return Document(self.name, data, self.marks)

    def _error(self, event: Any, at: At, message: str) -> InputError:
        line, column = _place(event)
        return InputError(message, where=f"{self.name}:{line}:{column}", setting=dotted(at))

    def _value(self, event: Any, events: Iterator[Any], at: At) -> Any:
        self.marks.setdefault(at, _place(event))
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._error(event, at, "an anchor or alias; allowed: values written out")
        if event.tag not in (None, "!"):
            raise self._error(event, at, f"a tag {event.tag}; allowed: values without tags")
        if len(at) > MAX_DEPTH:
            raise self._error(event, (), f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, at)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, at)
        return self._mapping(events, at)

    def _sequence(self, events: Iterator[Any], at: At) -> tuple[Any, ...]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*at, len(items))))
        return tuple(items)

    def _mapping(self, events: Iterator[Any], at: At) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag not in (None, "!"):
                raise self._error(event, at, "a key that is not plain text")
            key = event.value
            if key in table:
                line = self.marks[(*at, key)][0]
                raise self._error(event, (*at, key), f"a duplicate key; it stands on line {line} already")
            self.marks[(*at, key)] = _place(event)
            table[key] = self._value(next(events), events, (*at, key))
        return table

    def _scalar(self, event: Any, at: At) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return scalar(event.value)
        except ValueError:
            raise self._error(event, at, f"a number of {len(event.value)} digits; allowed: 64 bits") from None


def _place(event: Any) -> tuple[int, int]:
    """Line and column of an event, from 1."""
    return event.start_mark.line + 1, event.start_mark.column + 1


_INT = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None}
_WORDS |= {word: value for text, value in (("null", None), ("true", True), ("false", False))
           for word in (text, text.capitalize(), text.upper())}  # fmt: skip
_WORDS |= {sign + "." + word: float(sign + "inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")}
_WORDS |= {"." + word: float("nan") for word in ("nan", "NaN", "NAN")}


def scalar(text: str) -> Any:
    """The value of a plain scalar by the YAML 1.2 core schema. ValueError for integers beyond 64 bits."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) or _RADIX.fullmatch(text):
        value = int(text, 0 if text[:2] in ("0o", "0x") else 10)
        if value.bit_length() > 64:
            raise ValueError(text)
        return value
    return float(text) if _FLOAT.fullmatch(text) else text


def _quantity(unit: str) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            try:
                return parse(value, unit)
            except InputError as error:
                raise PydanticCustomError("quantity", "{reason}", {"reason": error.message}) from None
        plain = info.context is None or info.field_name in info.context
        if not plain and value != 0:  # a bare number in a file does not say what it counts
            reason = f"found {value!r} without a unit; allowed: with its unit, as in '{value} {unit}'"
            raise PydanticCustomError("quantity", "{reason}", {"reason": reason})
        return value

    return BeforeValidator(read)


_ABOVE_ZERO, _NOT_NEGATIVE = Field(gt=0), Field(ge=0)

Hertz = Annotated[float, _ABOVE_ZERO, _quantity("Hz")]
Seconds = Annotated[float, _NOT_NEGATIVE, _quantity("s")]
Joules = Annotated[float, _NOT_NEGATIVE, _quantity("J")]
Watts = Annotated[float, _NOT_NEGATIVE, _quantity("W")]
Volts = Annotated[float, _ABOVE_ZERO, _quantity("V")]
SquareMetres = Annotated[float, _NOT_NEGATIVE, _quantity("m2")]
Bytes = Annotated[float, _ABOVE_ZERO, _quantity("B")]
BytesPerSecond = Annotated[float, _ABOVE_ZERO, _quantity("B/s")]
JoulesPerBit = Annotated[float, _NOT_NEGATIVE, _quantity("J/bit")]

File = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) else value)]
"""A path, as text in YAML; relative to where one stands."""

AnySpec = TypeVar("AnySpec", bound=BaseModel)


def load(kind: type[AnySpec], path: str | Path | None = None, settings: Mapping[str, object] | None = None) -> AnySpec:
    """A `kind` from the YAML file at `path` (default: no file), then `settings`: dotted key -> text or value."""
    document = read_yaml(path) if path is not None else Document("--set", {}, {})
    return make(kind, document, settings)


def make(kind: type[AnySpec], document: Document, settings: Mapping[str, object] | None = None) -> AnySpec:
    """A `kind` from a document that has been read, overridden by `settings`.

    A quantity is text with its unit; a number from Python is in SI base units.
    """
    if not isinstance(document.data, dict | None):
        raise document.error("found a list or a single value; allowed: settings, one `name: value` a line")
    data, given = document.data or {}, set[At]()
    plain = {key.rpartition(".")[2] for key, value in (settings or {}).items() if not isinstance(value, str)}
    for key, value in (settings or {}).items():
        at: At = tuple(key.split("."))
        data = _put(data, at, _setting(key, value))
        given.add(at)
    try:
        return kind.model_validate(data, context=plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    except InputError as error:
        if error.where:
            raise
        raise InputError(error.message, where=document.path, setting=error.setting) from None
    at = tuple(first["loc"])
    from_set = any(at[: len(path)] == path[: len(at)] for path in given) or not document.marks
    raise InputError(_explain(kind, first), where="--set" if from_set else document.where(at), setting=_named(at))


def _setting(key: str, value: object) -> object:
    """A `--set` text is read as YAML; values from Python are taken as they are (lists as tuples, numpy's numbers too)."""
    if isinstance(value, str):
        try:
            return parse_yaml(value, "--set").data if value else ""
        except InputError as error:
            raise InputError(error.message, where="--set", setting=key) from None
    if isinstance(value, Integral):
        return value if isinstance(value, bool) else int(value)
    if isinstance(value, Real):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _put(data: Any, at: At, value: object) -> Any:
    """`data` with `value` at `at`; tables on the way are copied, never changed."""
    if not at:
        return value
    table = dict(data) if isinstance(data, Mapping) else {}
    table[str(at[0])] = _put(table.get(str(at[0])), at[1:], value)
    return table


def _named(at: At) -> str:
    """The dotted setting; pydantic adds names of union members to `loc`, which no user wrote."""
    return dotted(tuple(part for part in at if not str(part).endswith("]")))


def _explain(kind: type[BaseModel], error: ErrorDetails) -> str:
    """One clause per kind of mistake: what was found, what is allowed, and the nearest valid name."""
    context, found = error.get("ctx", {}), error["input"]
    match error["type"]:
        case "extra_forbidden":
            return f"unknown setting; {nearest(str(error['loc'][-1]), _fields(kind, error['loc'][:-1]))}"
        case "missing":
            return "missing; it has no default"
        case "quantity":
            return str(context["reason"])
        case "literal_error":
            allowed = str(context["expected"]).replace("'", "")
            return f"found {found!r}; {nearest(str(found), re.split(', | or ', allowed))}"
        case "greater_than_equal":
            return f"found {found!r}; allowed: {context['ge']:g} or more"
        case "greater_than":
            return f"found {found!r}; allowed: more than {context['gt']:g}"
        case "less_than_equal":
            return f"found {found!r}; allowed: {context['le']} or less"
        case "less_than":
            return f"found {found!r}; allowed: less than {context['lt']}"
        case "value_error":
            return str(context["error"])
        case _:
            wanted = error["msg"].replace("Input should be", "allowed:").replace("a valid ", "a ")
            return f"found {found!r}; {wanted.replace('a integer', 'an integer')}"


def _fields(kind: Any, at: tuple[int | str, ...]) -> list[str]:
    """The field names of the model at `at` below `kind`, looking through containers and optional types."""
    for part in at:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        else:
            kind = _model(kind)
        if get_origin(kind) not in (dict, list, tuple):
            kind = _model(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _model(kind: Any) -> Any:
    """The first model inside an annotation such as `dict[str, Action]` or `Part | None`."""
    if isinstance(kind, type):
        return kind if issubclass(kind, BaseModel) else None
    return next((found for arg in get_args(kind) if (found := _model(arg))), None)

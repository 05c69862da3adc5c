"""JSON files read back with care: numbers that are numbers, and the shape that a JSON Schema asks for.

As much of JSON Schema (2020-12) as the schemas of tapeout use; the tests hold it against a full validator.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError

MOST_BYTES = 256 << 20
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip
At = tuple[str | int, ...]


def read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; InputError where there is none, or a number that is not finite."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1) if path.stat().st_size > MOST_BYTES else file.read()
        data = json.loads(raw, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=str(path)) from None
    except (ValueError, RecursionError):
        raise InputError("not a JSON file", where=str(path)) from None
    if not isinstance(data, dict):
        raise InputError("no object in it", where=str(path))
    return data


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if abs(value) < float("inf") else _refuse(text)


def _whole(text: str) -> int:
    value = int(text)
    return value if value.bit_length() <= 64 else int(_refuse(text))


def check(data: Any, schema: Path, where: str) -> None:
    """Raise an InputError that names the first place where `data` is not what the schema in a file asks for."""
    for at, message in mistakes(data, json.loads(schema.read_text(encoding="utf-8"))):
        raise InputError(message, where=where, setting=".".join(map(str, at)))


def mistakes(data: Any, schema: Mapping[str, Any], at: At = ()) -> Iterator[tuple[At, str]]:
    """Every place in `data` that breaks the schema, and how."""
    if "if" in schema:
        branch = "else" if next(mistakes(data, schema["if"], at), None) else "then"
        yield from mistakes(data, schema.get(branch, {}), at)
    if "oneOf" in schema and sum(not next(mistakes(data, each, at), None) for each in schema["oneOf"]) != 1:
        yield at, f"found {_short(data)}; allowed: one of {len(schema['oneOf'])} forms"
    if "const" in schema and data != schema["const"]:
        yield at, f"found {_short(data)}; allowed: {schema['const']}"
    if "enum" in schema and data not in schema["enum"]:
        yield at, f"found {_short(data)}; allowed: {', '.join(map(str, schema['enum']))}"
    if "type" in schema and not _is(data, schema["type"]):
        yield at, f"found {_short(data)}; allowed: {schema['type']}"
    elif isinstance(data, dict):
        yield from _object(data, schema, at)
    elif isinstance(data, list):
        yield from _list(data, schema, at)
    elif isinstance(data, str):
        if not re.search(schema.get("pattern", ""), data) or len(data) < schema.get("minLength", 0):
            yield at, f"found {_short(data)}; allowed: text that fits {schema.get('pattern', '.')}"
    elif isinstance(data, int | float) and not schema.get("minimum", data) <= data <= schema.get("maximum", data):
        yield at, f"found {data}; allowed: {schema.get('minimum', '')} to {schema.get('maximum', '')}"


def _is(data: Any, wanted: str | list[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    return any(isinstance(data, TYPES[name]) and (name == "boolean" or not isinstance(data, bool)) for name in names)


def _object(data: Mapping[str, Any], schema: Mapping[str, Any], at: At) -> Iterator[tuple[At, str]]:
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    if len(data) > schema.get("maxProperties", len(data)):
        yield at, f"{len(data)} entries; allowed: {schema['maxProperties']}"
    for name, value in data.items():
        yield from mistakes(name, schema.get("propertyNames", {}), (*at, name))
        if name in known or other is not True:
            yield from mistakes(value, known.get(name, other), (*at, name))
    for name in schema.get("required", ()):
        if name not in data:
            yield (*at, name), "missing"


def _list(data: list[Any], schema: Mapping[str, Any], at: At) -> Iterator[tuple[At, str]]:
    if not schema.get("minItems", 0) <= len(data) <= schema.get("maxItems", len(data)):
        yield at, f"{len(data)} entries; allowed: {schema.get('minItems', 0)} or more"
    for index, value in enumerate(data):
        yield from mistakes(value, schema.get("items", {}), (*at, index))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."

"""What is typed after an option, as values: settings, shapes, arrays, the engine. Mistakes are InputErrors of the option."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sim.errors import InputError, nearest

if TYPE_CHECKING:
    from sim.plan import Array


def parse_settings(texts: list[str]) -> dict[str, object]:
    """`KEY=VALUE` texts as a mapping; the last of one key wins, as in any command line."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, pairs, strict=True):
        if not key or not equals:
            raise InputError(f"found {text!r}; allowed: KEY=VALUE", where="--set")
    return {key: value for key, _, value in pairs}


def parse_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """`NAME=1,3,48,192` texts as shapes by input."""
    shapes = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        words = [word.strip() for word in sizes.split(",")]
        if not name or not all(word.isdecimal() and len(word) < 12 for word in words):
            raise InputError(f"found {text!r}; allowed: NAME=1,3,48,192", where="--shape")
        shapes[name] = tuple(map(int, words))
    return shapes


def parse_engine(text: str) -> Literal["fast", "des"]:
    """The engine called `text`."""
    if text == "fast":
        return "fast"
    if text == "des":
        return "des"
    raise InputError(f"found {text!r}; {nearest(text, ['fast', 'des'])}", where="--engine")


def read_inputs(texts: list[str]) -> "dict[str, Array] | Array | None":
    """Arrays by name from `NAME=FILE.npy`, or the one array of a lone `FILE.npy`; None for no texts."""
    if len(texts) == 1 and ("=" not in texts[0] or Path(texts[0]).is_file()):
        return read_array(texts[0])
    arrays = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name in arrays:
            raise InputError(f"found {text!r}; allowed: NAME=FILE.npy, each name once", where="--input")
        arrays[name] = read_array(path)
    return arrays or None


def read_array(path: str) -> "Array":
    """The array in an .npy file; pickled objects are never loaded."""
    from tokenize import TokenError

    import numpy as np

    try:
        return np.array(np.lib.format.open_memmap(path, mode="r"))  # a length that is not there takes no memory
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=path) from None
    except (ValueError, TypeError, OverflowError, MemoryError, SyntaxError, TokenError) as error:
        said = "pickled objects; allowed: numbers" if "objects" in str(error).lower() else "not an .npy file"
        raise InputError(said, where=path) from None

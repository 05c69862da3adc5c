"""Ways to spoil an input: bytes, words of a text, values of a tree. All choices come from the generator that is given."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = [0, 1, -1, 2, 7, 255, 65_536, 2**31 - 1, 2**31, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64, -(2**31), -(2**63)]
FLOATS = [0.0, -0.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"), 0.1, 1e18]
WORDS = ["", " ", "nan", "null", "~", "²", "٣", "a" * 5000, "\x00", "\u2028", "x\ny", "../../etc/passwd", "/dev/zero", "fc*",
         "1 GHz", "-5 pJ", "1e400 Hz", "1e9999", "0x10", "1_000", "on", "{}", "%s", "eie:64pe", "conv", "linear", "."]  # fmt: skip
PIECES = [b"", b"\x00" * 9, b"\xff" * 9, b"\n", b":", b"- ", b"{", b"}", b"[", b"]", b",", b"#", b"&a ", b"*a", b"!!x ", b"\t",
          b"0", b"-", b"9" * 30, b"nan", b"inf", b"1e400", b"\xef\xbb\xbf", b"\xc3\x28", b"\"", b"'", b"%", b"|", b"? "]  # fmt: skip


def scalar(rng: Random) -> Any:
    """A value that few readers hope for."""
    return rng.choice([rng.choice(NUMBERS), rng.choice(FLOATS), rng.choice(WORDS), None, True, False, [], {}])


def number(rng: Random, near: int = 1) -> int:
    """A whole number at or beyond a border, or near `near`."""
    return rng.choice([rng.choice(NUMBERS), near + rng.choice([-1, 1]), -near, near * 2, near * 1000])


def spoil_bytes(rng: Random, data: bytes) -> bytes:
    """Bytes changed, cut off, copied, left out or put in, one to four times."""
    changed = bytearray(data or b"?")
    for _ in range(rng.choice([1, 1, 2, 4])):
        here, there = rng.randrange(len(changed)), rng.randrange(len(changed))
        size = rng.choice([1, 2, 4, 8, 64])
        match rng.randrange(7):
            case 0:
                changed[here] = rng.randrange(256)
            case 1:
                changed[here] ^= 1 << rng.randrange(8)
            case 2:
                del changed[here:]
            case 3:
                changed[here : here + size] = changed[there : there + size]
            case 4:
                changed[here:here] = rng.choice(PIECES)
            case 5:
                del changed[here : here + size]
            case _:
                changed[here : here + 8] = (rng.choice(NUMBERS) % 2**64).to_bytes(8, "little")[: rng.choice([4, 8])]
        changed = changed or bytearray(b"?")
    return bytes(changed)


def spoil_text(rng: Random, text: str) -> str:
    """A word exchanged for a hostile one, or characters changed."""
    words = text.replace(",", " , ").split(" ")
    if rng.random() < 0.6:
        words[rng.randrange(len(words))] = str(scalar(rng))
        return " ".join(words)
    return spoil_bytes(rng, text.encode()).decode("utf-8", "replace")


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in a tree of dicts and lists, the tree itself included."""
    found = [at]
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        found += places(value, (*at, key))
    return found


def plain(tree: Any) -> Any:
    """A copy with lists for tuples, free to be changed."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list | tuple) else tree


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def spoil_tree(rng: Random, tree: Any) -> Any:
    """One to three changes of a copy: values exchanged, keys renamed, parts left out, doubled, nested or moved."""
    tree = plain(tree)
    for _ in range(rng.choice([1, 1, 2, 3])):
        path = rng.choice(places(tree))
        if not path:
            continue
        parent, key = at(tree, path[:-1]), path[-1]
        _CHANGES[rng.randrange(len(_CHANGES))](rng, tree, parent, key)
    return tree if rng.random() < 0.99 else scalar(rng)


def _exchange(rng: Random, tree: Any, parent: Any, key: Any) -> None:
    parent[key] = scalar(rng)


def _shift(rng: Random, tree: Any, parent: Any, key: Any) -> None:
    value = parent[key]
    whole = isinstance(value, int) and not isinstance(value, bool)
    parent[key] = number(rng, value) if whole else rng.choice([scalar(rng), [value], {"a": value}, [value] * 3])


def _drop(rng: Random, tree: Any, parent: Any, key: Any) -> None:
    del parent[key]


def _move(rng: Random, tree: Any, parent: Any, key: Any) -> None:
    parent[key] = plain(at(tree, rng.choice(places(tree))))


def _rename(rng: Random, tree: Any, parent: Any, key: Any) -> None:
    if isinstance(parent, dict):
        parent[str(rng.choice([scalar(rng), key + "x", key[:-1], key.upper()]))] = parent.pop(key)
    else:
        parent.insert(key, plain(parent[key]))


def _add(rng: Random, tree: Any, parent: Any, key: Any) -> None:
    if isinstance(parent, dict):
        parent[rng.choice(["name", "op", "base", "unit", "x", "layers", "when", "low"])] = scalar(rng)
    else:
        parent.append(scalar(rng))


_CHANGES: list[Callable[[Random, Any, Any, Any], None]] = [_exchange, _shift, _shift, _drop, _move, _rename, _add]


def written(rng: Random, tree: Any) -> bytes:
    """A tree as JSON, which is YAML too; one in seven is then spoilt as bytes."""
    data = json.dumps(tree, indent=rng.choice([None, 1]), default=str).encode("utf-8", "surrogatepass")
    return spoil_bytes(rng, data) if rng.random() < 0.15 else data

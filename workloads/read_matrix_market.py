"""Matrix Market files (.mtx, .mtx.gz): one weight matrix, outputs by inputs, as a network of one linear layer."""

import gzip
import io
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np
from scipy.io import mmread

from sim.errors import InputError
from workloads.formats.sparse import Sparse
from workloads.network import Layer, Network
from workloads.ops import Linear
from workloads.tensor import MAX_VALUES

MOST_BYTES = 256 << 20
MOST_ENTRIES = 1 << 24
"""Four times the non-zeros of VGG-16's pruned fc6; as arrays they stay far below 1 GiB."""
PIECE = 1 << 20
SYMMETRIES = (b"general", b"symmetric", b"skew-symmetric")
SPACE = b" \t\r\n"
NUMERALS = SPACE + b"0123456789+-.eEnaifNAIF"
"""All that numbers are made of; scipy's reader crashes on some bodies of other lengths."""
KINDS = ("coordinate", "array")


def read_matrix_market(path: str | Path) -> Network:
    """The matrix as a linear layer without bias; what it declares is compared with what is there before it is read."""
    path = Path(path)
    data = _text(path)
    rows, columns = _check_head(path, data)
    try:
        matrix = mmread(io.BytesIO(data + b"\n"), spmatrix=False)
    except (ValueError, OverflowError, IndexError) as error:
        raise InputError(f"not a Matrix Market file: {' '.join(str(error).split())}", where=str(path)) from None
    if isinstance(matrix, np.ndarray):
        weight = Sparse.encode(np.ascontiguousarray(matrix))
    else:
        weight = Sparse.of((rows, columns), matrix.row, matrix.col, matrix.data)
    name = path.name.removesuffix(".gz").removesuffix(".mtx")
    return Network(name, {"x": (columns,)}, [Layer(name, Linear(rows, bias=False), ("x",), {"weight": weight})])


def _text(path: Path) -> bytes:
    try:
        with open(path, "rb") as plain:
            data = _read(gzip.GzipFile(fileobj=plain) if path.name.endswith(".gz") else plain)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    if len(data) > MOST_BYTES:
        raise InputError(f"more than {MOST_BYTES} bytes", where=str(path))
    return data


def _read(file: gzip.GzipFile | BufferedReader) -> bytes:
    """At most a piece more than MOST_BYTES, in memory for what is there and no more."""
    pieces, size = [], 0
    while size <= MOST_BYTES and (piece := file.read(PIECE)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _stored(symmetry: bytes, rows: int, columns: int) -> int:
    """Numbers that an array of this symmetry is written with."""
    whole = {b"symmetric": rows * (rows + 1) // 2, b"skew-symmetric": rows * (rows - 1) // 2}
    return whole.get(symmetry, rows * columns)


def _words(body: bytes) -> int:
    """How many words there are, with no list of them."""
    space = np.isin(np.frombuffer(b" " + body, np.uint8), np.frombuffer(SPACE, np.uint8))
    return int(np.count_nonzero(space[:-1] & ~space[1:]))


def _check_head(path: Path, data: bytes) -> tuple[int, int]:
    """(rows, columns), after comparing the declared sizes with the file's length."""
    head = data[: 1 << 20].split(b"\n")
    words = head[0].lower().split()
    if len(words) != 5 or words[0] != b"%%matrixmarket" or words[2].decode("latin-1") not in KINDS:
        raise InputError("not a Matrix Market file: no %%MatrixMarket line with five words", where=str(path))
    if words[3] not in (b"real", b"integer", b"pattern"):
        raise InputError(f"found {words[3].decode('latin-1')}; allowed: real, integer, pattern", where=f"{path}:1")
    lines = ((n, line) for n, line in enumerate(head[1:], 2) if line.strip() and not line.startswith(b"%"))
    number, sizes_line = next(lines, (0, b""))
    if not number:
        raise InputError("ends before its sizes", where=str(path))
    sizes = sizes_line.split()
    if len(sizes) != (3 if words[2] == b"coordinate" else 2) or not all(s.isdigit() and len(s) < 19 for s in sizes):
        raise InputError("found no rows, columns and entries", where=f"{path}:{number}")
    rows, columns = int(sizes[0]), int(sizes[1])
    entries = int(sizes[2]) if len(sizes) == 3 else rows * columns
    if words[3:] == [b"pattern", b"skew-symmetric"]:  # not in the format, and scipy's reader crashes on it
        raise InputError("a pattern without signs cannot be skew-symmetric", where=str(path))
    if words[4] not in SYMMETRIES or (words[4] != b"general" and rows != columns):
        raise InputError(
            f"{words[4].decode('latin-1')} and {rows} x {columns}; allowed: square unless general", where=str(path)
        )
    if not rows or not columns or rows * columns > MAX_VALUES:
        raise InputError(f"{rows} x {columns} values; allowed: 1 to {MAX_VALUES}", where=f"{path}:{number}")
    if entries * (4 if len(sizes) == 3 else 2) > len(data) + 4:
        raise InputError(f"{entries} entries do not fit its {len(data)} bytes", where=f"{path}:{number}")
    body = data[sum(len(line) + 1 for line in head[:number]) :]
    wanted = entries * (3 if words[3] != b"pattern" else 2) if len(sizes) == 3 else _stored(words[4], rows, columns)
    if body.translate(None, NUMERALS) or _words(body) != wanted:
        raise InputError(f"not a Matrix Market file: its body is not {wanted} numbers", where=str(path))
    if entries > MOST_ENTRIES:
        raise InputError(f"{entries} entries; allowed: {MOST_ENTRIES}", where=f"{path}:{number}")
    return rows, columns

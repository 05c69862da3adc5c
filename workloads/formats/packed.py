"""Small unsigned integers packed bit by bit, as they stand in files: value 0's lowest bit first."""

import numpy as np

from sim.errors import InputError
from workloads.tensor import MAX_VALUES, Array, Shape

PIECE = 1 << 20
"""Values packed at a time (a multiple of 8, so that every piece but the last fills whole bytes)."""


def width_of(array: Array) -> int | None:
    """Bits that hold every value of a non-negative integer array; None where packing saves nothing."""
    if array.dtype == np.bool_ and array.size:
        return 1
    if array.dtype.kind not in "iu" or not array.size or int(array.min()) < 0:
        return None
    bits = int(array.max()).bit_length()
    return bits if bits < 8 * array.itemsize else None


def pack(array: Array, bits: int) -> Array:
    """`bits` lowest bits of every value, one after another, uint8."""
    flat = array.ravel().view(np.uint8) if array.dtype == np.bool_ else array.ravel()
    if not bits:
        return np.zeros(0, np.uint8)
    shifts = np.arange(bits, dtype=flat.dtype)
    pieces = (flat[start : start + PIECE, None] >> shifts & 1 for start in range(0, len(flat), PIECE))
    packed = [np.packbits(piece.astype(np.uint8), bitorder="little") for piece in pieces]
    return np.concatenate(packed) if packed else np.zeros(0, np.uint8)


def unpack(packed: Array, bits: int, dtype: np.dtype[np.generic], shape: Shape) -> Array:
    """The inverse of `pack`. InputError where the bytes are not as many as the shape needs."""
    count = 1
    for size in shape:
        count *= size
    if not 0 <= bits <= 63 or min(shape, default=0) < 0 or count > MAX_VALUES or len(packed) != -(-count * bits // 8):
        raise InputError(f"{len(packed)} bytes do not hold {shape} values of {bits} bits")
    if not bits:
        return np.zeros(shape, dtype=dtype)
    values = np.empty(count, dtype=dtype)
    weights = (np.int64(1) << np.arange(bits, dtype=np.int64)).astype(np.int64)
    for start in range(0, count, PIECE):
        stop = min(count, start + PIECE)
        piece = np.unpackbits(packed[start * bits // 8 : -(-stop * bits // 8)], bitorder="little")
        values[start:stop] = (piece[: (stop - start) * bits].reshape(-1, bits) @ weights).astype(dtype)
    return values.reshape(shape)

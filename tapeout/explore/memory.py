"""Memory that worker processes keep between points.

A point makes and drops arrays of some 100 kB by the thousand. Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536,
which hands every one of them back to the kernel: 19,000 page faults a point, and twice the time.
"""

import ctypes
import os
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of malloc.h, as numbers."""
MOST = 1 << 25
"""Bytes up to which glibc itself adapts to what is asked of it, where nothing was set."""


@cache
def keep() -> None:
    """Let freed memory stay with this process where its environment forbids it; once, and on glibc alone."""
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(MMAP_THRESHOLD, MOST)
    mallopt(TRIM_THRESHOLD, 2 * MOST)

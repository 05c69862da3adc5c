"""Where compiled kernels are kept, when neither beside the code nor in the user's cache folder anything can be written.

numba refuses to compile then. A folder of this process's own takes its place, and goes with it: compiled code is loaded
as Python objects, so it may only ever come from a folder that nobody else can write to.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def provide() -> None:
    """Before numba is imported: name a folder that can be written, if need be."""
    if "NUMBA_CACHE_DIR" in os.environ or writable(Path(__file__).with_name("__pycache__")):
        return
    user = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    if not writable(Path(user) / "numba"):
        os.environ["NUMBA_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="tapeout.")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)

"""The exceptions a user of tapeout can meet.

SimError                  base; the command line prints it as one line, never as a traceback
├── InputError            bad input: a file, a setting, an array (exit code 2)
├── DesignError           a Design that breaks its own contract: bad shape, unknown stage (exit code 2)
│   └── DeadlockError     a Design that stops before its firings are done; names every waiting stage
└── CheckError            a check failed: numbers differ, a published row broke (exit code 1)
"""

import difflib
from collections.abc import Iterable


class SimError(Exception):
    """Base of every error that a user's input can cause."""

    exit_code = 2


class InputError(SimError):
    """Bad input. `where` is FILE, FILE:LINE:COLUMN or the option that brought the value; `setting` its dotted name.

    The text is one line, whatever was named or quoted.
    """

    def __init__(self, message: str, *, where: str = "", setting: str = "") -> None:
        self.message, self.where, self.setting = message, where, setting
        super().__init__(" ".join(": ".join(part for part in (where, setting, message) if part).split()))


class DesignError(SimError):
    """A Design that breaks its own contract."""


class DeadlockError(DesignError):
    """No stage can go on. The message names each waiting stage and what it waits for."""


class CheckError(SimError):
    """A check that ran and failed."""

    exit_code = 1


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`did you mean X?`, or the allowed names (of many, the first dozen) where nothing is near."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(names[:12])}{more}"

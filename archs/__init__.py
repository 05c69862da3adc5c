"""One folder per accelerator; the folder's module is the plug-in (its shape stands in sim.plan).

There is no registry: a folder with an `__init__.py` is an accelerator, and a file in its `config/` a configuration.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from sim.config import load
from sim.errors import InputError, nearest
from sim.result import Metrics
from sim.result import metrics as own_metrics


def names() -> list[str]:
    """All accelerators."""
    return sorted(path.parent.name for folder in __path__ for path in Path(folder).glob("*/__init__.py"))


def find(name: str) -> Any:
    """The plug-in module of an accelerator."""
    if name not in names():
        raise InputError(f"unknown accelerator; {nearest(name, names())}", where=name or "ARCH")
    return import_module(f"archs.{name}")


def metrics() -> dict[str, Metrics]:
    """What the figures mean that one accelerator alone gives, by accelerator."""
    paths = [path for folder in __path__ for path in Path(folder).glob("*/metrics.yaml")]
    return {path.parent.name: own_metrics(path) for path in sorted(paths)}


def folder(name: str) -> Path:
    """The folder of an accelerator."""
    return Path(find(name).__file__).parent


def configs(name: str) -> list[str]:
    """The configurations an accelerator comes with, beside its defaults."""
    return sorted(path.stem for path in (folder(name) / "config").glob("*.yaml"))


def settings(name: str, config: str | None = None, given: Mapping[str, object] | None = None) -> Any:
    """The accelerator's spec: its defaults, overridden by a configuration (a name, or a file's path) and by `given`."""
    path = None if config is None else folder(name) / "config" / f"{config}.yaml"
    if path is not None and config is not None and not path.is_file():
        path = Path(config)
        if not path.is_file():
            raise InputError(f"unknown configuration; {nearest(config, configs(name))}", where=f"{name}:{config}")
    return load(find(name).SPEC, path, given)

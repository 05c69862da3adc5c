"""One run from its request to its result: find the machine, load the workload, check the inputs, execute."""

import hashlib
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Set
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np

import archs
from sim.errors import CheckError, InputError, nearest
from sim.plan import Array, Machine
from sim.result import Request, Result, Source
from sim.run import Progress, execute
from tapeout.sources import code
from workloads.execute import execute as forward
from workloads.generate import fill
from workloads.load import Workload, load
from workloads.network import Network

FLOAT_MACS = 5_000_000_000
"""Beyond this many MACs the float forward pass, which fidelity is measured against, would take longer than the run."""


def run(
    arch: str,
    workload: str | Path | Workload,
    inputs: Mapping[str, Array] | Array | None = None,
    settings: Mapping[str, object] | None = None,
    config: str | None = None,
    batch: int = 1,
    engine: Literal["fast", "des"] = "fast",
    seed: int = 0,
    check: bool = False,
    timing_only: bool = False,
    progress: Progress = lambda what, done, steps: None,
) -> Result:
    """See tapeout.run; `progress` is told what is being done."""
    began = time.perf_counter()
    batch, seed = _count(batch, 1, "--batch"), _count(seed, 0, "--seed")
    name, config = named(arch, config)
    plugin, given = archs.find(name), dict(settings or {})
    own_prices = None if "energy" in plugin.SPEC.model_fields else given.pop("energy", None)
    spec = archs.settings(name, config, given)
    machine, prices = priced(plugin.machine(spec), own_prices, getattr(spec, "energy", None))
    work = workload if isinstance(workload, Workload) else load(str(workload), seed, batch)
    shapes_do = timing_only and not hasattr(plugin, "VALUES")  # else its time depends on values
    uses = plugin.uses(spec, work.network) if hasattr(plugin, "uses") else None
    network = work.network if shapes_do else filled(plugin, spec, work.network, seed, uses)
    arrays = work.inputs if inputs is None else _checked(work.network, inputs, batch)
    request = Request(
        arch=name,
        config=spec.model_dump(mode="json") | prices,
        workload=Source(work.name, work.source, work.sha256),
        inputs_sha256=digest(arrays),
        images=len(next(iter(arrays.values()))),
        engine=engine,
        seed=seed,
        check=check,
        timing_only=timing_only,
        code=code(),
    )
    loaded = time.perf_counter()
    floats = None if timing_only else _floats(network, arrays, uses)
    compared = time.perf_counter()
    labels = work.labels if inputs is None else None
    try:
        result = execute(plugin, spec, network, arrays, request, machine, floats, labels, progress)
    except CheckError as error:
        raise CheckError(f"{error}; to reproduce: {_command(request, config, given, work, inputs is None)}") from error
    walls = {"load": loaded - began, "float": compared - loaded} | result.run["wall_s"]
    result.run.update(command=sys.argv, host=_host(), wall_s=walls | {"total": time.perf_counter() - began})
    return result


def _count(found: object, least: int, where: str) -> int:
    """A whole number of at least `least`; numpy's are numbers too."""
    if not isinstance(found, Integral) or isinstance(found, bool) or int(found) < least:
        raise InputError(f"found {found!r}; allowed: {least} or more", where=where)
    return int(found)


def _command(request: Request, config: str | None, given: Mapping[str, object], work: Workload, own: bool) -> str:
    """The command line of a request; inputs that a caller brought stand in it as a file to be named."""
    words = ["tapeout", "run", f"{request.arch}:{config}" if config else request.arch, work.name]
    words += [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    words += ["--batch", str(request.images)] if own else ["--input", "INPUTS.npy"]
    words += ["--engine", request.engine, "--seed", str(request.seed)]
    words += ["--check"] * request.check + ["--timing-only"] * request.timing_only
    return shlex.join(words)


def filled(plugin: Any, spec: Any, network: Network, seed: int, names: Set[str] | None = None) -> Network:
    """The network with seeded tensors where it has none: first of the kind the machine stores, where it says so.

    With `names`, only these layers get any.
    """
    return fill(plugin.fill(spec, network, seed) if hasattr(plugin, "fill") else network, seed, names)


def named(arch: str, config: str | None = None) -> tuple[str, str | None]:
    """`NAME[:CONFIG]` as name and configuration; naming one twice is an error."""
    name, _, inline = arch.partition(":")
    if inline and config:
        raise InputError(f"a configuration is named twice: {inline} and {config}", where="--config")
    return name, inline or config


def priced(machine: Machine, own: object, used: object) -> tuple[Machine, dict[str, str]]:
    """The machine with a user's `own` prices, and the digest of that file, or of the one the machine `used` itself."""
    if own is not None:
        machine = replace(machine, energy=machine.energy.override(Path(str(own))))
    path = own or used
    return machine, {"energy": hashlib.sha256(Path(str(path)).read_bytes()).hexdigest()} if path else {}


def _checked(network: Network, inputs: Mapping[str, Array] | Array, batch: int) -> dict[str, Array]:
    """Arrays by input name, `[images, *shape]`, of one number of images and finite."""
    if not isinstance(inputs, Mapping):
        if len(network.inputs) > 1:
            raise InputError(
                f"{network.name} has several inputs: {', '.join(network.inputs)}; name the file's: NAME=FILE"
            )
        inputs = {next(iter(network.inputs)): inputs}
    arrays = {name: _fitted(network, name, np.asarray(array)) for name, array in inputs.items()}
    if missing := [name for name in network.inputs if name not in arrays]:
        raise InputError(f"input {missing[0]} is missing", where="--input")
    images = {len(array) for array in arrays.values()}
    if len(images) > 1 or (batch != 1 and images != {batch}):
        raise InputError(f"found {sorted(images)} images and a batch of {batch}; allowed: one number", where="--input")
    return arrays


def _fitted(network: Network, name: str, array: Array) -> Array:
    known = dict(network.inputs) | {layer.name: network.shapes[layer.inputs[0]] for layer in network.layers}
    if name not in known:
        raise InputError(f"unknown input; {nearest(name, network.inputs)}", where="--input", setting=name)
    if array.dtype.kind not in "biuf":
        raise InputError(f"found {array.dtype}; allowed: integers or floats", where="--input", setting=name)
    shape = known[name]
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape or not len(array):
        wanted = f"{shape} or (images, {', '.join(map(str, shape))})"
        raise InputError(f"found shape {array.shape}; allowed: {wanted}", where="--input", setting=name)
    if not np.isfinite(array).all():
        raise InputError("found nan or infinity; allowed: finite numbers", where="--input", setting=name)
    return array


def digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    state = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        state.update(f"{name} {array.dtype.str} {array.shape};".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _floats(network: Network, arrays: Mapping[str, Array], names: Set[str] | None) -> dict[str, Array] | None:
    """Every layer (of `names`) in double precision; None where it would take too long, or where activations between
    layers are given."""
    if set(arrays) - set(network.inputs):
        return None
    images = len(next(iter(arrays.values())))
    macs = sum(network.macs(layer.name) for layer in network.layers) * images
    if macs > FLOAT_MACS:
        return None
    layers = [layer for layer in network.layers if names is None or layer.name in names]
    wide = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    return forward(Network(network.name, network.inputs, layers), wide)


def _host() -> dict[str, str]:
    return {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}

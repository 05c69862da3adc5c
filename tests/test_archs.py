"""The contract every folder of archs/ keeps, and the folder that `tapeout new-arch` writes too.

A plug-in is tried on the first of the small networks below of which it takes a layer, or on its own `example(spec)`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import archs
from sim.errors import InputError
from sim.result import METRICS, SCHEMA_FILE, Request, Result, Source
from sim.run import execute
from tapeout import catalogue, scaffold, session
from tapeout.session import digest, filled
from workloads.generate import generator, sparse
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Pool, Relu

FRESH = "fresh"
NAMES = [*archs.names(), FRESH]
CONFIGS = [(name, config) for name in archs.names() for config in (None, *archs.configs(name))]


@pytest.fixture(scope="session", autouse=True)
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An accelerator called `fresh`, as `tapeout new-arch` writes it, beside those of the tree."""
    folder = tmp_path_factory.mktemp("archs")
    scaffold.write(FRESH, folder)
    archs.__path__.append(str(folder))
    yield
    archs.__path__.remove(str(folder))


def perceptron() -> Network:
    """Two linear layers, sparse, of at most 15 distinct weights."""
    layers = [
        Layer("fc1", Linear(40), ("x",)),
        Layer("relu1", Relu(), ("fc1",)),
        Layer("fc2", Linear(10), ("relu1",)),
    ]
    network = Network("perceptron", {"x": (24,)}, layers)
    shapes = {"fc1": (40, 24), "fc2": (10, 40)}
    drawn = {name: sparse(generator(0, name), shape, 0.3) for name, shape in shapes.items()}
    return network.with_params({name: {"weight": weight} for name, weight in drawn.items()})


def convolutional() -> Network:
    """Two convolutions of binary weights, pooling between them, and a linear layer."""
    layers = [
        Layer("conv1", Conv(8, (3, 3), padding=(1, 1, 1, 1)), ("x",), bits={"weight": 1}),
        Layer("relu1", Relu(), ("conv1",)),
        Layer("pool1", Pool("max", (2, 2), (2, 2)), ("relu1",)),
        Layer("conv2", Conv(16, (3, 3), padding=(1, 1, 1, 1)), ("pool1",), bits={"weight": 1}),
        Layer("relu2", Relu(), ("conv2",)),
        Layer("flat", Flatten(), ("relu2",)),
        Layer("fc", Linear(10), ("flat",)),
    ]
    return Network("convolutional", {"x": (4, 12, 12)}, layers)


def candidates() -> Iterator[tuple[Network, Mapping[str, Any]]]:
    """The small networks, each with two images."""
    for network in (perceptron(), convolutional()):
        yield network, {"x": generator(0, "x").random((2, *network.inputs["x"]), dtype=np.float32)}
    zoo = load("tfc", images=2)
    yield zoo.network, zoo.inputs


def example(plugin: Any, spec: Any) -> tuple[Network, Mapping[str, Any]]:
    """A small network that the machine takes, and two images for it."""
    if hasattr(plugin, "example"):
        network, inputs = plugin.example(spec)
        return network, inputs
    for shapes, inputs in candidates():
        network = filled(plugin, spec, shapes, seed=0)
        heavy = {layer.name for layer in network.layers if network.macs(layer.name)}
        try:
            if heavy - set(plugin.skips(spec, network)) and plugin.compute(spec, network, inputs).outputs:
                return network, inputs
        except InputError:
            continue
    raise AssertionError("takes none of the small networks and offers no example(spec)")


def run(name: str, config: str | None = None, **changes: Any) -> Result:
    plugin, spec = archs.find(name), archs.settings(name, config)
    network, inputs = example(plugin, spec)
    asked: dict[str, Any] = {"engine": "fast", "seed": 0, "check": False, "timing_only": False} | changes
    request = Request(
        arch=name,
        config=spec.model_dump(mode="json"),
        workload=Source(network.name, "test", "00"),
        inputs_sha256=digest(inputs),
        images=len(next(iter(inputs.values()))),
        **asked,
    )
    return execute(plugin, spec, network, inputs, request)


@pytest.mark.parametrize(("name", "config"), CONFIGS)
def test_configurations_load(name: str, config: str | None) -> None:
    machine = archs.find(name).machine(archs.settings(name, config))
    assert machine.clock_hz > 0 and machine.macs_per_cycle > 0
    assert machine.boundary in ("core", "chip", "system")


@pytest.mark.parametrize("name", NAMES)
def test_every_price_has_a_source_and_every_access_a_price(name: str) -> None:
    machine = archs.find(name).machine(archs.settings(name))
    for entry in (*machine.energy.actions.values(), *machine.energy.static.values()):
        assert len(entry.source.split()) > 1, f"{entry.source!r} is no source"
    assert set(machine.accesses) <= set(machine.energy.actions)
    for access in machine.accesses.values():
        assert re.fullmatch(r"[a-z0-9_-]+\.[a-z0-9_-]+\.(read|write)", access.key)
        assert access.bits > 0


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_and_the_datapath_equals_the_reference(name: str) -> None:
    result = run(name, check=True)
    checks, equal = result.data["checks"], result.data["equivalence"]
    assert checks["engines_equal"]
    if hasattr(
        archs.find(name), "values"
    ):  # a machine that can send values through its graph does, on a network this small
        assert checks["values_equal"] and checks["accesses_equal"]
    assert equal["passed"], equal
    assert any("skipped" not in layer for layer in result.layers)
    jsonschema.validate(json.loads(result.to_json()), json.loads(SCHEMA_FILE.read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_either_engine_gives_the_same_figures(name: str) -> None:
    fast, des = run(name), run(name, engine="des")
    assert fast.total == des.total
    assert fast.layers == des.layers


@pytest.mark.parametrize("name", NAMES)
def test_the_same_request_gives_the_same_bytes(name: str) -> None:
    first, second = run(name), run(name)
    assert first.to_json() == second.to_json()
    assert first.to_csv() == second.to_csv()


@pytest.mark.parametrize("name", NAMES)
def test_time_does_not_depend_on_whether_numbers_are_computed(name: str) -> None:
    assert run(name, timing_only=True).total["cycles"] == run(name).total["cycles"]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_definition(name: str) -> None:
    """Whatever stands in a total or a layer as a number, or as a table of numbers, `tapeout show` explains."""
    data = run(name).data
    figures = [item for part in (data["total"], *data["layers"]) for item in part.items()]
    named = {key for key, value in figures if isinstance(value, int | float | dict)}
    explained = {**METRICS, **archs.metrics().get(name, {})}
    assert not named - set(explained)
    assert set(data["units"]) == {key for key, metric in explained.items() if metric["unit"]}


def test_a_figure_is_explained_once_and_where_it_belongs() -> None:
    owned = [*METRICS, *(name for figures in archs.metrics().values() for name in figures)]
    assert len(owned) == len(set(owned))
    text = Path(SCHEMA_FILE).with_name("metrics.yaml").read_text(encoding="utf-8").lower()
    assert not [arch for arch in NAMES if arch in text]
    said = [catalogue.show("luts"), catalogue.show("eta_tile"), catalogue.show("cycles")]
    assert ["given by" in text for text in said] == [True, True, False]


@pytest.mark.parametrize("name", NAMES)
def test_shares_add_up_to_the_cycles_of_every_stage(name: str) -> None:
    result = run(name)
    for phase, line in zip(result.plan, result.timelines, strict=True):
        for stage in phase.design.stages.values():
            assert sum(line.shares(stage.name)) == stage.lanes * line.cycles, stage.name
            assert min(line.shares(stage.name)) >= 0, stage.name


@pytest.mark.parametrize("name", NAMES)
def test_no_run_beats_the_closed_form_bound(name: str) -> None:
    plugin, spec = archs.find(name), archs.settings(name)
    if not hasattr(plugin, "bound"):
        pytest.skip(f"{name} offers no bound")
    network, inputs = example(plugin, spec)
    assert 0 < plugin.bound(spec, network, inputs) <= run(name).total["cycles"]


@pytest.mark.parametrize("name", NAMES)
def test_readme_ends_with_what_is_not_modelled(name: str) -> None:
    text = (archs.folder(name) / "README.md").read_text(encoding="utf-8")
    last = [line for line in text.splitlines() if line.startswith("## ")][-1]
    assert last == "## Not modelled, and how much it may matter"


def test_new_arch_writes_nothing_over_anything(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        scaffold.write("mine", tmp_path / "none")
    for bad in ("Mine", "my-arch", "class", "", "a/b", ".."):
        with pytest.raises(InputError, match="a lower-case Python name"):
            scaffold.write(bad, tmp_path)
    files = scaffold.write("mine", tmp_path)
    assert sum(path.name == "__init__.py" for path in files) == 1
    with pytest.raises(InputError, match="exists already"):
        scaffold.write("mine", tmp_path)


@pytest.mark.parametrize("arch", ["eie", "yodann", "fused"])
def test_a_run_too_long_to_keep_its_events_gives_the_same_result(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timelines closed as soon as they are made: cycles, stalls and latency are those of whole ones."""
    whole = session.run(arch, "lenet5-binary", batch=2)
    monkeypatch.setattr("sim.run.KEPT_EVENTS", 0)
    assert session.run(arch, "lenet5-binary", batch=2).to_json() == whole.to_json()

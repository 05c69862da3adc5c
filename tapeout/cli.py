"""The command line: verbs that parse, call and print. What they call is imported when they are called."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.errors import CheckError, InputError, SimError
from tapeout.arguments import parse_engine, parse_settings, parse_shapes, read_array, read_inputs

app = typer.Typer(
    help="What would my compressed network do on that accelerator?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

USAGE: type[Any] = typer.BadParameter.__mro__[2]
"""What the parser raises for a wrong option: the base class of BadParameter and UsageError."""

Out = Annotated[Path | None, typer.Option(help="Folder to write results into.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"tapeout {version('tapeout')}")
        raise typer.Exit


@app.callback()
def tapeout(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """What would my compressed network do on that accelerator?"""


@app.command()
def run(
    arch: Annotated[str, typer.Argument(metavar="ARCH[:CONFIG]", help="An accelerator: see `tapeout show archs`.")],
    workload: Annotated[str, typer.Argument(help="A zoo name, .yaml, .onnx, saved folder or published archive.")],
    config: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Configuration, if not in ARCH.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")] = None,
    input_: Annotated[
        list[str] | None, typer.Option("--input", metavar="[NAME=]FILE.npy", help="Input arrays, [images, *shape].")
    ] = None,
    batch: Annotated[int, typer.Option(help="Images of the workload's own inputs.")] = 1,
    engine: Annotated[str, typer.Option(metavar="fast|des", help="Compiled recurrence or simpy processes.")] = "fast",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    check: Annotated[bool, typer.Option("--check", help="Run both engines and compare every event.")] = False,
    timing_only: Annotated[bool, typer.Option("--timing-only", help="Leave out the datapath and its proof.")] = False,
    trace: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Perfetto trace.")] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Run a workload on an accelerator: cycles, stalls, traffic, energy, and proof that the numbers are right."""
    from tapeout import session

    with progress() as told:
        result = session.run(
            arch,
            workload,
            read_inputs(input_ or []),
            parse_settings(set_ or []),
            config,
            batch,
            parse_engine(engine),
            seed,
            check,
            timing_only,
            told,
        )
    if trace:
        from sim import tracefile

        tracefile.write(trace, result.plan, result.timelines)
    if out:
        typer.echo(f"wrote {result.save(out)}", err=True)
    if as_json:
        typer.echo(result.to_json(run=True), nl=False)
    else:
        from reports import tables

        typer.echo(tables.result(result))
    equal = result.data["equivalence"]
    if equal and not equal["passed"]:
        raise CheckError(f"the numbers differ, first in layer {equal['first_failing_layer']}")


@app.command()
def reproduce(
    archs: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Default: all.")] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Published figures: the paper's, ours, the error, and what became of each row."""
    from reports import reproduce as figures

    with progress() as told:
        found = figures.evaluate(archs or [], told)
    if out:
        for path in figures.save(found, out):
            typer.echo(f"wrote {path}", err=True)
    typer.echo(json.dumps(figures.records(found), indent=2) if as_json else figures.table(found))
    broken = [measured for measured in found if measured.outcome == "broken"]
    if broken:
        raise CheckError(f"{len(broken)} of {len(found)} rows broke, first {broken[0].row.id}: {broken[0].why}")


@app.command()
def compare(
    workloads: Annotated[list[str], typer.Argument(metavar="digits|WORKLOAD...", help="A task, or artifacts.")],
    on: Annotated[list[str] | None, typer.Option(metavar="ARCH[:CONFIG]", help="Only these machines.")] = None,
    batch: Annotated[int, typer.Option(help="Images; default: 200 of a task, 2 of an artifact.", min=0)] = 0,
    rate: Annotated[float | None, typer.Option(help="Images/s for all; default: the slowest machine's.")] = None,
    boundary: Annotated[str, typer.Option(metavar="core|chip|system", help="What energy counts.")] = "system",
    scaling: Annotated[str, typer.Option(metavar="raw|classical|stillmaker", help="Between processes.")] = "raw",
    timing_only: Annotated[bool, typer.Option("--timing-only", help="Leave out the numbers (artifacts only).")] = False,
    products: Annotated[
        int | None, typer.Option(help="Products of a matrix and a vector that convolutions may become on EIE.", min=0)
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Every machine on one task (each its best variant), or on one artifact (the same numbers): J/image and latency."""
    from reports import compare as comparison
    from tapeout import contest

    tables = []
    with progress() as told:
        for name in workloads:
            most = contest.MOST_PRODUCTS if products is None else products
            tables.append(contest.compare(name, on or [], batch, timing_only, rate, boundary, scaling, told, most))
    if out:
        for name, found in zip(workloads, tables, strict=True):
            for path in comparison.save(found, out, Path(name).stem):
                typer.echo(f"wrote {path}", err=True)
            for part in (part for entry in found.entries for part in entry.parts):
                part.result.save(out)
    plain = [{"title": found.title, "rows": comparison.records(found)} for found in tables]
    typer.echo(json.dumps(plain, indent=2) if as_json else "\n\n".join(map(comparison.table, tables)))


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Results or studies, files or folders.")],
    out: Annotated[Path, typer.Option(metavar="PAGE.html", help="The page to write.")] = Path("report.html"),
) -> None:
    """One HTML file of stored results: figures to touch, tables to sort; it needs no network."""
    from reports import page, points, stored
    from sim.files import write

    studies = [points.read(path) for path in results if points.is_study(path)]
    found = stored.read_all(path for path in results if not points.is_study(path))
    text = page.page(found, studies)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, text)
    typer.echo(f"wrote {out}", err=True)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="RESULT", help="A result.json, or the folder around it.")],
    after: Annotated[Path, typer.Argument(metavar="RESULT", help="The one to compare it with.")],
    as_json: Json = False,
) -> None:
    """Two results: which setting, layer, stall and memory changed."""
    from reports import diff as differences
    from reports import stored

    found = differences.diff(stored.read(before), stored.read(after))
    typer.echo(json.dumps(found.record(), indent=2) if as_json else differences.table(found))


@app.command(name="import")
def import_(
    file: Annotated[str, typer.Argument(help="Any network file, folder or zoo name.")],
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=1,3,48,192", help="Pin the axes of an input; repeatable.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What is in a network file, layer by layer; every node approximated or not supported by name."""
    from reports import networks
    from workloads import load, save, table

    found = load.load(file, shapes=parse_shapes(shape or []))
    rows = table.table(found.network, found.approximated, found.unsupported)
    if out:
        save.save(found.network, out, found.source)
        typer.echo(f"wrote {out}", err=True)
    typer.echo(json.dumps(rows, indent=2) if as_json else networks.contents(rows))


@app.command()
def compress(
    workload: Annotated[str, typer.Argument(help="A zoo name, network file or saved folder.")],
    apply: Annotated[
        list[str] | None,
        typer.Option(metavar="'FAMILY(KEY=VALUE, ...)'", help="A step; repeatable, applied in order."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    factored: Annotated[bool, typer.Option("--factored", help="Low-rank layers as chains of small layers.")] = False,
    lower: Annotated[
        str | None, typer.Option(metavar="im2col", help="Convolutions as matrices, for matrix-vector machines.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compress a network step by step; layers without weights get seeded ones. --out writes a folder that runs."""
    from reports import networks
    from workloads import generate, load, save
    from workloads import lower as ways
    from workloads.compress import factored as chains
    from workloads.compress import steps

    if lower not in (None, "im2col"):
        raise InputError(f"found {lower!r}; allowed: im2col", where="--lower")
    found, apply = load.load(workload, seed), apply or []
    made = steps.compress(generate.fill(found.network, seed), [steps.parse_step(text) for text in apply], seed)
    network = chains.factored(made.network) if factored else made.network
    network = ways.lowered(network) if lower else network
    if out:
        save.save(network, out, f"{found.source}; {'; '.join(apply)}; seed {seed}")
        typer.echo(f"wrote {out}", err=True)
    record = {
        "workload": found.name,
        "apply": apply,
        "seed": seed,
        "layers": list(made.rows),
        "notes": list(made.notes),
    }
    typer.echo(json.dumps(record, indent=2) if as_json else networks.compressed(made.rows, made.notes))


@app.command()
def validate(
    network: Annotated[str, typer.Argument(help="A zoo name, network file or saved folder.")],
    on: Annotated[str, typer.Option(metavar="ARCH[:CONFIG]", help="The accelerator.")],
    input_: Annotated[
        list[str] | None, typer.Option("--input", metavar="[NAME=]FILE.npy", help="Input arrays, [images, *shape].")
    ] = None,
    labels: Annotated[str | None, typer.Option(metavar="FILE.npy", help="The right class of every image.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")] = None,
    batch: Annotated[int, typer.Option(help="Images of the workload's own inputs.")] = 1,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    as_json: Json = False,
) -> None:
    """Does my network survive this machine's encoding and arithmetic? Exit 1 if not, with the first failing layer."""
    from tapeout import survival

    arrays, classes = read_inputs(input_ or []), None if labels is None else read_array(labels)
    found = survival.validate(network, on, arrays, classes, parse_settings(set_ or []), batch, seed)
    typer.echo(json.dumps(found, indent=2, default=str) if as_json else survival.table(found))
    if not found["passed"]:
        raise CheckError(f"the network does not survive, first in layer {found['first_failing_layer']}")


@app.command()
def show(what: Annotated[str, typer.Argument(metavar="archs|workloads|families|metrics|METRIC")]) -> None:
    """What there is to run, and what a figure means."""
    from tapeout import catalogue

    typer.echo(catalogue.show(what))


@app.command()
def explore(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="What is varied, and what is wanted.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes of this machine; default: one a core.")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="A dask cluster: tcp://HOST:PORT.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="How many points, and how long; run nothing.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the store and of the results.", metavar="DIR")] = Path("out"),
    as_json: Json = False,
) -> None:
    """Explore a design space: run a study's points, keep them in a store, and show its Pareto front.

    A study that was stopped goes on where it was; points that any study did are not done again.
    """
    from tapeout.explore import study as studies
    from tapeout.explore import verb

    plan = studies.read(study)
    if dry_run:
        typer.echo(verb.estimate(plan, jobs))
        return
    with progress() as told:
        said, folder = verb.run(plan, out, jobs, scheduler, told)
    typer.echo(f"wrote {folder}", err=True)
    typer.echo(json.dumps(said, indent=2) if as_json else verb.table(said))


@app.command()
def new_arch(
    name: Annotated[str, typer.Argument(help="A lower-case Python name.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="The folder of accelerators.")] = Path("archs"),
) -> None:
    """Write a small accelerator to start from: a folder that passes the contract tests as it is."""
    from tapeout import scaffold

    for path in scaffold.write(name, into):
        typer.echo(path)
    typer.echo(f"next: pytest tests/test_archs.py -k {name}; tapeout run {name} lenet-300-100 --check")


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar with ETA on stderr, when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, steps: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, steps: bar.update(task, description=what, completed=done, total=steps)


def main() -> None:
    """The command `tapeout`: errors are one line; 0 fine, 1 a check failed, 2 bad input."""
    try:
        app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except SimError as error:
        _stop(str(error), error.exit_code)
    except USAGE as error:
        _stop(error.format_message(), 2)
    except (KeyboardInterrupt, typer.Abort):
        _stop("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _stop(f"{error.filename}: {error.strerror}", 2)
    except MemoryError as error:
        _stop(f"not enough memory: {error}", 2)


def _stop(message: str, code: int) -> None:
    line = " ".join(message.split()).encode("utf-8", "backslashreplace").decode()
    typer.echo(line, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

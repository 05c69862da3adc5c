"""Where the folding of a design comes from: a list, a file, the archive, or a search under a rate or a budget."""

from collections.abc import Mapping

from archs.finn import resources
from archs.finn.chain import Chain, Matrix
from archs.finn.fold import Fold
from archs.finn.spec import FinnSpec
from archs.finn.units import Window, check_pixels
from sim.errors import InputError
from workloads.folding import read_folding
from workloads.formats.bits import PeWords
from workloads.ops import Conv

DEFAULT_FPS = 9000.0
"""The paper's target for its `fix` designs; what a search aims at when nothing is said."""


def matrix(unit: Matrix, chain: Chain, spec: FinnSpec) -> tuple[int, int]:
    """(MH, MW): a layer's rows and columns, padded where it is the last layer or a fully connected first one."""
    own = unit.weight.matrix if isinstance(unit.weight, PeWords) and given(spec) is None else (unit.rows, unit.columns)
    mh, mw = own
    if unit is chain.matrices[-1] and spec.pad_outputs > 1:
        mh = -(-unit.rows // spec.pad_outputs) * spec.pad_outputs
    if unit is chain.entry and not unit.slides and spec.pad_inputs > 1:
        mw = -(-unit.columns // spec.pad_inputs) * spec.pad_inputs
    return mh, mw


def given(spec: FinnSpec) -> str | None:
    """Which setting says where the folding comes from; None where none does."""
    search = spec.fold
    names: dict[str, object] = {"target_fps": search.target_fps, "luts": search.luts, "brams": search.brams}
    names |= {"file": search.file, "layers": search.layers}
    return next((name for name, value in names.items() if value is not None), None)


def resolve(spec: FinnSpec, chain: Chain) -> dict[str, Fold]:
    """The folding of every matrix layer: as listed, from a file, from the archive that holds the weights, or searched."""
    sizes = {unit.name: matrix(unit, chain, spec) for unit in chain.matrices}
    match given(spec):
        case "layers":
            return _listed(spec, chain, sizes)
        case "file":
            return _from_file(spec, chain, sizes)
        case None if all(isinstance(unit.weight, PeWords) for unit in chain.matrices):
            words = {unit.name: unit.weight for unit in chain.matrices if isinstance(unit.weight, PeWords)}
            return {name: Fold(w.pe, w.simd, *sizes[name]) for name, w in words.items()}
    return search(spec, chain, sizes)


def _listed(spec: FinnSpec, chain: Chain, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Fold]:
    layers = spec.fold.layers or ()
    if len(layers) != len(sizes):
        raise InputError(f"{len(layers)} foldings for {len(sizes)} layers ({', '.join(sizes)})", setting="fold.layers")
    pairs = zip(chain.matrices, layers, strict=True)
    return {unit.name: _fold(unit, entry.pe, entry.simd, sizes[unit.name]) for unit, entry in pairs}


def _from_file(spec: FinnSpec, chain: Chain, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Fold]:
    assert spec.fold.file is not None
    entries = read_folding(spec.fold.file)
    if len(entries) != len(sizes):
        raise InputError(
            f"{len(entries)} matrix units for {len(sizes)} layers ({', '.join(sizes)})", where=str(spec.fold.file)
        )
    pairs = zip(chain.matrices, entries, strict=True)
    return {unit.name: _fold(unit, entry.pe, entry.simd, sizes[unit.name]) for unit, entry in pairs}


def _fold(unit: Matrix, pe: int, simd: int, size: tuple[int, int]) -> Fold:
    try:
        if unit.slides:
            check_pixels(unit.source[0], simd)
        return Fold(pe, simd, *size)
    except InputError as error:
        raise InputError(error.message, setting=f"{unit.name}.{error.setting}") from None


def period(unit: Matrix, fold: Fold, spec: FinnSpec) -> int:
    """Cycles per image of a matrix unit with its sliding window unit: the window unit's fill is exposed."""
    cycles = unit.vectors * fold.cycles
    if not unit.slides:
        return cycles
    op = unit.op
    assert isinstance(op, Conv)
    size = unit.source[1] + op.padding[0] + op.padding[2]
    window = Window(size, op.kernel[0], op.stride[0], unit.out[1], check_pixels(unit.source[0], fold.simd))
    if spec.window == "frame":
        return window.words + max(window.out * window.write, cycles) + spec.pipes.swu + spec.pipes.pause
    return window.fill + max(window.out * max(window.write, window.read), cycles) + spec.pipes.swu + spec.pipes.pause


def choices(unit: Matrix, size: tuple[int, int], spec: FinnSpec) -> list[tuple[int, float, Fold]]:
    """Every legal folding as (cycles per image, price, folding), cheapest first among equals."""
    found = []
    for simd in _divisors(size[1]):
        if unit.slides and unit.source[0] % simd:
            continue
        for pe in _divisors(size[0]):
            fold = Fold(pe, simd, *size)
            found.append((period(unit, fold, spec), _price(unit, fold, spec), fold))
    return sorted(found, key=lambda entry: (entry[1], entry[0]))


def _price(unit: Matrix, fold: Fold, spec: FinnSpec) -> float:
    """LUTs, with a block RAM as dear as the LUTs beside it on the device."""
    cost = resources.matrix(unit, fold) if spec.resources == "finn-r" else resources.matrix_2018(unit, fold)
    device = resources.DEVICES[spec.device]
    return cost.luts + cost.brams * device.luts / device.brams


def search(spec: FinnSpec, chain: Chain, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Fold]:
    """The cheapest folding that reaches `fold.target_fps`, or the fastest within `fold.luts` and `fold.brams`.

    Layers do not share units, so the cheapest choice of each layer under one bound on cycles is the cheapest of all.
    """
    options = {unit.name: choices(unit, sizes[unit.name], spec) for unit in chain.matrices}
    wanted = spec.fold
    if wanted.luts is None and wanted.brams is None:
        target = wanted.target_fps or DEFAULT_FPS
        return _under(options, spec.clock / target, f"{target:g} images/s at {spec.clock / 1e6:g} MHz")
    bounds = sorted({cycles for entries in options.values() for cycles, _, _ in entries})
    least = max(min(cycles for cycles, _, _ in entries) for entries in options.values())
    bounds = [bound for bound in bounds if bound >= least]
    low, high = 0, len(bounds) - 1
    if not _affordable(chain, _under(options, bounds[high], ""), spec):
        raise InputError("even the smallest folding does not fit", setting="fold")
    while low < high:
        middle = (low + high) // 2
        if _affordable(chain, _under(options, bounds[middle], ""), spec):
            high = middle
        else:
            low = middle + 1
    folds = _under(options, bounds[high], "")
    rate = spec.clock / bounds[high]
    if wanted.target_fps and rate < wanted.target_fps:
        raise InputError(f"{rate:.0f} images/s is the most within the budget", setting="fold.target_fps")
    return folds


def _under(options: Mapping[str, list[tuple[int, float, Fold]]], bound: float, goal: str) -> dict[str, Fold]:
    folds = {}
    for name, entries in options.items():
        fitting = next((fold for cycles, _, fold in entries if cycles <= bound), None)
        if fitting is None:
            best = min(cycles for cycles, _, _ in entries)
            raise InputError(f"{goal} need {bound:.0f} cycles, {name} takes {best} at least", setting="fold.target_fps")
        folds[name] = fitting
    return folds


def _affordable(chain: Chain, folds: Mapping[str, Fold], spec: FinnSpec) -> bool:
    cost = resources.total(resources.matrix(unit, folds[unit.name]) for unit in chain.matrices)
    return cost.luts <= (spec.fold.luts or float("inf")) and cost.brams <= (spec.fold.brams or float("inf"))


def _divisors(size: int) -> list[int]:
    return [d for d in range(1, size + 1) if size % d == 0]

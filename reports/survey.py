"""The survey's 151 rows: what each published, what our networks and formats give, or why there is nothing to compare.

`python -m reports.survey` writes gallery/survey.md. A claim here follows from shapes, counts and stored bits, from the
papers' own tables, or (marked so) from runs of EIE, which is not the machine of the paper; accuracies need training,
measured speed-ups need the machine they were measured on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np

from reports import pruned
from sim.config import Spec, read_yaml
from workloads import generate, lower
from workloads.compress.quantise import Quantise, quantise
from workloads.compress.steps import compress, parse_step
from workloads.formats.factors import Factors
from workloads.formats.gaps import Gaps
from workloads.formats.structured import Diagonals
from workloads.load import ZOO, load
from workloads.network import Network
from workloads.ops import Conv, Linear
from workloads.read_yaml import read_network

PAGE = Path(__file__).parent / "gallery" / "survey.md"
ROWS = Path(__file__).parent / "survey.yaml"


class Row(Spec):
    """One paper of the survey."""

    id: int
    class_: str
    method: str
    kind: str
    families: tuple[str, ...]
    remark: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A published figure (or range) that arithmetic reaches: `ours` computes it; `why` says what else is known.

    `run`: asked of EIE instead of the paper's machine, so not held to the figure.
    """

    row: int
    what: str
    published: float | tuple[float, float]
    ours: Callable[[], float]
    why: str = ""
    run: bool = False

    def error(self, ours: float) -> float:
        """Relative distance from the figure, or from the nearer end of a range that does not hold it."""
        low, high = self.published if isinstance(self.published, tuple) else (self.published, self.published)
        return ours / min(max(ours, low), high) - 1


def rows() -> tuple[Row, ...]:
    """All rows of the survey, from the data file."""
    document = read_yaml(ROWS)
    return tuple(Row(**{("class_" if key == "class" else key): value for key, value in row.items()})
                 for row in document.data["rows"])  # fmt: skip


def zoo(name: str) -> Network:
    """A zoo network, shapes only."""
    return read_network(ZOO / f"{name}.yaml").network


def params(network: Network) -> int:
    return sum(network.params(layer.name) for layer in network.layers)


def macs(network: Network) -> int:
    return sum(network.macs(layer.name) for layer in network.layers)


def weights(network: Network) -> dict[str, int]:
    """Weights of every linear and convolution layer."""
    found = [layer for layer in network.layers if isinstance(layer.op, Linear | Conv)]
    return {layer.name: prod(layer.op.parameters(*network.sources(layer.name))["weight"]) for layer in found}


def kept(name: str) -> float:
    """Weights over non-zero weights of a network with published densities."""
    network = zoo(name)
    count = weights(network)
    nonzeros = sum(
        count[layer.name] * (layer.density or {}).get("weight", 1.0) for layer in network.layers if layer.name in count
    )
    return sum(count.values()) / nonzeros


def useful(name: str) -> float:
    """Share of multiplications that meet a non-zero weight and a non-zero input."""
    network = zoo(name)
    found = 0.0
    for layer in network.layers:
        density = layer.density or {}
        found += network.macs(layer.name) * density.get("weight", 1.0) * density.get("activation", 1.0)
    return found / macs(network)


def coded(name: str, means: Sequence[tuple[float, float]], fillers: bool) -> float:
    """Dense bits over bits with Huffman coding: published mean bits of weight and index, times the entries of seeded
    masks of the published densities, with their fillers or (a lower bound) without."""
    work = load(name)
    layers = [layer for layer in work.network.layers if isinstance(layer.op, Linear | Conv)]
    dense = stored = 0.0
    for layer, (weight_bits, index_bits) in zip(layers, means, strict=True):
        pattern = (layer.array("weight") != 0).astype(np.int8)
        gaps = Gaps.encode(pattern, (layer.bits or {})["index"], 1)
        stored += (gaps.entries if fillers else gaps.entries - gaps.fillers) * (weight_bits + index_bits)
        dense += 32 * pattern.size
    return dense / stored


ALEXNET_MEANS = ((6.3, 1.2), (5.5, 2.3), (5.1, 2.6), (5.2, 2.5), (5.6, 2.5), (3.9, 3.2), (3.6, 3.7), (4, 3.2))
"""Mean bits of weight and index after Huffman coding, Deep Compression Table 4."""

VGG_MEANS = (
    (6.8, 1.7), (6.5, 2.6), (5.6, 2.4), (5.9, 2.3), (4.8, 1.8), (4.6, 2.9), (4.6, 2.2), (4.6, 2.6),
    (4.2, 2.9), (4.4, 2.5), (4.7, 2.5), (4.6, 2.7), (4.6, 2.3), (3.6, 3.5), (4, 4.3), (4, 3.4),
)  # fmt: skip
"""The same of its Table 5."""


@cache
def li2016() -> Network:
    """VGG-16 on CIFAR-10 without half the filters of conv1_1 and conv4_1 .. conv5_3, of seeded weights the smallest."""
    pruned = (f'prune(density=0.5, granularity=filter, layers="{name}")' for name in ("conv1_1", "conv4_*", "conv5_*"))
    steps = [parse_step(text) for text in (*pruned, "shrink(constants=drop)")]
    return compress(generate.fill(zoo("vgg16-cifar10")), steps).network


def scheme_ratio(scheme: str) -> float:
    """float32 bits over stored bits of a large layer."""
    weight = np.random.default_rng(0).normal(size=(256, 4096)).astype(np.float32)
    return 32 * weight.size / quantise(weight, Quantise.model_validate({"scheme": scheme})).bits()


def tensor_train(rank: int) -> float:
    """VGG-16's fc6 with modes 2 7 8 8 7 4 by 4 4 4 4 4 4."""
    columns, ranks = (2, 7, 8, 8, 7, 4), (1, *[rank] * 5, 1)
    cores = tuple(np.zeros((ranks[i], 4, n, ranks[i + 1]), np.float32) for i, n in enumerate(columns))
    return 32 * 25088 * 4096 / Factors((4096, 25088), "tt", cores).bits()


def winograd(tile: int) -> float:
    """Multiplications of a 3 x 3 convolution over those of Winograd, on a map that tiles divide."""
    op, shape = Conv(64, (3, 3), padding=(1, 1, 1, 1)), (64, 224, 224)
    return lower.cost("direct", op, shape).multiplications / lower.cost(f"winograd{tile}", op, shape).multiplications


def mec() -> float:
    """Buffer of im2col over MEC's on VGG-16's convolutions."""
    network = zoo("vgg16")
    convs = [(layer.op, network.sources(layer.name)[0]) for layer in network.layers if isinstance(layer.op, Conv)]
    buffers = [sum(lower.cost(way, op, shape).buffer_values for op, shape in convs) for way in ("im2col", "mec")]
    return buffers[0] / buffers[1]


def local_binary(kernel: int) -> float:
    """Learned weights of a convolution over those of the 1 x 1 that follows as many fixed kernels."""
    shape = (64, 32, 32)
    full, learned = (Conv(64, (side, side)).parameters(shape)["weight"] for side in (kernel, 1))
    return prod(full) / prod(learned)


def xnor(channels: int = 256, kernel: int = 9, word: int = 64) -> float:
    """Multiply-accumulates of a layer over word operations and the scale map: 64 c N / (c N + 64)."""
    return word * channels * kernel / (channels * kernel + word)


CLAIMS = (
    Claim(15, "AlexNet, weights over non-zeros", 9, lambda: kept("alexnet-han2015")),
    Claim(15, "VGG-16, weights over non-zeros", 13, lambda: kept("vgg16-han2015")),
    Claim(15, "AlexNet, share of operations left", 0.30, lambda: useful("alexnet-han2015")),
    Claim(16, "AlexNet, compression with Huffman codes", 35,
          lambda: coded("alexnet-deep-compression", ALEXNET_MEANS, True), "seeded masks, fillers included"),
    Claim(16, "AlexNet, compression without fillers", 35,
          lambda: coded("alexnet-deep-compression", ALEXNET_MEANS, False), "upper end: the two bracket the paper"),
    Claim(16, "VGG-16, compression with Huffman codes", 49,
          lambda: coded("vgg16-deep-compression", VGG_MEANS, True), "seeded masks, fillers included"),
    Claim(16, "VGG-16, compression without fillers", 49,
          lambda: coded("vgg16-deep-compression", VGG_MEANS, False), "upper end: the paper is 2 % below the lower one"),
    Claim(16, "fully connected layers, dense over pruned time on the CPU", (3, 4), lambda: pruned.published_speed("cpu"),
          "geometric mean over six layers of the tables; the range is the abstract's (recalled), for all platforms"),
    Claim(16, "the same on the GPU", (3, 4), lambda: pruned.published_speed("gpu")),
    Claim(16, "the same on the mobile GPU", (3, 4), lambda: pruned.published_speed("mgpu"),
          "the abstract's range (recalled) does not hold its own table"),
    Claim(16, "AlexNet's fully connected layers, dense over pruned energy", (3, 7), pruned.energy_ratio,
          "EIE, core energy; the paper's are CPU and GPUs, whose power on pruned layers is in no table at hand", True),
    Claim(22, "VGG-16 on CIFAR-10, MACs saved", 0.342,
          lambda: 1 - macs(li2016()) / macs(zoo("vgg16-cifar10"))),
    Claim(22, "VGG-16 on CIFAR-10, parameters saved", 0.640,
          lambda: 1 - params(li2016()) / params(zoo("vgg16-cifar10"))),
    Claim(25, "AlexNet, dense over pruned energy", 3.7, pruned.energy_ratio,
          "EIE, fully connected layers at the densities of row 15; the paper's model has all layers, and densities chosen "
          "with its energy in the loop, which were not found; nor were those of its GoogLeNet (1.6)", True),
    Claim(30, "memory references, single weights over 3 x 3 kernels", 2, pruned.reference_ratio,
          "EIE, equal density: its references follow the entries, wherever they stand; the paper's SCNN model merges "
          "references of neighbouring weights", True),
    Claim(52, "operations over word operations, 256 channels", 62.27, xnor),
    Claim(52, "binary weights, compression", 32, lambda: scheme_ratio("xnor"), "a float32 scale an output included"),
    Claim(57, "ternary weights, compression", 16, lambda: scheme_ratio("ternary")),
    Claim(58, "ternary weights, two scales", 16, lambda: scheme_ratio("ttq")),
    Claim(71, "VGG-16 fc6 as a tensor train of rank 2", 194_622, lambda: tensor_train(2), "published value recalled"),
    Claim(85, "VGG-16 parameters over MobileNet's", 32, lambda: params(zoo("vgg16")) / params(zoo("mobilenet-v1"))),
    Claim(85, "VGG-16 MACs over MobileNet's", 27, lambda: macs(zoo("vgg16")) / macs(zoo("mobilenet-v1"))),
    Claim(129, "weights of 3 x 3 over learned ones", 9, lambda: local_binary(3), "fixed ternary 3 x 3, learned 1 x 1"),
    Claim(129, "the same, 13 x 13", 169, lambda: local_binary(13)),
    Claim(131, "AlexNet parameters over SqueezeNet's", 50, lambda: params(zoo("alexnet")) / params(zoo("squeezenet1.0"))),
    Claim(133, "ShuffleNet 1x, g = 3, million MACs", 140, lambda: macs(zoo("shufflenet-1x-g3")) / 1e6,
          "later listings say 137"),
    Claim(136, "multiplications saved by F(2 x 2, 3 x 3)", 2.25, lambda: winograd(2)),
    Claim(136, "multiplications saved by F(4 x 4, 3 x 3)", 4, lambda: winograd(4)),
    Claim(144, "buffer of im2col over MEC's, VGG-16", 3, mec, "kernels of 3 x 3 at stride 1"),
    Claim(146, "DenseNet-121 parameters, million", 7.98, lambda: params(zoo("densenet121")) / 1e6),
    Claim(149, "values a layer of side n over n", 2, lambda: Diagonals(
        (1024, 1024), "acdc", np.zeros((1, 2, 1024), np.float32)).bits() / 32 / 1024),
)  # fmt: skip

STEPS = {
    "F1": "prune", "F2": "prune(granularity=filter)` and `shrink", "F3": "prune(granularity=block)", "F4": "share",
    "F5": "quantise", "F6": "quantise(scheme=pow2)", "F7": "quantise(scheme=ternary)", "F8": "quantise(scheme=binary)",
    "F9": "quantise(scheme=xnor)", "F10": "hash", "F11": "pq", "F12": "lowrank", "F13": "lowrank(kind=spatial)",
    "F14": "lowrank(kind=cp)", "F15": "lowrank(kind=tucker)", "F16": "lowrank(kind=tt)", "F17": "structured",
    "F20": "mask", "F21": "dctcode",
}  # fmt: skip
"""What `tapeout compress --apply` calls each family."""

REASONS = {
    "T": "changes training; the network that runs is as before",
    "M": "an analysis, or no accelerator's business",
    "D": "a mask that the network works out for every input; zeros of activations and skipped positions run as `mask`",
}
CORE = {138: "eie", 139: "yodann", 141: "finn", 147: "fused"}


def reason(row: Row) -> str:
    """Why a row without a claim has none."""
    if row.id in CORE:
        return f"a machine of this project: `tapeout reproduce {CORE[row.id]}`"
    if row.kind in REASONS:
        return REASONS[row.kind]
    steps = ", ".join(f"`{STEPS[family]}`" for family in row.families if family in STEPS)
    ways = any(family.startswith("A") for family in row.families)
    if steps:
        rest = (
            "what was published is an accuracy, was measured on another machine, or needs settings that were not found"
        )
        return f"runs as {steps}; {rest}"
    if ways:
        return "a way to compute a convolution (`workloads.lower`); what was published is a measured time"
    return "another layer list: any YAML or ONNX file; no layer list of it was found"


def page() -> str:
    """The survey as a Markdown page."""
    claims: dict[int, list[Claim]] = {}
    for claim in CLAIMS:
        claims.setdefault(claim.row, []).append(claim)
    lines, errors = [], []
    for row in rows():
        for claim in claims.get(row.id, ()):
            ours = claim.ours()
            error = claim.error(ours)
            if not claim.run:
                errors.append(abs(error))
            cells = (claim.what, _published(claim), _number(ours), f"{error:+.1%}", claim.why)
            lines.append(_line(row, *cells))
        if row.id not in claims:
            lines.append(_line(row, "", "", "", "", reason(row)))
    within = sum(error <= 0.05 for error in errors)
    head = (
        "# The survey, row by row\n\n"
        f"151 papers on compressing networks; {len(claims)} of them published something that can be computed here: "
        f"{len(errors)} figures from shapes, counts, stored bits or the papers' own tables, {within} of ours within 5 %; "
        f"{sum(claim.run for claim in CLAIMS)} more were asked of EIE, another machine than the paper's (their remarks "
        "begin with EIE). Each other row says why not. An energy on a CPU, a GPU or a chip that is not modelled here is "
        "none of ours to compute. "
        "Kinds: W weights, encoding or topology; H dataflow or algorithm; D depends on the input; T training; "
        "M analysis.\n\n"
        "Written by `python -m reports.survey`.\n\n"
        "| # | method | kind | families | figure | published | ours | error | remark |\n"
        f"|{'---|' * 9}\n"
    )
    return head + "\n".join(lines) + "\n"


def _line(row: Row, what: str, published: str, ours: str, error: str, why: str) -> str:
    cells = (str(row.id), row.method, row.kind, " ".join(row.families), what, published, ours, error, why)
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _published(claim: Claim) -> str:
    ends = claim.published if isinstance(claim.published, tuple) else (claim.published,)
    return " to ".join(map(_number, ends))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def write(path: Path = PAGE) -> Path:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    return path


if __name__ == "__main__":
    write()

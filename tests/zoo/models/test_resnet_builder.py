"""ResNet-20 is that of the paper, and that of PyTorch."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UsageError


def between(model: keras.Model, first: str, last: str) -> keras.Model:
    """The part of a model from the output of one layer to that of another."""
    return keras.Model(model.get_layer(first).output, model.get_layer(last).output)


def given_weights(model: keras.Model, seed: int = 0) -> None:
    """Random weights with which the activations neither vanish nor explode, and no normalisation is at 0 and 1."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        fan_in = max(1, int(np.prod(weight.shape[:-1])))
        values = random.normal(0, (2 / fan_in) ** 0.5, weight.shape)
        if weight.name != "kernel":
            values = random.uniform(0.5, 1.5, weight.shape) - (weight.name in ("beta", "bias", "moving_mean"))
        weight.assign(values)


def test_resnet20_has_the_layers_of_the_paper():
    model = zoo.build("resnet20", (32, 32, 3), 10)
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 20
    blocks = [f"stage{stage}_block{block}" for stage in (1, 2, 3) for block in (1, 2, 3)]
    convolutions = ["conv1", *(f"{block}_conv{i}" for block in blocks for i in (1, 2))]
    assert {layer.name for layer in kernels} == {*convolutions, "predictions"}
    normalisations = {layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert normalisations == {f"{name}_batch_normalization" for name in convolutions}
    for layer in kernels[:-1]:
        assert layer.kernel_size == (3, 3)
        assert not layer.use_bias
    assert model.get_layer("stage2_block1_conv1").strides == (2, 2)
    assert sum(layer.strides == (2, 2) for layer in kernels[:-1]) == 2
    assert model.count_params() == 271_098
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 269_722


@pytest.mark.parametrize(
    ("shape", "stages"),
    [
        ((32, 32, 3), [(32, 32), (16, 16), (8, 8)]),
        ((33, 17, 1), [(33, 17), (17, 9), (9, 5)]),
        ((6, 4, 3), [(6, 4), (3, 2), (2, 1)]),
        ((5, 7, 2), [(5, 7), (3, 4), (2, 2)]),
    ],
    ids=str,
)
def test_resnet20_halves_the_image_where_it_doubles_the_filters(shape, stages):
    model = zoo.build("resnet20", shape, 4)
    assert model.get_layer("conv1").output.shape == (None, *shape[:2], 16)
    for stage, (size, filters) in enumerate(zip(stages, (16, 32, 64), strict=True), start=1):
        for block in (1, 2, 3):
            for part in ("conv1", "conv2", "add", "activation"):
                layer = model.get_layer(f"stage{stage}_block{block}_{part}")
                assert layer.output.shape == (None, *size, filters)
    assert model.get_layer("pool").output.shape == (None, 64)
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    np.testing.assert_allclose(np.sum(model(inputs), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 8, 3), (8, 3, 3), (8, 8), (64,), (8, 8, 3, 1)], ids=str)
def test_resnet20_refuses_what_it_would_shrink_away(shape):
    with pytest.raises(UsageError, match="4x4 or more"):
        zoo.build("resnet20", shape, 3)


@pytest.mark.parametrize(("stage", "channels"), [(2, 16), (3, 32)])
@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 8, 3), (5, 7, 3)], ids=str)
def test_the_shortcut_takes_every_second_pixel_and_pads_the_channels(shape, stage, channels):
    model = zoo.build("resnet20", shape, 3)
    shortcut = between(model, f"stage{stage - 1}_block3_activation", f"stage{stage}_block1_shortcut_channels")
    assert shortcut.count_params() == 0
    x = np.random.default_rng(0).normal(size=(2, *shortcut.input_shape[1:])).astype(np.float32)
    expected = tf.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [channels // 2, channels // 2]])
    np.testing.assert_array_equal(shortcut(x), expected)
    assert expected.shape[-1] == 2 * channels


def padded_convolution(x: np.ndarray, kernel: np.ndarray, strides: int) -> np.ndarray:
    """The definition: one pixel of zeros all round, then a product at every (second) place."""
    x = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = range(0, x.shape[1] - 2, strides), range(0, x.shape[2] - 2, strides)
    windows = [[np.tensordot(x[:, i : i + 3, j : j + 3], kernel, 3) for j in columns] for i in rows]
    return np.moveaxis(np.array(windows), 2, 0)


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 8, 3), (5, 7, 3)], ids=str)
@pytest.mark.parametrize(
    ("first", "convolution", "strides"),
    [
        ("inputs", "conv1", 1),
        ("stage1_block3_activation", "stage2_block1_conv1", 2),
        ("stage2_block1_conv1_activation", "stage2_block1_conv2", 1),
        ("stage2_block3_activation", "stage3_block1_conv1", 2),
    ],
)
def test_convolutions_are_padded_by_one_pixel_all_round(shape, first, convolution, strides):
    model = zoo.build("resnet20", shape, 3)
    part = between(model, first, convolution)
    x = np.random.default_rng(0).normal(size=(2, *part.input_shape[1:])).astype(np.float32)
    expected = padded_convolution(x, np.asarray(model.get_layer(convolution).kernel), strides)
    assert expected.shape[1:] == part.output_shape[1:]
    np.testing.assert_allclose(part(x), expected, atol=1e-5)


def test_a_block_adds_its_shortcut_before_the_last_activation():
    model = zoo.build("resnet20", (8, 8, 3), 3)
    given_weights(model)
    for begin, block, shortcut in [
        ("stage1_block1_activation", "stage1_block2", "stage1_block1_activation"),
        ("stage1_block3_activation", "stage2_block1", "stage2_block1_shortcut_channels"),
    ]:
        x = np.abs(np.random.default_rng(0).normal(size=(2, *model.get_layer(begin).output.shape[1:])))
        x = x.astype(np.float32)
        branch = between(model, begin, f"{block}_conv2_batch_normalization")(x)
        straight = x if shortcut == begin else between(model, begin, shortcut)(x)
        expected = np.maximum(0, np.asarray(branch) + np.asarray(straight))
        np.testing.assert_allclose(between(model, begin, f"{block}_activation")(x), expected, atol=1e-6)


def torch_logits(torch, weights: dict, x, *, training: bool):
    """ResNet-20 in PyTorch's words; `weights` by the paths of ours, kernels as (out, in, height, width)."""
    functional = torch.nn.functional

    def normalised(x, name):
        gamma, beta, mean, variance = (
            weights[f"{name}_batch_normalization/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        moments = (None, None) if training else (mean, variance)
        return functional.batch_norm(x, *moments, gamma, beta, training=training, eps=1e-5)

    def convolved(x, name, stride=1):
        return normalised(functional.conv2d(x, weights[f"{name}/kernel"], stride=stride, padding=1), name)

    x = functional.relu(convolved(x, "conv1"))
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            name, stride = f"stage{stage}_block{block}", 2 if stage > 1 and block == 1 else 1
            y = functional.relu(convolved(x, f"{name}_conv1", stride))
            y = convolved(y, f"{name}_conv2")
            if stride == 2:
                added = x.shape[1] // 2
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added, added))
            x = functional.relu(x + y)
    return x.mean(dim=(2, 3)) @ weights["predictions/kernel"] + weights["predictions/bias"]


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 6, 1)], ids=str)
def test_resnet20_is_that_of_pytorch(shape):
    torch = pytest.importorskip("torch", reason="PyTorch is the referee")
    model = zoo.build("resnet20", shape, 5, classifier_activation=None)
    given_weights(model)
    random = np.random.default_rng(1)
    inputs, labels = random.normal(size=(16, *shape)).astype(np.float32), random.integers(0, 5, 16)
    weights = {}
    for variable in model.weights:
        value = np.array(variable)
        tensor = torch.tensor(np.transpose(value, (3, 2, 0, 1)) if value.ndim == 4 else value)
        weights[variable.path] = tensor.requires_grad_("moving" not in variable.path)
    x = torch.tensor(np.transpose(inputs, (0, 3, 1, 2)))

    resting = torch_logits(torch, weights, x, training=False).detach().numpy()
    found = model(inputs, training=False).numpy()
    assert np.ptp(resting) > 1
    np.testing.assert_allclose(found, resting, atol=1e-4 * np.abs(resting).max())

    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=True))
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    torch_loss = torch.nn.functional.cross_entropy(
        torch_logits(torch, weights, x, training=True), torch.tensor(labels, dtype=torch.int64)
    )
    torch_loss.backward()
    assert float(loss) == pytest.approx(torch_loss.item(), rel=1e-5)
    for variable, gradient in zip(model.trainable_weights, gradients, strict=True):
        expected = weights[variable.path].grad.numpy()
        expected = np.transpose(expected, (2, 3, 1, 0)) if expected.ndim == 4 else expected
        assert np.abs(expected).max() > 1e-6, variable.path
        np.testing.assert_allclose(
            gradient, expected, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=variable.path
        )

"""Convolutions against their definition, Keras, PyTorch and TensorFlow."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.models.fusing import fuse_convolution
from zoo.models.response_normalization import LocalResponseNormalization
from zoo.reference import (
    convolution,
    convolution_gradient,
    local_response_normalization,
    max_pooling,
)

QUICK = settings(deadline=None, max_examples=40, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
HALF = st.integers(0, 2)


def convolution_by_loops(x, kernel, bias, strides, padding, groups):
    """The definition, a number at a time; pixels outside the image are not there."""
    height, width, of_group, filters = kernel.shape
    rows = (x.shape[1] + 2 * padding - height) // strides + 1
    columns = (x.shape[2] + 2 * padding - width) // strides + 1
    y = np.zeros((len(x), rows, columns, filters))
    for n, i, j, f in np.ndindex(y.shape):
        first = of_group * (f // (filters // groups))
        y[n, i, j, f] = bias[f]
        for u, v, c in np.ndindex(height, width, of_group):
            row, column = strides * i + u - padding, strides * j + v - padding
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                y[n, i, j, f] += x[n, row, column, first + c] * kernel[u, v, c, f]
    return y


def torch_and_channels_first(*images):
    torch = pytest.importorskip("torch", reason="PyTorch is the referee")
    return torch, *(torch.tensor(np.transpose(image, (0, 3, 1, 2))) for image in images)


# Convolution


@QUICK
@given(SEEDS, st.tuples(st.integers(0, 2), *[st.integers(1, 6)] * 2), st.tuples(*[st.integers(1, 3)] * 4), st.data())
def test_convolution_is_its_definition(seed, image, sizes, data):
    count, rows, columns = image
    height, width, of_group, per_group = sizes
    groups, strides = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    least = max(0, (height - rows + 1) // 2, (width - columns + 1) // 2)
    padding = data.draw(st.integers(least, least + 2))
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, rows, columns, of_group * groups))
    kernel = random.normal(size=(height, width, of_group, per_group * groups))
    bias = random.normal(size=per_group * groups)
    found = convolution(x, kernel, bias, strides=strides, padding=padding, groups=groups)
    expected = convolution_by_loops(x, kernel, bias, strides, padding, groups)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_convolution_is_not_turned_round_and_begins_in_the_upper_left_corner():
    x = np.arange(12.0).reshape(1, 3, 4, 1)
    kernel = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(convolution(x, kernel, strides=2).ravel(), [5410.0, 7632.0])
    np.testing.assert_array_equal(convolution(x, kernel, strides=2, padding=1)[0, 0, 0], [0.0])
    np.testing.assert_array_equal(convolution(x, kernel, strides=3, padding=1)[0, 1, 1], [120.0])


def test_groups_are_convolutions_side_by_side():
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 5, 6, 8)), random.normal(size=(3, 3, 4, 6))
    halves = [convolution(x[..., 4 * g : 4 * g + 4], kernel[..., 3 * g : 3 * g + 3]) for g in (0, 1)]
    np.testing.assert_allclose(convolution(x, kernel, groups=2), np.concatenate(halves, axis=-1), rtol=1e-13)


def test_a_convolution_without_a_bias_has_one_of_zeros():
    x, kernel = np.ones((1, 3, 3, 2)), np.ones((2, 2, 2, 3))
    np.testing.assert_array_equal(convolution(x, kernel), convolution(x, kernel, np.zeros(3)))
    np.testing.assert_array_equal(convolution(x, kernel, [1, 2, 3])[0, 0, 0], [9, 10, 11])


def test_convolution_takes_integers_and_leaves_its_arguments_alone():
    x, kernel = np.full((1, 2, 2, 1), 200, np.uint8), np.full((2, 2, 1, 1), 100, np.uint8)
    found = convolution(x, kernel, padding=1)
    assert found.dtype == np.float64
    assert found[0, 1, 1, 0] == 80_000
    assert x.dtype == kernel.dtype == np.uint8
    assert np.all(x == 200)


@pytest.mark.parametrize(
    ("x", "kernel", "options", "message"),
    [
        ((4, 4, 1), (1, 1, 1, 1), {}, r"shape \(N, H, W, C\). Received: inputs=\(4, 4, 1\)$"),
        ((1, 4, 4, 1), (1, 1, 1), {}, r"kernel=\(1, 1, 1\), groups=1$"),
        ((1, 4, 4, 3), (1, 1, 2, 4), {}, r"inputs=\(1, 4, 4, 3\), kernel=\(1, 1, 2, 4\)"),
        ((1, 4, 4, 4), (1, 1, 4, 4), {"groups": 2}, "groups=2$"),
        ((1, 4, 4, 4), (1, 1, 2, 3), {"groups": 2}, "multiple of the groups"),
        ((1, 4, 4, 1), (1, 1, 1, 1), {"groups": 0}, "groups=0"),
        ((1, 4, 4, 1), (1, 1, 1, 1), {"padding": -1}, "padding=-1"),
        ((1, 4, 4, 1), (1, 1, 1, 1), {"padding": "full"}, "'valid' or 'same'. Received: padding=full$"),
        ((1, 4, 4, 1), (1, 1, 1, 1), {"strides": 0}, "strides=0"),
        ((1, 4, 4, 1), (5, 1, 1, 1), {}, "5x1 windows, strides=1, an image of 4x4$"),
        ((1, 4, 4, 1), (1, 7, 1, 1), {"padding": 1}, "1x7 windows, strides=1, an image of 6x6$"),
        ((1, 4, 4, 1), (1, 1, 1, 2), {"bias": [1.0]}, r"2 entries. Received: bias=\(1,\)$"),
    ],
)
def test_convolution_refuses_what_does_not_fit(x, kernel, options, message):
    with pytest.raises(ValueError, match=message):
        convolution(np.ones(x), np.ones(kernel), **options)


@QUICK
@given(SEEDS, st.integers(1, 3), HALF, st.sampled_from([(4, 6, 1), (4, 6, 2), (6, 3, 3)]), st.sampled_from([1, 2]))
def test_convolution_is_that_of_keras_as_alexnet_builds_it(seed, count, half, channels, strides):
    inputs, filters, groups = channels
    layer = fuse_convolution(
        keras.layers.Conv2D(
            filters,
            2 * half + 1,
            strides=strides,
            padding="same" if strides == 1 else "valid",
            groups=groups,
            bias_initializer="normal",
            kernel_initializer=keras.initializers.HeNormal(seed=seed % 1000),
            dtype="float64",
        )
    )
    x = np.random.default_rng(seed).normal(size=(count, 7, 5, inputs))
    found = layer(x)
    padding = half if strides == 1 else 0
    expected = convolution(
        x, np.asarray(layer.kernel), np.asarray(layer.bias), strides=strides, padding=padding, groups=groups
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@QUICK
@given(SEEDS, st.integers(1, 3), HALF, st.integers(1, 3), st.integers(1, 3))
def test_convolution_is_that_of_torch(seed, groups, padding, size, strides):
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, 6, 5, 2 * groups))
    kernel, bias = random.normal(size=(size, size, 2, 3 * groups)), random.normal(size=3 * groups)
    torch, images = torch_and_channels_first(x)
    expected = torch.nn.functional.conv2d(
        images,
        torch.tensor(np.transpose(kernel, (3, 2, 0, 1))),
        torch.tensor(bias),
        stride=strides,
        padding=padding,
        groups=groups,
    )
    found = convolution(x, kernel, bias, strides=strides, padding=padding, groups=groups)
    np.testing.assert_allclose(np.transpose(found, (0, 3, 1, 2)), expected, rtol=1e-12, atol=1e-12)


@QUICK
@given(SEEDS, st.tuples(*[st.integers(1, 7)] * 2), st.tuples(*[st.integers(1, 4)] * 2), st.integers(1, 4))
def test_same_padding_is_that_of_keras(seed, image, size, strides):
    random = np.random.default_rng(seed)
    x, kernel = random.normal(size=(2, *image, 2)), random.normal(size=(*size, 2, 3))
    expected = keras.ops.conv(x, kernel, strides=strides, padding="same")
    np.testing.assert_allclose(
        convolution(x, kernel, strides=strides, padding="same"), expected, rtol=1e-12, atol=1e-12
    )


def test_valid_is_no_padding():
    x, kernel = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1))
    np.testing.assert_array_equal(convolution(x, kernel, padding="valid"), convolution(x, kernel))


@QUICK
@given(
    SEEDS,
    st.tuples(*[st.integers(3, 6)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_the_gradient_of_a_convolution_is_that_of_tensorflow_for_any_padding(seed, image, size, strides, padding):
    random = np.random.default_rng(seed)
    x, kernel = tf.constant(random.normal(size=(2, *image, 2))), tf.constant(random.normal(size=(*size, 2, 3)))
    around = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = tf.nn.conv2d(tf.pad(x, around), kernel, strides, "VALID")
        delta = random.normal(size=y.shape)
        loss = tf.reduce_sum(y * delta)
    found = convolution_gradient(x, kernel, delta, strides=strides, padding=padding)
    for ours, theirs in zip(found, tape.gradient(loss, [x, kernel]), strict=False):
        assert np.abs(ours - theirs).max() <= 1e-10 * np.abs(theirs).max()
    np.testing.assert_allclose(found.bias, delta.sum(axis=(0, 1, 2)), rtol=1e-12)


def test_the_gradient_of_a_convolution_with_groups_is_that_of_its_parts():
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 5, 6, 8)), random.normal(size=(3, 3, 4, 6))
    delta = random.normal(size=(2, 3, 3, 6))
    found = convolution_gradient(x, kernel, delta, strides=2, padding="same", groups=2)
    for g in (0, 1):
        of_inputs, of_outputs = slice(4 * g, 4 * g + 4), slice(3 * g, 3 * g + 3)
        part = convolution_gradient(
            x[..., of_inputs], kernel[..., of_outputs], delta[..., of_outputs], strides=2, padding="same"
        )
        np.testing.assert_allclose(found.inputs[..., of_inputs], part.inputs, rtol=1e-12)
        np.testing.assert_allclose(found.kernel[..., of_outputs], part.kernel, rtol=1e-12)
        np.testing.assert_allclose(found.bias[of_outputs], part.bias, rtol=1e-12)


def test_the_gradient_of_a_convolution_refuses_a_delta_of_another_shape():
    with pytest.raises(ValueError, match=r"outputs, \(1, 3, 3, 2\). Received: delta=\(1, 4, 4, 2\)$"):
        convolution_gradient(np.ones((1, 4, 4, 1)), np.ones((2, 2, 1, 2)), np.ones((1, 4, 4, 2)))


# Together


def test_the_convolutions_of_alexnet_are_those_of_the_reference():
    model = zoo.build("alexnet", (67, 67, 3), 2, dtype="float64")
    x = y = np.random.default_rng(0).normal(0, 100, (1, 67, 67, 3))
    plan = {  # strides, padding, groups, is normalised, is pooled: Caffe's deploy.prototxt
        "conv1": (4, 0, 1, True, True),
        "conv2": (1, 2, 2, True, True),
        "conv3": (1, 1, 1, False, False),
        "conv4": (1, 1, 2, False, False),
        "conv5": (1, 1, 2, False, True),
    }
    assert [type(layer) for layer in model.layers].count(LocalResponseNormalization) == 2
    for name, (strides, padding, groups, is_normalized, is_pooled) in plan.items():
        layer = model.get_layer(name)
        assert groups == layer.groups
        y = convolution(y, layer.kernel, layer.bias, strides=strides, padding=padding, groups=groups)
        y = np.maximum(y, 0)
        if is_normalized:
            y = local_response_normalization(y)
        if is_pooled:
            y = max_pooling(y, 3, 2)
    found = keras.Model(model.input, model.get_layer("conv5_pool").output)(x)
    assert np.abs(y).max() > 1
    np.testing.assert_allclose(found, y, rtol=1e-10, atol=1e-10 * np.abs(y).max())

"""Batch normalisation against Keras, local response normalisation against its definition, PyTorch and autodiff."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import (
    BatchNormalization,
    Statistics,
    batch_normalization,
    batch_normalization_gradient,
    batch_statistics,
    local_response_normalization,
    local_response_normalization_gradient,
    moving_statistics,
    numerical_gradient,
)

QUICK = settings(deadline=None, max_examples=20, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


# Batch normalisation


def test_batch_normalization_of_a_known_batch():
    x = [[1.0, 10.0], [3.0, 10.0]]
    mean, variance = batch_statistics(x)
    np.testing.assert_array_equal(mean, [2.0, 10.0])
    np.testing.assert_array_equal(variance, [1.0, 0.0])
    found = batch_normalization(x, [3.0, 5.0], [1.0, 7.0], epsilon=3.0)
    np.testing.assert_array_equal(found, [[1.0 - 1.5, 7.0], [1.0 + 1.5, 7.0]])


@QUICK
@given(SEEDS, st.sampled_from([(6, 3), (3, 4, 5, 2)]), st.sampled_from([0.5, 0.9, 0.99]), st.sampled_from([1e-3, 1e-5]))
def test_batch_normalization_is_that_of_keras_in_training_and_in_inference(seed, shape, momentum, epsilon):
    random = np.random.default_rng(seed)
    gamma, beta = random.normal(size=(2, shape[-1]))
    theirs = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon, dtype="float64")
    theirs.build(shape)
    theirs.gamma.assign(gamma)
    theirs.beta.assign(beta)
    ours = BatchNormalization(gamma, beta, momentum=momentum, epsilon=epsilon)
    for training in (True, True, False):
        x, delta = tf.constant(random.normal(2.0, 3.0, shape)), random.normal(size=shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = theirs(x, training=training)
            loss = tf.reduce_sum(y * delta)
        expected = tape.gradient(loss, [x, theirs.gamma.value, theirs.beta.value])
        outputs, cache = ours.forward(x.numpy(), training=training)
        to_inputs, gradients = ours.backward(delta, cache)
        for a, b in zip([outputs, to_inputs, *gradients.values()], [y, *expected], strict=True):
            assert np.abs(a - b).max() <= 1e-10 * np.abs(b).max()
        if training:
            ours = ours.updated(x.numpy())
        np.testing.assert_allclose(ours.moving.mean, theirs.moving_mean, rtol=1e-12)
        np.testing.assert_allclose(ours.moving.variance, theirs.moving_variance, rtol=1e-12)


def test_the_gradient_of_batch_normalization_equals_central_differences():
    random = np.random.default_rng(0)
    x, delta, gamma, beta = random.normal(size=(4, 3)), random.normal(size=(4, 3)), np.ones(3), np.zeros(3)
    found = batch_normalization_gradient(x, gamma, delta)
    numerical = numerical_gradient(lambda v: float((batch_normalization(v, gamma, beta) * delta).sum()), x)
    np.testing.assert_allclose(found.inputs, numerical, rtol=1e-7, atol=1e-8)


def test_no_common_shift_of_a_channel_counts_in_training():
    random = np.random.default_rng(1)
    x, delta = random.normal(size=(5, 2, 2, 3)), random.normal(size=(5, 2, 2, 3))
    gradient = batch_normalization_gradient(x, np.ones(3), delta).inputs
    np.testing.assert_allclose(gradient.sum(axis=(0, 1, 2)), 0.0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batch_statistics(np.ones((0, 3))), r"Received: inputs=\(0, 3\)$"),
        (lambda: batch_statistics([1.0, 2.0]), r"Received: inputs=\(2,\)$"),
        (lambda: batch_normalization(np.ones((4, 3)), np.ones(2), np.ones(3)), r"gamma=\(2,\), beta=\(3,\)$"),
        (lambda: batch_normalization(np.ones((4, 3)), np.ones(3), 0.0), r"gamma=\(3,\), beta=\(\)$"),
        (lambda: batch_normalization_gradient(np.ones((4, 3)), np.ones(3), np.ones(3)), r"delta=\(3,\)$"),
        (lambda: moving_statistics(*[Statistics(np.ones(1), np.ones(1))] * 2, momentum=1.5), "momentum=1.5$"),
    ],
)
def test_batch_normalization_refuses_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Local response normalisation


@QUICK
@given(
    SEEDS, st.integers(1, 9), st.integers(0, 4), st.floats(0, 2), st.floats(0.1, 1.5), st.floats(0.5, 2), st.booleans()
)
def test_local_response_normalization_is_its_definition(seed, channels, radius, alpha, beta, bias, is_image):
    x = np.random.default_rng(seed).normal(size=(2, 3, channels) if is_image else (channels,))
    y = local_response_normalization(x, radius=radius, alpha=alpha, beta=beta, bias=bias)
    assert y.shape == x.shape
    for *pixel, c in np.ndindex(x.shape):
        window = [x[(*pixel, j)] for j in range(channels) if abs(j - c) <= radius]
        expected = x[(*pixel, c)] / (bias + alpha * sum(v**2 for v in window)) ** beta
        np.testing.assert_allclose(y[(*pixel, c)], expected, rtol=1e-12)


def test_the_defaults_of_local_response_normalization_are_those_of_alexnet():
    x = np.array([100.0, 200.0, 300.0, 400.0, 500.0, 600.0])
    energies = np.array([14, 30, 55, 90, 86, 77]) * 1e4
    np.testing.assert_allclose(local_response_normalization(x), x / (1 + 2e-5 * energies) ** 0.75, rtol=1e-14)


@QUICK
@given(SEEDS, st.integers(1, 9), st.integers(1, 3), st.sampled_from([0.5, 0.75, 1.0]))
def test_local_response_normalization_is_that_of_torch_which_divides_alpha_by_the_window(seed, channels, radius, beta):
    x = np.random.default_rng(seed).normal(0, 50, (2, 3, 2, channels))
    torch = pytest.importorskip("torch", reason="PyTorch is the referee")
    images = torch.tensor(np.transpose(x, (0, 3, 1, 2)))
    size = 2 * radius + 1
    expected = torch.nn.functional.local_response_norm(images, size, alpha=1e-2, beta=beta, k=2.0)
    found = local_response_normalization(x, radius=radius, alpha=1e-2 / size, beta=beta, bias=2.0)
    np.testing.assert_allclose(np.transpose(found, (0, 3, 1, 2)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("x", "radius"), [([1.0], -1), (1.0, 2)])
def test_local_response_normalization_refuses_what_has_no_channels(x, radius):
    with pytest.raises(ValueError, match=f"Received: radius={radius}, inputs="):
        local_response_normalization(x, radius=radius)


@QUICK
@given(SEEDS, st.integers(1, 7), st.integers(0, 3), st.floats(0.01, 2), st.floats(0.2, 1.5), st.floats(0.5, 2))
def test_the_gradient_of_local_response_normalization_is_that_of_autodiff(seed, channels, radius, alpha, beta, bias):
    random = np.random.default_rng(seed)
    x, delta = tf.constant(random.normal(size=(2, 3, channels))), random.normal(size=(2, 3, channels))
    reach = min(radius, channels - 1)
    band = tf.linalg.band_part(tf.ones((channels, channels), tf.float64), reach, reach)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(delta * x / (bias + alpha * tf.tensordot(x**2, band, 1)) ** beta)
    expected = tape.gradient(loss, x)
    found = local_response_normalization_gradient(x, delta, radius=radius, alpha=alpha, beta=beta, bias=bias)
    assert np.abs(found - expected).max() <= 1e-10 * np.abs(expected).max()


def test_the_gradient_of_local_response_normalization_is_that_of_tensorflow_in_float32():
    random = np.random.default_rng(0)
    x, delta = random.normal(size=(2, 3, 3, 8)), random.normal(size=(2, 3, 3, 8))
    images = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        y = tf.nn.local_response_normalization(images, depth_radius=2, bias=1.0, alpha=0.5, beta=0.75)
        loss = tf.reduce_sum(y * tf.cast(delta, tf.float32))
    found = local_response_normalization_gradient(x, delta, alpha=0.5)
    np.testing.assert_allclose(tape.gradient(loss, images), found, rtol=1e-4, atol=1e-5)

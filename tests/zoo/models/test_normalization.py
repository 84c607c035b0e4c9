"""The fused batch normalisation against the stock Keras layer, and both against NumPy in float64."""

from __future__ import annotations

import dataclasses

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from normalization_passes import assert_close, inputs_for, pair

from zoo.reference import numerical_gradient

WEIGHTS = ("gamma", "beta", "moving_mean", "moving_variance")
SHAPES = [(8, 5), (1, 5), (7, 1), (4, 6, 6, 3), (1, 5, 7, 2), (3, 1, 1, 4), (2, 9, 5, 1), (1, 1, 1, 3), (3, 2, 7, 13)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@dataclasses.dataclass
class Pass:
    """What one forward and backward pass gives."""

    outputs: np.ndarray
    gradients: dict[str, np.ndarray]
    averages: list[np.ndarray]


def run(layer, inputs, upstream, *, training: bool, dtype="float32", **options) -> Pass:
    """One pass; the loss is the sum of outputs times `upstream`."""
    x = tf.constant(inputs, dtype)
    watched = {"inputs": x} | {
        name: getattr(layer, name).value for name in ("gamma", "beta") if getattr(layer, name) is not None
    }
    with tf.GradientTape() as tape:
        for tensor in watched.values():
            tape.watch(tensor)
        outputs = layer(x, training=training, **options)
        loss = tf.reduce_sum(outputs * tf.cast(upstream, outputs.dtype))
    gradients = tape.gradient(loss, watched)
    averages = [np.array(layer.moving_mean), np.array(layer.moving_variance)]
    return Pass(outputs.numpy(), {k: np.array(g) for k, g in gradients.items()}, averages)


def assert_same_pass(found: Pass, expected: Pass, tolerance=1e-5):
    assert found.outputs.dtype == expected.outputs.dtype
    assert_close(found.outputs, expected.outputs, tolerance)
    assert found.gradients.keys() == expected.gradients.keys()
    for name, gradient in expected.gradients.items():
        assert found.gradients[name].dtype == gradient.dtype
        assert_close(found.gradients[name], gradient, tolerance)
    for average, other in zip(found.averages, expected.averages, strict=True):
        assert_close(average, other, tolerance)


def assert_bitwise_pass(found: Pass, expected: Pass):
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    for name, gradient in expected.gradients.items():
        np.testing.assert_array_equal(found.gradients[name], gradient)
    for average, other in zip(found.averages, expected.averages, strict=True):
        np.testing.assert_array_equal(average, other)


# NumPy in float64


def numpy_outputs(inputs, gamma, beta, mean, variance, epsilon):
    return (inputs - mean) / np.sqrt(variance + epsilon) * gamma + beta


def numpy_moments(inputs):
    axes = tuple(range(inputs.ndim - 1))
    return inputs.mean(axis=axes), inputs.var(axis=axes)  # the biased variance


def float64(layer, *names):
    return [np.asarray(getattr(layer, name), np.float64) for name in names]


@every_shape
@pytest.mark.parametrize(("momentum", "epsilon"), [(0.99, 0.001), (0.9, 1e-5)], ids=["keras", "resnet"])
def test_outputs_and_moving_averages_are_those_of_numpy(shape, momentum, epsilon):
    _, layer = pair(shape, momentum=momentum, epsilon=epsilon)
    inputs = inputs_for(shape).astype(np.float32).astype(np.float64)
    gamma, beta, mean, variance = float64(layer, *WEIGHTS)
    resting = layer(tf.constant(inputs, tf.float32), training=False)
    assert_close(resting, numpy_outputs(inputs, gamma, beta, mean, variance, epsilon), 1e-6)
    assert_close(layer.moving_mean, mean, 0)
    for _ in range(3):
        batch_mean, batch_variance = numpy_moments(inputs)
        outputs = layer(tf.constant(inputs, tf.float32), training=True)
        expected = numpy_outputs(inputs, gamma, beta, batch_mean, batch_variance, epsilon)
        assert_close(outputs, expected, 1e-6 / np.sqrt(batch_variance.min() + epsilon))
        mean = momentum * mean + (1 - momentum) * batch_mean
        variance = momentum * variance + (1 - momentum) * batch_variance
        inputs = (inputs + 0.25).astype(np.float32).astype(np.float64)
    assert_close(layer.moving_mean, mean, 1e-6)
    assert_close(layer.moving_variance, variance, 1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 2), (1, 2, 3, 1)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_gradients_are_finite_differences_of_numpy(shape, training):
    _, layer = pair(shape)
    inputs, upstream = inputs_for(shape), inputs_for(shape, seed=1)
    gamma, beta, mean, variance = float64(layer, *WEIGHTS)
    found = run(layer, inputs, upstream, training=training)

    def loss(inputs, gamma, beta):
        moments = numpy_moments(inputs) if training else (mean, variance)
        return float(np.sum(upstream * numpy_outputs(inputs, gamma, beta, *moments, layer.epsilon)))

    flat = numerical_gradient(lambda x: loss(x.reshape(shape), gamma, beta), inputs.ravel())
    assert_close(found.gradients["inputs"], flat.reshape(shape))
    assert_close(found.gradients["gamma"], numerical_gradient(lambda g: loss(inputs, g, beta), gamma))
    assert_close(found.gradients["beta"], numerical_gradient(lambda b: loss(inputs, gamma, b), beta))


@st.composite
def batches(draw):
    """A batch of rank 2 or 4 whose channels have means and spreads of their own, some of them none."""
    sizes = draw(
        st.lists(st.integers(1, 6), min_size=1, max_size=1) | st.lists(st.integers(1, 6), min_size=3, max_size=3)
    )
    channels = draw(st.integers(1, 5))
    means = draw(st.lists(st.floats(-10, 10, width=32), min_size=channels, max_size=channels))
    spreads = draw(st.lists(st.sampled_from([0.0, 0.01, 1.0, 30.0]), min_size=channels, max_size=channels))
    noise = np.random.default_rng(draw(st.integers(0, 1000))).normal(size=(*sizes, channels))
    return (np.array(means) + np.array(spreads) * noise).astype(np.float32)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(batches(), st.booleans())
def test_any_batch_is_normalised_as_by_numpy(inputs, training):
    _, layer = pair(inputs.shape)
    gamma, beta, *moving = float64(layer, *WEIGHTS)
    mean, variance = numpy_moments(inputs.astype(np.float64)) if training else moving
    outputs = layer(inputs, training=training)
    expected = numpy_outputs(inputs.astype(np.float64), gamma, beta, mean, variance, layer.epsilon)
    # float32 has 2^-24 of the inputs, which the division by the deviation magnifies
    rounding = 8 * 2**-24 * np.abs(inputs).max() / np.sqrt(variance.min() + layer.epsilon)
    assert_close(outputs, expected, 2e-6 + 2 * rounding)


# The stock layer in float32


@every_shape
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_a_pass_is_that_of_the_stock_layer(shape, training):
    stock, fused = pair(shape)
    arguments = inputs_for(shape), inputs_for(shape, seed=1)
    found, expected = (run(layer, *arguments, training=training) for layer in (fused, stock))
    assert_same_pass(found, expected)
    assert found.gradients.keys() == {"inputs", "gamma", "beta"}


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str)
@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5, 3)], ids=str)
def test_scale_and_offset_can_be_left_out(shape, options, training):
    stock, fused = pair(shape, **options)
    arguments = inputs_for(shape), inputs_for(shape, seed=1)
    found, expected = (run(layer, *arguments, training=training) for layer in (fused, stock))
    assert_same_pass(found, expected)
    assert ("gamma" in found.gradients, "beta" in found.gradients) == (
        options.get("scale", True),
        options.get("center", True),
    )


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5, 3)], ids=str)
def test_a_frozen_layer_rests_in_training(shape):
    stock, fused = pair(shape)
    before = [np.array(w) for w in fused.weights]
    for layer in (stock, fused):
        layer.trainable = False
    arguments = inputs_for(shape), inputs_for(shape, seed=1)
    found, expected = (run(layer, *arguments, training=True) for layer in (fused, stock))
    assert_same_pass(found, expected)
    for weight, old in zip(fused.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)
    fused.trainable = True
    fused(arguments[0].astype(np.float32), training=True)
    assert not np.array_equal(fused.moving_mean, before[2])


# Where Keras's arithmetic stays


@pytest.mark.parametrize("shape", [(8, 5), (1, 5), (4, 6, 5, 3)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_float64_is_the_stock_arithmetic(shape, training):
    stock, fused = pair(shape, dtype="float64")
    arguments = inputs_for(shape), inputs_for(shape, seed=1)
    found, expected = (run(layer, *arguments, training=training, dtype="float64") for layer in (fused, stock))
    assert found.outputs.dtype == np.float64
    assert_bitwise_pass(found, expected)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((4, 3, 6, 6), {"axis": 1}),
        ((4, 6, 3), {}),
        ((2, 3, 4, 5, 2), {}),
        ((8, 5), {"renorm": True}),
        ((4, 6, 5, 3), {"renorm": True}),
        ((4, 6, 5, 3), {"synchronized": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_what_the_operation_cannot_do_is_left_to_keras(shape, options, training):
    stock, fused = pair(shape, **options)
    arguments = inputs_for(shape), inputs_for(shape, seed=1)
    found, expected = (run(layer, *arguments, training=training) for layer in (fused, stock))
    assert_bitwise_pass(found, expected)
    for weight, other in zip(fused.weights, stock.weights, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_a_mask_is_left_to_keras():
    stock, fused = pair((4, 6, 5, 3))
    mask = np.random.default_rng(0).random((4, 6, 5)) < 0.5
    arguments = inputs_for((4, 6, 5, 3)), inputs_for((4, 6, 5, 3), seed=1)
    found, expected = (run(layer, *arguments, training=True, mask=tf.constant(mask)) for layer in (fused, stock))
    assert_bitwise_pass(found, expected)
    unmasked = run(pair((4, 6, 5, 3))[1], *arguments, training=True)
    assert np.abs(unmasked.outputs - found.outputs).max() > 0.01


# bfloat16


@pytest.mark.parametrize("shape", [(16, 5), (1, 5), (4, 6, 5, 3), (3, 1, 1, 4)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_mixed_bfloat16_rounds_no_more_than_the_stock_layer(shape, training):
    stock, fused = pair(shape, dtype="mixed_bfloat16")
    inputs = tf.cast(inputs_for(shape), tf.bfloat16)
    upstream = tf.cast(inputs_for(shape, seed=1), tf.bfloat16)
    x, dy = (np.asarray(tf.cast(t, tf.float64)) for t in (inputs, upstream))
    exact = run(pair(shape, dtype="float64")[0], x, dy, training=training, dtype="float64")
    found, expected = (run(layer, inputs, upstream, training=training, dtype="bfloat16") for layer in (fused, stock))
    assert {w.dtype for w in fused.weights} == {"float32"}

    def errors(measured: Pass) -> dict[str, float]:
        pairs = {"outputs": (measured.outputs, exact.outputs)}
        pairs |= {name: (measured.gradients[name], exact.gradients[name]) for name in exact.gradients}
        pairs |= {f"average{i}": (measured.averages[i], exact.averages[i]) for i in range(2)}
        scales = {name: max(1, np.abs(true).max()) for name, (_, true) in pairs.items()}
        return {
            name: float(np.abs(np.asarray(value, np.float64) - true).max() / scales[name])
            for name, (value, true) in pairs.items()
        }

    ours, keras_errors = errors(found), errors(expected)
    assert found.outputs.dtype == expected.outputs.dtype == tf.bfloat16.as_numpy_dtype
    assert found.gradients["inputs"].dtype == expected.gradients["inputs"].dtype
    assert ours["outputs"] <= 2**-8  # one rounding to 8 bits
    assert ours["average0"] <= 1e-6
    assert ours["average1"] <= 1e-6
    for name, error in ours.items():
        assert error <= 1.001 * keras_errors[name] + 1e-6, (name, error, keras_errors)

"""The fused batch normalisation against the stock Keras layer, and both against NumPy in float64."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import subprocess
import sys
import zipfile

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.models.normalization import fuse, fused_batch_normalization
from zoo.reference import numerical_gradient

WEIGHTS = ("gamma", "beta", "moving_mean", "moving_variance")
SHAPES = [(8, 5), (1, 5), (7, 1), (4, 6, 6, 3), (1, 5, 7, 2), (3, 1, 1, 4), (2, 9, 5, 1), (1, 1, 1, 3), (3, 2, 7, 13)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def is_fused(layer: keras.layers.Layer) -> bool:
    return "call" in vars(layer)


def pair(shape, seed=0, **options) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """(stock, fused): the same layer twice, with the same weights, none of which is at its initial value."""
    layers = [keras.layers.BatchNormalization(**options) for _ in range(2)]
    random = np.random.default_rng(seed)
    for layer in layers:
        layer.build((None, *shape[1:]))
    for weights in zip(*(layer.weights for layer in layers), strict=True):
        value = random.uniform(0.5, 1.5, weights[0].shape)
        for weight in weights:
            weight.assign(value)
    return layers[0], fuse(layers[1])


def inputs_for(shape, seed=0, offset=0.5) -> np.ndarray:
    return np.random.default_rng(seed + 100).normal(offset, 1, shape)


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


def assert_close(found, expected, tolerance=1e-5):
    """Within `tolerance` of the largest value, or of one."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(1, np.abs(expected).max())


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


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5, 3)], ids=str)
def test_moving_averages_of_many_steps_are_those_of_the_stock_layer(shape):
    stock, fused = pair(shape, momentum=0.8)
    for step in range(10):
        inputs = inputs_for((shape[0] - step % 3, *shape[1:]), seed=step, offset=step).astype(np.float32)
        for layer in (stock, fused):
            layer(inputs, training=True)
    assert_close(fused.moving_mean, stock.moving_mean)
    assert_close(fused.moving_variance, stock.moving_variance)


def test_the_layer_is_the_one_that_was_named():
    layer = fused_batch_normalization(dtype="float32", name="a", momentum=0.75, epsilon=0.125)
    assert type(layer) is keras.layers.BatchNormalization
    assert is_fused(layer)
    assert (layer.name, layer.momentum, layer.epsilon, layer.axis) == ("a", 0.75, 0.125, -1)
    default = fused_batch_normalization(dtype="float32", name="b")
    assert (default.momentum, default.epsilon) == (0.99, 0.001)


@pytest.mark.parametrize("shape", [(None, 5), (None, None, None, 3)], ids=str)
def test_shapes_unknown_to_a_graph_are_kept(shape):
    _, fused = pair(shape)
    stock, _ = pair(shape)
    traced = []

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def train(x):
        outputs = fused(x, training=True)
        traced.append(outputs.shape.as_list())
        return outputs

    for count in (6, 1, 4):
        inputs = inputs_for((count, *(n or 3 for n in shape[1:])), seed=count).astype(np.float32)
        assert_close(train(inputs), stock(inputs, training=True))
    assert traced == [list(shape)]
    assert_close(fused.moving_variance, stock.moving_variance)


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


# A stock layer for the rest of Keras


def model_with(layers: list[keras.layers.Layer]) -> keras.Model:
    inputs = keras.Input((6, 6, 2), name="inputs")
    x = keras.layers.Conv2D(4, 3, name="conv", kernel_initializer=keras.initializers.GlorotUniform(seed=1))(inputs)
    x = layers[0](x)
    x = keras.layers.Flatten(name="flatten")(keras.layers.Activation("tanh", name="tanh")(x))
    x = layers[1](x)
    initializer = keras.initializers.GlorotUniform(seed=2)
    outputs = keras.layers.Dense(3, activation="softmax", name="predictions", kernel_initializer=initializer)(x)
    return keras.Model(inputs, outputs, name="model")


def models() -> tuple[keras.Model, keras.Model]:
    """(stock, fused)."""

    def layer(i):
        return keras.layers.BatchNormalization(name=f"normalization{i}", momentum=0.8)

    return model_with([layer(0), layer(1)]), model_with([fuse(layer(0)), fuse(layer(1))])


def examples(count=48) -> tuple[np.ndarray, np.ndarray]:
    return inputs_for((count, 6, 6, 2)).astype(np.float32), np.arange(count) % 3


def fit(model: keras.Model) -> keras.Model:
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    model.fit(*examples(), batch_size=10, epochs=3, shuffle=False, verbose=0)
    return model


def test_it_trains_under_fit_as_the_stock_layer_does():
    stock, fused = models()
    before = fused.get_weights()
    for weight, other, old in zip(fit(fused).get_weights(), fit(stock).get_weights(), before, strict=True):
        assert_close(weight, other, 1e-4)
        assert not np.array_equal(weight, old)


def test_a_loop_in_a_graph_updates_the_averages_of_every_step():
    stock, fused = pair((8, 5))
    inputs = tf.constant(np.stack([inputs_for((8, 5), seed=i, offset=i) for i in range(6)]), tf.float32)

    @tf.function
    def train():
        for i in tf.range(6):
            fused(inputs[i], training=True)

    train()
    for i in range(6):
        stock(inputs[i], training=True)
    assert_close(fused.moving_mean, stock.moving_mean)
    assert_close(fused.moving_variance, stock.moving_variance)


def test_the_saved_configuration_is_the_stock_one(tmp_path):
    configurations = []
    for model in models():
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            configurations.append(json.loads(archive.read("config.json")))
    assert configurations[0] == configurations[1]
    assert "zoo" not in json.dumps(configurations[1])


def test_a_saved_model_needs_only_keras(tmp_path):
    model = fit(models()[1])
    model.save(tmp_path / "model.keras")
    np.savez(
        tmp_path / "examples.npz",
        inputs=examples()[0],
        outputs=model(examples()[0], training=False),
        **weights_of(model),
    )
    program = """
import sys
import keras, numpy as np
examples = np.load("examples.npz")
model = keras.saving.load_model("model.keras", safe_mode=True)
outputs = np.asarray(model(examples["inputs"], training=False))
layers = [layer for layer in model.layers if type(layer) is keras.layers.BatchNormalization]
assert len(layers) == 2 and not any("call" in vars(layer) for layer in layers)
for weight in model.weights:
    np.testing.assert_array_equal(weight, examples[weight.path.replace("/", "|")])
np.testing.assert_allclose(outputs, examples["outputs"], atol=1e-6)
assert not [name for name in sys.modules if name.split(".")[0] == "zoo"]
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path.replace("/", "|"): np.array(weight) for weight in model.weights}


def cloned(model: keras.Model) -> keras.Model:
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


@pytest.mark.parametrize(
    "copied",
    [cloned, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["clone_model", "deepcopy", "pickle"],
)
def test_a_copy_is_a_model_of_its_own(copied):
    original = fit(models()[1])
    inputs, before = examples()[0], original.get_weights()
    duplicate = copied(original)
    assert_close(duplicate(inputs, training=False), original(inputs, training=False), 1e-6)
    expected = original(inputs, training=False).numpy()
    fit(duplicate)  # neither its outputs nor its averages are the original's
    for weight, old in zip(original.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    np.testing.assert_array_equal(original(inputs, training=False), expected)
    for weight, old in zip(duplicate.get_weights(), before, strict=True):
        assert not np.array_equal(weight, old)
    duplicate_alone = keras.models.clone_model(models()[0])
    duplicate_alone.set_weights(duplicate.get_weights())
    assert_close(duplicate(inputs, training=False), duplicate_alone(inputs, training=False), 1e-6)


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5, 3)], ids=str)
def test_a_copied_layer_has_weights_of_its_own(shape):
    _, layer = pair(shape)
    inputs = inputs_for(shape).astype(np.float32)
    before = layer(inputs, training=False).numpy()
    duplicate = copy.deepcopy(layer)
    np.testing.assert_allclose(duplicate(inputs, training=False), before, atol=1e-6)
    duplicate.gamma.assign(3 * np.ones(shape[-1]))
    duplicate(inputs, training=True)
    np.testing.assert_array_equal(layer(inputs, training=False), before)
    assert np.abs(duplicate(inputs, training=False) - before).max() > 0.1

"""Local response normalisation against the textbook and TensorFlow's own operation."""

from __future__ import annotations

import subprocess
import sys

import zoo.startup  # noqa: F401

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.models.response_normalization import LocalResponseNormalization
from zoo.reference import local_response_normalization, numerical_gradient

# relative to the largest value: 24-, 53- and 8-bit mantissas
CLOSE = {"float32": 1e-6, "float64": 1e-14, "mixed_bfloat16": 2**-7}
OPTIONS = [
    {},
    {"radius": 0, "alpha": 1e-4, "bias": 2.0},
    {"radius": 1, "alpha": 1e-4, "beta": 0.5, "bias": 0.5},
    {"radius": 3, "alpha": 3e-4, "beta": 1.0, "bias": 1.5},
    {"radius": 5, "alpha": 1e-5, "beta": 0.3, "bias": 1.0},
]
LOAD_ELSEWHERE = """
import sys
import zoo.models.response_normalization
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
np.save(sys.argv[3], model(np.load(sys.argv[2])))
"""


def images(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Activations so large that the sum counts."""
    return np.random.default_rng(0).normal(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_layer_is_the_textbook(options, dtype):
    layer = LocalResponseNormalization(**options, dtype=dtype)
    x = images(2, 3, 4, 11, dtype="float64" if dtype == "float64" else "float32")
    found = layer(x)
    assert found.dtype == layer.compute_dtype
    x = np.asarray(keras.ops.cast(keras.ops.cast(x, layer.compute_dtype), "float64"))  # as the layer sees it
    expected = local_response_normalization(x, **options)
    assert np.abs(expected).max() < 0.9 * np.abs(x).max()
    found = np.asarray(keras.ops.cast(found, "float64"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_layer_is_the_operation_of_tensorflow(options):
    x = images(2, 3, 4, 11)
    defaults = {"radius": 2, "alpha": 2e-5, "beta": 0.75, "bias": 1.0}
    radius, alpha, beta, bias = (defaults | options).values()
    expected = tf.nn.local_response_normalization(x, depth_radius=radius, bias=bias, alpha=alpha, beta=beta)
    np.testing.assert_allclose(LocalResponseNormalization(**options)(x), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_fewer_channels_than_the_window_are_normalised_by_those_that_exist(channels):
    x = images(2, 3, 3, channels)
    found = LocalResponseNormalization(alpha=1e-3)(x)
    np.testing.assert_allclose(found, local_response_normalization(x, alpha=1e-3), rtol=1e-5)
    expected = tf.nn.local_response_normalization(x, depth_radius=2, bias=1, alpha=1e-3, beta=0.75)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_layer_takes_any_rank_and_any_number_of_examples():
    for shape in [(4, 6), (2, 3, 6), (0, 2, 2, 6), (1, 2, 2, 2, 6)]:
        x = images(*shape)
        found = LocalResponseNormalization()(x)
        assert found.shape == shape
        np.testing.assert_allclose(found, local_response_normalization(x), rtol=1e-5)


def test_the_layer_computes_in_float32_under_mixed_precision():
    # One small square in a sum with large ones would be lost in bfloat16, and so would the digits of alpha.
    x = np.full((1, 1, 1, 5), 256.0, np.float32)
    found = float(LocalResponseNormalization(dtype="mixed_bfloat16")(x)[0, 0, 0, 2])
    exact = float(local_response_normalization(x)[0, 0, 0, 2])
    assert found == pytest.approx(exact, rel=2**-9)  # rounded once, at the end


@pytest.mark.parametrize("options", [*OPTIONS, {"alpha": 1e-3, "beta": 0.75}], ids=str)
def test_the_gradient_is_that_of_finite_differences(options):
    layer = LocalResponseNormalization(**options, dtype="float64")
    random = np.random.default_rng(1)
    x, weights = random.normal(0, 50, (2, 1, 2, 7)), random.normal(size=(2, 1, 2, 7))
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(variable) * weights)
    found = tape.gradient(loss, variable)
    expected = numerical_gradient(
        lambda x: float(np.sum(local_response_normalization(x, **options) * weights)), x, epsilon=1e-4
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_the_gradient_under_mixed_precision_is_finite_and_near():
    x = images(2, 2, 2, 8)
    gradients = []
    for dtype in ("float32", "mixed_bfloat16"):
        variable = tf.Variable(x)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(LocalResponseNormalization(dtype=dtype)(variable), "float32"))
        gradients.append(tape.gradient(loss, variable).numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], atol=0.02)


def test_the_configuration_makes_the_same_layer_again():
    layer = LocalResponseNormalization(radius=3, alpha=1e-3, beta=0.6, bias=1.5, dtype="float64", name="norm")
    again = LocalResponseNormalization.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.radius, again.alpha, again.beta, again.bias) == (3, 1e-3, 0.6, 1.5)
    assert again.name == "norm"
    assert again.compute_dtype == "float64"
    x = images(1, 2, 2, 9, dtype="float64")
    np.testing.assert_array_equal(again(x), layer(x))
    other = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(other) is LocalResponseNormalization
    assert other.get_config() == layer.get_config()


def small_model() -> keras.Model:
    inputs = keras.Input((5, 6, 2))
    x = keras.layers.Conv2D(7, 3, kernel_initializer=keras.initializers.HeNormal(seed=0))(inputs)
    x = LocalResponseNormalization(radius=1, alpha=1e-3, beta=0.6, bias=1.5, name="norm")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def test_a_model_with_the_layer_is_saved_and_loaded_where_only_the_layer_was_imported(tmp_path):
    model, x = small_model(), images(2, 5, 6, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_layer("norm").get_config() == model.get_layer("norm").get_config()
    np.testing.assert_array_equal(loaded(x), model(x))
    np.save(tmp_path / "x.npy", x)
    arguments = [str(tmp_path / name) for name in ("model.keras", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", LOAD_ELSEWHERE, *arguments], check=True, timeout=100)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), rtol=1e-6)


def test_the_layer_has_no_weights_and_keeps_the_shape_of_symbolic_inputs():
    model = small_model()
    assert model.get_layer("norm").weights == []
    assert model.get_layer("norm").output.shape == (None, 3, 4, 7)
    x = keras.Input((None, None, 4))
    assert LocalResponseNormalization()(x).shape == (None, None, None, 4)


def test_the_layer_computes_in_a_graph_what_it_computes_outside():
    x = images(2, 3, 3, 6)
    for options in ({}, {"beta": 0.5}):
        layer = LocalResponseNormalization(**options)
        np.testing.assert_allclose(tf.function(layer)(x), layer(x), rtol=1e-6)

"""Who is told of inputs that nobody scaled, and who is not."""

from __future__ import annotations

import warnings

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.data.split import as_split
from zoo.errors import DataWarning
from zoo.training.unscaled import _some_inputs, warn_if_unscaled

LABELS = np.arange(40) % 2
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1)).astype(np.uint8)
FLOATS = (PIXELS / 255).astype(np.float32)
LARGE = FLOATS * 255
RECIPE = zoo.Recipe(epochs=1)


def splits(inputs, **options):
    return zoo.DataSplits.from_arrays((inputs, LABELS), **{"validation": None, **options})


def softmax():
    return zoo.build("softmax", (4, 4, 1), 2)


@pytest.mark.parametrize(
    "inputs",
    [LARGE, PIXELS.astype(np.int64), LARGE.astype(np.float16), FLOATS.astype(np.float64) * 1e300],
    ids=["pixels", "whole numbers", "float16", "huge"],
)
def test_unscaled_inputs_are_told_of(inputs):
    dataset = tf.data.Dataset.from_tensor_slices((inputs, LABELS)).batch(8)
    for data in (splits(inputs), zoo.DataSplits(as_split(dataset), None, None)):
        with pytest.warns(
            DataWarning, match="training inputs are not scaled, they go from .* to .*: bring them to about 0"
        ):
            warn_if_unscaled(softmax(), data)


def test_training_tells_once_and_of_the_line_that_calls_it():
    with pytest.warns(DataWarning, match="the training inputs are not scaled, they go from 0 to 255") as caught:
        zoo.train(softmax(), splits(LARGE, validation=0.2), RECIPE, verbose=False)
    ours = [warning for warning in caught if warning.category is DataWarning]
    assert [warning.filename for warning in ours] == [__file__]


def test_validation_inputs_that_are_not_scaled_as_the_others_are_told_of():
    with pytest.warns(DataWarning, match="the validation inputs are not scaled, they go from 0 to 255"):
        warn_if_unscaled(softmax(), splits(FLOATS, validation=(LARGE, LABELS)))


@pytest.mark.parametrize("inputs", [PIXELS, FLOATS, FLOATS * 2 - 1, FLOATS * 16])
def test_scaled_inputs_are_not_told_of(inputs):
    with warnings.catch_warnings(action="error", category=DataWarning):
        warn_if_unscaled(softmax(), splits(inputs))


def test_only_training_tells():
    with warnings.catch_warnings(action="error", category=DataWarning):
        zoo.evaluate(softmax(), splits(LARGE).train)


LAYERS = {
    "rescaling": lambda: keras.layers.Rescaling(1 / 255),
    "normalization": lambda: keras.layers.Normalization(mean=120, variance=5000),
    "batch normalisation": keras.layers.BatchNormalization,
    "an embedding": lambda: keras.layers.Embedding(256, 2),
    "a model": lambda: keras.Sequential([keras.Input((16,)), keras.layers.Rescaling(1 / 255)]),
    "unknown": lambda: keras.layers.Lambda(lambda x: x / 255),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_model_that_scales_its_inputs_is_believed(name):
    layers = [keras.layers.Flatten(), LAYERS[name](), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    with warnings.catch_warnings(action="error", category=DataWarning):
        warn_if_unscaled(keras.Sequential([keras.Input((4, 4, 1)), *layers]), splits(LARGE))


def test_operations_of_a_functional_model_count_too():
    inputs = keras.Input((16,))
    with warnings.catch_warnings(action="error", category=DataWarning):
        warn_if_unscaled(keras.Model(inputs, keras.layers.Dense(2, "softmax")(inputs / 255.0)), splits(LARGE))
    with pytest.warns(DataWarning, match="not scaled"):
        warn_if_unscaled(keras.Model(inputs, keras.layers.Dense(2, "softmax")(inputs)), splits(LARGE))


@pytest.mark.parametrize(("count", "shape"), [(30, (300, 300, 1)), (20_000, (3,)), (2, (1200, 1000, 1))], ids=str)
def test_a_million_numbers_are_enough(count, shape):
    looked_at = _some_inputs(as_split((np.zeros((count, *shape), np.float16), np.arange(count) % 2)))
    assert looked_at.shape[1:] == shape
    assert len(looked_at) == 1 or looked_at.size <= 2**20


def test_inputs_are_looked_at_from_all_over():
    inputs = np.arange(5000, dtype=np.float32)[:, np.newaxis]
    np.testing.assert_array_equal(_some_inputs(as_split((inputs, np.arange(5000) % 2))), inputs[::5])

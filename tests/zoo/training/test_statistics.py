"""Statistics of batch normalisation, measured without dropout."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest

import zoo
from zoo.models.normalization import fused_batch_normalization
from zoo.training.statistics import measure_statistics


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "stock"])
def test_statistics_are_those_of_the_inputs_without_dropout(fused):
    """Two batches of 32, of which the mean of means is that of all; of variances the mean, by NumPy."""
    images = np.random.default_rng(0).normal(3, 2, size=(64, 5)).astype(np.float32)
    split = zoo.Split.from_arrays(images, np.arange(64) % 2)
    norm = fused_batch_normalization(dtype="float32", name="norm") if fused else keras.layers.BatchNormalization()
    inputs = keras.Input((5,))
    x = keras.layers.Dropout(0.5, name="dropout")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(norm(x)))
    others = [w.numpy() for w in model.trainable_weights]
    measure_statistics(model, split, batch_size=32)
    batches = [batch.numpy() for batch, _ in split.batches(32, shuffle=True)]
    np.testing.assert_allclose(norm.moving_mean, images.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, np.mean([b.var(axis=0) for b in batches], axis=0), rtol=1e-5)
    for before, after in zip(others, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(before, after)
    assert (norm.momentum, model.get_layer("dropout").rate) == (0.99, 0.5)


def test_a_model_without_normalisation_stays_as_it_is():
    data = zoo.load_dataset("digits", limit=40)
    model = zoo.build("cnn", (8, 8, 1), 10, filters=2, dropout=0.5)
    before = model.get_weights()
    measure_statistics(model, data.train)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

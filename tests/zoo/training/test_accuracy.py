"""The accuracy that is counted before the softmax, and what rounding to bfloat16 does to it."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from stock_twins import train

import zoo
from zoo.training.compiling import make_accuracy


def accuracy_in_graph(accuracy, labels, logits, weights=None, activation=tf.nn.softmax) -> float:
    @tf.function
    def update(logits):
        accuracy.update_state(labels, activation(logits), weights)

    update(tf.constant(logits))
    return float(accuracy.result())


@pytest.mark.parametrize("activation", [tf.nn.softmax, tf.identity], ids=["softmax", "linear"])
@pytest.mark.parametrize("in_columns", [False, True])
def test_the_accuracy_is_the_stock_one(activation, in_columns):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(64, 5)).astype(np.float32), random.integers(0, 5, 64)
    labels = labels[:, None] if in_columns else labels
    for weights in (None, random.random(64).astype(np.float32)):
        arguments = labels, logits, weights, activation
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is tf.identity)
        found = accuracy_in_graph(make_accuracy(loss), *arguments)
        assert found == pytest.approx(accuracy_in_graph(keras.metrics.SparseCategoricalAccuracy(), *arguments))
        eager = make_accuracy(loss)
        eager.update_state(labels, activation(logits), weights)
        assert float(eager.result()) == pytest.approx(found)
        assert 0.05 < found < 0.5


def test_the_accuracy_is_counted_before_a_softmax_that_cannot_tell():
    logits = np.array([[0.0, 1e-8]], np.float32)
    assert np.ptp(tf.nn.softmax(logits)) == 0
    assert accuracy_in_graph(make_accuracy(keras.losses.SparseCategoricalCrossentropy()), [1], logits) == 1
    assert accuracy_in_graph(keras.metrics.SparseCategoricalAccuracy(), [1], logits) == 0


def test_the_accuracy_is_saved_as_the_stock_one():
    accuracy = make_accuracy(keras.losses.SparseCategoricalCrossentropy())
    stock = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    saved = keras.saving.serialize_keras_object(accuracy)
    assert saved == keras.saving.serialize_keras_object(stock)
    assert type(keras.saving.deserialize_keras_object(saved)) is keras.metrics.SparseCategoricalAccuracy


def test_bfloat16_is_as_accurate():
    data = zoo.load_dataset("digits", validation="test")

    def accuracy(dtype, seed):
        model = zoo.build("mlp", data.input_shape, 10, seed=seed, dtype=dtype, units=32, num_layers=1)
        how = zoo.Recipe(learning_rate=0.01, batch_size=64, epochs=4, validation_freq=4, seed=seed)
        return train(model, data, how).metrics["val_accuracy"]

    single, half = (np.mean([accuracy(dtype, s) for s in range(2)]) for dtype in ("float32", "mixed_bfloat16"))
    assert single > 0.9
    assert abs(single - half) <= 0.03

"""`.keras` files as they should be: what Keras saves is loaded."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import zoo
from zoo.models import saved
from zoo.models.response_normalization import LocalResponseNormalization
from zoo.models.saved import load_model_file


@keras.saving.register_keras_serializable("tests")
class Offset(keras.layers.Layer):
    """A layer of a user's own, whose variable is made of an array."""

    def __init__(self, **options):
        super().__init__(**options)
        self.offset = keras.Variable(np.full(3, 2.0, np.float32))

    def call(self, inputs):
        return inputs + self.offset


@keras.saving.register_keras_serializable("tests")
def halved(x):
    """An activation of a user's own."""
    return 0.5 * x


def of_images():
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(layers.Rescaling(1 / 255)(inputs))
    x = layers.RandomRotation(0.1, seed=1)(layers.RandomFlip(seed=1)(x))
    x = layers.Conv2D(4, 3, kernel_regularizer="l2", kernel_constraint="max_norm", kernel_initializer="he_normal")(x)
    x = LocalResponseNormalization()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.MaxPooling2D()(layers.SeparableConv2D(4, 3, activation=ops.tanh)(x)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def of_operations():
    inputs = keras.Input((8, 8, 3))
    x = ops.relu(inputs) * np.ones((8, 8, 3), np.float32) - 0.5
    x = ops.image.resize(x, (4, 4))[:, 1:3, :, 0:2]
    x = ops.concatenate([x, ops.transpose(x, (0, 1, 2, 3))], axis=-1)
    return keras.Model(inputs, ops.softmax(layers.Flatten()(ops.where(x > 0, x, ops.zeros_like(x)))))


def of_shared_layers():
    inputs = keras.Input((4,))
    dense, inner = layers.Dense(4, name="shared"), keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    return keras.Model(inputs, layers.Add()([dense(dense(inputs)), inner(inputs), inner(dense(inputs))]))


def of_sequences():
    inputs = keras.Input(batch_shape=(2, 5, 4))
    x = layers.Bidirectional(layers.LSTM(3, stateful=True, return_sequences=True))(inputs)
    x = layers.TimeDistributed(layers.Dense(3))(layers.MultiHeadAttention(2, 3)(x, value=x))
    return keras.Model(
        inputs, layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(layers.GRU(3, return_sequences=True)(x))
    )


def of_a_user():
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(2, activation=halved)(Offset()(inputs)))


def of_mixed_precision():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_bfloat16"), layers.Softmax()])


def of_measured_images():
    layer = layers.Normalization()
    layer.adapt(np.arange(12.0).reshape(4, 3))
    return keras.Sequential(
        [keras.Input((3,)), layer, layers.Dense(1, kernel_initializer=keras.initializers.Constant(2.0))]
    )


HONEST = {
    "mlp": lambda: zoo.build("mlp", (4, 4, 1), 3, units=4, batch_normalization=True, dropout=0.2),
    "cnn": lambda: zoo.build("cnn", (8, 8, 1), 3),
    "resnet20": lambda: zoo.build("resnet20", (8, 8, 3), 3),
    "layers of images": of_images,
    "operations": of_operations,
    "shared layers": of_shared_layers,
    "sequences": of_sequences,
    "a user's layer and function": of_a_user,
    "mixed precision": of_mixed_precision,
    "measured images": of_measured_images,
}


@pytest.mark.parametrize("what", HONEST)
def test_what_keras_saves_is_loaded(tmp_path, what):
    model, path = HONEST[what](), tmp_path / "model.keras"
    model.save(path)
    loaded = load_model_file(path)
    inputs = np.random.default_rng(0).normal(size=[n or 2 for n in model.input_shape]).astype(np.float32)
    np.testing.assert_allclose(loaded(inputs, training=False), model(inputs, training=False), rtol=1e-4)
    loaded.save(path)
    assert load_model_file(path).count_params() == model.count_params()


def test_words_are_loaded_from_the_file_itself(tmp_path):
    """From its configuration, and from its assets."""
    measured = layers.TextVectorization()
    measured.adapt(["a cat", "a dog"])
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, [layers.StringLookup(vocabulary=["cat", "dog"])(inputs), measured(inputs)])
    model.save(tmp_path / "model.keras")
    words = tf.constant(["dog", "cat"])
    for one, other in zip(load_model_file(tmp_path / "model.keras")(words), model(words), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_compiled_model_is_loaded_with_its_optimizer(tmp_path, steps):
    """Before it has learnt, when the file does not have the numbers of the optimizer, and after."""
    model = of_images()
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 10)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(
        keras.optimizers.Adam(schedule, amsgrad=True, use_ema=True), loss, metrics=["accuracy", keras.metrics.AUC()]
    )
    for _ in range(steps):
        model.train_on_batch(np.ones((2, 8, 8, 3)), np.eye(3)[:2])
    model.save(tmp_path / "model.keras")
    loaded = load_model_file(tmp_path / "model.keras", compiled=True)
    assert loaded.compiled
    assert int(loaded.optimizer.iterations) == steps


def test_an_optimizer_that_is_not_stored_counts_for_less_than_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "_SPARE", 500)
    model = keras.Sequential([keras.Input((100,)), layers.Dense(100)])
    model.compile(keras.optimizers.Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2), "mse")
    model.save(tmp_path / "model.keras")
    assert load_model_file(tmp_path / "model.keras", compiled=True).compiled


def test_a_loaded_layer_counts_no_more(tmp_path):
    """What the layers of a file may make is bounded while they are loaded, not afterwards."""
    of_images().save(tmp_path / "model.keras")
    model = load_model_file(tmp_path / "model.keras")
    layer = next(layer for layer in model.layers if isinstance(layer, layers.Normalization))
    layer.axis = (1, 2, 3)
    layer.build((None, 1000, 1000, 3))
    assert layer.mean.shape == (1, 1000, 1000, 3)

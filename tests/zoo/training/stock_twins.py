"""Small models to be trained, and stock ones with the same weights that Keras trains on the same batches."""

from __future__ import annotations

from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import tensorflow as tf

import zoo
from zoo.models.normalization import fused_batch_normalization
from zoo.training.compiling import make_optimizer

BATCH = 32


def steps_of(data: zoo.DataSplits, batch_size: int = BATCH) -> int:
    return data.train.num_batches(batch_size)


def recipe(**values: Any) -> zoo.Recipe:
    return zoo.Recipe(
        **{"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.5, "batch_size": BATCH, "epochs": 2, "seed": 3}
        | values
    )


def train(model: keras.Model, data: zoo.DataSplits, how: zoo.Recipe, *callbacks: keras.callbacks.Callback):
    return zoo.train(model, data, how, callbacks=callbacks, verbose=False)


def small_resnet() -> keras.Model:
    """A residual block behind a convolution, normalised as `resnet20` is."""
    layers = keras.layers
    with_seed = {name: keras.initializers.HeNormal(seed=i) for i, name in enumerate("abp")}

    def convolved(x, name):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False, kernel_initializer=with_seed[name], name=name)(x)
        return fused_batch_normalization(dtype="float32", name=f"{name}_normalization", momentum=0.9, epsilon=1e-5)(x)

    inputs = keras.Input((8, 8, 1))
    x = layers.Activation("relu")(convolved(inputs, "a"))
    x = layers.Activation("relu")(layers.Add()([x, convolved(x, "b")]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", kernel_initializer=with_seed["p"])(x))


MODELS = {
    "softmax": lambda: zoo.build("softmax", (8, 8, 1), 10),
    "mlp": lambda: zoo.build("mlp", (8, 8, 1), 10, units=16, num_layers=1, l2=2**-8),
    "random-mlp": lambda: zoo.build(
        "mlp", (8, 8, 1), 10, units=16, num_layers=1, dropout=0.25, batch_normalization=True
    ),
    "cnn": lambda: zoo.build("cnn", (8, 8, 1), 10, filters=4, units=8, l1=2**-10),
    "resnet": small_resnet,
}


def stock_twin(model: keras.Model) -> keras.Model:
    """A model of stock layers with the same weights."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    assert not any("call" in vars(layer) for layer in twin.layers)
    return twin


def compiled_twin(model: keras.Model, how: zoo.Recipe, total_steps: int) -> keras.Model:
    """The twin with a stock optimizer, loss and metric."""
    twin = stock_twin(model)
    twin.compile(make_optimizer(how, total_steps), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    return twin


def batches_for(data: zoo.DataSplits, how: zoo.Recipe) -> tf.data.Dataset:
    return data.train.batches(
        how.batch_size,
        shuffle=how.shuffle,
        augment=how.augment or None,
        drop_remainder=how.drop_remainder,
        seed=how.seed,
    )


def assert_close_weights(model: keras.Model, other: keras.Model, tolerance: float):
    assert len(model.weights) == len(other.weights) > 0
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=ours.path)


class Own(keras.Model):
    """A train step of one's own, as Keras's guide writes one; it takes half of the gradients."""

    def train_step(self, data):
        inputs, labels = data
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=True)
            loss = self.compute_loss(y=labels, y_pred=outputs)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply([0.5 * gradient for gradient in gradients], self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(labels)[0])
        return self.compute_metrics(inputs, labels, outputs)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def assert_as_before(model: keras.Model):
    """Nothing of the training is left on the model."""
    assert model.train_function is None
    assert "compute_loss" not in vars(model)
    assert "train_step" not in vars(model)
    assert "_maybe_symbolic_build" not in vars(model)

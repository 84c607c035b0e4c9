"""Models of all kinds that inspection must take, small."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import tensorflow as tf

import zoo

SHAPE = (8, 8, 1)


def images(count: int = 5, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def cnn(**options: Any) -> keras.Model:
    return zoo.build("cnn", SHAPE, 3, **({"filters": 4, "units": 6} | options))


def nested() -> keras.Model:
    """A functional model in a functional model, with an operation that is no layer between."""
    inner_inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="inner_conv")(inner_inputs)
    inner = keras.Model(inner_inputs, keras.layers.GlobalAveragePooling2D(name="inner_pool")(x), name="backbone")
    inputs = keras.Input(SHAPE)
    outputs = keras.layers.Dense(3, activation="softmax", name="predictions")(
        inner(keras.ops.concatenate([inputs, -inputs], axis=-1))
    )
    return keras.Model(inputs, outputs, name="nested")


def sequential() -> keras.Model:
    layers = [
        keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
        keras.layers.Dropout(0.5, name="dropout"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(3, activation="softmax", name="predictions"),
    ]
    return keras.Sequential([keras.Input(SHAPE), *layers], name="sequential")


class Subclassed(keras.Model):
    """What `Keras` cannot draw: its layers are attributes."""

    def __init__(self, units: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
        self.flatten = keras.layers.Flatten(name="flatten")
        self.head = keras.layers.Dense(units, activation="softmax", name="head")

    def call(self, inputs: Any) -> Any:
        return self.head(self.flatten(self.conv(inputs)))

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units, "name": self.name}


def subclassed() -> keras.Model:
    model = Subclassed(name="subclassed")
    model(images(1))
    return model


def transferred() -> keras.Model:
    return zoo.build("transfer", SHAPE, 3, weights=None, image_size=8, dropout=0.25)


def chain(layer: keras.layers.Layer) -> keras.Model:
    """The layer between a first one and a last one."""
    layers = [keras.layers.Dense(6, activation="tanh", name="first"), layer]
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3, activation="softmax", name="last")])


# Each is made once, since no test of it may change it.
KINDS = {
    "cnn": functools.cache(cnn),
    "nested": functools.cache(nested),
    "sequential": functools.cache(sequential),
    "subclassed": functools.cache(subclassed),
    "transfer": functools.cache(transferred),
}


def sparse_loss(labels: Any, outputs: Any) -> tf.Tensor:
    """The cross entropy of probabilities, for models whose output Keras does not tell."""
    return -tf.math.log(tf.gather(outputs, tf.cast(labels, tf.int32), batch_dims=1))


def state(model: keras.Model) -> list[Any]:
    """All that a look at a model must leave alone."""
    layers = model._flatten_layers()
    return [
        *(np.asarray(v).copy() for v in model.variables),  # seed generators and moving statistics too
        [v.path for v in model.trainable_variables],
        [(layer.name, layer.trainable, str(layer.dtype_policy)) for layer in layers],
        [{k: v for k, v in vars(layer).items() if k == "call"} for layer in model._flatten_layers()],
        [len(getattr(layer, "_inbound_nodes", ())) for layer in model._flatten_layers()],
        [op._inbound_nodes and len(op._inbound_nodes) for op in getattr(model, "operations", ())],
        model.compiled,
        getattr(model, "optimizer", None) and [np.asarray(v).copy() for v in model.optimizer.variables],
        len(model.losses),
        keras.config.dtype_policy().name,
        keras.config.floatx(),
    ]


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    before = state(model)
    yield
    np.testing.assert_equal(state(model), before)

"""Where a model is cut: behind the last layer before which nothing learns."""

from __future__ import annotations

from collections.abc import Callable

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest

import zoo
from zoo.features.cutting import find_cut, split_frozen
from zoo.training.compiling import set_trainable


def cut_of(model: keras.Model, trainable: str | tuple[str, ...]) -> str | None:
    set_trainable(model, trainable)
    cut = find_cut(model)
    return None if cut is None else cut._keras_history.operation.name


TRANSFER = {
    "head": "pool",
    "all": None,
    "backbone": None,
    ("stage3_*", "predictions"): "stage2_block3_activation",
    ("stage3_block3_conv2", "predictions"): "stage3_block2_activation",  # a shortcut passes by the block's first layers
    ("conv1", "predictions"): None,
    ("conv1_batch_normalization", "predictions"): "conv1",
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return zoo.build("transfer", (16, 16, 3), 3, backbone="resnet20", weights=None, image_size=16, units=5, dropout=0.3)


def test_the_layers_of_the_table_are_there(model):
    names = {layer.name for layer in model.layers}
    assert {name for name in TRANSFER.values() if name} <= names, sorted(names)


@pytest.mark.parametrize("trainable", TRANSFER, ids=str)
def test_all_that_learns_lies_behind_the_cut(model, trainable):
    assert cut_of(model, trainable) == TRANSFER[trainable]


@pytest.mark.parametrize("trainable", ["head", ("stage3_*", "predictions")], ids=str)
def test_the_parts_compute_what_the_model_computes(model, trainable):
    set_trainable(model, trainable)
    parts = split_frozen(model)
    x = np.random.default_rng(0).random((4, 16, 16, 3)).astype("float32")
    expected = model(x, training=False)
    np.testing.assert_allclose(parts.learning(parts.frozen(x)), expected, atol=1e-6)
    np.testing.assert_allclose(parts.whole(x), expected, atol=1e-6)
    assert not parts.frozen.trainable_variables
    ids = {id(v) for v in parts.learning.trainable_variables}
    assert ids == {id(v) for v in model.trainable_variables}
    set_trainable(model, "all")


def chain(*layers: Callable[..., keras.KerasTensor]) -> keras.Model:
    inputs = keras.Input((6, 6, 3))
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="predictions")(x))


def frozen(name: str) -> keras.layers.Layer:
    return keras.layers.Conv2D(2, 3, name=name)


CHAINS = {
    "dropout belongs to the layer behind it": ([frozen("a"), keras.layers.Dropout(0.5, name="d")], "a"),
    "dropout before a frozen layer is off": ([keras.layers.Dropout(0.5), frozen("a")], "a"),
    "augmentation stays": ([keras.layers.RandomFlip(), frozen("a")], None),
    "augmentation further in": ([frozen("a"), keras.layers.RandomFlip(), frozen("b")], "a"),
    "nothing with weights": ([keras.layers.Flatten()], None),
    "a normalisation alone is not worth it": ([keras.layers.Normalization(mean=0.5, variance=1.0)], None),
    "an activity penalty is part of the loss": ([keras.layers.Conv2D(2, 3, activity_regularizer="l2")], None),
    "a model inside": ([keras.Sequential([keras.Input((6, 6, 3)), frozen("a")], name="inner")], "inner"),
    "augmentation inside": ([keras.Sequential([keras.Input((6, 6, 3)), keras.layers.RandomFlip(), frozen("a")])], None),
}


@pytest.mark.parametrize("case", CHAINS)
def test_what_trains_differently_is_not_frozen(case):
    layers, expected = CHAINS[case]
    copies = [type(layer).from_config(layer.get_config()) for layer in layers]
    assert cut_of(chain(*copies), "head") == expected


class OwnDropout(keras.layers.Dropout):
    def call(self, inputs, training=False):
        return super().call(inputs, training=training)


class OwnDense(keras.layers.Dense):
    def call(self, inputs, training=None):
        return super().call(inputs) * (2.0 if training else 1.0)


def inner(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((6, 6, 3)), *layers], name="inner")


def forced_inside() -> keras.Model:
    inputs = keras.Input((6, 6, 3))
    return keras.Model(inputs, keras.layers.Dropout(0.5)(frozen("a")(inputs), training=True), name="inner")


def attended(x: keras.KerasTensor) -> keras.KerasTensor:
    x = keras.layers.Reshape((36, 3))(x)
    return keras.layers.MultiHeadAttention(1, 2, dropout=0.5, name="b")(x, x)


# what makes the layers, each called with the output of the one before -> where the cut is
WITH_TRAINING = {
    "dense": (lambda: [frozen("a"), keras.layers.Dense(2, name="b")], "b"),
    "a model with dense": (lambda: [inner(frozen("a"), keras.layers.Dense(2))], "inner"),
    "resizing": (lambda: [keras.layers.Resizing(5, 5), frozen("b")], "b"),
    "time distributed": (lambda: [keras.layers.TimeDistributed(keras.layers.Dense(2), name="b")], "b"),
    "attention": (lambda: [attended], "b"),
    "a function": (lambda: [frozen("a"), keras.layers.Lambda(lambda x: 2 * x), frozen("b")], "b"),
    "a function of training": (
        lambda: [frozen("a"), keras.layers.Lambda(lambda x, training=None: x), frozen("b")],
        "a",
    ),
    "forced dropout": (
        lambda: [frozen("a"), lambda x: keras.layers.Dropout(0.5)(x, training=True), frozen("b")],
        "a",
    ),
    "forced normalisation": (
        lambda: [frozen("a"), lambda x: keras.layers.BatchNormalization()(x, training=True), frozen("b")],
        "a",
    ),
    "a forced model": (lambda: [lambda x: inner(keras.layers.Dropout(0.5), frozen("a"))(x, training=True)], None),
    "forced dropout in a model": (lambda: [forced_inside(), frozen("b")], None),
    "a dropout of a user": (lambda: [frozen("a"), OwnDropout(0.5), frozen("b")], "a"),
    "a dense layer of a user": (lambda: [frozen("a"), OwnDense(2), frozen("b")], "a"),
    "a dense layer of a user in a model": (lambda: [inner(frozen("a"), OwnDense(2))], None),
}


@pytest.mark.parametrize("case", WITH_TRAINING)
def test_layers_that_take_training_are_told_apart(case):
    layers, expected = WITH_TRAINING[case]
    assert cut_of(chain(*layers()), "head") == expected


def test_a_model_of_which_nothing_or_all_learns_has_no_cut():
    model = chain(frozen("a"))
    assert find_cut(model) is None
    model.trainable = False
    assert find_cut(model) is None


def test_other_models_have_no_cut():
    two = keras.Model([a := keras.Input((2,)), b := keras.Input((2,))], keras.layers.Dense(2, name="p")(a + b))
    assert find_cut(two) is None

    class Own(keras.Model):
        def call(self, x):
            return x

    assert find_cut(Own()) is None
    sequential = keras.Sequential([keras.Input((6, 6, 3)), frozen("a"), keras.layers.Dense(2, name="p")])
    assert cut_of(sequential, "p") == "a"
    assert find_cut(keras.Sequential([keras.layers.Dense(2)])) is None  # not built

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import zoo
from zoo.errors import UsageError
from zoo.models.outputs import check_shapes, class_probabilities, known_output_kind, output_kind


def ending_in(*last: layers.Layer, units: int = 3) -> keras.Model:
    inputs = keras.Input((2,))
    x = layers.Dense(units)(inputs)
    for layer in last:
        x = layer(x)
    return keras.Model(inputs, x)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.dense(x)


def two_outputs() -> keras.Model:
    inputs = keras.Input((2,))
    return keras.Model(inputs, [layers.Dense(3, activation="softmax")(inputs), layers.Dense(2)(inputs)])


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (lambda: ending_in(), "logits"),
        (lambda: ending_in(units=1), "logit"),
        (lambda: ending_in(layers.Dense(3, activation="softmax")), "softmax"),
        (lambda: ending_in(layers.Dense(1, activation="sigmoid")), "sigmoid"),
        (lambda: ending_in(layers.Softmax()), "softmax"),
        (lambda: ending_in(layers.Activation("softmax", dtype="float32")), "softmax"),
        (lambda: ending_in(layers.Activation("sigmoid"), units=1), "sigmoid"),
        (lambda: ending_in(layers.Activation("linear", dtype="float32")), "logits"),
        (lambda: ending_in(ending_in_softmax_of_three()), "softmax"),
        # neither: three independent sigmoids, a softmax of one, another activation, several outputs, no graph
        (lambda: ending_in(layers.Activation("sigmoid")), "unknown"),
        (lambda: ending_in(layers.Dense(1, activation="softmax")), "unknown"),
        (lambda: ending_in(layers.Softmax(), units=1), "unknown"),
        (lambda: ending_in(layers.Activation("tanh")), "unknown"),
        (lambda: ending_in(layers.Dropout(0.5)), "unknown"),
        (two_outputs, "unknown"),
        (Subclassed, "unknown"),
    ],
)
def test_the_kind_of_an_output(model, kind):
    assert output_kind(model()) == kind


def ending_in_softmax_of_three() -> keras.Model:
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(inputs))


def test_the_kind_of_a_sequential_model():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, activation="softmax")])
    assert output_kind(model) == "softmax"


def test_a_cast_after_a_softmax_leaves_a_softmax():
    assert output_kind(ending_in(layers.Softmax(), layers.Activation("linear", dtype="float32"))) != "logits"


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("logistic", {}, "sigmoid"),
        ("logistic", {"classifier_activation": None}, "logit"),
        ("softmax", {}, "softmax"),
        ("mlp", {}, "softmax"),
        ("cnn", {"classifier_activation": None}, "logits"),
        ("cnn", {"dtype": "mixed_bfloat16"}, "softmax"),
    ],
)
def test_the_kind_of_our_models_survives_saving(name, options, kind, tmp_path):
    model = zoo.build(name, (8, 8, 1), 2, **options)
    assert output_kind(model) == kind
    model.save(tmp_path / "model.keras")
    assert output_kind(keras.saving.load_model(tmp_path / "model.keras")) == kind


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.lists(st.floats(-60, 60), min_size=1, max_size=6), st.integers(2, 5))
def test_probabilities_from_every_kind_agree(values, num_classes):
    column = np.array(values)[:, None]
    p = 1 / (1 + np.exp(-column))
    two = np.concatenate([1 / (1 + np.exp(column)), p], axis=1)
    np.testing.assert_allclose(class_probabilities(column, "logit"), two, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(class_probabilities(p, "sigmoid"), two, rtol=1e-12, atol=1e-15)

    logits = column * np.linspace(-1, 1, num_classes)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    soft = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(class_probabilities(logits, "logits"), soft, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(class_probabilities(soft, "softmax"), soft)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="neither a softmax"):
        known_output_kind(ending_in(layers.Dense(3, activation="relu")))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.dense = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs):
        return self.dense(inputs)


def two_ends(ends):
    inputs = [keras.Input((3,)) for _ in range(ends["inputs"])]
    joined = keras.layers.Concatenate()([*inputs, *inputs])
    return keras.Model(inputs, [keras.layers.Dense(2, activation="softmax")(joined) for _ in range(ends["outputs"])])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "model must be a Keras model, .* Received: None"),
        (lambda: "cnn", "Received: 'cnn'"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "is not built: let it begin with keras.Input"),
        (Subclassed, "'mine' is a subclass of keras.Model, .* write it as a functional or Sequential model"),
        (lambda: two_ends({"inputs": 1, "outputs": 2}), "has 2 outputs; a classifier has one"),
        (
            lambda: keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1)]),
            r"outputs of shape \(None, 4, 4, 2\)",
        ),
    ],
)
def test_why_an_output_is_no_class_score_is_said(make, words):
    with pytest.raises(UsageError, match=words):
        known_output_kind(make())


def test_shapes_that_do_not_fit_are_refused():
    check_shapes(two_ends({"inputs": 1, "outputs": 1}), (3,))
    check_shapes(Subclassed(), (5,))  # nobody knows what it takes
    any_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    check_shapes(any_size, (8, 9, 3))
    for model, shape, words in (
        (any_size, (8, 9, 1), r"inputs of shape \(None, None, 3\), the data have \(8, 9, 1\)"),
        (any_size, (8, 9), "the data have"),
        (two_ends({"inputs": 2, "outputs": 1}), (3,), "takes 2 inputs; data have one input an example"),
        (two_ends({"inputs": 1, "outputs": 2}), (3,), "has 2 outputs"),
    ):
        with pytest.raises(UsageError, match=words):
            check_shapes(model, shape)

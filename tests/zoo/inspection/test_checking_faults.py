"""check_gradients: faults that hide, alarms that are none, and requests that cannot be."""

from __future__ import annotations

import random
from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from inspected_models import KINDS, chain, images, sparse_loss

import zoo
from zoo.errors import DataError, UsageError
from zoo.inspection import check_gradients

FAST: dict[str, Any] = {"epsilons": (1e-4, 1e-6), "count": 1}


@tf.custom_gradient
def double_with_nan(x):
    return 2 * x, lambda upstream: upstream * np.nan


class Applied(keras.layers.Layer):
    """A layer of one function of its inputs."""

    def __init__(self, function: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def call(self, *inputs: Any, **more: Any) -> Any:
        return self.function(*inputs, **more)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # the function is found by the name

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Applied:
        return cls(FUNCTIONS[config["name"]], **config)


def through_float32_alone(x):
    if x.dtype == tf.float64:
        raise RuntimeError("only float32")
    return tf.tanh(x)


FUNCTIONS = {
    "nan": double_with_nan,
    "root": lambda x: tf.sqrt(tf.nn.relu(x)),  # 0 times infinity, wherever x < 0
    "softmax": lambda x: tf.nn.softmax(x + tf.reduce_mean(x)),
    "half": lambda x, other: x * (0.5 * other + 0.5 * tf.stop_gradient(other)),
    "product": lambda x, other: x * other,
    "narrow": through_float32_alone,
}


def applied(name: str) -> keras.layers.Layer:
    return Applied(FUNCTIONS[name], name=name)


@pytest.mark.parametrize("name", ["nan", "root"])
def test_a_gradient_that_is_nan_is_found_in_its_layer(name):
    found = check_gradients(chain(applied(name)), images(5, (4,)), [0, 1, 2, 0, 1])
    assert found.faults == (name,)
    first = keras.Sequential([keras.Input((4,)), applied(name), keras.layers.Dense(3, activation="softmax")])
    assert check_gradients(first, images(5, (4,)), [0, 1, 2, 0, 1]).faults == (name,)  # no weight stands before it


def test_a_weight_of_which_the_output_is_independent_is_no_false_alarm():
    """As the biases of an attention's keys: the difference is rounding alone, and so is the gradient."""

    @keras.saving.register_keras_serializable("tests")
    class Shifted(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.shift = self.add_weight(shape=(), initializer="ones", name="shift")

        def call(self, inputs: Any) -> Any:
            return tf.nn.softmax(inputs + self.shift)

    model = keras.Sequential([keras.Input((4,)), Shifted(name="shifted"), keras.layers.Dense(3)])
    for seed in (3, 27, 41):  # where <c, outputs> is near 0 beside its terms, whose rounding it has
        found = check_gradients(model, images(5, (4,)), [0, 1, 2, 0, 1], seed=seed, **FAST)
        assert found.passed, found.layers


@pytest.mark.parametrize(("name", "faults"), [("half", ("half",)), ("product", ())])
def test_tensors_given_by_name_count(name, faults):
    inputs = keras.Input((4,))
    a, b = (keras.layers.Dense(6, name=n)(inputs) for n in "ab")
    outputs = keras.layers.Dense(3, activation="softmax")(applied(name)(a, other=b))
    found = check_gradients(keras.Model(inputs, outputs), images(5, (4,)), [0, 1, 2, 0, 1], **FAST)
    assert (found.faults, found.in_float32) == (faults, ())


def test_a_layer_that_raises_in_float64_stays_in_float32():
    found = check_gradients(chain(applied("narrow")), images(5, (4,)), [0, 1, 2, 0, 1])
    assert found.in_float32 == ("narrow",)
    assert found.passed, found.layers


def test_a_lambda_knows_the_names_of_its_file():
    """Keras makes it of its bytecode, without them."""
    by_name = chain(keras.layers.Lambda(FUNCTIONS["softmax"], name="culprit"))
    assert check_gradients(by_name, images(5, (4,)), [0, 1, 2, 0, 1], **FAST).passed
    wrong = chain(keras.layers.Lambda(lambda x: x * tf.stop_gradient(x), name="culprit"))
    assert check_gradients(wrong, images(5, (4,)), [0, 1, 2, 0, 1], **FAST).faults == ("culprit",)


def test_draws_nothing_of_python():
    model = KINDS["subclassed"]()
    before = random.getstate()
    check_gradients(model, images(3), [0, 1, 2], loss=sparse_loss, **FAST)
    assert random.getstate() == before


def test_what_has_no_loss_is_refused():
    model = zoo.build("mlp", (4,), 3, units=5)
    with pytest.raises(UsageError, match=r"no gradient to check. Received: examples with the loss nan"):
        check_gradients(model, np.full((2, 4), np.nan), [0, 1])
    with pytest.raises(UsageError, match=r"one example or more. Received: inputs of shape \(0, 4\)"):
        check_gradients(model, np.zeros((0, 4)), [])
    for labels, words in (([0, 3], "0 to 2, .* Received: 3"), ([-1, 0], "from 0"), ([0], "2 inputs but 1 labels")):
        with pytest.raises(DataError, match=words):
            check_gradients(model, images(2, (4,)), labels)
    with pytest.raises(DataError, match=r"0 to 1, .* Received: 2"):
        check_gradients(zoo.build("logistic", (4,), 2), images(2, (4,)), [0, 2])

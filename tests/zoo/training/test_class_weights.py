"""Class weights: the loss that is minimised, against NumPy and stock Keras."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import zoo
from zoo.errors import UsageError
from zoo.training.class_weights import class_weights

RANDOM = np.random.default_rng(0)
LABELS = np.array([0] * 24 + [1] * 6 + [2] * 2, np.int32)
INPUTS = (RANDOM.normal(size=(32, 4)) + LABELS[:, None]).astype("float32")


@pytest.mark.parametrize("labels", [LABELS, LABELS[:30], LABELS[::-1]], ids=["all", "a class missing", "turned"])
def test_balanced_is_that_of_scikit_learn(labels):
    found = np.asarray(class_weights(zoo.Recipe(class_weight="balanced"), labels, 3))
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels) * len(present) / 3
    np.testing.assert_allclose(found[present], expected, rtol=1e-6)


@pytest.mark.parametrize("stream", [False, True], ids=["memory", "stream"])
@pytest.mark.parametrize("weight", ["balanced", (1.0, 4.0, 0.0)], ids=str)
def test_the_steps_are_those_of_keras(weight, stream):
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=0.1, epochs=3, batch_size=8, shuffle=False, class_weight=weight)
    ours, stock = (zoo.build("softmax", (4,), 3, l2=0.01) for _ in range(2))
    data = zoo.DataSplits.from_arrays((INPUTS, LABELS), validation=None)
    zoo.train(ours, data.train.batches(8) if stream else data, recipe, verbose=False)
    zoo.compile_model(stock, recipe, steps_per_epoch=4)
    weights = np.asarray(class_weights(recipe, LABELS, 3))
    stock.fit(INPUTS, LABELS, sample_weight=weights[LABELS], epochs=3, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    plain = zoo.build("softmax", (4,), 3, l2=0.01)
    zoo.train(plain, data, zoo.Recipe(**{**recipe.as_config(), "class_weight": None}), verbose=False)
    assert not np.allclose(plain.get_weights()[0], ours.get_weights()[0], atol=1e-3)


@pytest.mark.parametrize("weight", ["even", (1.0,), (1.0, -1.0), (1.0, float("nan")), 3, ("a", "b")], ids=str)
def test_what_is_no_weight_is_refused(weight):
    with pytest.raises(UsageError, match="class_weight"):
        zoo.Recipe(class_weight=weight)


def test_one_number_a_class():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    with pytest.raises(UsageError, match="each of 3 classes"):
        zoo.train(model, (INPUTS, LABELS), zoo.Recipe(class_weight=(1.0, 2.0)))

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import (
    SGD,
    Adam,
    add_bias_column,
    categorical_cross_entropy,
    gradient_descent,
    mini_batches,
    one_hot,
    softmax,
    softmax_regression,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def bowl(w: np.ndarray) -> tuple[float, np.ndarray]:
    """E = Σw², whose gradient is 2w: a step multiplies w by 1 - 2η."""
    return float(np.sum(w**2)), 2.0 * w


# Optimizers and mini-batches


def noisy_problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of three classes that overlap; 30 of them, which batches of 8 do not divide."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=30)
    points = rng.normal(size=(30, 4)) + np.eye(3, 4)[labels]
    return points.astype(np.float32).astype(np.float64), labels  # since Keras's fit rounds inputs to float32


def softmax_loss(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """As a student would write it: inputs with a column of ones, one-hot labels."""
    return categorical_cross_entropy(x @ w, y.argmax(axis=1)), x.T @ (softmax(x @ w) - y) / len(x)


def test_the_bias_trick_and_one_hot_labels_are_softmax_regression():
    x, labels = noisy_problem()
    network, start = softmax_regression(4, 3), np.zeros((5, 3))
    expected = gradient_descent(network.loss_and_gradient(x, labels), network.weights, learning_rate=0.5, epochs=20)
    found = gradient_descent(
        softmax_loss, start, learning_rate=0.5, epochs=20, examples=(add_bias_column(x), one_hot(labels, 3))
    )
    np.testing.assert_allclose(found.weights.reshape(21, -1), expected.weights, atol=1e-13)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-13)


def test_one_batch_of_everything_is_the_full_batch():
    x, labels = noisy_problem()
    examples = (add_bias_column(x), one_hot(labels, 3))
    full = gradient_descent(softmax_loss, np.zeros((5, 3)), learning_rate=0.5, epochs=5, examples=examples)
    batch = gradient_descent(
        softmax_loss, np.zeros((5, 3)), learning_rate=0.5, epochs=5, examples=examples, batch_size=30
    )
    np.testing.assert_allclose(batch.weights, full.weights, atol=1e-14)
    np.testing.assert_allclose(batch.losses, full.losses, atol=1e-14)


def test_mini_batches_by_hand():
    def squares(w, x):  # E = mean (w - x)², so with η = ½ each step sets w to the mean of its batch
        return float(np.mean((w - x) ** 2)), np.array([2 * np.mean(w - x)])

    path = gradient_descent(
        squares, [0.0], learning_rate=0.5, epochs=2, examples=([1.0, 3.0, 5.0, 11.0, 4.0],), batch_size=2, seed=None
    )
    np.testing.assert_array_equal(path.weights, [[0.0], [4.0], [4.0]])
    np.testing.assert_allclose(path.losses, [34.4, 12.0, 12.0])


def test_a_descent_is_a_function_of_its_seed():
    x, labels = noisy_problem()
    examples = (add_bias_column(x), one_hot(labels, 3))

    def ends(seed):
        options = {"examples": examples, "batch_size": 8, "seed": seed}
        return gradient_descent(softmax_loss, np.zeros((5, 3)), learning_rate=0.5, epochs=3, **options).weights[-1]

    np.testing.assert_array_equal(ends(1), ends(1))
    assert np.abs(ends(1) - ends(2)).max() > 1e-4
    assert np.abs(ends(1) - ends(None)).max() > 1e-4


def test_an_optimizer_takes_the_steps():
    adam, w = Adam(0.25), np.array([3.0, -1.0])
    path = gradient_descent(bowl, w, optimizer=adam, epochs=4)
    state = adam.start(w)
    for t in range(4):
        np.testing.assert_array_equal(path.weights[t], w)
        w, state = adam.step(w, state, bowl(w)[1])
    np.testing.assert_array_equal(path.weights[4], w)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_mini_batch_descent_and_early_stopping_equal_those_of_keras(name):
    pytest.importorskip("tensorflow")
    import keras

    x, labels = noisy_problem(1)
    x_validation, labels_validation = noisy_problem(2)
    optimizers = {
        "sgd": (SGD(0.5, momentum=0.5), lambda: keras.optimizers.SGD(0.5, momentum=0.5)),
        "adam": (
            Adam(0.25, beta_1=0.5, beta_2=0.875, epsilon=2.0**-20),  # float32 holds these, to which Keras rounds
            lambda: keras.optimizers.Adam(0.25, beta_1=0.5, beta_2=0.875, epsilon=2.0**-20),
        ),
    }
    ours, theirs = optimizers[name]
    network = softmax_regression(4, 3)
    path = gradient_descent(
        lambda w, *batch: network.loss_and_gradient(*batch)(w),
        network.weights,
        optimizer=ours,
        epochs=40,
        examples=(x, labels),
        batch_size=8,
        seed=None,
        validation_loss=lambda w: network.with_weights(w).loss(x_validation, labels_validation).total,
        patience=3,
    )

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="zeros", dtype="float64")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    model.compile(theirs(), loss, run_eagerly=False)
    weights = []
    history = model.fit(
        x,
        labels,
        batch_size=8,
        epochs=40,
        shuffle=False,
        verbose=0,
        validation_data=(x_validation, labels_validation),
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: weights.append(np.concatenate([w.ravel() for w in model.get_weights()]))
            ),
            keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
        ],
    )
    assert len(path.weights) == len(weights) + 1 < 41
    np.testing.assert_allclose(path.weights[1:], weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(path.validation_losses[1:], history.history["val_loss"], rtol=1e-6)  # a float32 mean
    best = np.concatenate([w.ravel() for w in model.get_weights()])
    np.testing.assert_allclose(path.best_weights, best, rtol=1e-10, atol=1e-12)


# Early stopping


def test_descent_stops_when_patience_ends_and_says_where_it_was_best():
    validation = iter([9.0, 5.0, 4.0, 4.0, 6.0, 1.0])
    path = gradient_descent(
        bowl, [8.0], learning_rate=0.25, epochs=9, validation_loss=lambda w: next(validation), patience=2
    )
    np.testing.assert_array_equal(path.validation_losses, [9, 5, 4, 4, 6])
    assert path.best_epoch == 2
    np.testing.assert_array_equal(path.best_weights, [2.0])


def test_the_start_is_no_candidate():
    validation = iter([1.0, 5.0, 4.0])
    path = gradient_descent(bowl, [8.0], learning_rate=0.25, epochs=2, validation_loss=lambda w: next(validation))
    assert path.best_epoch == 2


def test_without_validation_the_last_epoch_is_the_best():
    path = gradient_descent(bowl, [8.0], learning_rate=0.25, epochs=3)
    assert (path.best_epoch, path.validation_losses.shape) == (3, (0,))
    np.testing.assert_array_equal(path.best_weights, path.weights[-1])


# Batches, and the bias trick


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5), st.integers(0, 5))
def test_a_pass_sees_every_row_once(rows, batch_size, seed, epoch):
    examples = (np.arange(rows), 10 * np.arange(rows))
    batches = list(mini_batches(examples, batch_size, seed=seed, epoch=epoch))
    first, second = (np.concatenate([batch[i] for batch in batches]) for i in range(2))
    assert sorted(first) == list(range(rows))
    np.testing.assert_array_equal(second, 10 * first)
    assert [len(batch[0]) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    whole = list(mini_batches(examples, batch_size, seed=seed, epoch=epoch, drop_remainder=True))
    assert len(whole) == rows // batch_size


def test_each_epoch_has_its_order():
    orders = [next(mini_batches([np.arange(50)], 50, seed=3, epoch=epoch))[0].tolist() for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_the_bias_column():
    np.testing.assert_array_equal(add_bias_column([[2, 3], [4, 5]]), [[2, 3, 1], [4, 5, 1]])
    with pytest.raises(ValueError, match=r"Received: inputs=\(2,\)"):
        add_bias_column([2.0, 3.0])


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"learning_rate": None}, "learning_rate=None, optimizer=None"),
        ({"optimizer": SGD(0.5)}, "learning_rate=0.25, optimizer="),
        ({"batch_size": 2}, r"batch_size=2, rows=\[\]"),
        ({"batch_size": 0, "examples": ([1.0],)}, r"batch_size=0, rows=\[1\]"),
        ({"batch_size": 2, "examples": ([1.0], [1.0, 2.0])}, r"batch_size=2, rows=\[1, 2\]"),
        ({"patience": 2}, "patience=2"),
        ({"patience": 0, "validation_loss": lambda w: 0.0}, "patience=0"),
    ],
)
def test_descent_refuses_options_that_do_not_go_together(options, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        gradient_descent(lambda w, *_: bowl(w), [1.0], **{"learning_rate": 0.25, "epochs": 1, **options})

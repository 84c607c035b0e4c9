from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zoo import reference

QUICK = settings(deadline=None, max_examples=50)
SEEDS = st.integers(0, 2**32 - 1)


def logit_arrays(bound: float) -> st.SearchStrategy[np.ndarray]:
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5)
    return hnp.arrays(np.float64, shapes, elements=st.floats(-bound, bound))


# Sigmoid and softmax


def test_sigmoid_of_known_logits():
    np.testing.assert_allclose(reference.sigmoid([0.0, math.log(3), -math.log(3)]), [0.5, 0.75, 0.25], rtol=1e-15)


def test_sigmoid_of_extreme_logits_neither_overflows_nor_loses_digits():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        values = reference.sigmoid([-1e4, -700.0, 700.0, 1e4])
    np.testing.assert_allclose(values, [0.0, math.exp(-700), 1.0, 1.0], rtol=1e-15)


def test_softmax_of_known_logits():
    probabilities = reference.softmax([[0.0, math.log(3)], [5.0, 5.0]])
    np.testing.assert_allclose(probabilities, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-15)


def test_softmax_of_extreme_logits_does_not_overflow():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_array_equal(reference.softmax([1e4, 0.0, -1e4]), [1.0, 0.0, 0.0])
        np.testing.assert_array_equal(reference.log_softmax([1e4, 0.0, -1e4]), [0.0, -1e4, -2e4])


@QUICK
@given(logit_arrays(700.0))
def test_softmax_rows_sum_to_one(logits):
    probabilities = reference.softmax(logits)
    assert probabilities.shape == logits.shape
    assert np.all(probabilities >= 0)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-14)


@QUICK
@given(logit_arrays(50.0), st.floats(-1e3, 1e3))
def test_softmax_does_not_change_when_every_logit_moves_alike(logits, shift):
    np.testing.assert_allclose(reference.softmax(logits + shift), reference.softmax(logits), rtol=1e-11)


@QUICK
@given(logit_arrays(300.0))
def test_log_softmax_is_the_logarithm_of_softmax(logits):
    expected = np.log(reference.softmax(logits))
    np.testing.assert_allclose(reference.log_softmax(logits), expected, rtol=1e-12, atol=1e-14)


@QUICK
@given(st.floats(-700.0, 700.0))
def test_sigmoid_is_the_softmax_of_a_logit_and_zero(logit):
    np.testing.assert_allclose(reference.sigmoid(logit), reference.softmax([logit, 0.0])[0], rtol=1e-13)


# Labels


def test_one_hot_of_known_labels():
    np.testing.assert_array_equal(reference.one_hot([2, 0], 3), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("labels", [[-1], [3], [0.0], [True]])
def test_one_hot_refuses_what_is_no_class(labels):
    with pytest.raises(ValueError, match=r"integers in \[0, 3\).* Received: labels="):
        reference.one_hot(labels, 3)


# Losses


def test_categorical_cross_entropy_of_known_probabilities():
    logits = np.log([[0.25, 0.75], [0.5, 0.5]])
    assert reference.categorical_cross_entropy(logits, [1, 0]) == pytest.approx(
        -(math.log(0.75) + math.log(0.5)) / 2, rel=1e-15
    )
    np.testing.assert_allclose(
        reference.categorical_cross_entropy_gradient(logits, [1, 0]), [[0.125, -0.125], [-0.25, 0.25]], rtol=1e-15
    )


def test_binary_cross_entropy_of_known_probabilities():
    logits = [math.log(3), math.log(3), 0.0, -math.log(3)]  # σ = 0.75, 0.75, 0.5, 0.25
    expected = -(math.log(0.75) + math.log(0.25) + math.log(0.5) + math.log(0.75)) / 4
    assert reference.binary_cross_entropy(logits, [1, 0, 1, 0]) == pytest.approx(expected, rel=1e-15)
    np.testing.assert_allclose(
        reference.binary_cross_entropy_gradient(logits, [1, 0, 1, 0]),
        np.array([-0.25, 0.75, -0.5, 0.25]) / 4,
        rtol=1e-15,
    )


def test_cross_entropies_are_not_clipped():
    assert reference.categorical_cross_entropy([[0.0, 1000.0]], [0]) == 1000.0
    assert reference.binary_cross_entropy([1000.0], [0]) == 1000.0
    assert reference.binary_cross_entropy([-1000.0], [1]) == 1000.0


def test_squared_error_of_known_numbers():
    predictions, targets = [[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 5.0]]
    assert reference.squared_error(predictions, targets) == (0 + 4 + 9 + 1) / 4
    np.testing.assert_array_equal(reference.squared_error_gradient(predictions, targets), [[0, 1], [1.5, -0.5]])


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "squared_error"])
def test_a_column_of_predictions_is_not_broadcast_against_a_row_of_labels(loss):
    function, gradient = getattr(reference, loss), getattr(reference, f"{loss}_gradient")
    column, row = np.array([[2.0], [-1.0], [0.5]]), np.array([1, 0, 1])
    assert function(column, row) == function(column[:, 0], row) == function(column[:, 0], row[:, None])
    np.testing.assert_array_equal(gradient(column, row), gradient(column[:, 0], row)[:, None])


@pytest.mark.parametrize("suffix", ["", "_gradient"])
@pytest.mark.parametrize(
    ("loss", "predictions", "labels"),
    [
        ("categorical_cross_entropy", np.zeros((2, 3)), [0, 3]),
        ("categorical_cross_entropy", np.zeros((2, 3)), [0, -1]),
        ("categorical_cross_entropy", np.zeros((2, 3)), [0.0, 1.0]),
        ("categorical_cross_entropy", np.zeros((2, 3)), [0]),
        ("categorical_cross_entropy", np.zeros((2, 3)), [[0], [1]]),
        ("categorical_cross_entropy", np.zeros(3), [0, 1, 2]),
        ("binary_cross_entropy", np.zeros(2), [-1, 1]),
        ("binary_cross_entropy", np.zeros(2), [0, 2]),
        ("binary_cross_entropy", np.zeros((2, 1)), [0]),
        ("squared_error", np.zeros((2, 3)), np.zeros((3, 2))),
        ("squared_error", np.zeros((2, 3)), np.zeros(3)),
    ],
)
def test_losses_and_gradients_refuse_labels_that_do_not_fit(loss, suffix, predictions, labels):
    with pytest.raises(ValueError, match=r"Received: .*(labels|targets)="):
        getattr(reference, loss + suffix)(predictions, labels)


@QUICK
@given(SEEDS, st.integers(1, 5), st.integers(2, 5))
def test_gradients_of_losses_equal_central_differences(seed, examples, classes):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(examples, classes))
    cases = {
        "categorical_cross_entropy": rng.integers(classes, size=examples),
        "binary_cross_entropy": rng.integers(2, size=(examples, classes)),
        "squared_error": rng.normal(size=(examples, classes)),
    }
    for name, labels in cases.items():
        loss, gradient = getattr(reference, name), getattr(reference, f"{name}_gradient")
        numerical = reference.numerical_gradient(lambda z, f=loss, y=labels: f(z, y), logits)
        np.testing.assert_allclose(gradient(logits, labels), numerical, rtol=1e-7, atol=1e-8, err_msg=name)


# Penalties


def test_penalties_of_known_weights():
    weights = [[1.0, -2.0], [0.0, 3.0]]
    assert reference.l1_penalty(weights, 0.5) == 3.0
    assert reference.l2_penalty(weights, 0.5) == 7.0
    np.testing.assert_array_equal(reference.l1_penalty_gradient(weights, 0.5), [[0.5, -0.5], [0.0, 0.5]])
    np.testing.assert_array_equal(reference.l2_penalty_gradient(weights, 0.5), [[1.0, -2.0], [0.0, 3.0]])


@QUICK
@given(
    hnp.arrays(np.float64, st.integers(1, 6), elements=st.floats(-5, 5).filter(lambda w: w == 0 or abs(w) > 1e-3)),
    st.floats(0.0, 2.0),
)
def test_gradients_of_penalties_equal_central_differences(weights, strength):
    for name in ("l1_penalty", "l2_penalty"):
        penalty, gradient = getattr(reference, name), getattr(reference, f"{name}_gradient")
        numerical = reference.numerical_gradient(lambda w, f=penalty: f(w, strength), weights)
        np.testing.assert_allclose(gradient(weights, strength), numerical, rtol=1e-7, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("name", ["l1_penalty", "l1_penalty_gradient", "l2_penalty", "l2_penalty_gradient"])
@pytest.mark.parametrize("strength", [-0.1, math.nan])
def test_penalties_refuse_a_negative_strength(name, strength):
    with pytest.raises(ValueError, match=f"Received: strength={strength}$"):
        getattr(reference, name)([1.0], strength)

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zoo.reference import (
    DenseNetwork,
    gradient_descent,
    logistic_regression,
    numerical_gradient,
    softmax_regression,
    squared_error,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

QUICK = settings(deadline=None, max_examples=50)
HIDDEN = ["identity", "relu", "sigmoid", "tanh"]
OUTPUT = ["identity", "sigmoid", "softmax"]
# Powers of two: Keras rounds a penalty's strength to float32 even where the weights are float64 (3.15, TensorFlow), so
# that 0.03 would be another number there.
L1, L2 = 2.0**-5, 2.0**-4
PENALTIES = [{}, {"l1": L1}, {"l2": L2}, {"l1": L1, "l2": L2, "penalize_bias": True}]


def random_array(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Entries of either sign between 0.1 and 1: none is near 0, where |w| has its kink."""
    return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.1, 1.0, size=shape)


def random_problem(seed: int, hidden: list[str], output: str) -> tuple[DenseNetwork, np.ndarray, np.ndarray]:
    """A network of random sizes and weights, with inputs and labels for it."""
    rng, examples = np.random.default_rng(seed), 5
    units = 1 if output == "sigmoid" else int(rng.integers(2, 5))
    sizes = [*rng.integers(1, 5, size=len(hidden) + 1), units]
    kernels = [random_array(rng, n, m) for n, m in pairwise(sizes)]
    biases = [random_array(rng, m) for m in sizes[1:]]
    labels = {
        "identity": rng.normal(size=(examples, units)),
        "sigmoid": rng.integers(2, size=examples),
        "softmax": rng.integers(units, size=examples),
    }[output]
    return DenseNetwork(kernels, biases, [*hidden, output]), rng.normal(size=(examples, sizes[0])), labels


# Hand-computed numbers


def two_layers() -> DenseNetwork:
    """Two inputs, two ReLUs, one linear output."""
    return DenseNetwork([[[1.0, -1.0], [2.0, 1.0]], [[3.0], [5.0]]], [[0.5, -0.5], [1.0]], ["relu", "identity"])


def test_forward_returns_every_layer_of_a_known_network():
    pre_activations, activations = two_layers().forward([[1.0, 1.0], [-1.0, 2.0]])
    # z¹ = (1 + 2 + 0.5, -1 + 1 - 0.5) and (-1 + 4 + 0.5, 1 + 2 - 0.5)
    np.testing.assert_array_equal(pre_activations[0], [[3.5, -0.5], [3.5, 2.5]])
    np.testing.assert_array_equal(pre_activations[1], [[11.5], [24.0]])
    assert (len(pre_activations), len(activations)) == (2, 3)
    np.testing.assert_array_equal(activations[0], [[1.0, 1.0], [-1.0, 2.0]])
    np.testing.assert_array_equal(activations[1], [[3.5, 0.0], [3.5, 2.5]])
    np.testing.assert_array_equal(activations[2], [[11.5], [24.0]])


def test_backward_pass_of_a_known_network():
    deltas, kernels, biases = two_layers().gradients([[1.0, 1.0], [-1.0, 2.0]], [9.5, 25.0])
    # δ² = 2 (a - y) / 2 = (2, -1); δ¹ = δ² (3, 5) ∘ [z¹ > 0]
    np.testing.assert_array_equal(deltas[1], [[2.0], [-1.0]])
    np.testing.assert_array_equal(deltas[0], [[6.0, 0.0], [-3.0, -5.0]])
    np.testing.assert_array_equal(kernels[1], [[3.5 * 2 - 3.5], [0.0 * 2 - 2.5]])
    np.testing.assert_array_equal(biases[1], [1.0])
    np.testing.assert_array_equal(kernels[0], [[6.0 + 3.0, 0.0 + 5.0], [6.0 - 6.0, 0.0 - 10.0]])
    np.testing.assert_array_equal(biases[0], [3.0, -5.0])


def test_the_penalty_falls_on_kernels_and_on_biases_when_asked():
    network, x, y = two_layers(), [[1.0, 1.0], [-1.0, 2.0]], [9.5, 25.0]
    assert network.loss(x, y) == ((4 + 1) / 2, 0.0)
    # Kernels: Σ|w| = 13, Σw² = 41. Biases: Σ|b| = 2, Σb² = 1.5.
    assert network.loss(x, y, l1=0.5, l2=0.25) == (2.5, 0.5 * 13 + 0.25 * 41)
    loss = network.loss(x, y, l1=0.5, l2=0.25, penalize_bias=True)
    assert loss.penalty == 0.5 * 15 + 0.25 * 42.5
    assert loss.total == 2.5 + loss.penalty

    plain = network.gradients(x, y)
    kernels_only = network.gradients(x, y, l1=0.5, l2=0.25)
    both = network.gradients(x, y, l1=0.5, l2=0.25, penalize_bias=True)
    np.testing.assert_array_equal(kernels_only.kernels[1] - plain.kernels[1], [[0.5 + 1.5], [0.5 + 2.5]])
    np.testing.assert_array_equal(kernels_only.biases[0], plain.biases[0])
    np.testing.assert_array_equal(both.biases[0] - plain.biases[0], [0.5 + 0.25, -0.5 - 0.25])
    np.testing.assert_array_equal(both.deltas[0], plain.deltas[0])


def test_the_slope_of_relu_at_zero_and_the_sign_of_zero_are_zero():
    network = DenseNetwork([[[0.0]], [[1.0]]], [[0.0], [0.0]], ["relu", "identity"])
    deltas, kernels, _ = network.gradients([[1.0]], [[-1.0]], l1=7.0)
    assert deltas[1].item() == 2.0
    assert deltas[0].item() == 0.0
    assert kernels[0].item() == 0.0


@pytest.mark.parametrize(
    ("network", "labels", "loss", "kernel"),
    [
        # At zero weights p = 1/K, so E = log K and ∂E/∂W = xᵀ (1/K - y).
        (logistic_regression(2), [1], np.log(2), [[-1.0], [-2.0]]),
        (softmax_regression(2, 4), [1], np.log(4), [[0.5, -1.5, 0.5, 0.5], [1.0, -3.0, 1.0, 1.0]]),
    ],
)
def test_regressions_at_zero_weights(network, labels, loss, kernel):
    assert network.loss([[2.0, 4.0]], labels).data == pytest.approx(loss, rel=1e-15)
    np.testing.assert_allclose(network.gradients([[2.0, 4.0]], labels).kernels[0], kernel, rtol=1e-15)


# Properties


@QUICK
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(HIDDEN), max_size=3),
    st.sampled_from(OUTPUT),
    st.sampled_from(PENALTIES),
)
def test_gradients_equal_central_differences(seed, hidden, output, penalties):
    network, x, y = random_problem(seed, hidden, output)
    pre_activations = network.forward(x).pre_activations
    kinks = [z for z, name in zip(pre_activations, network.activations, strict=True) if name == "relu"]
    assume(all(np.abs(z).min() > 1e-3 for z in kinks))  # across relu's kink a difference is no derivative

    loss, gradient = network.loss_and_gradient(x, y, **penalties)(network.weights)
    assert loss == network.loss(x, y, **penalties).total
    numerical = numerical_gradient(lambda w: network.with_weights(w).loss(x, y, **penalties).total, network.weights)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)


@QUICK
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(HIDDEN), max_size=3), st.sampled_from(OUTPUT))
def test_weights_survive_the_way_to_a_vector_and_back(seed, hidden, output):
    network, x, _ = random_problem(seed, hidden, output)
    other = DenseNetwork([0 * k for k in network.kernels], [0 * b for b in network.biases], network.activations)
    restored = other.with_weights(network.weights)
    np.testing.assert_array_equal(restored.forward(x).activations[-1], network.forward(x).activations[-1])
    np.testing.assert_array_equal(other.weights, 0.0)


def test_the_vector_of_weights_has_the_order_of_keras():
    np.testing.assert_array_equal(two_layers().weights, [1.0, -1.0, 2.0, 1.0, 0.5, -0.5, 3.0, 5.0, 1.0])


def test_a_network_keeps_its_own_copy_of_the_weights():
    kernel = np.ones((2, 1))
    network = DenseNetwork([kernel], [np.zeros(1)], ["sigmoid"])
    kernel[:] = 9.0
    np.testing.assert_array_equal(network.kernels[0], 1.0)


def test_descent_on_a_linear_network_finds_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    network = DenseNetwork([np.zeros((2, 1))], [np.zeros(1)], ["identity"])
    path = gradient_descent(network.loss_and_gradient(x, y), network.weights, learning_rate=0.2, epochs=400)
    design = np.column_stack([x, np.ones(20)])
    solution, *_ = np.linalg.lstsq(design, y, rcond=None)
    np.testing.assert_allclose(path.weights[-1], solution, rtol=1e-9)
    assert path.losses[-1] == pytest.approx(squared_error(design @ solution, y), rel=1e-12)


# Against Keras


@pytest.mark.parametrize("output", OUTPUT)
@pytest.mark.parametrize("hidden", [[], ["relu"], ["tanh", "sigmoid"], ["sigmoid", "identity", "relu", "tanh"]])
@pytest.mark.parametrize("penalties", [PENALTIES[0], PENALTIES[3]])
def test_gradients_equal_those_of_keras_in_float64(hidden, output, penalties):
    tf = pytest.importorskip("tensorflow")
    import keras

    network, x, y = random_problem(7 + len(hidden), hidden, output)
    network.kernels[0][0, 0] = 0.0  # both must take sign(0) = 0
    losses = {
        "identity": keras.losses.MeanSquaredError(dtype="float64"),
        "sigmoid": keras.losses.BinaryCrossentropy(from_logits=True, dtype="float64"),
        "softmax": keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64"),
    }
    penalty = keras.regularizers.L1L2(penalties.get("l1", 0.0), penalties.get("l2", 0.0))
    kernels = [tf.Variable(kernel, dtype=tf.float64) for kernel in network.kernels]
    biases = [tf.Variable(bias, dtype=tf.float64) for bias in network.biases]
    a, logits = tf.constant(x), []
    with tf.GradientTape() as tape:
        for kernel, bias, name in zip(kernels, biases, [*hidden, "linear"], strict=True):
            logits.append(keras.ops.matmul(a, kernel) + bias)
            tape.watch(logits[-1])
            a = keras.activations.get("linear" if name == "identity" else name)(logits[-1])
        data = losses[output](y[:, None] if output == "sigmoid" else y, a)
        penalized = [*kernels, *biases] if penalties.get("penalize_bias") else kernels
        total = data + sum(penalty(w) for w in penalized)

    ours = network.gradients(x, y, **penalties)
    expected = [gradient.numpy() for gradient in tape.gradient(total, [*logits, *kernels, *biases])]
    for actual, theirs in zip([*ours.deltas, *ours.kernels, *ours.biases], expected, strict=True):
        assert theirs.dtype == np.float64
        assert actual.shape == theirs.shape
        assert np.abs(actual - theirs).max() <= 1e-10 * np.abs(theirs).max()
    loss = network.loss(x, y, **penalties)
    assert (loss.data, loss.total) == pytest.approx((float(data), float(total)), rel=1e-12)


# Refusals


@pytest.mark.parametrize(
    ("kernels", "biases", "activations"),
    [
        ([], [], []),
        ([np.ones((2, 1))], [], ["sigmoid"]),
        ([np.ones(2)], [np.ones(1)], ["identity"]),
        ([np.ones((2, 3)), np.ones((2, 1))], [np.ones(3), np.ones(1)], ["relu", "sigmoid"]),
        ([np.ones((2, 3))], [np.ones(1)], ["softmax"]),
        ([np.ones((2, 3))], [np.ones(3)], ["relu", "softmax"]),
        ([np.ones((2, 3)), np.ones((3, 2))], [np.ones(3), np.ones(2)], ["softmax", "softmax"]),
        ([np.ones((2, 3)), np.ones((3, 2))], [np.ones(3), np.ones(2)], ["gelu", "softmax"]),
        ([np.ones((2, 3))], [np.ones(3)], ["relu"]),
        ([np.ones((2, 3))], [np.ones(3)], ["sigmoid"]),
        ([np.ones((2, 1))], [np.ones(1)], ["softmax"]),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(kernels, biases, activations):
    with pytest.raises(ValueError, match=r"Received: (kernels|activations)="):
        DenseNetwork(kernels, biases, activations)


@pytest.mark.parametrize("inputs", [[1.0, 2.0], [[1.0, 2.0, 3.0]], [[[1.0, 2.0]]]])
def test_inputs_of_another_shape_are_refused(inputs):
    with pytest.raises(ValueError, match=r"\(N, 2\)\. Received: inputs="):
        two_layers().forward(inputs)


@pytest.mark.parametrize("weights", [np.zeros(8), np.zeros(10), np.zeros((9, 1))])
def test_a_vector_of_another_length_is_refused(weights):
    with pytest.raises(ValueError, match=r"9 entries\. Received: weights="):
        two_layers().with_weights(weights)

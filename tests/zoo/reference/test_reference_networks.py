from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zoo.reference import (
    Activation,
    BatchNormalization,
    Dense,
    DenseNetwork,
    Flatten,
    Network,
    gradient_descent,
    logistic_regression,
    numerical_gradient,
    softmax_regression,
    squared_error,
)

QUICK = settings(deadline=None, max_examples=50)
HIDDEN = ["identity", "relu", "sigmoid", "tanh"]
OUTPUT = ["identity", "sigmoid", "softmax"]
PENALTIES = [{}, {"l1": 0.03}, {"l2": 0.06}, {"l1": 0.03, "l2": 0.06, "penalize_bias": True}]


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
    found = two_layers().forward([[1.0, 1.0], [-1.0, 2.0]])
    # z¹ = (1 + 2 + 0.5, -1 + 1 - 0.5) and (-1 + 4 + 0.5, 1 + 2 - 0.5)
    x, z1, a1, z2 = found.outputs
    np.testing.assert_array_equal(x, [[1.0, 1.0], [-1.0, 2.0]])
    np.testing.assert_array_equal(z1, [[3.5, -0.5], [3.5, 2.5]])
    np.testing.assert_array_equal(a1, [[3.5, 0.0], [3.5, 2.5]])
    np.testing.assert_array_equal(z2, [[11.5], [24.0]])
    np.testing.assert_array_equal(found.predictions, z2)


def test_backward_pass_of_a_known_network():
    found = two_layers().backward([[1.0, 1.0], [-1.0, 2.0]], [9.5, 25.0])
    # δ² = 2 (a - y) / 2 = (2, -1); δ¹ = δ² (3, 5) ∘ [z¹ > 0]
    at_x, at_z1, at_a1, at_z2 = found.deltas
    np.testing.assert_array_equal(at_z2, [[2.0], [-1.0]])
    np.testing.assert_array_equal(at_a1, [[6.0, 10.0], [-3.0, -5.0]])
    np.testing.assert_array_equal(at_z1, [[6.0, 0.0], [-3.0, -5.0]])
    np.testing.assert_array_equal(at_x, [[6.0, 12.0], [-3.0 + 5.0, -6.0 - 5.0]])
    first, none, second = found.gradients
    np.testing.assert_array_equal(second["kernel"], [[3.5 * 2 - 3.5], [0.0 * 2 - 2.5]])
    np.testing.assert_array_equal(second["bias"], [1.0])
    np.testing.assert_array_equal(first["kernel"], [[6.0 + 3.0, 0.0 + 5.0], [6.0 - 6.0, 0.0 - 10.0]])
    np.testing.assert_array_equal(first["bias"], [3.0, -5.0])
    assert none == {}
    assert found.loss == ((4 + 1) / 2, 0.0)


def test_the_penalty_falls_on_kernels_and_on_biases_when_asked():
    network, x, y = two_layers(), [[1.0, 1.0], [-1.0, 2.0]], [9.5, 25.0]
    assert network.loss(x, y) == ((4 + 1) / 2, 0.0)
    # Kernels: Σ|w| = 13, Σw² = 41. Biases: Σ|b| = 2, Σb² = 1.5.
    assert network.loss(x, y, l1=0.5, l2=0.25) == (2.5, 0.5 * 13 + 0.25 * 41)
    loss = network.loss(x, y, l1=0.5, l2=0.25, penalize_bias=True)
    assert loss.penalty == 0.5 * 15 + 0.25 * 42.5
    assert loss.total == 2.5 + loss.penalty

    plain = network.backward(x, y)
    kernels_only = network.backward(x, y, l1=0.5, l2=0.25)
    both = network.backward(x, y, l1=0.5, l2=0.25, penalize_bias=True)
    np.testing.assert_array_equal(
        kernels_only.gradients[2]["kernel"] - plain.gradients[2]["kernel"], [[0.5 + 1.5], [0.5 + 2.5]]
    )
    np.testing.assert_array_equal(kernels_only.gradients[0]["bias"], plain.gradients[0]["bias"])
    np.testing.assert_array_equal(both.gradients[0]["bias"] - plain.gradients[0]["bias"], [0.5 + 0.25, -0.5 - 0.25])
    np.testing.assert_array_equal(both.deltas[0], plain.deltas[0])


def test_the_slope_of_relu_at_zero_and_the_sign_of_zero_are_zero():
    network = DenseNetwork([[[0.0]], [[1.0]]], [[0.0], [0.0]], ["relu", "identity"])
    found = network.backward([[1.0]], [[-1.0]], l1=7.0)
    assert [delta.item() for delta in found.deltas] == [0.0, 0.0, 2.0, 2.0]
    assert found.gradients[0]["kernel"].item() == 0.0


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
    np.testing.assert_allclose(network.backward([[2.0, 4.0]], labels).gradients[0]["kernel"], kernel, rtol=1e-15)


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
    outputs = network.forward(x).outputs
    kinks = [z for z, name in zip(outputs[1::2], network.activations, strict=True) if name == "relu"]
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
    np.testing.assert_array_equal(restored.forward(x).predictions, network.forward(x).predictions)
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


# State


def normalized() -> Network:
    return Network([Dense(np.ones((2, 1))), BatchNormalization(np.ones(1), np.zeros(1), momentum=0.75)])


def test_a_network_that_was_updated_has_moved_its_moving_statistics_and_nothing_else():
    network, x = normalized(), [[0.0, 0.0], [1.0, 3.0]]
    updated = network.updated(network.forward(x, training=True))
    mean, variance = updated.layers[1].moving
    assert (mean.item(), variance.item()) == (0.25 * 2.0, 0.75 + 0.25 * 4.0)
    assert network.layers[1].moving.mean.item() == 0.0
    np.testing.assert_array_equal(updated.weights, network.weights)
    other = updated.with_weights([1.0, 1.0, 2.0, 5.0])
    assert other.layers[1].moving == (mean, variance)
    np.testing.assert_allclose(other.forward([[0.5, 0.0]]).predictions, 5.0)


def test_penalties_never_fall_on_gamma_and_beta():
    network, x = normalized(), [[0.0, 0.0], [1.0, 3.0]]
    assert network.loss(x, [0.0, 1.0], l1=1.0, l2=1.0, penalize_bias=True).penalty == 2.0 + 2.0
    plain, penalized = (network.backward(x, [0.0, 1.0], l2=strength).gradients[1] for strength in (0.0, 1.0))
    assert plain == penalized


def test_a_dense_network_stays_one_and_a_network_without_weights_has_an_empty_vector():
    assert two_layers().with_weights(np.zeros(9)).activations == ("relu", "identity")
    network = Network([Flatten()])
    assert network.weights.shape == network.with_weights([]).weights.shape == (0,)


# Refusals


@pytest.mark.parametrize(
    ("kernels", "biases", "activations"),
    [
        ([], [], []),
        ([np.ones((2, 1))], [], ["sigmoid"]),
        ([np.ones(2)], [np.ones(1)], ["identity"]),
        ([np.ones((2, 3))], [np.ones(1)], ["softmax"]),
        ([np.ones((2, 3))], [np.ones(3)], ["relu", "softmax"]),
        ([np.ones((2, 3)), np.ones((3, 2))], [np.ones(3), np.ones(2)], ["gelu", "softmax"]),
        ([np.ones((2, 3))], [np.ones(3)], ["relu"]),
        ([np.ones((2, 3)), np.ones((3, 2))], [np.ones(3), np.ones(2)], ["softmax"]),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(kernels, biases, activations):
    with pytest.raises(ValueError, match=r"Received: (\d kernels|kernel=|name=|output=)"):
        DenseNetwork(kernels, biases, activations)


def test_weights_come_from_keras_and_go_back():
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    network = DenseNetwork.from_weights(model.get_weights(), ["tanh", "softmax"])
    x = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(network.forward(x).predictions, model.predict(x, verbose=0), atol=1e-6)
    other = network.with_weights(2 * network.weights + 0.1)
    model.set_weights(other.arrays)
    np.testing.assert_allclose(other.forward(x).predictions, model.predict(x, verbose=0), atol=1e-6)


def test_a_pass_says_which_layer_does_not_fit():
    layers = [Dense(np.ones((2, 3))), Activation("tanh"), Dense(np.ones((2, 1)))]
    with pytest.raises(ValueError, match=r"^Layer 2 \(Dense\): .*\(N, 2\)\. Received: inputs=\(4, 3\)$"):
        Network(layers).forward(np.ones((4, 2)))


@pytest.mark.parametrize("inputs", [[1.0, 2.0], [[1.0, 2.0, 3.0]], [[[1.0, 2.0]]]])
def test_inputs_of_another_shape_are_refused(inputs):
    with pytest.raises(ValueError, match=r"\(N, 2\)\. Received: inputs="):
        two_layers().forward(inputs)


@pytest.mark.parametrize("weights", [np.zeros(8), np.zeros(10), np.zeros((9, 1))])
def test_a_vector_of_another_length_is_refused(weights):
    with pytest.raises(ValueError, match=r"9 entries\. Received: weights="):
        two_layers().with_weights(weights)

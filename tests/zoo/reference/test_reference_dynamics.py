from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from zoo.reference import (
    DenseNetwork,
    chain_gradients,
    momentum_matrix,
    momentum_path,
    momentum_step,
    momentum_velocity,
    relu,
    relu_derivative,
    saturation_interval,
    saturation_width,
    sigmoid,
    sigmoid_derivative,
    sigmoid_gradient_bounds,
    tanh_derivative,
    widest_saturation,
)

QUICK = settings(deadline=None, max_examples=40)


# Momentum


@pytest.mark.parametrize(("momentum", "distance"), [(0.9, 0.0037), (1.0, 0.89), (1.1, 109.0)])
def test_distance_after_100_steps(momentum, distance):
    found = abs(momentum_path(100, momentum=momentum).positions[-1])
    assert found == pytest.approx(distance, rel=0.015)


@QUICK
@given(st.floats(0, 1), st.floats(0.01, 1.0), st.floats(-2, 2), st.floats(-2, 2))
def test_the_path_is_that_of_momentum_steps_on_a_parabola(momentum, rate, position, velocity):
    path = momentum_path(20, momentum=momentum, rate=rate, position=position, velocity=velocity)
    x, v = np.array(position), np.array(velocity)
    for t in range(20):
        assert (path.positions[t], path.velocities[t]) == pytest.approx((float(x), float(v)), rel=1e-9, abs=1e-12)
        x, v = momentum_step(x, v, x, learning_rate=rate, momentum=momentum)


@QUICK
@given(st.floats(-2, 2).filter(lambda mu: abs(abs(mu) - 1) > 0.02), st.floats(0.01, 5).map(lambda r: round(r, 2)))
def test_the_eigenvalues_say_whether_it_converges(momentum, rate):
    if abs(rate - 2 * (1 + momentum)) < 0.02:
        return
    size = np.abs(np.linalg.eigvals(momentum_matrix(momentum, rate=rate))).max()
    assert (size < 1) == (abs(momentum) < 1 and rate < 2 * (1 + momentum))
    np.testing.assert_allclose(np.linalg.det(momentum_matrix(momentum, rate=rate)), momentum, atol=1e-12)


def test_negative_momentum_brakes():
    ends = [abs(momentum_path(100, momentum=mu).positions[-1]) for mu in (0.0, -0.5, -0.9)]
    assert ends == sorted(ends)
    assert abs(momentum_path(100, momentum=-1.0).positions[-1]) > 1  # 0.1 > 2 (1 + μ)
    velocities = momentum_path(30, momentum=-0.9).velocities
    assert (np.sign(velocities[2:]) != np.sign(velocities[1:-1])).sum() > 10  # it changes its sign
    np.testing.assert_array_less(np.linalg.eigvals(momentum_matrix(-0.5)).min(), 0)


@QUICK
@given(st.floats(0, 1), st.floats(0.01, 2), st.floats(-3, 3))
def test_velocities_on_a_steady_slope(momentum, rate, gradient):
    v, found = np.array(0.0), momentum_velocity(np.arange(11), momentum=momentum, learning_rate=rate, gradient=gradient)
    for t in range(11):
        assert found[t] == pytest.approx(float(v), rel=1e-9, abs=1e-12)
        _, v = momentum_step(0.0, v, gradient, learning_rate=rate, momentum=momentum)


def test_the_terminal_velocity_is_the_rate_over_one_minus_the_momentum():
    assert momentum_velocity(np.inf, momentum=0.9, learning_rate=0.1) == pytest.approx(-1.0)
    assert momentum_velocity(500, momentum=0.9, learning_rate=0.1) == pytest.approx(-1.0)
    assert momentum_velocity(7, momentum=1.0, learning_rate=0.1) == pytest.approx(-0.7)


def test_momentum_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="Received: steps=-1"):
        momentum_path(-1, momentum=0.9)
    with pytest.raises(ValueError, match=r"Received: momentum=1\.1"):
        momentum_velocity(3, momentum=1.1, learning_rate=0.1)
    with pytest.raises(ValueError, match="steps=-1"):
        momentum_velocity(-1, momentum=0.9, learning_rate=0.1)


# Saturation


def test_the_widest_interval_of_the_textbook():
    weight, width = widest_saturation()
    assert weight == pytest.approx(6.894, abs=5e-4)
    assert width == pytest.approx(0.447743, abs=5e-7)
    best = optimize.minimize_scalar(
        lambda w: -saturation_width(w), bounds=(4, 100), method="bounded", options={"xatol": 1e-9}
    )
    assert (weight, width) == (pytest.approx(best.x, abs=1e-6), pytest.approx(-best.fun, abs=1e-14))


@QUICK
@given(st.floats(4.001, 500), st.sampled_from([-1, 1]), st.floats(-5, 5))
def test_at_the_ends_of_the_interval_the_gradient_is_handed_back_whole(size, sign, bias):
    w = sign * size
    low, high = saturation_interval(w, bias)
    assert high - low == pytest.approx(float(saturation_width(w)), rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(np.abs(w * sigmoid_derivative(w * np.array([low, high]) + bias)), 1.0, rtol=1e-7)
    assert abs(w) * sigmoid_derivative(w * (low + high) / 2 + bias) >= 1
    assert abs(w) * sigmoid_derivative(w * (high + 0.01) + bias) < 1
    assert abs(w) * sigmoid_derivative(w * (low - 0.01) + bias) < 1


@pytest.mark.parametrize("weight", [0.0, 1.0, -3.999])
def test_small_weights_saturate_everywhere(weight):
    assert saturation_interval(weight) is None
    assert saturation_width(weight) == 0.0


def test_at_weight_four_one_point_is_left():
    assert saturation_interval(4.0, 2.0) == (-0.5, -0.5)


# Chains


@pytest.mark.parametrize(
    ("name", "function", "derivative"),
    [("sigmoid", sigmoid, sigmoid_derivative), ("tanh", np.tanh, tanh_derivative), ("relu", relu, relu_derivative)],
)
def test_chains_have_the_gradients_of_networks_with_one_unit_a_layer(name, function, derivative):
    rng = np.random.default_rng(0)
    weights, biases, value = rng.uniform(0.5, 1.5, 6), rng.uniform(0, 1, 6), 0.7
    found = chain_gradients(weights, biases, value, function, derivative)
    # The last layer's output times 1, held against 0 by the squared error: E = a², so ∂E = 2a ∂a.
    kernels = [[[w]] for w in (*weights, 1.0)]
    network = DenseNetwork(kernels, [[b] for b in (*biases, 0.0)], [name] * 6 + ["identity"])
    passed = network.backward([[value]], [[0.0]])
    twice_a = 2 * passed.forward.predictions.item()
    expected = [gradient["kernel"].item() / twice_a for gradient in passed.gradients[:-1:2]]
    np.testing.assert_allclose(found.weights, expected, rtol=1e-12)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_gradients_of_sigmoid_chains_respect_their_bounds(seed, depth):
    rng = np.random.default_rng(seed)
    weights, biases = rng.normal(scale=2, size=(2, depth))
    found = chain_gradients(weights, biases, float(rng.uniform()), sigmoid, sigmoid_derivative)
    bounds = sigmoid_gradient_bounds(weights)
    assert (np.abs(found.deltas) <= bounds * (1 + 1e-12)).all()
    assert (np.abs(found.weights) <= bounds * (1 + 1e-12)).all()  # the inputs of all layers are in [0, 1]


@pytest.mark.parametrize("depth", [2, 10, 50])
def test_the_first_layer_of_a_deep_chain_gets_a_quarter_to_the_depth(depth):
    assert sigmoid_gradient_bounds(np.ones(depth))[0] == 0.25**depth
    # b = -½ puts every z at 0, where σ' is ¼: the bound is reached.
    found = chain_gradients(np.ones(depth), np.full(depth, -0.5), 0.5, sigmoid, sigmoid_derivative)
    assert found.deltas[0] == 0.25**depth
    # For ReLU with positive weights 1 nothing vanishes.
    assert chain_gradients(np.ones(depth), np.zeros(depth), 0.5, relu, relu_derivative).deltas[0] == 1.0


def test_an_activation_with_a_large_derivative_explodes():
    found = chain_gradients(
        np.ones(20), np.full(20, -0.5), 0.5, lambda x: sigmoid(8 * x), lambda x: 8 * sigmoid_derivative(8 * x)
    )
    assert found.deltas[0] == 2.0**20


def test_chains_refuse_weights_and_biases_of_different_lengths():
    with pytest.raises(ValueError, match=r"Received: weights=\(3,\), biases=\(2,\)"):
        chain_gradients(np.ones(3), np.ones(2), 0.0, sigmoid, sigmoid_derivative)

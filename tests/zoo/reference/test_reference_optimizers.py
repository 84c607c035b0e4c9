from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import SGD, Adagrad, Adam, gradient_descent, momentum_step

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def bowl(w: np.ndarray) -> tuple[float, np.ndarray]:
    """E = Σw², whose gradient is 2w: a step multiplies w by 1 - 2η."""
    return float(np.sum(w**2)), 2.0 * w


# Momentum


def test_two_steps_with_momentum():
    weights, velocity = momentum_step([1.0, 2.0], [0.0, 0.0], [4.0, -4.0], learning_rate=0.25, momentum=0.5)
    np.testing.assert_array_equal(velocity, [-1.0, 1.0])
    np.testing.assert_array_equal(weights, [0.0, 3.0])
    weights, velocity = momentum_step(weights, velocity, [2.0, 8.0], learning_rate=0.25, momentum=0.5)
    np.testing.assert_array_equal(velocity, [-0.5 - 0.5, 0.5 - 2.0])
    np.testing.assert_array_equal(weights, [-1.0, 1.5])


def test_momentum_zero_is_gradient_descent():
    weights, velocity = np.array([3.0, -1.0]), np.zeros(2)
    for _ in range(4):
        weights, velocity = momentum_step(weights, velocity, bowl(weights)[1], learning_rate=0.125, momentum=0.0)
    path = gradient_descent(bowl, [3.0, -1.0], learning_rate=0.125, epochs=4)
    np.testing.assert_array_equal(weights, path.weights[-1])


def test_momentum_steps_equal_those_of_keras():
    tf = pytest.importorskip("tensorflow")
    import keras

    rng = np.random.default_rng(3)
    weights, velocity, gradients = rng.normal(size=(2, 3)), np.zeros((2, 3)), rng.normal(size=(5, 2, 3))
    variable = keras.Variable(weights, dtype="float64")
    # Keras keeps its learning rate in float32, so both rates are powers of two, which float32 holds exactly.
    optimizer = keras.optimizers.SGD(learning_rate=0.125, momentum=0.5)
    for gradient in gradients:
        weights, velocity = momentum_step(weights, velocity, gradient, learning_rate=0.125, momentum=0.5)
        optimizer.apply([tf.constant(gradient)], [variable])
    theirs = keras.ops.convert_to_numpy(variable)
    assert np.abs(weights - theirs).max() <= 1e-10 * np.abs(theirs).max()


@pytest.mark.parametrize(
    "options",
    [{"learning_rate": -0.5}, {"learning_rate": np.nan}, {"momentum": -0.1}, {"momentum": 1.1}, {"momentum": np.nan}],
)
def test_momentum_refuses_options_out_of_range(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value}$"):
        momentum_step([1.0], [0.0], [1.0], **{"learning_rate": 0.1, "momentum": 0.9, **options})


@pytest.mark.parametrize("wrong", ["velocity", "gradient"])
def test_momentum_refuses_arrays_of_another_shape(wrong):
    arrays = {"weights": np.zeros(2), "velocity": np.zeros(2), "gradient": np.zeros(2), wrong: np.zeros((2, 1))}
    with pytest.raises(ValueError, match=rf"Received: weights=\(2,\), {wrong}=\(2, 1\)$"):
        momentum_step(**arrays, learning_rate=0.1, momentum=0.9)


# All of them, step by step against Keras, which rounds every option to float32, even for float64 variables. So the options
# are sums of few powers of two, which float32 holds; with the usual ones the two agree to seven digits.

OPTIMIZERS = {
    "sgd": (SGD(0.125), {}),
    "momentum": (SGD(0.125, momentum=0.875), {"momentum": 0.875}),
    "adagrad": (
        Adagrad(0.25, initial_accumulator=0.125, epsilon=2.0**-23),
        {"initial_accumulator_value": 0.125, "epsilon": 2.0**-23},
    ),
    "adam": (
        Adam(0.0625, beta_1=0.875, beta_2=1 - 2.0**-10, epsilon=2.0**-23),
        {"beta_1": 0.875, "beta_2": 1 - 2.0**-10, "epsilon": 2.0**-23},
    ),
    "adam, large epsilon": (
        Adam(0.0625, beta_1=0.5, beta_2=0.9375, epsilon=0.125),
        {"beta_1": 0.5, "beta_2": 0.9375, "epsilon": 0.125},
    ),
}
USUAL = {"momentum": (SGD(0.01, momentum=0.9), {"momentum": 0.9}), "adagrad": (Adagrad(0.01), {}), "adam": (Adam(), {})}


def largest_difference(ours, options: dict[str, float]) -> float:
    """Relative to the largest weight, over 20 steps with gradients of sizes from 1e-4 to 100."""
    tf = pytest.importorskip("tensorflow")
    import keras

    rng = np.random.default_rng(5)
    weights, scales = rng.normal(size=(3, 4)), np.array([1e-4, 0.1, 1.0, 100.0])
    state = ours.start(weights)
    variable = keras.Variable(weights, dtype="float64")
    theirs = getattr(keras.optimizers, type(ours).__name__)(learning_rate=ours.learning_rate, **options)
    differences = []
    for gradient in rng.normal(size=(20, 3, 4)) * scales:
        weights, state = ours.step(weights, state, gradient)
        theirs.apply([tf.constant(gradient)], [variable])
        expected = keras.ops.convert_to_numpy(variable)
        differences.append(np.abs(weights - expected).max() / np.abs(expected).max())
    return max(differences)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_steps_equal_those_of_keras(case):
    assert largest_difference(*OPTIMIZERS[case]) <= 1e-12


@pytest.mark.parametrize("case", USUAL)
def test_with_the_usual_options_too_but_for_their_rounding(case):
    assert largest_difference(*USUAL[case]) <= 1e-6


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_step_changes_nothing_in_place(case):
    optimizer = OPTIMIZERS[case][0]
    weights, gradient = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    state = optimizer.start(weights)
    once = optimizer.step(weights, state, gradient)
    again = optimizer.step(weights, state, gradient)
    np.testing.assert_array_equal(once[0], again[0])
    np.testing.assert_array_equal(weights, [1.0, -2.0])


def test_two_steps_of_adagrad_by_hand():
    adagrad = Adagrad(1.0, initial_accumulator=0.0, epsilon=1e-300)
    weights, accumulator = adagrad.step([0.0], adagrad.start([0.0]), [3.0])
    np.testing.assert_allclose((weights, accumulator), ([-1.0], [9.0]))
    weights, accumulator = adagrad.step(weights, accumulator, [4.0])
    np.testing.assert_allclose((weights, accumulator), ([-1.8], [25.0]))


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-3, 1e3), st.sampled_from([-1.0, 1.0]), st.integers(1, 30))
def test_adam_walks_at_its_rate_whatever_the_size_of_a_steady_gradient(size, sign, steps):
    adam, weights = Adam(0.5, epsilon=1e-12), np.zeros(1)
    state = adam.start(weights)
    for _ in range(steps):
        weights, state = adam.step(weights, state, [sign * size])
    np.testing.assert_allclose(weights, -sign * 0.5 * steps, rtol=1e-6)
    assert state.steps == steps


def test_adam_is_the_papers_algorithm_but_for_the_place_of_epsilon():
    rng = np.random.default_rng(2)
    adam, w, epsilon = Adam(0.1, epsilon=1e-3), np.zeros(3), 1e-3
    state, m, v = adam.start(w), np.zeros(3), np.zeros(3)
    for t, g in enumerate(rng.normal(size=(6, 3)), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        correction = np.sqrt(1 - 0.999**t)
        expected = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v) / correction + epsilon / correction)
        w, state = adam.step(w, state, g)
        np.testing.assert_allclose(w, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: SGD(0.0), "learning_rate=0.0"),
        (lambda: SGD(0.1, momentum=1.5), "momentum=1.5"),
        (lambda: Adagrad(np.nan), "learning_rate=nan"),
        (lambda: Adagrad(0.1, epsilon=0.0), "epsilon=0.0"),
        (lambda: Adagrad(0.1, initial_accumulator=-1.0), "initial_accumulator=-1.0"),
        (lambda: Adam(epsilon=-1.0), "epsilon=-1.0"),
        (lambda: Adam(beta_1=1.0), "beta_1=1.0, beta_2=0.999"),
    ],
)
def test_optimizers_refuse_options_out_of_range(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        make()


@pytest.mark.parametrize("optimizer", [Adagrad(0.1), Adam()])
def test_optimizers_refuse_gradients_of_another_shape(optimizer):
    with pytest.raises(ValueError, match=r"Received: weights=\(2,\), gradient=\(2, 1\)$"):
        optimizer.step(np.zeros(2), optimizer.start(np.zeros(2)), np.zeros((2, 1)))

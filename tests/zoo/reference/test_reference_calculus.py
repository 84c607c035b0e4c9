from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, special

from zoo.reference import (
    Bump,
    derivative_pairing,
    heaviside,
    integral,
    log_softmax,
    log_softmax_jacobian,
    log_softmax_vjp,
    numerical_gradient,
    one_hot,
    pairing,
    relu,
    relu_derivative,
    sigmoid,
    sigmoid_derivative,
    softmax,
    softmax_jacobian,
    softmax_limit,
    softmax_vjp,
    tanh_derivative,
)

QUICK = settings(deadline=None, max_examples=30)
LOGITS = hnp.arrays(np.float64, st.integers(1, 8), elements=st.floats(-30, 30))


# Activations


@QUICK
@given(hnp.arrays(np.float64, st.integers(1, 5), elements=st.floats(-5, 5)))
def test_derivatives_equal_central_differences(x):
    x = np.where(np.abs(x) < 1e-3, 1.0, x)  # not across the kink of relu
    for function, derivative in [(sigmoid, sigmoid_derivative), (np.tanh, tanh_derivative), (relu, relu_derivative)]:
        numerical = numerical_gradient(lambda v, f=function: float(f(v).sum()), x)
        np.testing.assert_allclose(derivative(x), numerical, rtol=1e-7, atol=1e-9)


def test_derivatives_where_they_are_largest_and_far_out():
    assert sigmoid_derivative(0.0) == 0.25
    assert tanh_derivative(0.0) == 1.0
    # exp(-|z|) but for the last digits, where σ (1 - σ) is 0
    np.testing.assert_allclose(sigmoid_derivative([-50.0, 50.0, 700.0]), np.exp([-50.0, -50.0, -700.0]), rtol=1e-14)
    np.testing.assert_allclose(tanh_derivative(30.0), 4 * np.exp(-60.0), rtol=1e-14)


def test_heaviside_is_the_slope_of_relu_with_either_value_at_zero():
    np.testing.assert_array_equal(heaviside([-2.0, 0.0, 3.0]), [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(relu_derivative([-2.0, 0.0, 3.0]), [0.0, 0.0, 1.0])


@QUICK
@given(st.floats(-4, 4))
def test_relu_is_x_times_heaviside_and_its_integral(x):
    assert relu(x) == x * heaviside(x)
    np.testing.assert_allclose(integral(heaviside, -5.0, x), relu(x), rtol=1e-12, atol=1e-14)


def test_a_steep_sigmoid_tends_to_heaviside():
    x = np.array([-1.0, -0.1, 0.0, 0.1, 1.0])
    errors = [np.abs(sigmoid(k * x) - heaviside(x)).max() for k in (1, 10, 100, 1000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-40


# Softmax


@QUICK
@given(LOGITS)
def test_jacobians_are_the_derivatives(z):
    columns = np.eye(len(z)) * 1e-6
    for function, jacobian in [(softmax, softmax_jacobian), (log_softmax, log_softmax_jacobian)]:
        numerical = np.stack([(function(z + e) - function(z - e)) / 2e-6 for e in columns], axis=-1)
        np.testing.assert_allclose(jacobian(z), numerical, atol=1e-7)


@QUICK
@given(LOGITS)
def test_the_softmax_jacobian_is_diag_p_minus_p_p_transposed(z):
    p, jacobian = softmax(z), softmax_jacobian(z)
    np.testing.assert_allclose(jacobian, np.diag(p) - np.outer(p, p), atol=1e-16)
    np.testing.assert_allclose(jacobian.sum(axis=-1), 0.0, atol=1e-15)
    np.testing.assert_array_equal(jacobian, jacobian.T)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_vector_jacobian_products_equal_the_products_with_the_jacobian(seed, classes):
    z, v = np.random.default_rng(seed).normal(size=(2, 3, 4, classes))
    for vjp, jacobian in [(softmax_vjp, softmax_jacobian), (log_softmax_vjp, log_softmax_jacobian)]:
        np.testing.assert_allclose(vjp(z, v), np.einsum("...ij,...i->...j", jacobian(z), v), atol=1e-14)


def test_vector_jacobian_products_equal_those_of_keras():
    tf = pytest.importorskip("tensorflow")
    z, v = np.random.default_rng(1).normal(size=(2, 5, 7))
    x = tf.constant(z)
    for function, vjp in [(tf.nn.softmax, softmax_vjp), (tf.nn.log_softmax, log_softmax_vjp)]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        theirs = tape.gradient(y, x, output_gradients=tf.constant(v)).numpy()
        assert np.abs(vjp(z, v) - theirs).max() <= 1e-12 * np.abs(theirs).max()


def test_the_cross_entropy_gives_p_minus_y():
    z, y = np.array([0.5, -1.0, 2.0]), one_hot(1, 3)
    np.testing.assert_allclose(log_softmax_vjp(z, -y), softmax(z) - y, atol=1e-15)


def test_the_product_without_the_jacobian_needs_no_matrix():
    z, v = np.random.default_rng(0).normal(size=(2, 2000))

    def peak(function):
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(lambda: softmax_vjp(z, v)) < 20 * z.nbytes
    assert peak(lambda: softmax_jacobian(z).T @ v) >= len(z) * z.nbytes


@QUICK
@given(LOGITS, st.floats(-1e3, 1e3))
def test_softmax_does_not_see_a_translation(z, shift):
    np.testing.assert_allclose(softmax(z + shift), softmax(z), rtol=1e-11)


@QUICK
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6))
def test_limits_of_scaled_logits(logits):
    z = np.array(logits, dtype=float)  # gaps are 0 or at least 1
    np.testing.assert_allclose(softmax(1000 * z), softmax_limit(z), atol=1e-300)
    np.testing.assert_allclose(softmax(1e-12 * z), 1 / len(z), rtol=1e-10)


def test_products_refuse_a_vector_of_another_shape():
    for vjp in (softmax_vjp, log_softmax_vjp):
        with pytest.raises(ValueError, match=r"Received: vector=\(3, 1\), logits=\(3,\)"):
            vjp(np.zeros(3), np.zeros((3, 1)))


# Distributions


@QUICK
@given(st.floats(-1.5, 1.5), st.floats(0.2, 3.0))
def test_the_derivatives_of_relu_and_heaviside_as_distributions(center, radius):
    bump = Bump(center, radius)
    np.testing.assert_allclose(derivative_pairing(relu, bump), pairing(heaviside, bump), atol=1e-12)
    np.testing.assert_allclose(derivative_pairing(heaviside, bump), float(bump(0.0)), atol=1e-12)  # H' = δ


def test_a_smooth_function_has_its_own_derivative():
    bump = Bump(0.3, 1.2)
    np.testing.assert_allclose(derivative_pairing(np.sin, bump), pairing(np.cos, bump), atol=1e-14)


def test_the_derivative_of_a_jump_elsewhere_is_a_shifted_delta():
    bump = Bump(0.0, 2.0)
    value = derivative_pairing(lambda x: 3.0 * heaviside(x - 0.7), bump, breaks=(0.7,))
    np.testing.assert_allclose(value, 3.0 * float(bump(0.7)), atol=1e-12)


@QUICK
@given(st.floats(-2, 2), st.floats(0.1, 3), st.floats(-3, 3))
def test_the_bump_is_smooth_and_vanishes_outside(center, radius, x):
    bump = Bump(center, radius)
    if abs(x - center) >= radius:
        assert bump(x) == bump.derivative(x) == 0.0
    numerical = numerical_gradient(lambda v: float(bump(v)), x, epsilon=1e-6 * radius)
    np.testing.assert_allclose(bump.derivative(x), numerical, atol=1e-7 / radius)


def test_integrals_equal_those_of_scipy():
    np.testing.assert_allclose(
        integral(lambda x: np.exp(-(x**2)), -3.0, 2.0), integrate.quad(lambda x: np.exp(-x * x), -3, 2)[0]
    )
    np.testing.assert_allclose(integral(np.exp, 1.0, 0.0), 1 - np.e)
    np.testing.assert_allclose(integral(sigmoid, -40.0, 1.0), -special.log_expit(-1.0))
    assert integral(np.exp, 1.0, 1.0) == 0.0


def test_quadrature_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="Received: num_points=0"):
        integral(np.exp, 0.0, 1.0, num_points=0)
    with pytest.raises(ValueError, match="Received: radius=0"):
        Bump(radius=0.0)

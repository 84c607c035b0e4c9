from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import (
    DenseNetwork,
    interpolating_network,
    reduce_softmax,
    reduced_softmax,
    region_boundaries,
    sigmoid,
    sigmoid_from_softmax,
    softmax,
    tanh_network,
)

QUICK = settings(deadline=None, max_examples=30)
SEEDS = st.integers(0, 2**32 - 1)


def random_network(rng: np.random.Generator, sizes: list[int], activations: list[str]) -> DenseNetwork:
    kernels = [rng.normal(size=shape) for shape in pairwise(sizes)]
    return DenseNetwork(kernels, [rng.normal(size=units) for units in sizes[1:]], activations)


# Sigmoid and tanh


@QUICK
@given(SEEDS, st.integers(1, 40))
def test_a_sigmoid_network_is_a_tanh_network(seed, hidden):
    rng = np.random.default_rng(seed)
    network = random_network(rng, [3, hidden, 2], ["sigmoid", "identity"])
    other, x = tanh_network(network), rng.normal(size=(20, 3))
    assert other.activations == ("tanh", "identity")
    np.testing.assert_array_equal(other.kernels[0], network.kernels[0] / 2)
    np.testing.assert_array_equal(other.biases[0], network.biases[0] / 2)
    np.testing.assert_array_equal(other.kernels[1], network.kernels[1] / 2)
    np.testing.assert_allclose(other.biases[1], network.biases[1] + network.kernels[1].sum(axis=0) / 2, rtol=1e-14)
    assert np.abs(other.forward(x).predictions - network.forward(x).predictions).max() <= 1e-14 * max(1, hidden / 4)


@QUICK
@given(SEEDS, st.lists(st.sampled_from(["sigmoid", "relu", "tanh", "identity"]), min_size=0, max_size=4))
def test_deep_networks_keep_their_function_and_lose_their_sigmoids(seed, hidden):
    rng = np.random.default_rng(seed)
    network = random_network(rng, [3, *[4] * len(hidden), 2], [*hidden, "softmax"])
    other, x = tanh_network(network), rng.normal(size=(9, 3))
    assert other.activations == (*("tanh" if name == "sigmoid" else name for name in hidden), "softmax")
    np.testing.assert_allclose(other.forward(x).predictions, network.forward(x).predictions, atol=1e-12)


# Softmax


@QUICK
@given(SEEDS, st.integers(2, 6))
def test_one_class_of_softmax_needs_no_parameters(seed, classes):
    rng = np.random.default_rng(seed)
    x, kernel, bias = rng.normal(size=(9, 3)), rng.normal(size=(3, classes)), rng.normal(size=classes)
    w, b = reduce_softmax(kernel, bias)
    assert (w.shape, b.shape) == ((3, classes - 1), (classes - 1,))
    np.testing.assert_allclose(reduced_softmax(x @ w + b), softmax(x @ kernel + bias), atol=1e-14)


def test_the_reduced_softmax_by_its_formula():
    z = np.array([0.3, -1.2])
    total = 1 + np.exp(z).sum()
    np.testing.assert_allclose(reduced_softmax(z), [*np.exp(z) / total, 1 / total], rtol=1e-15)


@QUICK
@given(SEEDS)
def test_two_classes_of_softmax_are_a_sigmoid(seed):
    rng = np.random.default_rng(seed)
    network, x, y = (
        random_network(rng, [3, 4, 2], ["tanh", "softmax"]),
        rng.normal(size=(9, 3)),
        rng.integers(2, size=9),
    )
    other = sigmoid_from_softmax(network)
    np.testing.assert_allclose(other.forward(x).predictions[:, 0], network.forward(x).predictions[:, 1], atol=1e-14)
    assert other.loss(x, y).data == pytest.approx(network.loss(x, y).data, rel=1e-12)


def test_other_networks_have_no_sigmoid_to_become():
    with pytest.raises(ValueError, match=r"Received: activations=\('softmax',\), units=3"):
        sigmoid_from_softmax(DenseNetwork([np.ones((2, 3))], [np.ones(3)], ["softmax"]))
    with pytest.raises(ValueError, match=r"Received: kernel=\(3, 1\), bias=\(1,\)"):
        reduce_softmax(np.ones((3, 1)), np.ones(1))


# Regions

KERNEL, BIAS = np.array([[3.0, 1.0, -3.0], [1.0, 3.0, 1.5]]), np.array([1.0, 2.0, 2.0])  # of STUDIES, item 1


def test_the_common_point_of_the_textbook():
    rays = region_boundaries(KERNEL, BIAS)
    assert [ray.classes for ray in rays] == [(0, 1), (0, 2), (1, 2)]
    for ray in rays:
        np.testing.assert_allclose(ray.ends, [[3 / 22, -4 / 11]], rtol=1e-14)
    np.testing.assert_allclose(softmax(rays[0].ends @ KERNEL + BIAS), [[1 / 3] * 3], rtol=1e-14)


def test_probabilities_along_the_rays_and_deep_inside():
    rays = region_boundaries(KERNEL, BIAS)
    for ray in rays:
        outwards = 1 if ray.high == np.inf else -1
        t = (ray.low if outwards == 1 else ray.high) + outwards * np.linspace(0, 50, 30)
        p = softmax(ray.at(t) @ KERNEL + BIAS)
        j, k = ray.classes
        np.testing.assert_allclose(p[:, j], p[:, k], rtol=1e-10)
        assert (np.diff(p[:, j]) >= -1e-12).all()
        np.testing.assert_allclose(p[-1, [j, k]], 0.5, rtol=1e-10)
    for k in range(3):  # far out in the direction that is best for a class against the mean of the others
        inside = 100 * (KERNEL[:, k] - KERNEL.mean(axis=1))
        assert softmax(inside @ KERNEL + BIAS)[k] > 1 - 1e-12


@QUICK
@given(SEEDS, st.integers(2, 8))
def test_boundaries_are_where_the_largest_activation_changes(seed, classes):
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(2, classes)), rng.normal(size=classes)
    boundaries = region_boundaries(kernel, bias)
    for boundary in boundaries:
        low, high = boundary.low, boundary.high
        t = (max(low, min(high, 0) - 9) + min(high, max(low, 0) + 9)) / 2
        a = boundary.at(t) @ kernel + bias
        np.testing.assert_allclose(a[list(boundary.classes)], a.max(), atol=1e-9)
    # Along a straight path, the two classes that change places have a boundary.
    start, end = np.array([-20.0, 0.37]), np.array([20.0, -3.1])
    path = start + np.linspace(0, 1, 2001)[:, None] * (end - start)
    known = {boundary.classes for boundary in boundaries}
    for a, b in pairwise(path @ kernel + bias):
        j, k = sorted((int(a.argmax()), int(b.argmax())))
        if j != k:
            t = (a[j] - a[k]) / (a[j] - a[k] - b[j] + b[k])
            tied = a + t * (b - a)
            if np.sort(tied)[-2] <= tied[j] + 1e-9 and tied.max() <= tied[j] + 1e-9:  # else a third class is between
                assert (j, k) in known


def test_two_classes_have_a_whole_line():
    (line,) = region_boundaries([[1.0, -1.0], [1.0, 1.0]], [0.0, 4.0])
    assert (line.classes, line.low, line.high, line.ends.shape) == ((0, 1), -np.inf, np.inf, (0, 2))
    np.testing.assert_allclose(line.point, [2.0, 0.0])


def test_parallel_activations_have_parallel_boundaries():
    slope = np.array([0.3, 0.7])
    boundaries = region_boundaries(np.outer(slope, [0.0, 1.0, 2.0, 3.0]), [0.0, 0.0, -1.0, -3.0])
    assert [b.classes for b in boundaries] == [(0, 1), (1, 2), (2, 3)]
    assert all(b.ends.size == 0 for b in boundaries)


def test_a_class_that_is_never_largest_has_no_boundary():
    boundaries = region_boundaries([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]], [0.0, 0.0, -1.0])
    assert [b.classes for b in boundaries] == [(0, 1)]
    assert region_boundaries([[1.0, 1.0], [2.0, 2.0]], [0.0, 1.0]) == ()


def test_the_quadratic_pair_decides_at_the_unit_circle():
    angles = np.linspace(0, 6, 25)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for radius, expected in ((0.999, 0), (1.001, 1)):
        activations = np.stack([np.full(25, 8.0), 6 + 2 * (radius * points) ** 2 @ np.ones(2)], axis=1)
        assert (activations.argmax(axis=1) == expected).all()
        np.testing.assert_allclose(softmax(activations)[:, 1], sigmoid(2 * radius**2 - 2), rtol=1e-12)


def test_activations_of_space_are_refused():
    with pytest.raises(ValueError, match=r"Received: kernel=\(3, 2\)"):
        region_boundaries(np.ones((3, 2)), np.ones(2))


# Interpolation


@QUICK
@given(SEEDS, st.integers(1, 40), st.integers(1, 4), st.sampled_from(["relu", "sigmoid"]))
def test_two_layers_pass_through_any_points(seed, points, features, activation):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(points, features)), rng.normal(size=(points, 2))
    network = interpolating_network(x, y, activation=activation)
    assert [kernel.shape for kernel in network.kernels] == [(features, points), (points, 2)]
    np.testing.assert_allclose(network.forward(x).predictions, y, atol=1e-7)


def test_the_hidden_activations_are_triangular():
    x = np.array([[3.0], [-1.0], [0.5], [7.0]])
    order = np.argsort(x[:, 0])
    for activation, options in [("relu", {}), ("sigmoid", {"steepness": 80.0})]:
        network = interpolating_network(x, [1.0, 2.0, 3.0, 4.0], activation=activation, **options)
        matrix = network.forward(x[order]).outputs[2]
        np.testing.assert_allclose(np.triu(matrix, 1), 0.0, atol=1e-15)
        assert (np.diag(matrix) > 0.99).all()
    np.testing.assert_allclose(matrix, np.tril(np.ones((4, 4))), atol=1e-15)  # the sigmoid's, for λ → ∞


def test_relu_gives_the_polyline():
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(-3, 3, 12)), rng.normal(size=12)
    points = np.linspace(x[0], x[-1], 200)
    found = interpolating_network(x[:, None], y).forward(points[:, None]).predictions[:, 0]
    np.testing.assert_allclose(found, np.interp(points, x, y), atol=1e-10)


def test_a_soft_sigmoid_interpolates_too():
    x = np.array([[0.0], [1.0], [2.0]])
    network = interpolating_network(x, [1.0, -1.0, 4.0], activation="sigmoid", steepness=2.0)
    np.testing.assert_allclose(network.forward(x).predictions[:, 0], [1.0, -1.0, 4.0], atol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "received"),
    [
        ([[1.0], [1.0]], [1.0, 2.0], {}, "inputs="),
        ([1.0, 2.0], [1.0, 2.0], {}, r"inputs=\(2,\), targets=\(2,\)"),
        ([[1.0], [2.0]], [1.0], {}, r"inputs=\(2, 1\), targets=\(1,\)"),
        ([[1.0], [2.0]], [1.0, 2.0], {"activation": "tanh"}, "activation='tanh'"),
        ([[1.0], [2.0]], [1.0, 2.0], {"steepness": 0.0}, "activation='relu', steepness=0.0"),
    ],
)
def test_points_that_cannot_be_passed_through_are_refused(inputs, targets, options, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        interpolating_network(inputs, targets, **options)


@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 7, 1 / 3])
def test_three_classes_that_tie_along_a_line_are_all_neighbours_there(scale):
    """The first class is the mean of the next two: rounding must not decide which pairs are found."""
    kernel = scale * np.array([[3.0, 2.0, 4.0, -1.0], [-1.0, 3.0, -5.0, -3.0]])
    bias = scale * np.array([1.0, -2.0, 4.0, -1.0])
    found = {boundary.classes for boundary in region_boundaries(kernel, bias)}
    assert {(0, 1), (0, 2), (1, 2)} <= found

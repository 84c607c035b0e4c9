"""The numbers of the NumPy studies, held against referees that use neither `zoo.reference` nor the studies' own code."""

import functools
import importlib
from itertools import product
from math import exp, prod

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit
from studies.options import StudyOptions

from zoo import reference
from zoo.reporting.study import StudyReport


def findings_of(name, **options):
    """The numbers of a fast run."""
    report = StudyReport(name, "A question?", "study.py", {}, 0, full=False)
    importlib.import_module(f"studies.{name}").run(StudyOptions(fast=True, **options), report)
    return report.findings


@pytest.fixture(scope="module")
def findings():
    """name -> findings of its fast run, each run once."""
    return functools.cache(findings_of)


def test_softmax_regions_common_point_solves_two_linear_equations(findings):
    """a1 = a2: 2x - 2y = 1; a1 = a3: 6x - y/2 = 1."""
    x, y = np.linalg.solve([[2, -2], [6, -0.5]], [1, 1])
    found = findings("softmax_regions")
    assert (found["common_x1"].measured, found["common_x2"].measured) == pytest.approx((x, y), abs=1e-14)
    activations = np.array([3 * x + y + 1, x + 3 * y + 2, -3 * x + 1.5 * y + 2])
    assert np.exp(activations) / np.exp(activations).sum() == pytest.approx([1 / 3] * 3)
    assert 6 + 2 * np.cos(0.3) ** 2 + 2 * np.sin(0.3) ** 2 == pytest.approx(8)


def test_softmax_regions_probabilities_on_the_rays_and_inside():
    study = importlib.import_module("studies.softmax_regions")
    rays = reference.region_boundaries(study.KERNEL, study.BIAS)
    frame = study.along_rays(rays)
    assert np.allclose(frame[["p_first", "p_second", "p_third"]].sum(axis=1), 1)
    for _, of_ray in frame.groupby("ray"):
        assert of_ray["p_third"].is_monotonic_decreasing  # the third class only loses
        assert of_ray["p_first"].iloc[0] == pytest.approx(1 / 3)
    inside = study.inside_regions(rays, study.COMMON)
    for _, of_class in inside.groupby("class"):
        assert of_class["p"].is_monotonic_increasing


def test_momentum_by_an_explicit_loop(findings):
    for mu in (0.9, 1.0, 1.1, 0.0, -0.5, -0.9):
        x, v = 1.0, 0.0
        for _ in range(100):
            v = mu * v - 0.1 * x
            x = x + v
        assert findings("momentum")[f"x_after_100_at_{mu}"].measured == pytest.approx(abs(x), rel=1e-9)


def test_gradient_check_on_a_loss_with_a_known_third_derivative(findings):
    """The central difference of σ's loss log(1 + exp(z)) is off by ε²/6 · σ''(z); the slope -2 follows."""
    z, counts = 0.7, np.array([10.0, 50, 100, 500, 1000])
    errors = [abs((np.logaddexp(0, z + 1 / n) - np.logaddexp(0, z - 1 / n)) * n / 2 - expit(z)) for n in counts]
    s = expit(z)
    assert errors[2] == pytest.approx(abs(s * (1 - s) * (1 - 2 * s)) / 6 / counts[2] ** 2, rel=1e-3)
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert findings("gradient_check")["slope"].measured == pytest.approx(slope, abs=0.01)
    assert findings("gradient_check")["first_layer_largest"].measured == 0


def test_backpropagation_by_hand_is_the_library_and_is_numerical_differentiation():
    study, random = importlib.import_module("studies.backpropagation"), np.random.default_rng(7)
    kernels = [random.normal(size=shape) for shape in ((2, 3), (3, 2), (2, 1))]
    biases = [random.normal(size=n) for n in (3, 2, 1)]
    x, y = random.normal(size=2), random.normal(size=1)
    by_hand = study.dense_by_hand(kernels, biases, x, y)
    found = reference.DenseNetwork(kernels, biases, ["sigmoid", "sigmoid", "identity"]).backward(x[None], y[None])
    for layer in (1, 2, 3):
        np.testing.assert_allclose(by_hand[f"δ{layer}"], found.deltas[2 * layer - 1][0], atol=1e-14)
        np.testing.assert_allclose(by_hand[f"∂E/∂W{layer}"], found.gradients[2 * layer - 2]["kernel"], atol=1e-14)

    weights = {"kernel": random.normal(size=(3, 3, 2)), "kernel_bias": random.normal(size=2)}
    weights |= {"dense": random.normal(size=(8, 3)), "dense_bias": random.normal(size=3)}
    image, target = random.normal(size=(6, 6)), random.random(3)

    def loss(of):
        z = np.array(
            [
                [[(image[i : i + 3, j : j + 3] * of["kernel"][..., f]).sum() for f in (0, 1)] for j in range(4)]
                for i in range(4)
            ]
        )
        a = expit(z + of["kernel_bias"]).reshape(2, 2, 2, 2, 2).max(axis=(1, 3)).ravel()
        return np.mean((expit(a @ of["dense"] + of["dense_bias"]) - target) ** 2)

    by_hand = study.convolution_by_hand(weights, image, target)
    for name, array in weights.items():
        expected = reference.numerical_gradient(lambda w, name=name: loss(weights | {name: w}), array)
        np.testing.assert_allclose(by_hand[f"∂E/∂{name}"], expected, atol=1e-9)


def test_vanishing_gradients_chain_is_the_product_of_slopes(findings):
    a, slopes = 0.5, []
    for _ in range(10):
        a = 1 / (1 + exp(-a))
        slopes.append(a * (1 - a))
    assert findings("vanishing_gradients")["sigmoid_depth_10"].measured == pytest.approx(0.5 * prod(slopes), rel=1e-12)
    assert findings("vanishing_gradients")["steep_depth_10"].measured == pytest.approx(0.5 * 2**10)


def test_vanishing_gradients_widest_interval(findings):
    """Half the interval by a root finder, the widest one by a minimiser: 0.447743 at 6.894."""

    def width(w):
        return 2 * brentq(lambda a: w * expit(w * a) * expit(-w * a) - 1, 0, 5)

    best = minimize_scalar(lambda w: -width(w), bounds=(4.1, 20), method="bounded", options={"xatol": 1e-6})
    found = findings("vanishing_gradients")
    assert found["widest_weight"].measured == pytest.approx(best.x, abs=1e-3) == pytest.approx(6.894, abs=1e-3)
    assert found["widest_interval"].measured == pytest.approx(-best.fun, abs=1e-9) == pytest.approx(0.447743, abs=1e-6)


def test_universal_approximation_relu_is_the_polyline():
    x, y = np.array([-1.0, 0.5, 2.0, 2.5]), np.array([3.0, -1.0, 0.0, 4.0])
    fine = np.linspace(-1, 2.5, 300)
    network = reference.interpolating_network(x[:, None], y)
    np.testing.assert_allclose(network.forward(fine[:, None]).predictions[:, 0], np.interp(fine, x, y), atol=1e-12)


def test_universal_approximation_error_is_that_of_the_polyline(findings):
    study, fine = importlib.import_module("studies.universal_approximation"), np.linspace(-3, 3, 4001)
    x = np.linspace(-3, 3, 16)
    error = np.abs(np.interp(fine, x, np.sin(x)) - np.sin(fine)).max()
    assert study.approximation_error("relu", 16) == pytest.approx(error, rel=1e-6)


def test_textbook_identities_steep_delta_has_a_known_error():
    """⟨σ(kx)', φ⟩ - φ(0) tends to φ''(0)/2 · π²/(3k²), the variance of the logistic distribution; φ'' = -2/e at 0."""
    bump, k = reference.Bump(), 300
    x = np.linspace(-0.3, 0.3, 600_001)
    density = k * expit(k * x) * expit(-k * x)
    error = np.trapezoid(density * bump(x), x) - bump(0.0)
    assert error == pytest.approx(-2 / np.e / 2 * np.pi**2 / 3 / k**2, rel=1e-3)
    assert importlib.import_module("studies.textbook_identities").steep_delta(k) >= abs(error) * (1 - 1e-6)


def test_convolution_arithmetic_by_loops(findings):
    x, k = [1, 2, 3, 4], [1, 0, 2]
    full = [sum(x[m] * k[n - m] for m in range(4) if 0 <= n - m < 3) for n in range(6)]
    assert full == [1, 2, 5, 8, 6, 8] == np.convolve(x, k).tolist()
    size = len(range(0, 256 - 8 + 1, 2))
    size = len(range(0, size - 5 + 1, 5))
    size = len(range(-1, size + 1 - 4 + 1, 1))
    found = findings("convolution_arithmetic")
    assert found["stack_outputs"].measured == size * size * 128 == 73_728
    assert found["stack_weights"].measured == 4 * 4 * 64 * 128 == 131_072
    halves = [(n, p) for n, p in product(range(1, 8), range(7)) if p < n and len(range(-p, 32 + p - n + 1, 2)) == 16]
    assert found["halving_solutions"].measured == len(halves)


def test_stochastic_gradient_takes_its_data_from_a_file(tmp_path):
    random = np.random.default_rng(1)
    t = np.arange(40) % 2
    file = tmp_path / "points.txt"
    file.write_text(
        "".join(f"{a} {b} 1 {c}\n" for (a, b), c in zip(random.normal(size=(40, 2)) + t[:, None], t, strict=True))
    )
    assert findings_of("stochastic_gradient", data=file)["rate_0.1_gap"].measured < 1e-5

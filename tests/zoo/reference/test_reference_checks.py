from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import reference
from zoo.reference import (
    DenseNetwork,
    difference_errors,
    gradient_descent,
    logistic_regression,
    numerical_gradient,
    softmax_regression,
)

FILES = sorted(Path(reference.__file__).parent.glob("*.py"))


def test_numerical_gradient_of_a_known_function():
    # f = w₀² w₁ + sin w₂ at (3, 2, 0), as a row: (2 w₀ w₁, w₀², cos w₂)
    gradient = numerical_gradient(lambda w: w[0, 0] ** 2 * w[0, 1] + np.sin(w[0, 2]), [[3, 2, 0]])
    np.testing.assert_allclose(gradient, [[12.0, 9.0, 1.0]], rtol=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.floats(-3, 3), st.floats(0.01, 0.5))
def test_numerical_gradient_is_the_central_difference(w, epsilon):
    # ((w + ε)³ - (w - ε)³) / 2ε = 3w² + ε² exactly; a one-sided difference would have 3w² + 3wε + ε².
    gradient = numerical_gradient(lambda v: float(v) ** 3, w, epsilon=epsilon)
    np.testing.assert_allclose(gradient, 3 * w**2 + epsilon**2, rtol=1e-9, atol=1e-11)


def test_numerical_gradient_leaves_the_weights_alone():
    weights = np.array([1.0, 2.0])
    numerical_gradient(lambda w: float(w.sum()), weights)
    np.testing.assert_array_equal(weights, [1.0, 2.0])


@pytest.mark.parametrize("epsilon", [0.0, -1e-5, np.nan])
def test_numerical_gradient_refuses_a_step_that_is_none(epsilon):
    with pytest.raises(ValueError, match=f"Received: epsilon={epsilon}$"):
        numerical_gradient(lambda w: float(w.sum()), [1.0], epsilon=epsilon)


# Differences by ε: study 7


def trained(name: str, penalties: dict[str, float]):
    """Loss of one network as a function of its weights, its gradient, and weights near the end of a short training."""
    rng = np.random.default_rng(0)
    x, classes = rng.normal(size=(40, 4)), 2 if name == "logistic" else 3
    y = rng.integers(classes, size=40)
    mlp = DenseNetwork(
        [rng.normal(size=(4, 6)) / 2, rng.normal(size=(6, 3)) / 2], [np.zeros(6), np.zeros(3)], ["tanh", "softmax"]
    )
    network = {"logistic": logistic_regression(4), "softmax": softmax_regression(4, 3), "mlp": mlp}[name]
    function = network.loss_and_gradient(x, y, **penalties)
    start = network.weights + 0.1 * rng.normal(size=network.weights.shape)
    weights = gradient_descent(function, start, learning_rate=0.3, epochs=3).weights[-1]
    return (lambda w: function(w)[0]), function(weights)[1], weights


@pytest.mark.parametrize("penalties", [{}, {"l2": 0.1}, {"l1": 0.1, "l2": 0.1}])
@pytest.mark.parametrize("name", ["logistic", "softmax", "mlp"])
def test_differences_are_below_epsilon_squared(name, penalties):
    loss, gradient, weights = trained(name, penalties)
    smooth = np.flatnonzero(np.abs(weights) > 1e-3)  # a difference across the kink of |w| is no derivative
    assert difference_errors(loss, gradient, weights, epsilons=[1e-3], entries=smooth).item() <= 1e-3**2


@pytest.mark.parametrize("name", ["logistic", "softmax", "mlp"])
def test_the_largest_difference_falls_with_slope_minus_two_until_rounding_wins(name):
    loss, gradient, weights = trained(name, {})
    numbers = np.array([k * 10**i for i in range(6) for k in (1, 5)])
    errors = difference_errors(loss, gradient, weights, epsilons=1 / numbers, entries=range(10 if name == "mlp" else 5))
    smooth = (numbers >= 5) & (numbers <= 1000)
    slope = np.polyfit(np.log(numbers[smooth]), np.log(errors[smooth]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.05)
    assert errors[-1] > errors.min()


def test_difference_errors_refuse_a_gradient_of_another_shape():
    with pytest.raises(ValueError, match=r"Received: weights=\(2,\), gradient=\(2, 1\)$"):
        difference_errors(lambda w: 0.0, np.zeros((2, 1)), np.zeros(2), epsilons=[0.1])


# The package


def test_the_referee_loads_numpy_alone():
    code = "import sys, zoo.reference; print([m for m in ('tensorflow', 'keras', 'scipy', 'matplotlib') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=FILES[0].parents[2]
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["arithmetic", "calculus", "checks", "descent", "dynamics", "equivalences", "optimizers"]
)
def test_examples_in_docstrings_are_true(module):
    result = doctest.testmod(importlib.import_module(f"zoo.reference.{module}"), extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_referee_imports_only_numpy_and_the_standard_library(file):
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {"." * node.level + (node.module or "") for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {
        name
        for name in imported
        if name.split(".")[0] not in {"numpy", *sys.stdlib_module_names}
        and name != "zoo.reference"
        and not name.startswith("zoo.reference.")
    }
    assert not foreign


def test_public_names_exist_and_none_hides_a_module():
    assert all(hasattr(reference, name) for name in reference.__all__)
    assert not {file.stem for file in FILES} & set(reference.__all__)

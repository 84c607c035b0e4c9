from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import reference
from zoo.reference import numerical_gradient

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


# The package


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

"""Curvature against Hessians in closed form."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from inspected_models import KINDS, cnn, images, sparse_loss, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import curvature, plot_curvature


def test_logistic_regression_has_its_closed_form():
    """H = Xᵀ diag(p(1 - p)) X / N + 2·l2 on the weights, X with a column of ones."""
    model = zoo.build("logistic", (3,), 2, l2=2**-4, dtype="float64")
    inputs, labels = images(40, (3,)).astype(np.float64), np.arange(40) % 2
    with unchanged(model):
        found = curvature(model, inputs, labels, tolerance=1e-12)
    design = np.hstack([inputs, np.ones((40, 1))])
    p = model.predict(inputs, verbose=0)
    hessian = design.T @ (p * (1 - p) * design) / 40 + np.diag([2**-3] * 3 + [0.0])
    values, vectors = np.linalg.eigh(hessian)
    np.testing.assert_allclose(found.eigenvalue, values[-1], rtol=1e-10)
    np.testing.assert_allclose(found.stable_rate, 2 / values[-1], rtol=1e-10)
    np.testing.assert_allclose(found.smallest, values[0], rtol=1e-6)
    np.testing.assert_allclose(abs(found.vector @ vectors[:, -1]), 1, rtol=1e-8)
    assert found.converged


def test_gradient_descent_diverges_just_above_the_stable_rate():
    model = zoo.build("logistic", (3,), 2, dtype="float64")
    inputs, labels = images(40, (3,)).astype(np.float64), np.random.default_rng(1).integers(0, 2, 40)
    design, targets = np.hstack([inputs, np.ones((40, 1))]), labels[:, None]

    def slope(w):
        return design.T @ (1 / (1 + np.exp(-design @ w)) - targets) / 40

    w = np.zeros((4, 1))
    for _ in range(3000):
        w -= slope(w)
    model.set_weights([w[:3], w[3]])
    found = curvature(model, inputs, labels, tolerance=1e-10)
    for factor, grows in ((0.98, False), (1.02, True)):
        moved = w + 1e-6 * found.vector[:, None]
        for _ in range(100):
            moved = moved - factor * found.stable_rate * slope(moved)
        assert (np.linalg.norm(moved - w) > 1e-6) == grows


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_all_kinds(kind):
    model = KINDS[kind]()
    with unchanged(model):
        found = curvature(model, images(4), [0, 1, 2, 0], loss=sparse_loss, iterations=4)
    assert np.isfinite(found.eigenvalue)
    assert (np.diff(found.estimates) >= -1e-4 * abs(found.eigenvalue)).all()
    assert found.vector.shape == (sum(int(np.prod(v.shape)) for v in model.trainable_variables),)
    np.testing.assert_allclose(np.linalg.norm(found.vector), 1)


def test_a_small_network_has_the_eigenvalue_of_its_full_hessian():
    model = zoo.build("mlp", (2,), 2, units=(3,), activation="tanh", dtype="float64")
    inputs, labels = images(9, (2,)).astype(np.float64), np.arange(9) % 2
    found = curvature(model, inputs, labels, tolerance=1e-10)
    shapes = [w.shape for w in model.get_weights()]
    start = np.concatenate([w.ravel() for w in model.get_weights()])

    def loss(flat):
        w1, b1, w2, b2 = (
            part.reshape(s)
            for part, s in zip(np.split(flat, np.cumsum([np.prod(s) for s in shapes])[:-1]), shapes, strict=True)
        )
        logits = np.tanh(inputs @ w1 + b1) @ w2 + b2
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(9), labels])

    steps = 1e-4 * np.eye(len(start))
    hessian = np.array(
        [
            [loss(start + a + b) - loss(start + a - b) - loss(start - a + b) + loss(start - a - b) for b in steps]
            for a in steps
        ]
    ) / (4 * 1e-8)
    np.testing.assert_allclose(found.eigenvalue, np.linalg.eigvalsh(hessian)[-1], rtol=1e-5)
    assert found.smallest < 0  # not convex


def test_refuses_and_draws():
    for options in ({"iterations": 0}, {"iterations": 2.5}, {"tolerance": 0}, {"tolerance": float("nan")}):
        ((name, value),) = options.items()
        with pytest.raises(UsageError, match=f"Received: {name}={value}"):
            curvature(cnn(), images(2), [0, 1], **options)
    frozen = cnn()
    frozen.trainable = False
    with pytest.raises(UsageError, match=r"set trainable=True on a layer. Received: a frozen model"):
        curvature(frozen, images(2), [0, 1])
    found = curvature(cnn(), images(2), [0, 1], iterations=5)
    axes = plot_curvature(found).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("products with the Hessian", "eigenvalue")
    assert axes.get_title()


def test_an_embedding_is_a_dense_layer_of_one_hot_tokens():
    """Its gradient is sparse."""
    tokens, labels = np.arange(20).reshape(4, 5) % 7, [0, 1, 2, 0]
    heads = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    embedded = keras.Sequential([keras.Input((5,), dtype="int32"), keras.layers.Embedding(7, 4), *heads])
    copies = [type(layer).from_config(layer.get_config()) for layer in heads]
    dense = keras.Sequential([keras.Input((5, 7)), keras.layers.Dense(4, use_bias=False), *copies])
    dense.set_weights(embedded.get_weights())
    found, expected = curvature(embedded, tokens, labels), curvature(dense, np.eye(7)[tokens], labels)
    np.testing.assert_allclose(found.eigenvalue, expected.eigenvalue, rtol=1e-3)


def test_what_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="not finite"):
        curvature(zoo.build("softmax", (2,), 2), np.full((2, 2), np.nan), [0, 1])

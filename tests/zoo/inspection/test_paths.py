"""Paths of weights: recorded, projected, with the loss around them."""

from __future__ import annotations

import numpy as np
import pytest
from inspected_models import cnn, images, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import StepWeightRecorder, WeightRecorder, optimizer_path, plot_optimizer_path, separator_path
from zoo.reference import categorical_cross_entropy


def trained(recorder, model, inputs, labels, epochs=3):
    data = zoo.DataSplits.from_arrays((inputs, labels), validation=None)
    recipe = zoo.Recipe(epochs=epochs, batch_size=4, optimizer="sgd", learning_rate=0.1)
    zoo.train(model, data, recipe, callbacks=[recorder])
    return recorder.weights


def test_records_epochs_or_steps():
    inputs, labels = images(8, (2,)), np.arange(8) % 2
    models = [zoo.build("logistic", (2,), 2) for _ in range(2)]
    start = np.concatenate([w.ravel() for w in models[0].get_weights()])
    by_epoch = trained(WeightRecorder(), models[0], inputs, labels)
    by_step = trained(StepWeightRecorder(), models[1], inputs, labels)
    assert by_epoch.shape == (4, 3)
    assert by_step.shape == (7, 3)
    np.testing.assert_array_equal(by_epoch[0], start)
    np.testing.assert_allclose(by_step[::2], by_epoch, rtol=1e-6)
    np.testing.assert_array_equal(by_epoch[-1], np.concatenate([w.ravel() for w in models[0].get_weights()]))


def test_slope_and_intercept():
    path = separator_path([[1.0, 2.0, 4.0], [3.0, -1.0, 0.5], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(path.points[:2], [[-0.5, -2.0], [3.0, 0.5]])
    assert np.isinf(path.points[2]).all()
    with pytest.raises(UsageError, match="w1, w2, b"):
        separator_path(np.zeros((3, 2)))
    assert plot_optimizer_path(path).axes[0].get_xlabel() == "slope  -w1/w2"


def test_projects_onto_the_two_principal_directions():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(30, 2)))[0]
    flat = np.cumsum(random.normal(size=(12, 2)) * (3, 1), axis=0)
    path = optimizer_path(flat @ basis.T + 5.0)
    between = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(path.points[:, None] - path.points[None], axis=-1), between, atol=1e-9)
    np.testing.assert_allclose(path.explained.sum(), 1)
    assert path.explained[0] > path.explained[1]
    np.testing.assert_allclose(path.points[-1], 0, atol=1e-12)


def test_the_loss_on_the_plane_is_the_models():
    model, inputs, labels = cnn(), images(8), np.arange(8) % 3
    weights = trained(WeightRecorder(), model, inputs, labels)
    with unchanged(model):
        path = optimizer_path(weights, model=model, inputs=inputs, labels=labels, resolution=3)
    assert path.losses.shape == (3, 3)
    flat = path.origin + path.x[2] * path.directions[0] + path.y[0] * path.directions[1]
    other, place = cnn(), 0
    for variable in other.trainable_variables:
        size = int(np.prod(variable.shape))
        variable.assign(flat[place : place + size].reshape(variable.shape))
        place += size
    logs = np.log(other.predict(inputs, verbose=0))
    np.testing.assert_allclose(path.losses[0, 2], -logs[np.arange(8), labels].mean(), rtol=1e-4)
    assert callable(categorical_cross_entropy)
    axes = plot_optimizer_path(path).axes
    assert axes[0].get_xlabel().startswith("principal direction 1 (")
    assert axes[1].get_ylabel() == "loss"
    assert axes[0].get_title()


def test_two_weights_are_their_own_coordinates_and_a_line_is_a_path():
    path = optimizer_path([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(path.points, [[1, 2], [3, 4]])
    line = optimizer_path(np.outer(np.arange(4.0), [1.0, 2.0, 2.0]))
    np.testing.assert_allclose(np.abs(line.points[0]), [9, 0], atol=1e-9)
    np.testing.assert_allclose(line.directions @ line.directions.T, np.eye(2), atol=1e-12)


def test_refuses():
    with pytest.raises(UsageError, match="finite weights"):
        optimizer_path(np.zeros((1, 5)))
    for resolution in (0, 1, 2.5):
        with pytest.raises(UsageError, match=f"at least 2. Received: resolution={resolution}"):
            optimizer_path(np.eye(5), resolution=resolution)
    with np.errstate(all="ignore"), pytest.raises(UsageError, match="2 points, none of them finite"):
        plot_optimizer_path(separator_path(np.zeros((2, 3))))
    with pytest.raises(UsageError, match="Received: a path of 5 weights"):
        optimizer_path(np.random.default_rng(0).normal(size=(3, 5)), model=cnn(), inputs=images(2), labels=[0, 1])

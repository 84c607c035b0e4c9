"""Decision regions against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from inspected_models import cnn, images, nested, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import decision_plane, decision_regions, plot_decision_regions


@pytest.mark.parametrize("activation", ["softmax", None])
def test_regions_of_a_linear_model(activation):
    model = zoo.build("softmax", (2,), 3, classifier_activation=activation)
    weights = [np.array([[3.0, 1.0, -3.0], [1.0, 3.0, 1.5]]), np.array([1.0, 2.0, 2.0])]
    model.set_weights(weights)
    with unchanged(model):
        found = decision_regions(model, bounds=(-2, 2, -1, 1), resolution=21)
    np.testing.assert_allclose(found.x[[0, -1]], [-2, 2])
    np.testing.assert_allclose(found.y[[0, -1]], [-1, 1])
    logits = np.array([found.x[3], found.y[16]]) @ weights[0] + weights[1]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found.probabilities[16, 3], expected, rtol=1e-5)
    assert found.classes[16, 3] == expected.argmax()


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_unit_gives_two_classes(activation):
    model = zoo.build("logistic", (2,), 2, classifier_activation=activation)
    model.set_weights([np.array([[1.0], [0.0]]), np.array([0.0])])
    found = decision_regions(model, np.array([[-1.0, -1.0], [1.0, 1.0]]), resolution=11)
    assert found.probabilities.shape == (11, 11, 2)
    np.testing.assert_allclose(found.probabilities[..., 1], np.broadcast_to(1 / (1 + np.exp(-found.x)), (11, 11)), 1e-5)
    assert found.x[0] < -1 < 1 < found.x[-1]


@pytest.mark.parametrize("make", [cnn, nested])
def test_the_plane_goes_through_its_images(make):
    model, examples = make(), images(3)
    with unchanged(model):
        found = decision_plane(model, examples, bounds=(0, 1, 0, 1), resolution=3)
    corners = found.probabilities[[0, 0, 2], [0, 2, 0]]
    np.testing.assert_allclose(corners, model.predict(examples, verbose=0), rtol=1e-4)
    middle = model.predict(examples[:1] / 2 + examples[1:2] / 2, verbose=0)[0]
    np.testing.assert_allclose(found.probabilities[0, 1], middle, rtol=1e-4)


def test_refuses():
    with pytest.raises(UsageError, match="three examples"):
        decision_plane(cnn(), images(2))
    with pytest.raises(UsageError, match="give points"):
        decision_regions(zoo.build("softmax", (2,), 3))
    with pytest.raises(UsageError, match="takes batches of inputs"):
        decision_regions(cnn(), np.zeros((3, 2)))


def test_draws():
    points = np.random.default_rng(0).normal(size=(9, 2))
    plane = plot_decision_regions(
        decision_regions(zoo.build("softmax", (2,), 3), points, resolution=20),
        labels=np.arange(9) % 3,
        class_names="abc",
    )
    assert (plane.axes[0].get_xlabel(), plane.axes[0].get_ylabel()) == ("x1", "x2")
    assert [t.get_text() for t in plane.axes[0].get_legend().get_texts()] == ["a", "b", "c"]
    through = plot_decision_regions(decision_plane(cnn(), images(3), resolution=5)).axes[0]
    assert through.get_xlabel().startswith("u:")
    assert through.get_title()
    assert len(through.child_axes) == 3


def test_boundaries_are_where_two_classes_tie():
    """3x1 + x2 + 1, x1 + 3x2 + 2 and -3x1 + 1.5x2 + 2 meet in (3/22, -4/11)."""
    kernel, bias = np.array([[3.0, 1.0, -3.0], [1.0, 3.0, 1.5]]), np.array([1.0, 2.0, 2.0])
    model = zoo.build("softmax", (2,), 3, dtype="float64")
    model.set_weights([kernel, bias])
    regions = decision_regions(model, bounds=(-3, 3, -3, 3), resolution=61)
    plain = plot_decision_regions(regions).axes[0].collections
    drawn = plot_decision_regions(regions, boundaries=True).axes[0].collections
    lines = np.concatenate([path.vertices for found in drawn[: len(drawn) - len(plain)] for path in found.get_paths()])
    logits = np.sort(lines @ kernel + bias, axis=1)
    near = np.linalg.norm(lines - [3 / 22, -4 / 11], axis=1) < 0.15  # in the cell in which three meet, lines are bent
    assert len(lines[~near]) > 100
    np.testing.assert_allclose(logits[~near, 2], logits[~near, 1], atol=1e-9)
    assert np.linalg.norm(lines - [3 / 22, -4 / 11], axis=1).min() < 0.1
    one_class = decision_regions(model, bounds=(2, 3, 0, 1), resolution=5)
    assert len(plot_decision_regions(one_class, boundaries=True).axes[0].collections) == 1  # the legend's square alone


def test_what_is_not_finite_or_no_class_is_refused():
    model = zoo.build("softmax", (2,), 3)
    with pytest.raises(UsageError, match="finite points"):
        decision_regions(model, np.full((2, 2), np.nan), resolution=9)
    for resolution in (0, 2.5):
        with pytest.raises(UsageError, match=f"resolution={resolution}"):
            decision_regions(model, np.eye(2), resolution=resolution)
    with pytest.raises(UsageError, match=r"three examples. Received: shape \(\)"):
        decision_plane(model, 5.0)
    regions = decision_regions(model, np.eye(2), resolution=9)
    for options, words in (
        ({"labels": [0, 7]}, "2 classes from 0 to 2"),
        ({"labels": [0]}, "2 classes from 0 to 2"),
        ({"class_names": ["a", "b"]}, "a name to each of 3"),
    ):
        with pytest.raises(UsageError, match=words):
            plot_decision_regions(regions, **options)

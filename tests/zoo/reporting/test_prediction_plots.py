"""Images with what a model says of them."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.errors import UsageError
from zoo.reporting.prediction_plots import plot_predictions, plot_top_classes


@pytest.fixture(scope="module")
def scored():
    data = zoo.load_dataset("digits", limit=100)
    return zoo.evaluate(zoo.build("softmax", (8, 8, 1), 10), data.test)


def test_each_image_has_its_true_class_and_its_answer_and_mistakes_are_red(scored):
    table = scored.predictions
    right, wrong = np.flatnonzero(table["correct"])[0], np.flatnonzero(~table["correct"])[0]
    figure = plot_predictions(scored, [wrong, right, wrong], columns=2)
    assert len(figure.axes) == 3
    for axes, place in zip(figure.axes, (wrong, right, wrong), strict=True):
        row = table.iloc[place]
        assert axes.get_title() == f"{row['true']}\nanswer: {row['predicted']} ({row['confidence']:.2f})"
        np.testing.assert_array_equal(axes.images[0].get_array(), scored.images[place][..., 0])
    colours = [axes.title.get_color() for axes in figure.axes]
    assert colours[0] == colours[2] != colours[1]


@pytest.mark.parametrize("rows", [[], [-1], [10_000], [0.5]])
def test_rows_that_are_not_there_are_refused(scored, rows):
    with pytest.raises(UsageError, match="rows must be places"):
        plot_predictions(scored, rows)


def test_an_evaluation_of_points_is_refused():
    data = zoo.load_dataset("blobs")
    with pytest.raises(UsageError, match="only images"):
        plot_predictions(zoo.evaluate(zoo.build("softmax", (2,), 2), data.test), [0])


def test_top_classes_are_bars_from_the_most_probable_down():
    scores = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])
    answers = zoo.decode_predictions(scores, top=2, classes=["a", "b", "c"])
    figure = plot_top_classes(np.zeros((2, 4, 4, 3)), answers)
    bars = [axes for axes in figure.axes if axes.patches]
    assert [[bar.get_width() for bar in axes.patches] for axes in bars] == [[0.7, 0.2], [0.6, 0.3]]
    assert [[label.get_text() for label in axes.get_yticklabels()] for axes in bars] == [["b", "c"], ["a", "b"]]
    with pytest.raises(UsageError, match="one answer an image"):
        plot_top_classes(np.zeros((1, 4, 4, 3)), answers)

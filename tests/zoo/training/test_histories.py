"""Several trainings in one picture: what the lines and bands are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.errors import UsageError
from zoo.training.histories import plot_histories


def table(values, **columns) -> pd.DataFrame:
    return pd.DataFrame({"epoch": np.arange(len(values)), "accuracy": values, **columns})


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_a_panel_a_column_and_a_line_a_name():
    tables = {"a": table([0.5, 0.7], loss=[2.0, 1.0]), "b": table([0.6, 0.9, 0.8])}
    figure = plot_histories(tables, {"accuracy": "how often right", "loss": "loss"}, logarithmic=True)
    right, lost = figure.axes
    assert (right.get_xlabel(), right.get_ylabel(), lost.get_ylabel()) == ("epoch", "how often right", "loss")
    assert right.get_yscale() == "log"
    np.testing.assert_array_equal(lines(right)["b"], [[0, 0.6], [1, 0.9], [2, 0.8]])
    assert list(lines(lost)) == ["a"]  # b has no loss
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["a", "b"]


def test_several_tables_are_a_mean_and_a_band_as_far_as_all_go():
    axes = plot_histories({"seeds": [table([0.0, 0.2, 0.9]), table([0.4, 0.8])]}, {"accuracy": "accuracy"}).axes[0]
    np.testing.assert_allclose(lines(axes)["seeds"], [[0, 0.2], [1, 0.5]])
    (band,) = axes.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(9).tolist()}
    assert corners == {(0, 0.0), (0, 0.4), (1, 0.2), (1, 0.8)}


def test_epochs_without_a_validation_do_not_break_the_line():
    given = table([np.nan, 0.5, np.nan, 0.6] * 20)
    drawn = lines(plot_histories({"a": given}, {"accuracy": "accuracy"}).axes[0])["a"]
    np.testing.assert_array_equal(drawn[:, 0], np.arange(1, 80, 2))
    assert np.isfinite(drawn).all()


def test_the_epochs_of_a_run_are_counted_from_one():
    data = zoo.load_dataset("blobs", limit=60)
    recipes = [zoo.Recipe(epochs=2), zoo.Recipe(epochs=3)]
    run = zoo.train(zoo.build("softmax", data.input_shape, data.num_classes), data, recipes, verbose=False)
    drawn = lines(plot_histories({"run": run.history}, {"loss": "loss"}).axes[0])["run"]
    np.testing.assert_array_equal(drawn[:, 0], [1, 2, 3, 4, 5])


def test_the_eleventh_line_is_not_the_first_again():
    drawn = plot_histories({str(k): table([k, k]) for k in range(11)}, {"accuracy": "accuracy"}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == 11


def test_refuses_what_it_cannot_draw():
    shifted = table([0.1, 0.2]).assign(epoch=[3, 4])
    for tables, columns, message in (
        ({"a": table([0.1])}, {}, "name the columns"),
        ({"a": table([0.1])}, {"loss": "loss"}, "no table has the columns 'epoch' and 'loss'"),
        ({}, {"loss": "loss"}, "no table has"),
        ({"seeds": [table([0.1, 0.2]), shifted]}, {"accuracy": "accuracy"}, "'seeds' were not measured at the same"),
    ):
        with pytest.raises(UsageError, match=message):
            plot_histories(tables, columns)

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
from report_examples import make_run, make_search

from zoo.drawing import figure_png, figure_svg
from zoo.reporting.figures import plot_search
from zoo.training.curves import curve_figures, plot_curves


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_curves_are_labelled_and_show_train_and_validation():
    loss, accuracy, rate = plot_curves(make_run()).axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("step", "loss")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy")
    assert (rate.get_xlabel(), rate.get_ylabel()) == ("epoch", "learning rate")
    assert {"train, each step", "validation"} <= set(legend_of(loss))
    assert legend_of(accuracy) == ["train", "validation"]


def test_epochs_count_on_across_phases():
    np.testing.assert_array_equal(plot_curves(make_run()).axes[1].lines[0].get_xdata(), [1, 2, 3, 4])


def test_a_run_without_validation_has_no_validation_curve():
    loss, accuracy, _ = plot_curves(make_run(validation=False)).axes
    assert "validation" not in legend_of(loss)
    assert legend_of(accuracy) == ["train"]


def test_an_exploding_step_does_not_flatten_the_rest():
    run = make_run()
    run.steps.loc[5, "loss"] = 1e9
    run.steps.loc[6, "loss"] = np.inf
    assert plot_curves(run).axes[0].get_ylim()[1] < 10


def test_a_run_that_recorded_nothing_gives_a_figure():
    run = make_run()
    run = dataclasses.replace(
        run, steps=run.steps.head(0), validations=run.validations.head(0), history=run.history.head(0)
    )
    assert curve_figures(run) == {}
    assert figure_png(plot_curves(run)).startswith(b"\x89PNG")


def test_best_so_far_never_falls_and_skips_failed_trials():
    lines = plot_search(make_search()).axes[0].lines
    np.testing.assert_array_equal(lines[1].get_ydata(), [0.5, 0.9, 0.9])
    np.testing.assert_array_equal(plot_search(make_search(direction="min")).axes[0].lines[1].get_ydata(), [0.5] * 3)


def test_svg_is_one_well_formed_element_and_an_objective_is_no_formula():
    search = dataclasses.replace(make_search(), objective=r"$\broken <b>")
    before = dict(mpl.rcParams)
    svg = figure_svg(plot_search(search))
    assert ET.fromstring(svg).tag.endswith("svg")
    assert "<b>" not in svg
    assert "currentColor" in svg
    assert dict(mpl.rcParams) == before


def test_trials_stand_at_their_numbers_or_else_in_their_order():
    search = make_search()
    np.testing.assert_array_equal(plot_search(search).axes[0].lines[0].get_xdata(), [0, 1, 2])
    named = dataclasses.replace(search, table=search.table.assign(trial=["a", "b", "c", "d"]))
    np.testing.assert_array_equal(plot_search(named).axes[0].lines[0].get_xdata(), [1, 2, 3])

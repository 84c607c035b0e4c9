"""What the studies of the tuned CNN compute by themselves, held against SciPy and numbers by hand."""

import importlib

import numpy as np
import pandas as pd
import pytest
import study
from scipy import stats
from studies import tuned_cnn
from studies.options import StudyOptions

import tuning
import zoo
from zoo.reporting.study import StudyReport


def of(name):
    return importlib.import_module(f"studies.{name}")


def report():
    return StudyReport("name", "A question?", "command", {}, 0)


def scores_of(groups):
    rows = [{"group": name, "seed": seed, "score": x} for name, xs in groups.items() for seed, x in enumerate(xs)]
    return zoo.compare(pd.DataFrame(rows), groups="group", units="seed")


def test_the_constants_are_a_cell_of_the_grid_and_its_network_has_dropout_and_l2():
    grid = of("cnn_grid_search").GRID
    assert set(tuned_cnn.WINNER) == set(grid)
    assert all(value in grid[name] for name, value in tuned_cnn.WINNER.items())
    options, recipe = tuned_cnn.winner(StudyOptions(seed=3))
    assert {
        **options,
        "schedule": recipe.schedule,
        "learning_rate": recipe.learning_rate,
    }.items() >= tuned_cnn.WINNER.items()
    assert recipe.seed == 3
    assert recipe.optimizer == "sgd"
    assert recipe.momentum == 0  # plain
    assert min(options["dropout"], options["l2"]) > 0


def test_difference_is_a_paired_t_interval_whichever_group_is_better():
    a, b = np.array([0.97, 0.98, 0.99, 0.96]), np.array([0.95, 0.97, 0.95, 0.95])
    found, (low, high) = scores_of({"a": a, "b": b}), stats.ttest_rel(a, b).confidence_interval()
    text, *numbers = tuned_cnn.difference(found, "a", "b")
    assert numbers == pytest.approx([np.mean(a - b), low, high])
    assert ("cannot be told apart" in text) == (low <= 0 <= high)
    assert tuned_cnn.difference(found, "b", "a")[1:] == pytest.approx((-np.mean(a - b), -high, -low))
    clear = scores_of({"a": a, "b": a - 0.1 - 0.001 * np.arange(4)})
    assert tuned_cnn.difference(clear, "a", "b")[0].endswith("a is better.")
    assert tuned_cnn.difference(clear, "b", "a")[0].endswith("a is better.")
    assert "tells nothing" in tuned_cnn.difference(scores_of({"a": a[:1], "b": b[:1]}), "a", "b")[0]


def test_an_axis_of_the_grid_is_judged_by_cells_that_differ_in_nothing_else():
    """The effect of the schedule is the mean of the differences at the same rate, by hand."""
    cells = pd.DataFrame(
        {
            "schedule": ["constant"] * 3 + ["cosine"] * 3,
            "learning_rate": [0.1, 0.3, 1.0] * 2,
            "score": [0.90, 0.92, 0.91, 0.93, 0.96, 0.94],
        }
    )
    filled = report()
    of("cnn_grid_search").answer_axis(filled, cells, "schedule", ["learning_rate"])
    assert filled.findings["schedule_effect"].measured == pytest.approx((0.03 + 0.04 + 0.03) / 3)
    of("cnn_grid_search").answer_axis(filled, cells, "learning_rate", ["schedule"])
    assert filled.findings["learning_rate_effect"].measured == pytest.approx(0.94 - 0.915)


def test_grid_search_folds_are_scored_by_cross_validation(tmp_path):
    assert study.main(["run", "cnn_grid_search", "--fast", "--set", "folds=2", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "cnn_grid_search-cut" / "index.html").read_text(encoding="utf-8")
    assert "450 images to validate on" in text  # every image of the cut is validated on once


@pytest.mark.parametrize("setting", ["folds=0", "folds=True", "folds=two", "fold=5"])
def test_grid_search_names_a_bad_setting(tmp_path, capsys, setting):
    assert study.main(["run", "cnn_grid_search", "--set", setting, "--output", str(tmp_path / "out")]) != 0
    assert "--set folds=K" in capsys.readouterr().err


def test_a_started_space_begins_every_trial_with_the_given_weights(tmp_path):
    """At a rate of next to nothing the search scores what the given weights score."""
    data = zoo.load_dataset("digits", limit=450, validation=1 / 3)
    trained = tuned_cnn.fit(data, tuned_cnn.SMALL, zoo.Recipe(learning_rate=0.01, epochs=3, batch_size=16))
    values = {**tuned_cnn.fixed(tuned_cnn.SMALL), "l1": [0.0], "learning_rate": [1e-30]}
    recipe = zoo.Recipe(optimizer="sgd", epochs=1, seed=7)
    space = of("l1_vs_l2").StartedSpace("cnn", data.input_shape, data.num_classes, values=values, recipe=recipe)
    space.start = trained.model.get_weights()
    result = tuning.search(space, data, method="grid", directory=tmp_path / "search", verbose=False)
    assert result.best_score == pytest.approx(trained.metrics["val_accuracy"])
    for given, found in zip(trained.model.get_weights(), result.best_model().get_weights(), strict=True):
        np.testing.assert_array_equal(found, given)


def test_the_model_of_a_search_is_what_its_seed_trains():
    """So that the search's own seed need not be trained again."""
    data = zoo.load_dataset("digits", limit=450, validation=1 / 3)
    options, recipe = tuned_cnn.winner(StudyOptions(fast=True, seed=5))
    plain = {name: value for name, value in options.items() if name != "l2"}
    values = {**tuned_cnn.fixed(plain), "l1": [1e-4], "learning_rate": [recipe.learning_rate]}
    setting, model = of("l1_vs_l2").best_setting(data, "l1", recipe, values, None, verbose=False)
    again = tuned_cnn.fit(data, {**plain, "l1": setting.strength}, recipe)
    for found, expected in zip(model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (setting.name, setting.rate, setting.at_edge) == ("L1, random start", recipe.learning_rate, True)


def test_optimizers_first_epoch_counts_from_one():
    history = pd.DataFrame({"val_accuracy": [0.90, 0.97, 0.96, 0.98]})
    first_epoch = of("optimizers").first_epoch
    assert [first_epoch(history, accuracy) for accuracy in (0.5, 0.97, 0.975)] == [1, 2, 4]
    assert np.isnan(first_epoch(history, 0.99))


def test_batch_normalization_good_rates_are_those_within_a_point():
    cells = pd.DataFrame({"learning_rate": [0.1, 0.3, 1.0], "score": [0.95, 0.945, 0.93]})
    assert of("batch_normalization").good_rates(cells, 0.952) == [0.1, 0.3]
    assert of("batch_normalization").listed([]) == "none"

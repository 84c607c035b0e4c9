"""Regret at equal cost, against loops over small tables."""

import numpy as np
import pandas as pd
import pytest

import tuning
import zoo
from tuning.regret import compare_regrets, recorded_grid, regret_at, reordered, with_regret
from tuning.replay import RecordedGrid, load_recorded, replay

VALUES = {"l2": [0.0, 0.01], "learning_rate": [0.001, 0.1, 1.0]}


@pytest.fixture
def grid():
    curves = np.array([[0.1, 0.2], [0.5, 0.6], [0.7, 0.9], [0.2, 0.1], [0.8, 0.7], [np.nan, np.nan]])
    return RecordedGrid(VALUES, "val_accuracy", "max", curves, np.ones_like(curves), {})


@pytest.mark.parametrize("names", [["l2", "learning_rate"], ["learning_rate", "l2"]])
def test_reordered_cells_keep_their_curves(grid, names):
    other = reordered(grid, names)
    assert list(other.parameters) == names
    for cell in range(6):
        np.testing.assert_array_equal(other.curves[other.cell(grid.values(cell))], grid.curves[cell])


def test_reordered_a_grid_search_varies_the_last_parameter_first(grid):
    trials = replay("grid", reordered(grid, ["learning_rate", "l2"]))
    assert trials["l2"].tolist() == [0.0, 0.01] * 3


def test_reordered_refuses_other_names(grid):
    with pytest.raises(zoo.UsageError, match="l2"):
        reordered(grid, ["l2", "units"])


def test_with_regret_is_that_of_replay():
    recorded = load_recorded()
    for method in ("random", "halving"):
        trials = replay(method, recorded, budget=0.05, seed=4)
        live = trials.drop(columns=["epochs", "spent", "regret"]).assign(epochs=trials["cost"])
        pd.testing.assert_frame_equal(with_regret(live, recorded)[["spent", "regret"]], trials[["spent", "regret"]])


def test_with_regret_by_hand(grid):
    table = pd.DataFrame(
        {"l2": [0.01, 0.01, 0.0, 0.0], "learning_rate": [1.0, 0.1, 0.1, 1.0], "score": [np.nan, 0.7, 0.6, 0.9]}
    )
    found = with_regret(table.assign(epochs=[1, 2, 2, 2]), grid)
    assert found["spent"].tolist() == [1, 3, 5, 7]
    np.testing.assert_allclose(found["regret"], [np.nan, 0.2, 0.2, 0.0])


def test_regret_at_is_that_of_the_last_trial_that_has_ended():
    trials = pd.DataFrame({"spent": [3, 4, 9], "regret": [0.5, 0.7, 0.1]})
    np.testing.assert_array_equal(regret_at(trials, [2, 3, 3.5, 4, 8, 9, 100]), [np.nan, 0.5, 0.5, 0.7, 0.7, 0.1, 0.1])


def test_recorded_grid_of_a_search_has_its_scores(tmp_path):
    data = zoo.load_dataset("digits", limit=200, validation=0.3, seed=0)
    search = {"recipe": zoo.Recipe(optimizer="sgd", epochs=2), "directory": tmp_path, "verbose": False}
    result = tuning.search("softmax", data, method="grid", values=VALUES, **search)
    found = recorded_grid(result, VALUES)
    assert found.curves.shape == (6, 2)
    for row in result.table.to_dict("records"):
        assert found.final[found.cell(row)] == row["score"]


def test_compare_regrets_is_paired_by_search():
    def table(*regrets):
        return pd.DataFrame({"spent": [1, 2, 3], "regret": regrets})

    one = [table(0.9, 0.1, 0.0), table(0.9, 0.3, 0.0), table(0.9, 0.5, 0.0)]
    other = [table(0.9, 0.2, 0.0), table(0.9, 0.4, 0.0), table(0.9, 0.6001, 0.0)]
    found = compare_regrets({"other": other, "one": one}, 2)
    assert found.best == "one"
    assert found.groups["mean"].tolist() == pytest.approx([0.3, 0.40003333])
    assert found.pairs["p"][0] < 1e-5  # of means that differ by less than their spread

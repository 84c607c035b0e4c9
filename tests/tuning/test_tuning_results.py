from __future__ import annotations

import json

import pandas as pd
import pytest

import tuning
import zoo
from zoo.errors import ZooError


@pytest.fixture
def result(blobs, tmp_path, fake):
    fake(fail=lambda number: number == 1)
    values = {"l2": [0.0, 1e-3], "patience": [None, 3], "units": [(8, 4)], "epochs": [1, 2]}
    recipe = zoo.Recipe(learning_rate=0.05)
    return tuning.search(
        "mlp", blobs, method="grid", values=values, recipe=recipe, directory=tmp_path, executor="fake", verbose=False
    )


def test_the_table(result):
    table = result.table
    names = ["trial", "status", "score", "epochs", "seconds", "l2", "patience", "units", "value/epochs"]
    assert list(table.columns) == [*names, "val_accuracy", "loss", "reason"]
    assert list(table["trial"]) == list(range(1, 9))
    assert list(table["status"]).count("failed") == 1
    assert pd.isna(table["score"][1])
    assert table["reason"][1] == "RuntimeError: as asked"
    assert table["units"][0] == (8, 4)
    assert len(pd.read_csv(result.directory / "trials.csv")) == 8


def test_inactive_values_are_empty(blobs, tmp_path, fake):
    def build(hp):
        hp.Choice("kind", ["plain", "deep"])
        with hp.conditional_scope("kind", ["deep"]):
            hp.Choice("depth", [1, 2])

    fake()
    table = tuning.search(build, blobs, method="grid", directory=tmp_path, executor="fake", verbose=False).table
    assert list(table["kind"]) == ["plain", "deep", "deep"]
    assert list(table["depth"].isna()) == [True, False, False]


def test_the_best(result):
    best = result.table.loc[result.table["score"].idxmax()]
    assert result.best_score == best["score"]
    assert result.best_values["units"] == (8, 4)
    assert result.best_values["l2"] == best["l2"]
    assert result.best_options == {"l2": best["l2"], "units": (8, 4)}
    recipe = result.best_recipe
    assert recipe == zoo.Recipe(
        learning_rate=0.05, patience=result.best_values["patience"], epochs=best["value/epochs"]
    )
    assert (result.model_name, result.objective, result.direction) == ("mlp", "val_accuracy", "max")


def test_it_is_read_back_from_the_journal_alone(result, blobs):
    (result.directory / "trials.csv").unlink()
    (result.directory / "result.json").unlink()
    loaded = tuning.load_result(result.directory)
    assert loaded.table.equals(result.table)
    assert loaded.best_recipe == result.best_recipe
    assert loaded.data_config == json.loads(json.dumps(blobs.config))
    with pytest.raises(ZooError, match="holds no search"):
        tuning.load_result(result.directory / "best")


def test_the_summary(result):
    summary = json.loads((result.directory / "result.json").read_text())
    assert summary["best_score"] == result.best_score
    assert summary["best_trial"] == result.best_trial["number"] + 1
    assert zoo.Recipe(**{**summary["best_recipe"], "augment": ()}) == result.best_recipe
    assert (summary["completed"], summary["failed"], summary["seconds"]) == (7, 1, 4.0)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot(result, tmp_path, suffix):
    path = result.plot(tmp_path / f"search{suffix}")
    assert path.stat().st_size > 5000
    assert len(list(tmp_path.glob(f"*{suffix}"))) == 1


def test_another_model_in_its_place_is_noticed(result):
    path = result.directory / "best" / "model.keras"
    path.write_text("something else")
    with pytest.raises(ZooError, match="is not the model of the best trial"):
        result.best_model()
    path.unlink()
    with pytest.raises(ZooError, match="is missing"):
        result.best_model()


def test_hyperband_tells_its_rungs(blobs, tmp_path, fake):
    fake()
    result = tuning.search(
        "softmax", blobs, method="hyperband", max_epochs=3, directory=tmp_path, executor="fake", verbose=False
    )
    assert list(result.table["tuner/epochs"]) == [1, 1, 1, 3, 3, 3]
    assert "tuner/epochs" not in result.best_values
    assert result.best_recipe.epochs == result.best_trial["values"]["tuner/epochs"]

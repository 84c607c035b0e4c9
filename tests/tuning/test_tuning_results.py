from __future__ import annotations

import json
import math

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_records import header, record, run, written

import tuning
import zoo
from tuning import retraining
from tuning.results import SearchResult
from tuning.task import model_path
from zoo.errors import LockedError, UsageError, ZooError
from zoo.storage import DirectoryLock, sha256_of_file


@pytest.fixture
def result(tmp_path):
    values = [{"l2": 0.0, "learning_rate": 0.1 * n, "units": "json:[8, 4]", "epochs": n} for n in (1, 2, 3, 1)]
    scores = [0.6, None, 0.9, 0.9]
    return written(tmp_path, [record(n, s, v) for n, (s, v) in enumerate(zip(scores, values, strict=True))])


def test_the_table(result):
    table = result.table
    names = ["trial", "status", "score", "epochs", "seconds", "l2", "learning_rate", "units", "value/epochs"]
    assert list(table.columns) == [*names, "loss", "val_accuracy", "reason"]
    assert list(table["trial"]) == [1, 2, 3, 4]
    assert list(table["status"]) == ["completed", "failed", "completed", "completed"]
    assert pd.isna(table["score"][1])
    assert table["reason"][1] == "RuntimeError: as asked"
    assert table["units"][0] == (8, 4)
    assert list(table["value/epochs"]) == [1, 2, 3, 1]


def test_inactive_values_are_empty(tmp_path):
    values = [{"kind": "plain"}, {"kind": "deep", "depth": 1}]
    table = written(tmp_path, [record(n, 0.5, v) for n, v in enumerate(values)]).table
    assert list(table["kind"]) == ["plain", "deep"]
    assert list(table["depth"].isna()) == [True, False]


def test_folds_and_repeats_are_rows_with_their_spread(tmp_path):
    runs = [run(s, fold=f, repeat=r) for s, f, r in [(0.8, 0, 0), (0.9, 0, 1), (0.7, 1, 0), (0.8, 1, 1)]]
    result = written(tmp_path, [record(0, 0.8, runs=runs), record(1, None)], folds=2, repeats=2)
    assert result.table["score_std"][0] == pytest.approx(np.std([0.8, 0.9, 0.7, 0.8], ddof=1))
    assert pd.isna(result.table["score_std"][1])
    assert list(result.runs.columns) == [
        "trial",
        "fold",
        "repeat",
        "seed",
        "score",
        "epochs",
        "seconds",
        "loss",
        "val_accuracy",
    ]
    assert list(result.runs["score"]) == [0.8, 0.9, 0.7, 0.8]
    assert list(zip(result.epochs["fold"], result.epochs["repeat"], result.epochs["epoch"], strict=True)) == [
        (f, r, e) for f in (0, 1) for r in (0, 1) for e in (0, 1)
    ]
    assert result.num_models == 4


def test_attempts_are_shown_where_there_were_several(tmp_path):
    result = written(tmp_path, [record(0, 0.5), record(1, None, attempts=3)])
    assert list(result.table["attempts"]) == [1, 3]


def test_a_promoted_trial_has_its_own_epochs_with_bracket_and_rung(tmp_path):
    stage = {"tuner/bracket": 1, "tuner/round": 0, "tuner/epochs": 2}
    later = {"tuner/bracket": 1, "tuner/round": 1, "tuner/epochs": 5, "tuner/trial_id": "0000"}
    first = record(0, 0.5, {"l2": 0.0, **stage})
    second = record(1, 0.7, {"l2": 0.0, **later}, runs=[run(0.7, first_epoch=2, epochs=3)], parent=0)
    result = written(tmp_path, [first, second])
    assert list(result.epochs["epoch"]) == [0, 1, 2, 3, 4]
    assert list(result.epochs["rung"]) == [0, 0, 1, 1, 1]
    assert set(result.epochs["bracket"]) == {1}
    assert result.best_trial["number"] == 1
    assert result.best_recipe.epochs == 5
    assert result.best_values == {"l2": 0.0}


names = st.sampled_from(["l2", "score", "reason", "epochs", "trial", "fold", "val_accuracy", "x"])
numbers = st.floats(-1e100, 1e100)
curves = st.dictionaries(st.sampled_from(["loss", "val_accuracy", "fold"]), st.lists(numbers, max_size=4))


@st.composite
def records(draw):
    made = []
    for number in range(draw(st.integers(0, 5))):
        score = draw(st.none() | numbers)
        runs = []
        for fold in range(draw(st.integers(0, 3))):
            curve = draw(curves)
            longest = max(map(len, curve.values()), default=0)
            extra = {"score": draw(numbers), "curve": {"epoch": list(range(longest)), **curve}}
            runs.append({**run(0.5, fold=fold), **extra, "metrics": draw(st.dictionaries(names, numbers))})
        values = draw(st.dictionaries(names, numbers | st.integers(0, 9) | st.sampled_from(["sgd", "json:[1, 2]"])))
        metrics = draw(st.dictionaries(names, numbers))
        made.append(record(number, score, values, runs=runs, metrics=metrics, attempts=draw(st.integers(1, 2))))
    return made


@settings(max_examples=60, deadline=None)
@given(records())
def test_tables_of_arbitrary_records_have_their_rows_and_survive_csv(tmp_path_factory, made):
    directory = tmp_path_factory.mktemp("search")
    result = SearchResult(directory, header(recipe_fields=[]), {one["number"]: one for one in made})
    result.write()
    runs = [one for record in made for one in record["runs"]]
    epochs = sum(len(one["curve"]["epoch"]) for one in runs)
    for name, table, rows in (
        ("trials", result.table, len(made)),
        ("runs", result.runs, len(runs)),
        ("epochs", result.epochs, epochs),
    ):
        assert len(table) == rows
        assert table.columns.is_unique
        read = pd.read_csv(directory / f"{name}.csv", float_precision="round_trip")
        assert list(read.columns) == list(table.columns)
        for column in table.select_dtypes("number").columns if rows else ():
            np.testing.assert_array_equal(read[column].to_numpy(float), table[column].to_numpy(float))
    assert [None if math.isnan(s) else s for s in result.table["score"]] == [one["score"] for one in made]


def test_the_best(result):
    assert result.best_trial["number"] == 2  # the first of equals
    assert result.best_score == 0.9
    assert result.best_values == {"l2": 0.0, "learning_rate": pytest.approx(0.3), "units": (8, 4), "epochs": 3}
    assert result.best_options == {"l2": 0.0, "units": (8, 4)}
    assert result.best_recipe == zoo.Recipe(batch_size=16, learning_rate=result.best_values["learning_rate"], epochs=3)
    assert (result.model_name, result.objective, result.direction) == ("mlp", "val_accuracy", "max")


def test_no_best(tmp_path):
    failed = written(tmp_path / "failed", [record(0, None), record(1, None)])
    with pytest.raises(ZooError, match="all 2 trials failed; the first: RuntimeError: as asked"):
        failed.best_score  # noqa: B018
    failed.write()
    assert not (failed.directory / "result.json").exists()
    with pytest.raises(ZooError, match="no finished trial"):
        written(tmp_path / "empty", []).best_trial  # noqa: B018
    with pytest.raises(ZooError, match="holds no search"):
        tuning.load_result(tmp_path)


def test_the_summary(result):
    result.write()
    summary = json.loads((result.directory / "result.json").read_text())
    assert (summary["best_score"], summary["best_trial"], summary["best_model"]) == (0.9, 3, None)
    assert [zoo.Recipe(**recipe) for recipe in summary["best_recipes"]] == [result.best_recipe]
    assert (summary["completed"], summary["failed"], summary["seconds"]) == (3, 1, 2.0)


def with_model(directory, **changes):
    """A search whose only trial kept its model, and that model."""
    model = zoo.build("softmax", (2,), 2)
    path = model_path(directory, 0)
    path.parent.mkdir(parents=True)
    model.save(path)
    return written(directory, [record(0, 0.5, model_sha256=sha256_of_file(path))], **changes), model, path


def test_the_best_model_is_the_very_one(tmp_path):
    result, model, path = with_model(tmp_path)
    np.testing.assert_array_equal(result.best_model().get_weights()[0], model.get_weights()[0])
    result.write()
    assert json.loads((tmp_path / "result.json").read_text())["best_model"] == "models/trial-0000.keras"
    zoo.build("softmax", (2,), 2, seed=1).save(path)
    with pytest.raises(ZooError, match="is not the model of the best trial"):
        result.best_model()
    path.unlink()
    with pytest.raises(ZooError, match="is missing"):
        result.best_model()


def test_a_mean_over_folds_has_no_best_model(tmp_path):
    result, _, _ = with_model(tmp_path, folds=3, repeats=2)
    with pytest.raises(ZooError, match=r"mean of 6 models.*retrain_best"):
        result.best_model()
    result.write()
    assert json.loads((tmp_path / "result.json").read_text())["best_model"] is None


@pytest.fixture
def quick(tmp_path):
    values = {"l2": 1e-3, "learning_rate": 0.1, "epochs": 1}
    return written(tmp_path / "search", [record(0, 0.5, values)], model="softmax")


def count_builds(monkeypatch):
    seeds, build = [], zoo.build

    def counted(*args, seed, **options):
        seeds.append(seed)
        return build(*args, seed=seed, **options)

    monkeypatch.setattr(zoo, "build", counted)
    return seeds


def test_retraining_scores_every_seed_as_training_by_hand_does(quick):
    scores = quick.retrain_best(seeds=2, verbose=False)
    assert list(scores["seed"]) == [0, 1]
    data = zoo.load_dataset("blobs", limit=60, validation=0.3)
    model = zoo.build("softmax", data.input_shape, 2, seed=1, l2=1e-3)
    zoo.train(model, data, zoo.Recipe(batch_size=16, learning_rate=0.1, epochs=1, seed=1), verbose=False)
    for name, split in (("val", data.validation), ("test", data.test)):
        expected = zoo.evaluate(model, split)
        assert scores[f"{name}_accuracy"][1] == expected.accuracy
        assert scores[f"{name}_loss"][1] == pytest.approx(expected.loss, rel=1e-6)
    assert scores.equals(pd.read_csv(quick.directory / "retrained.csv", float_precision="round_trip"))


def test_retraining_goes_on_where_it_was_interrupted(quick, monkeypatch):
    built = count_builds(monkeypatch)
    whole, real = [], retraining._train

    def interrupted(result, data, seed, folder, *, verbose):
        if seed == 7 and not whole:
            raise KeyboardInterrupt
        return real(result, data, seed, folder, verbose=verbose)

    monkeypatch.setattr(retraining, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick.retrain_best(seeds=[3, 7], verbose=False)
    assert len(pd.read_csv(quick.directory / "retrained.csv")) == 1
    whole.append(True)
    assert list(quick.retrain_best(seeds=[7, 3], verbose=False)["seed"]) == [7, 3]
    assert built == [3, 7]
    other = written(quick.directory.parent / "other", [record(0, 0.5, {"l2": 0.0, "epochs": 1})], model="softmax")
    for name in ("retrained.csv", "retrained.json"):
        (other.directory / name).write_bytes((quick.directory / name).read_bytes())
    other.retrain_best(seeds=[3], verbose=False)
    assert built == [3, 7, 3]
    assert len(pd.read_csv(other.directory / "retrained.csv")) == 1


def test_retraining_leaves_run_folders_where_asked(quick, tmp_path, capsys):
    quick.retrain_best(seeds=[0], verbose=False)
    assert capsys.readouterr().out == ""
    quick.retrain_best(seeds=[0], output_dir=tmp_path / "runs")  # its scores are there, its folder is not
    assert "seed 0 (1/1)  val_accuracy" in capsys.readouterr().out
    assert keras.saving.load_model(tmp_path / "runs" / "seed-0" / "model.keras").count_params() == 6


def test_retraining_refuses_a_folder_with_other_files_before_the_first_seed(quick, tmp_path, monkeypatch):
    quick.retrain_best(seeds=1, output_dir=tmp_path / "runs", verbose=False)
    (tmp_path / "runs" / "seed-0" / "report.html").write_text("ours, but no training writes it")
    (tmp_path / "runs" / "seed-2").mkdir()
    (tmp_path / "runs" / "seed-2" / "notes.txt").write_text("of somebody")
    table, built = (quick.directory / "retrained.csv").read_bytes(), count_builds(monkeypatch)
    with pytest.raises(UsageError, match=r"seed-2 holds notes\.txt, which would be lost; move it elsewhere, or choose"):
        quick.retrain_best(
            seeds=3, output_dir=tmp_path / "runs", verbose=False
        )  # seed 0 is done and is not asked about
    (quick.directory / "retrained.json").write_text("{}")  # of other values: all seeds are to be trained again
    with pytest.raises(UsageError, match=r"seed-0 holds report\.html, which would be lost"):
        quick.retrain_best(seeds=3, output_dir=tmp_path / "runs", verbose=False)
    assert built == []
    assert (quick.directory / "retrained.csv").read_bytes() == table


def test_retraining_refuses_what_it_cannot_do(tmp_path, quick):
    own = written(tmp_path / "own", [record(0, 0.5)], model="somewhere.build")
    with pytest.raises(UsageError, match=r"only models of the catalog.*somewhere.build"):
        own.retrain_best()
    unnamed = written(tmp_path / "unnamed", [record(0, 0.5, {"epochs": 1})], model="softmax", data={"sha256": "0"})
    with pytest.raises(UsageError, match="data="):
        unnamed.retrain_best()
    for seeds in (0, [], [-1], [1, 1], [1.7], "12", [True], True, None):
        with pytest.raises(UsageError, match="seeds must be"):
            quick.retrain_best(seeds=seeds)
    points = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    scores = unnamed.retrain_best(seeds=1, data=(points, (points[:, 0] > 0).astype(int)), verbose=False)
    assert scores["val_accuracy"].notna().all()
    assert scores["test_accuracy"].isna().all()
    with DirectoryLock(quick.directory), pytest.raises(LockedError):
        quick.retrain_best(seeds=1)

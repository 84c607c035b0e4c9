from __future__ import annotations

import subprocess
import sys

import keras
import keras_tuner
import pytest

import tuning
import zoo
from tuning.journal import FILE_NAME
from zoo.errors import LockedError, UsageError, ZooError
from zoo.storage import DirectoryLock

pytestmark = pytest.mark.usefixtures("traced_once")
GRID = {"l2": [0, 1e-3], "learning_rate": [0.03, 0.1]}
ONE_EPOCH = zoo.Recipe(optimizer="sgd", epochs=1, batch_size=16)


def build(hp, *, run_eagerly=False):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    rate = hp.Choice("rate", [0.01, 0.1])
    optimizer = keras.optimizers.SGD(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=run_eagerly)
    return model


class Stock(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp, run_eagerly=True)

    def fit(self, hp, model, *args, **kwargs):
        if hp.Boolean("explode"):
            raise RuntimeError("exploded")
        return model.fit(*args, **kwargs)


def growing(hp):
    """Declares its second hyper-parameter only while it builds: a plain `if` without a scope."""
    hp.Choice("rate", [0.1])
    if hp.Choice("kind", ["plain", "deep"]) == "deep":
        hp.Choice("depth", [1, 2])
    return build(hp, run_eagerly=True)


def comparable(result):
    return result.table.drop(columns="seconds")


def test_grid_of_a_named_model(blobs, tmp_path, capsys):
    result = tuning.search(
        "softmax", blobs, method="grid", values=GRID, recipe=ONE_EPOCH, max_epochs=2, directory=tmp_path
    )
    table = result.table
    assert list(zip(table["l2"], table["learning_rate"], strict=True)) == [
        (0.0, 0.03),
        (0.0, 0.1),
        (0.001, 0.03),
        (0.001, 0.1),
    ]
    assert (table["epochs"] == 2).all()
    assert (table["score"] == table["val_accuracy"]).all()
    assert result.best_score == table["score"].max()
    lines = capsys.readouterr().out.splitlines()
    assert "up to 4 trials" in lines[0]
    assert lines[3].startswith("trial 3/4  val_accuracy 0.")
    assert lines[3].endswith("l2=0.001 learning_rate=0.03")
    assert result.best_recipe.epochs == 2
    assert (tmp_path / "trials.csv").read_text().count("\n") == 5


@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
def test_the_best_model_is_the_one_that_scored(digits, tmp_path, objective):
    result = tuning.search(
        "cnn",
        digits,
        method="random",
        max_trials=2,
        values={"filters": [4, (2, 4)], "num_stages": [None, 2], "dropout": [0.0, 0.3], "units": [8]},
        recipe=zoo.Recipe(epochs=2, learning_rate=0.01, batch_size=32),
        objective=objective,
        directory=tmp_path,
        verbose=False,
    )
    model = result.best_model()
    zoo.compile_model(model, result.best_recipe, steps_per_epoch=1)
    model.run_eagerly = True
    measured = model.evaluate(digits.validation.batches(64), verbose=0, return_dict=True)
    assert measured[objective.removeprefix("val_")] == pytest.approx(result.best_score, rel=1e-5)
    pick = max if objective == "val_accuracy" else min
    assert result.best_score == pick(result.table["score"])
    rebuilt = zoo.build(result.model_name, digits.input_shape, digits.num_classes, **result.best_options)
    assert rebuilt.count_params() == model.count_params()


@pytest.mark.parametrize("model", [build, Stock()], ids=["function", "HyperModel"])
def test_models_of_the_user(blobs, tmp_path, model):
    result = tuning.search(model, blobs, method="grid", recipe=ONE_EPOCH, directory=tmp_path, verbose=False)
    assert sorted(set(result.table["rate"])) == [0.01, 0.1]
    assert result.best_values["rate"] in (0.01, 0.1)
    best = result.best_model().evaluate(blobs.validation.batches(16), verbose=0, return_dict=True)
    assert best["accuracy"] == pytest.approx(result.best_score, abs=1e-6)


def test_late_hyper_parameters_survive_a_resumption(blobs, tmp_path):
    options = {"method": "grid", "recipe": ONE_EPOCH, "verbose": False}
    whole = tuning.search(growing, blobs, directory=tmp_path / "whole", **options)
    assert len(whole.table) == 3  # plain or deep 1 or deep 2
    tuning.search(growing, blobs, directory=tmp_path / "cut", max_trials=2, **options)
    assert comparable(tuning.search(growing, blobs, directory=tmp_path / "cut", **options)).equals(comparable(whole))


def test_failed_trials_are_kept_with_their_reason(blobs, tmp_path, capsys):
    result = tuning.search(Stock(), blobs, method="random", max_trials=6, recipe=ONE_EPOCH, directory=tmp_path, seed=1)
    failed = result.table[result.table["status"] == "failed"]
    assert len(failed) in range(1, len(result.table))
    assert set(failed["reason"]) == {"RuntimeError: exploded"}
    assert failed["score"].isna().all()
    assert "failed (RuntimeError: exploded)" in capsys.readouterr().out
    assert "exploded" in next(r["traceback"] for r in result.trials.values() if r["traceback"])


def test_a_retry_begins_again(blobs, tmp_path):
    values = {"learning_rate": [1e30], "l2": [0.1]}
    options = {"method": "grid", "recipe": ONE_EPOCH, "max_epochs": 4, "folds": 2, "verbose": False}
    with pytest.raises(ZooError, match="all 1 trials failed"):
        tuning.search("softmax", blobs, values=values, directory=tmp_path, retries=2, **options)
    (record,) = tuning.load_result(tmp_path).trials.values()
    assert (record["attempts"], record["epochs"]) == (3, 1)


@pytest.mark.parametrize("oracle", ["RandomSearchOracle", "GridSearchOracle", "HyperbandOracle"])
def test_oracles_of_keras_tuner(blobs, tmp_path, oracle):
    def search(directory, **more):
        made = getattr(keras_tuner.oracles, oracle)(objective="val_accuracy", seed=3)
        if oracle == "HyperbandOracle":
            made.max_epochs = 3
        elif oracle == "RandomSearchOracle":
            made.max_trials = 6
        return tuning.search(
            "softmax", blobs, method=made, values=GRID, recipe=ONE_EPOCH, directory=directory, verbose=False, **more
        )

    whole = search(tmp_path / "whole")
    assert len(whole.table) >= 4
    search(tmp_path / "cut", max_trials=2)
    assert comparable(search(tmp_path / "cut")).equals(comparable(whole))


def test_three_failures_do_not_end_a_search(blobs, tmp_path):
    oracle = keras_tuner.oracles.GridSearchOracle(objective="val_accuracy", seed=1)
    values = {"optimizer": ["adam", "sgd"], "momentum": [0.5, 0.6, 0.7, 0.8]}
    result = tuning.search(
        "softmax", blobs, method=oracle, values=values, recipe=ONE_EPOCH, directory=tmp_path, verbose=False
    )
    assert list(result.table["status"]).count("failed") == 4
    assert list(result.table["status"]).count("completed") == 4
    with pytest.raises(UsageError, match="the oracle was asked before"):
        tuning.search("softmax", blobs, method=oracle, values=values, directory=tmp_path / "x", verbose=False)


def test_folds_repeats_and_their_tables(digits, tmp_path):
    options = {"values": {"l2": [0.0, 0.1]}, "recipe": ONE_EPOCH, "folds": 3, "repeats": 2, "verbose": False}
    result = tuning.search("softmax", digits, method="grid", directory=tmp_path, **options)
    assert len(result.runs) == 2 * 6
    means = result.runs.groupby("trial")["score"].mean()
    assert list(means) == pytest.approx(list(result.table["score"]))
    with pytest.raises(ZooError, match="retrain_best"):
        result.best_model()
    assert not (tmp_path / "models").exists()


def test_when_every_trial_fails(blobs, tmp_path):
    values = {"parameter_budget": [1, 2], "units": [4]}
    with pytest.raises(ZooError, match="all 2 trials failed; the first: ") as error:
        tuning.search("mlp", blobs, method="grid", values=values, directory=tmp_path, verbose=False)
    assert "\n" not in str(error.value)
    assert (tmp_path / "trials.csv").exists()
    assert not (tmp_path / "result.json").exists()


def test_the_same_seed_gives_the_same_table(blobs, tmp_path, fake):
    fake()
    values = {"l2": (1e-6, 1e-2, "log"), "units": (4, 64)}
    tables = [
        tuning.search(
            "mlp",
            blobs,
            method="random",
            values=values,
            directory=tmp_path / str(i),
            seed=seed,
            executor="fake",
            verbose=False,
        ).table
        for i, seed in enumerate((0, 0, 1))
    ]
    assert len(tables[0]) == 10
    assert tables[0].equals(tables[1])
    assert not set(tables[0]["l2"]) & set(tables[2]["l2"])


def test_refused_before_anything_is_written(blobs, tmp_path):
    def refused(message, model="softmax", data=blobs, **options):
        with pytest.raises(UsageError, match=message):
            tuning.search(model, data, directory=tmp_path / "x", **{"method": "random", **options})

    refused("did you mean 'random'", method="randon")
    refused("did you mean 'softmax'", model="softmx")
    refused("unknown executor 'clowd'. Known: inline", executor="clowd")
    refused("did you mean 'val_accuracy'", objective="val_acuracy")
    refused("l2 is a range", method="grid")
    refused("take epochs out", method="hyperband", values={"epochs": [1, 2]})
    refused("max_trials must be a whole number of at least 1", max_trials=0)
    refused("needs validation data", data=zoo.DataSplits(blobs.train, None, None, {}))
    assert not (tmp_path / "x").exists()


def test_a_second_search_in_the_same_folder_is_refused(blobs, tmp_path):
    with DirectoryLock(tmp_path), pytest.raises(LockedError, match="in use"):
        tuning.search("softmax", blobs, method="grid", values=GRID, directory=tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


def test_import_loads_no_tensorflow():
    code = "import sys, tuning, tuning.searching, tuning.oracles, tuning.results; print('tensorflow' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="serach"):
        _ = tuning.serach

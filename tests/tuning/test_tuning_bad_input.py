"""Spaces, grids and numbers that `tuning.search` refuses before anything is written."""

from __future__ import annotations

import pytest

import tuning
import zoo
from tuning.parameters import Range, parameter
from zoo.errors import DataWarning, UsageError

BLOBS = zoo.load_dataset("blobs")
RECIPE = zoo.Recipe(epochs=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Range(0, 1, step=0), "the step of l2 must be a whole number above 0. Received: step=0"),
        (Range(0.0, 1.0, step=-1), "must be a finite number above 0. Received: step=-1"),
        (Range(0.0, 1.0, step=float("nan")), "Received: step=nan"),
        (Range(1, 4, step=0.5), "must be a whole number"),
        (Range(0.1, 4, step=1, log=True), "above 1, by which values are multiplied"),
        (Range(0.0, 1.0, step=1e-9), "l2 has 1,000,000,000 steps, the most is 1,000,000; give a greater step, or none"),
        (Range("a", 4), "the bounds of l2 must be finite numbers"),
    ],
    ids=str,
)
def test_ranges_that_are_none_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        parameter("l2", given)


def test_too_many_steps_of_a_build_function_are_refused_too(tmp_path):
    def build(hp):
        model = zoo.build("softmax", (2,), 2, l2=hp.Float("l2", 1e-6, 1.0, step=5e-7))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    with pytest.raises(UsageError, match="l2 has 1,999,998 steps, the most is 1,000,000; give a greater step, or none"):
        tuning.search(build, BLOBS, method="random", directory=tmp_path / "search")
    assert not (tmp_path / "search").exists()


def test_unscaled_inputs_are_told_of(tmp_path):
    inputs = 255 * BLOBS.train.inputs / abs(BLOBS.train.inputs).max()
    options = {"method": "random", "max_trials": 1, "recipe": RECIPE, "verbose": False}
    with pytest.warns(DataWarning, match="the training inputs are not scaled"):
        tuning.search("softmax", (inputs, BLOBS.train.labels), directory=tmp_path, **options)


def test_steps_of_a_log_range_are_factors():
    assert parameter("l2", Range(1e-6, 1e-2, step=10, log=True)).step == 10


REFUSED = [
    (
        {"values": {"learning_rate": (-1.0, 1.0)}},
        r"learning_rate must be a finite number above 0. Received: learning_rate=-1\.0",
    ),
    ({"values": {"learning_rate": [0.1, -1]}}, "learning_rate must be a finite number above 0"),
    ({"values": {"epochs": (0, 3)}}, "epochs must be a whole number of at least 1"),
    ({"values": {"epochs": [1.5, 2.5]}}, "epochs must be a whole number of at least 1"),
    ({"values": {"optimizer": ["sgd", "adm"]}}, "unknown optimizer 'adm'; did you mean 'adam'"),
    ({"values": [1]}, "values must be a dictionary"),
    ({"values": {5: [1]}}, "values must be a dictionary"),
    ({"values": {"../l2": [1]}}, "unknown hyper-parameter of softmax '../l2'"),
    ({"values": {"l2\0": [1]}}, r"unknown hyper-parameter of softmax 'l2\\x00'; did you mean 'l2'"),
    ({"method": 5}, "unknown method '5'"),
    ({"method": "ra\0ndom"}, "did you mean 'random'"),
    ({"objective": 5}, "objective must be the name of a metric"),
    ({"max_trials": 2.5}, "max_trials must be a whole number"),
    ({"max_epochs": -1}, "max_epochs must be a whole number"),
    ({"max_seconds": float("nan")}, "max_seconds must be a positive number. Received: max_seconds=nan"),
    ({"folds": 1.5}, "folds must be a whole number"),
    ({"folds": 1000}, "each class needs an example for each fold"),
    ({"repeats": True}, "repeats must be a whole number"),
    ({"retries": -1}, "retries must be a whole number of at least 0"),
    ({"fine_tune": 5}, "fine_tune must be a Recipe"),
    ({"recipe": "adam"}, "recipe must be a Recipe"),
    ({"workers": "2"}, "workers must be a whole number"),
    ({"seed": 0.5}, "seed must be a whole number"),
    ({"seed": 2**63}, "seed must be a whole number"),
    ({"directory": "a\0b"}, "a NUL is in it"),
    ({"directory": ""}, "a path is text"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_search_is_refused_before_anything_is_written(options, words, tmp_path):
    usual = {"method": "random", "directory": tmp_path / "search", "verbose": False}
    with pytest.raises(UsageError, match=words) as refusal:
        tuning.search("softmax", BLOBS, **{**usual, **options})
    assert str(refusal.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_is_not_searched_in(tmp_path):
    (tmp_path / "result.json").write_text("of a run")
    with pytest.raises(UsageError, match=r"holds result\.json and no search, and a search would overwrite it; choose"):
        tuning.search("softmax", BLOBS, method="random", directory=tmp_path, verbose=False)
    assert (tmp_path / "result.json").read_text() == "of a run"
    assert not (tmp_path / "journal.jsonl").exists()


def test_labels_of_named_sets_are_not_values_of_the_field():
    sets = {"optimizer": {"slow": {"optimizer": "sgd", "momentum": 0.9}, "quick": {"optimizer": "adam"}}}
    assert list(tuning.space("softmax", (2,), 2, values=sets).parameters) == ["optimizer"]
    assert list(tuning.space("softmax", (2,), 2, values={"momentum": [0.5, 0.9]}).parameters) == ["momentum"]


def test_a_grid_of_a_million_cells_is_counted_and_needs_to_be_meant(tmp_path):
    values = {"l2": [i / 1000 for i in range(1000)], "learning_rate": [(i + 1) / 1000 for i in range(1000)]}
    usual = {"method": "grid", "values": values, "recipe": zoo.Recipe(epochs=1), "verbose": False}
    with pytest.raises(UsageError, match="this grid has 1,000,000 cells: give max_trials=1000000 to train all of them"):
        tuning.search("softmax", BLOBS, directory=tmp_path / "search", **usual)
    assert list(tmp_path.iterdir()) == []
    result = tuning.search("softmax", BLOBS, directory=tmp_path / "search", max_trials=2, **usual)
    assert list(result.table["l2"]) == [0, 0]
    assert list(result.table["learning_rate"]) == [0.001, 0.002]

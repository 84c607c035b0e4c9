"""What a search makes of trials that can train together: the same results, in groups, within its budgets."""

from __future__ import annotations

import dataclasses
import math

import pytest
import tensorflow as tf

import tuning
import zoo
from tuning.task import Setting
from tuning.trial import TrialRunner
from tuning.vectorized import grouping
from tuning.vectorized.network import is_chain
from tuning.vectorized.program import StackedProgram

pytestmark = pytest.mark.usefixtures("traced_once")
RECIPE = zoo.Recipe(epochs=2, batch_size=32)
GRID = {"l2": [0.0, 1e-3, 1e-2], "learning_rate": [0.003, 0.03]}


@pytest.fixture(autouse=True)
def short_trials_too(monkeypatch):
    monkeypatch.setattr(grouping, "LEAST_EPOCHS", 1)


@pytest.fixture
def sizes(monkeypatch):
    """The sizes of the groups that are trained as one program, as they come; 0 for a trial alone."""
    seen = []
    together, alone = TrialRunner._run_together, TrialRunner._run_alone

    def run_together(self, trials, on_progress):
        seen.append(len(trials))
        return together(self, trials, on_progress)

    def run_alone(self, trial, on_progress):
        seen.append(0)
        return alone(self, trial, on_progress)

    monkeypatch.setattr(TrialRunner, "_run_together", run_together)
    monkeypatch.setattr(TrialRunner, "_run_alone", run_alone)
    return seen


def search(model, data, directory, **options):
    options = {"method": "grid", "recipe": RECIPE, "verbose": False, **options}
    return tuning.search(model, data, directory=directory, **options)


def plain(result):
    table = result.table.drop(columns="seconds").round(5)
    return table.astype(object).where(table.notna(), None).to_dict("records")


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("softmax", {"values": GRID}, [6]),
        ("mlp", {"values": {"num_layers": [1], "units": [4, 8], "dropout": [0.1, 0.2, 0.3, 0.4]}}, [4, 4]),
        (  # no dropout: another structure
            "mlp",
            {"values": {"num_layers": [1], "units": [4], "dropout": [0.0, 0.1], "l2": [0.0, 1e-4, 2e-4, 3e-4]}},
            [4, 4],
        ),
        ("mlp", {"values": {"num_layers": [1], "units": [4, 8], "dropout": [0.1, 0.2]}}, [0] * 4),  # too few of each
        ("softmax", {"values": {"learning_rate": (1e-3, 1e-1)}, "method": "halving", "max_epochs": 9}, [9, 0, 0, 0, 0]),
        ("softmax", {"values": {"learning_rate": (1e-3, 1e-1)}, "method": "genetic", "max_trials": 12}, [10, 0, 0]),
        ("softmax", {"values": GRID, "folds": 2, "repeats": 2, "max_trials": 3}, [3]),
    ],
    ids=["grid", "structures", "dropout", "few", "halving", "genetic", "folds"],
)
def test_the_same_as_one_by_one(digits, tmp_path, sizes, monkeypatch, model, options, expected):
    together = search(model, digits, tmp_path / "together", **options)
    assert sizes == expected
    monkeypatch.setattr(grouping, "MODELS", ())
    sizes.clear()
    alone = search(model, digits, tmp_path / "alone", **options)
    assert set(sizes) == {0}
    assert plain(together) == plain(alone)
    assert together.best_values == alone.best_values
    if together.num_models == 1:
        assert zoo.evaluate(together.best_model(), digits.validation).accuracy == pytest.approx(together.best_score)
        assert len(list((tmp_path / "together" / "models").iterdir())) == 1


@pytest.mark.parametrize("options", [{"repeats": 4}, {}], ids=["repeats", "one run"])
def test_a_method_that_learns_from_each_trial_asks_for_one(digits, tmp_path, sizes, options):
    pytest.importorskip("optuna")
    search("softmax", digits, tmp_path, method="bayesian", values=GRID, max_trials=3, **options)
    assert sizes == ([1] * 3 if options else [0] * 3)  # the repeats of one trial are members too


@pytest.mark.parametrize(("epochs", "expected"), [(6, [0] * 6), (7, [6])])
def test_a_few_epochs_do_not_pay(digits, tmp_path, sizes, monkeypatch, epochs, expected):
    monkeypatch.setattr(grouping, "LEAST_EPOCHS", 40)
    search("softmax", digits, tmp_path, values=GRID, recipe=dataclasses.replace(RECIPE, epochs=epochs))
    assert sizes == expected


def test_a_value_that_is_none_fails_alone(digits, tmp_path, sizes):
    result = search("softmax", digits, tmp_path, values={"l2": [0.0, -1.0, 1e-3, 1e-2, 1e-1]})
    assert sorted(sizes) == [0, 4]
    assert list(result.table["status"]) == ["completed", "failed", *["completed"] * 3]
    assert "l2 must be 0 or more" in result.table["reason"][1]


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError(None, None, "no memory"), MemoryError()])
def test_a_group_that_does_not_fit_is_run_one_by_one(digits, tmp_path, sizes, monkeypatch, error):
    def no_memory(*_):
        raise error

    monkeypatch.setattr("tuning.space_runs.train_together", no_memory)
    result = search("softmax", digits, tmp_path, values=GRID)
    assert sizes == [6] + [0] * 6
    assert (result.table["status"] == "completed").all()


def test_an_error_of_ours_fails_all_with_its_traceback(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.space_runs.train_together", lambda *_: 1 / 0)
    with pytest.raises(zoo.ZooError, match="ZeroDivisionError"):
        search("softmax", digits, tmp_path, values=GRID)
    assert "train_together" in tuning.load_result(tmp_path).trials[0]["traceback"]


def test_no_group_starts_too_late(digits, tmp_path, sizes, monkeypatch):
    values = {"num_layers": [1], "units": [4, 8], "dropout": [0.1], "learning_rate": [0.001, 0.003, 0.01, 0.03]}
    with monkeypatch.context() as patch:
        patch.setattr("tuning.loop.SearchLoop._is_late", lambda loop: bool(loop.journal.trials))
        result = search("mlp", digits, tmp_path, values=values, max_seconds=60)
    assert len(result.table) == sum(sizes) == 4
    result = search("mlp", digits, tmp_path, values=values)
    assert sizes == [4, 4]
    assert sorted(result.table["trial"]) == list(range(1, 9))


def test_epochs_of_trials_that_wait_count(digits, tmp_path):
    result = search("softmax", digits, tmp_path, values=GRID, max_total_epochs=7)
    assert list(result.table["epochs"]) == [2, 2, 2, 2]


def test_named_sets(digits, tmp_path, sizes):
    optimizers = {
        "momentum": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.03},
        "adam, l2": {"optimizer": "adam", "l2": 1e-4},
    }
    result = search("softmax", digits, tmp_path, values={"optimizer": optimizers}, repeats=4)
    assert list(result.table["optimizer"]) == list(optimizers)
    assert sizes == [1, 1]
    comparison = result.compare(by="optimizer")
    assert set(comparison.groups["group"]) == set(optimizers)
    assert comparison.best in comparison.indistinguishable
    label = result.best_values["optimizer"]
    chosen = optimizers[label]
    assert result.best_recipe == dataclasses.replace(RECIPE, **{k: v for k, v in chosen.items() if k != "l2"})
    assert result.best_options == {k: v for k, v in chosen.items() if k == "l2"}
    with pytest.raises(zoo.UsageError, match=r"named\.optimizer\.momentum\.learning_rate was 0.03 and is 0.2"):
        optimizers["momentum"]["learning_rate"] = 0.2
        search("softmax", digits, tmp_path, values={"optimizer": optimizers}, repeats=4)


def test_validation_data_of_their_own(digits, tmp_path, sizes, monkeypatch):
    """They are in another store than the training data."""
    inputs, kept = (split.store.array[split.rows].astype("float32") for split in (digits.train, digits.validation))
    own = kept / 255, digits.validation.labels
    data = zoo.DataSplits.from_arrays((inputs / 16, digits.train.labels), validation=own)
    assert data.train.store is not data.validation.store
    together = search("softmax", data, tmp_path / "together", values=GRID)
    assert sizes == [6]
    monkeypatch.setattr(grouping, "MODELS", ())
    assert plain(together) == plain(search("softmax", data, tmp_path / "alone", values=GRID))


@pytest.mark.parametrize("values", [{"epochs": [3]}, {"length": {"long": {"epochs": 3}}}])
def test_epochs_among_the_values_count(digits, tmp_path, values):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    values = {**values, "learning_rate": [0.01 * (i + 1) for i in range(20)]}
    result = search("softmax", digits, tmp_path, values=values, recipe=recipe, max_total_epochs=9)
    assert list(result.table["epochs"]) == [3, 3, 3]


def test_a_value_of_a_wrong_type_fails_alone(digits, tmp_path, sizes):
    result = search("mlp", digits, tmp_path, values={"parameter_budget": ["x", 10_000]})
    assert list(result.table["status"]) == ["failed", "completed"]


def test_validations_are_as_rare_as_asked(digits, tmp_path, monkeypatch):
    calls, stock = [], StackedProgram.validate
    monkeypatch.setattr(StackedProgram, "validate", lambda *args: (calls.append(1), stock(*args))[1])
    recipe = dataclasses.replace(RECIPE, epochs=7, validation_freq=3)
    search("softmax", digits, tmp_path, values=GRID, recipe=recipe)
    assert len(calls) == 3  # after 3 and 6 epochs, and of the last weights


def test_many_runs_of_a_trial_bound_a_group(digits, tmp_path, sizes, monkeypatch):
    monkeypatch.setattr("tuning.loop.MOST_MEMBERS", 13)
    search("softmax", digits, tmp_path, values={"learning_rate": [0.01 * (i + 1) for i in range(5)]}, repeats=4)
    assert sizes == [3, 2]


def test_the_memory_bounds_a_group(digits, monkeypatch):
    class Program:
        bytes_per_member = 1000

    monkeypatch.setattr(grouping, "_free_memory", lambda: 12_000)
    runs = [dataclasses.make_dataclass("R", ["data"])(digits)] * 7
    recipes = [RECIPE] * 7
    assert grouping.batches_of_runs(Program(), recipes, runs) == [[0, 1, 2], [3, 4, 5], [6]]
    monkeypatch.setattr(grouping, "_free_memory", lambda: 1)
    assert grouping.batches_of_runs(Program(), recipes, runs) == [[i] for i in range(7)]
    monkeypatch.setattr(grouping, "_free_memory", lambda: 10**12)
    assert grouping.batches_of_runs(Program(), recipes, runs) == [list(range(7))]


def test_augmented_runs_share_an_order(digits, monkeypatch):
    class Program:
        bytes_per_member = 1

    runs = [dataclasses.make_dataclass("R", ["data"])(digits)] * 4
    recipes = [dataclasses.replace(RECIPE, seed=i % 2, augment=("crop",)) for i in range(4)]
    assert grouping.batches_of_runs(Program(), recipes, runs) == [[0, 2], [1, 3]]


STRUCTURES = [
    ("softmax", {}, {}, True),
    ("mlp", {"units": 32}, {"optimizer": "rmsprop"}, False),
    ("mlp", {"units": 32}, {"validate_every_steps": 3}, False),
    ("mlp", {"units": 32}, {"trainable": "head"}, False),
    ("mlp", {"units": 32, "batch_normalization": True}, {}, False),
    ("mlp", {"units": 32, "dtype": "mixed_bfloat16"}, {}, False),
    ("mlp", {"units": [2000, 2000]}, {}, False),
    ("mlp", {"parameter_budget": 10_000}, {}, True),
    ("mlp", {"parameter_budget": 10**7}, {}, False),
    ("cnn", {}, {}, False),
]


@pytest.mark.parametrize(("model", "options", "fields", "expected"), STRUCTURES)
def test_where_stacking_pays(digits, model, options, fields, expected):
    space = tuning.space(model, digits.input_shape, digits.num_classes)
    setting = Setting(space, digits, RECIPE, "val_accuracy", "max", stacked=True)
    recipe = dataclasses.replace(RECIPE, **fields)
    assert grouping.stacks(setting, options, recipe) is expected
    assert not grouping.stacks(dataclasses.replace(setting, stacked=False), options, recipe)


DEEPER = {"resnet32", "resnet44", "resnet56", "resnet34"}  # of the same blocks as a shallower one


@pytest.mark.parametrize("name", [name for name in zoo.list_models() if name not in DEEPER])
def test_the_table_of_models_is_right(name):
    shape = {"resn": (32, 32, 3), "alex": (67, 67, 3)}.get(name[:4], (8, 8, 1))
    model = zoo.build(name, shape, 2, **({"weights": None} if name == "transfer" else {}))
    assert is_chain(model) == (name in grouping.MODELS)
    if name in grouping.MODELS:
        space = tuning.space(name, shape, 2)
        kernels = [math.prod(v.shape) for v in model.trainable_variables if len(v.shape) == 2]
        setting = Setting(space, None, RECIPE, "val_accuracy", "max")
        assert grouping._num_weights(setting, {}) == sum(kernels)

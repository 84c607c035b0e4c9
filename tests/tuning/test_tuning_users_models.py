"""Trials of models that a user builds."""

from __future__ import annotations

import keras
import keras_tuner
import pytest
from trial_examples import run_trial, setting_for, small_model, task_for

import tuning
import zoo
from tuning.discovery import as_hypermodel, describe, discover
from tuning.task import TrialTask
from zoo.errors import SaveError, UsageError


def branching(hp):
    kind = hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Choice("depth", [2, 3])
        with hp.conditional_scope("depth", [3]):
            hp.Choice("extra", [1.0, 2.0])
    if kind == "deep":
        hp.Boolean("hidden")  # without a scope: known only once it was built
    return small_model(hp)


def test_a_users_model_is_paused_with_its_optimizer(blobs, tmp_path):
    def build(hp):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.2)])
        model.add(keras.layers.Dense(3, activation="softmax"))
        hp.Float("rate", 0.01, 0.1)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        return model

    setting = setting_for(build, blobs)
    whole = run_trial(setting, task_for(setting, 0, folder=tmp_path, epochs=2))
    run_trial(setting, task_for(setting, 1, folder=tmp_path, epochs=1, pause=True))
    task = task_for(setting, 2, folder=tmp_path, epochs=2, initial_epoch=1, parent=1)
    resumed = run_trial(setting, task)
    assert resumed.epochs == 1
    assert resumed.metrics == whole.metrics


def test_a_build_function_is_fitted(blobs):
    setting = setting_for(small_model, blobs)
    outcome = run_trial(setting, task_for(setting))
    assert outcome.status == "completed"
    assert set(outcome.metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert (outcome.epochs, outcome.hyperparameters) == (2, None)
    assert outcome.metrics == run_trial(setting, task_for(setting)).metrics


class Returning(keras_tuner.HyperModel):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def build(self, hp):
        return small_model(hp)

    def fit(self, hp, model, *args, **kwargs):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Uncompiled(keras_tuner.HyperModel):
    def build(self, hp):
        hp.Float("rate", 0.01, 0.1)
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


class FittedByItself(Uncompiled):
    def fit(self, hp, model, *args, **kwargs):
        return 0.5


def test_a_model_that_is_not_compiled_is_for_a_fit_of_its_own(blobs, tmp_path):
    setting = setting_for(FittedByItself(), blobs)
    assert run_trial(setting, task_for(setting, folder=tmp_path, epochs=1, pause=True)).score == 0.5
    setting = setting_for(Uncompiled(), blobs)
    assert "compile()" in run_trial(setting, task_for(setting)).reason


def test_folds_of_a_users_model_leave_no_states(blobs, tmp_path):
    setting = setting_for(small_model, blobs, folds=2)
    assert len(run_trial(setting, task_for(setting, folder=tmp_path)).runs) == 2
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize(
    ("result", "score", "reason"),
    [
        (0.25, 0.25, None),
        ({"val_accuracy": 0.75, "other": 1}, 0.75, None),
        ({"other": 1}, None, "there is no val_accuracy among the metrics: other"),
        (float("nan"), None, "val_accuracy is nan"),
        (float("-inf"), None, "val_accuracy is -inf"),
        (RuntimeError("first line\nsecond"), None, "RuntimeError: first line"),
        (ValueError(), None, "ValueError"),
    ],
)
def test_scores_and_failures(blobs, result, score, reason):
    setting = setting_for(Returning(result), blobs)
    outcome = run_trial(setting, task_for(setting))
    assert (outcome.score, outcome.reason) == (score, reason)
    assert outcome.status == ("failed" if reason else "completed")
    assert (outcome.traceback is not None) == isinstance(result, Exception)


def test_an_interrupt_goes_through(blobs):
    def interrupted(hp):
        hp.Float("rate", 0.01, 0.1)
        if "now" in hp.values:
            raise KeyboardInterrupt
        return small_model(hp)

    setting = setting_for(interrupted, blobs)
    task = task_for(setting)
    task.hyperparameters["values"]["now"] = 1
    with pytest.raises(KeyboardInterrupt):
        run_trial(setting, task)


def test_discovery_opens_every_scope(blobs):
    found = discover(as_hypermodel(branching, blobs, values=None, recipe=zoo.Recipe()))
    assert {p.name for p in found.space} == {"kind", "depth", "extra", "hidden", "rate"}
    assert describe(found)["extra"]["values"] == [1.0, 2.0]


def test_hyper_parameters_that_a_trial_discovers_are_reported(blobs):
    setting = setting_for(branching, blobs)
    known = keras_tuner.HyperParameters()
    known.Choice("kind", ["plain", "deep"])
    known.values["kind"] = "deep"
    outcome = run_trial(setting, TrialTask(0, known.get_config(), "missing", keep_models=0))
    assert {"depth", "hidden", "rate"} <= set(outcome.hyperparameters["values"])


def test_models_that_are_none(blobs):
    recipe = zoo.Recipe()
    with pytest.raises(UsageError, match="must be a name"):
        as_hypermodel(3, blobs, values=None, recipe=recipe)
    with pytest.raises(UsageError, match="values="):
        as_hypermodel(small_model, blobs, values={"l2": [0.1]}, recipe=recipe)
    with pytest.raises(UsageError, match="the space is for"):
        as_hypermodel(tuning.space("softmax", (5,), 3), blobs, values=None, recipe=recipe)
    with pytest.raises(UsageError, match="nothing to search"):
        discover(as_hypermodel(lambda hp: None, blobs, values=None, recipe=recipe))
    with pytest.raises(UsageError, match="default values: 'oops'"):
        discover(as_hypermodel(lambda hp: {}["oops"], blobs, values=None, recipe=recipe))
    setting = setting_for(lambda hp: hp.Int("x", 1, 2), blobs)
    assert "must return a compiled keras.Model" in run_trial(setting, task_for(setting)).reason


def test_a_disk_that_does_not_take_the_model_is_no_failed_trial(blobs, tmp_path):
    setting = setting_for(small_model, blobs)
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"trial-0000\.keras cannot be written"):
        run_trial(setting, task_for(setting, folder=tmp_path / "file", keep_models=1))

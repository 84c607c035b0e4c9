from __future__ import annotations

import random

import keras
import keras_tuner
import numpy as np
import pytest

import tuning
import zoo
from tuning.discovery import as_hypermodel, describe, discover
from tuning.trial import Setting, TrialTask, run_trial
from zoo.errors import UsageError
from zoo.storage import sha256_of_file


def small_model(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    rate = hp.Float("rate", 0.01, 0.1)
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def branching(hp):
    kind = hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Choice("depth", [2, 3])
        with hp.conditional_scope("depth", [3]):
            hp.Choice("extra", [1.0, 2.0])
    if kind == "deep":
        hp.Boolean("hidden")  # without a scope: known only once it was built
    return small_model(hp)


def setting_for(model, data, **changes):
    recipe = zoo.Recipe(epochs=2, batch_size=16)
    hypermodel = as_hypermodel(model, data, values=None, recipe=recipe)
    return Setting(hypermodel, data, recipe, **{"objective": "val_accuracy", "direction": "max", **changes})


def task_for(setting, number=0, **changes):
    return TrialTask(number, discover(setting.hypermodel).get_config(), **changes)


def test_a_trial_is_a_function_of_its_values(digits, tmp_path):
    space = tuning.space("mlp", digits.input_shape, digits.num_classes, values={"dropout": [0.5], "units": [16]})
    setting = setting_for(space, digits)
    outcomes = []
    for disturbance in (1, 2):
        random.seed(disturbance)
        np.random.seed(disturbance)
        keras.utils.set_random_seed(disturbance)
        outcomes.append(run_trial(setting, task_for(setting, epochs=1)))
    assert outcomes[0].metrics == outcomes[1].metrics
    assert outcomes[0].epochs == 1
    assert outcomes[0].status == "completed"


def test_our_space_takes_epochs_and_saves_what_is_better(blobs, tmp_path):
    setting = setting_for(tuning.space("softmax", blobs.input_shape, blobs.num_classes), blobs)
    path = tmp_path / "candidate.keras"
    worse = run_trial(setting, task_for(setting, epochs=1, save_to=str(path), better_than=1.0))
    assert worse.model_sha256 is None
    assert not path.exists()
    better = run_trial(setting, task_for(setting, epochs=3, save_to=str(path), better_than=-1.0))
    assert better.epochs == 3
    assert better.model_sha256 == sha256_of_file(path)


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
    outcome = run_trial(setting, TrialTask(0, known.get_config()))
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
    with pytest.raises(OSError, match="file"):
        run_trial(setting, task_for(setting, save_to=str(tmp_path / "file" / "model.keras")))

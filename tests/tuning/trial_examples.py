"""Settings and tasks of small searches, and the one trial of a task."""

from __future__ import annotations

import tempfile

import keras
import pytest

import zoo
from tuning.discovery import as_hypermodel, discover
from tuning.task import Setting, TrialTask
from tuning.trial import TrialRunner

pytestmark = pytest.mark.usefixtures("traced_once")


def small_model(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    rate = hp.Float("rate", 0.01, 0.1)
    optimizer = keras.optimizers.SGD(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model


def setting_for(model, data, **changes):
    recipe = zoo.Recipe(epochs=2, batch_size=16)
    hypermodel = as_hypermodel(model, data, values=None, recipe=recipe)
    return Setting(hypermodel, data, recipe, **{"objective": "val_accuracy", "direction": "max", **changes})


def task_for(setting, number=0, *, folder=None, values=None, **changes):
    config = discover(setting.hypermodel).get_config()
    config["values"] |= values or {}
    folder = tempfile.mkdtemp() if folder is None else folder
    return TrialTask(number, config, str(folder), **{"keep_models": 0, **changes})


def run_trial(setting, task, on_progress=None, *, runner=None):
    (outcome,) = (runner or TrialRunner(setting)).run([task], on_progress)
    return outcome

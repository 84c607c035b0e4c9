"""Spaces, scores and players that the tests of the oracles share."""

from __future__ import annotations

import importlib.util
import math
import random

import keras_tuner
import pytest

from tuning import oracles

GP = pytest.param(
    "gp",
    marks=pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="Optuna's GP needs PyTorch"),
)
METHODS = [GP if method == "gp" else method for method in sorted(oracles.METHODS)]
QUICK = [
    method for method in sorted(oracles.METHODS) if method != "gp"
]  # a Gaussian process takes a tenth of a second a trial


def mixed_space():
    """24 cells: 3 x (1 + 3) x 2."""
    hp = keras_tuner.HyperParameters()
    hp.Float("a", 0.1, 0.3, step=0.1)
    hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("depth", 2, 4)
    hp.Boolean("flag")
    hp.Fixed("same", 7)
    return hp


def continuous_space():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1.0, sampling="log")
    hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("width", 1, 512, sampling="log")
        hp.Float("drop", 0, 0.5)
    return hp


def make(method, space, **options):
    return oracles.make_oracle(method, space, **{"objective": "score_max", "max_epochs": 9, **options})


def aim(direction="max"):
    return keras_tuner.Objective("quality", direction)


def quality(values):
    """A score that the values decide; more epochs change it a little."""
    numbers = [float(v) for k, v in sorted(values.items()) if not isinstance(v, str) and not k.startswith("tuner/")]
    rough = math.fsum((i + 1) * number for i, number in enumerate(numbers)) + len(str(values.get("kind")))
    return math.sin(1 + rough) + 0.01 * values.get("tuner/epochs", 0)


def cell(values):
    return tuple(sorted((k, v) for k, v in values.items() if not k.startswith("tuner/")))


def play(oracle, *, limit=300, workers=1, shuffle=None, fails=lambda values: False, score=quality, after=lambda: None):
    """Runs an oracle as our loop does; returns the values of every trial in the order in which they were asked.

    With several workers the running trials end in an order that the seed `shuffle` decides.
    """
    asked, running, rng = [], [], random.Random(shuffle)
    with oracles.opened(oracle):
        while len(asked) < limit or running:
            trial = (
                oracle.create_trial(f"tuner-{len(asked)}") if len(running) < workers and len(asked) < limit else None
            )
            if trial is not None and trial.status == "RUNNING":
                assert int(trial.trial_id) == len(asked)
                asked.append(dict(trial.hyperparameters.values))
                running.append(trial)
                continue
            if not running:
                assert trial.status == "STOPPED"
                break
            end(oracle, running.pop(rng.randrange(len(running)) if shuffle is not None else 0), fails, score)
            after()
    return asked


def end(oracle, trial, fails=lambda values: False, score=quality):
    values = trial.hyperparameters.values
    if fails(values):
        trial.status = "FAILED"
    else:
        oracle.update_trial(trial.trial_id, {oracle.objective.name: score(values)})
        trial.status = "COMPLETED"
    oracle.end_trial(trial)


class StockTuner(keras_tuner.Tuner):
    """A stock tuner that trains nothing."""

    def run_trial(self, trial, *args, **kwargs):
        self.hypermodel.build(trial.hyperparameters)
        return {self.oracle.objective.name: quality(trial.hyperparameters.values)}


def run_stock(oracle, directory, build, **options):
    tuner = StockTuner(oracle=oracle, hypermodel=build, directory=directory, project_name="stock", **options)
    tuner.search(verbose=0)
    return tuner

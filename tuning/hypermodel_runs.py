"""Runs of a user's `HyperModel`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import keras_tuner
import numpy as np

from tuning.runs import Run, RunResult, Watch, load_state
from tuning.task import Setting
from zoo.errors import UsageError
from zoo.training.fused_updates import forget_traces
from zoo.training.state import State


class HyperModelRunner:
    """Runs a user's `HyperModel`, built anew for every run.

    A run that is paused at a rung continues with its weights and its optimizer's state; one that was killed starts again.

    Args:
        setting: what the trials of the search share.
    """

    signatures = traces = 0

    def __init__(self, setting: Setting) -> None:
        self._setting, self._hypermodel = setting, setting.hypermodel

    def epochs(self, hp: keras_tuner.HyperParameters) -> int:
        """Epochs of a trial of which nothing else is asked."""
        return self._setting.recipe.epochs

    def seed(self, hp: keras_tuner.HyperParameters) -> int:
        """The seed of a trial's first repeat."""
        return self._setting.recipe.seed

    def run(self, hp: keras_tuner.HyperParameters, run: Run, first_epoch: int) -> RunResult:
        """Builds, fits from `first_epoch` on if a parent's state is there, else from the beginning."""
        started, recipe = time.monotonic(), self._setting.recipe
        keras.utils.set_random_seed(run.seed)
        model = self._hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            raise UsageError(f"a build function must return a compiled keras.Model. Received: {type(model).__name__}")
        optimizer = getattr(model, "optimizer", None)  # Keras gives it to a model that is compiled
        if optimizer is not None:
            forget_traces(optimizer)  # or every trial's graph would be kept
        first, state = 0, load_state(run.parent_state, of_weights=True)
        if state is not None:
            first = first_epoch
            _put_weights(model, state)
        train, validation = run.data.train, run.data.validation
        batches = train.batches(
            recipe.batch_size,
            shuffle=recipe.shuffle,
            augment=recipe.augment,
            drop_remainder=recipe.drop_remainder,
            seed=run.seed,
            first_pass=first,
        )
        options: dict[str, Any] = {
            "validation_data": None if validation is None else validation.batches(recipe.batch_size),
            "epochs": run.epochs,
            "initial_epoch": first,
            "callbacks": [Watch(self._setting.objective, run.on_epochs, first)],
            "verbose": 0,
        }
        run.on_epochs(first, None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed")  # the batches see to it
            result = self._hypermodel.fit(hp, model, batches, **options)
        if run.keep_state and optimizer is not None:
            _weights_of(model).save(run.state)
        metrics, epochs, curve = self._measures(result, first, run.epochs)
        return RunResult(metrics, epochs, time.monotonic() - started, curve, lambda: model)

    def close(self) -> None:
        """Nothing is kept."""

    def _measures(self, result: Any, first: int, last: int) -> tuple[dict[str, float], int, dict[str, list[Any]]]:
        """(measures at the end, epochs, curve) from what `HyperModel.fit` returned."""
        if isinstance(result, keras.callbacks.History):
            curve = {name: [float(v) for v in values] for name, values in result.history.items() if values}
            metrics = {name: values[-1] for name, values in curve.items()}
            return metrics, len(result.epoch), {"epoch": [float(e) for e in result.epoch], **curve}
        metrics = dict(result) if isinstance(result, Mapping) else {self._setting.objective: result}
        return {name: float(value) for name, value in metrics.items()}, last - first, {}


def _weights_of(model: keras.Model) -> State:
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    arrays = {f"{name}/{i}": np.asarray(v.numpy()) for name, group in groups.items() for i, v in enumerate(group)}
    return State({}, arrays)


def _put_weights(model: keras.Model, state: State) -> None:
    model.optimizer.build(model.trainable_variables)
    for name, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for variable, value in zip(variables, state.group(name), strict=True):
            variable.assign(value)

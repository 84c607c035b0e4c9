"""One run of a trial: one fold and one seed, of a model of the catalog or of a user's `HyperModel`."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zoo.startup

import keras
import keras_tuner
import numpy as np

import zoo
from tuning.reuse import Programs
from tuning.task import Setting, TrialTask, state_path
from zoo.data.splits import DataSplits
from zoo.errors import UsageError, ZooError
from zoo.training.fused_updates import forget_traces
from zoo.training.phase import PhaseRun
from zoo.training.program import Program
from zoo.training.recipe import Recipe
from zoo.training.records import EpochRecords
from zoo.training.state import State
from zoo.training.trainer import check_fit

OnEpochs = Callable[[float, float | None], None]  # (epochs done, a fraction within one; the objective or None)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run has to do.

    Attributes:
        data: the fold's.
        seed: of weights, order, dropout and augmentation.
        epochs: epochs at its end, those before the pause included.
        state: the file of its own state: read if it is there, written now and then.
        parent_state: the file of the paused run that it continues, or `None`.
        keep_state: whether the state at its end is kept.
        on_epochs: told how far it is.
    """

    data: DataSplits
    seed: int
    epochs: int
    state: Path
    parent_state: Path | None
    keep_state: bool
    on_epochs: OnEpochs


@dataclasses.dataclass
class RunResult:
    """What a run left behind.

    Attributes:
        metrics: the measures at its end.
        epochs: epochs that were run since the pause.
        seconds: wall time since the pause, earlier attempts of the same run included.
        curve: name of a measure -> its values in these epochs.
        make_model: gives the model as it scored, compiled; only until the next run.
    """

    metrics: dict[str, float]
    epochs: int
    seconds: float
    curve: dict[str, list[Any]]
    make_model: Callable[[], keras.Model]


def make_run(
    setting: Setting, task: TrialTask, number: int, data: DataSplits, seed: int, epochs: int, on_epochs: OnEpochs
) -> Run:
    """Run `number` of a trial."""
    parent = None if task.parent is None else state_path(task.folder, task.parent, number)
    several = setting.folds * setting.repeats > 1  # if a later run is interrupted, this one is not made again
    return Run(
        data=data,
        seed=seed,
        epochs=epochs,
        state=state_path(task.folder, task.number, number),
        parent_state=parent,
        keep_state=task.pause or several,
        on_epochs=on_epochs,
    )


class SpaceRunner:
    """Runs models of a `ModelSpace`, on programs that are kept from run to run.

    Args:
        setting: what the trials of the search share.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._space = setting, setting.hypermodel
        self._programs = Programs(self._space)

    @property
    def signatures(self) -> int:
        """Structures that were met."""
        return self._programs.signatures

    @property
    def traces(self) -> int:
        """How often a gradient step was traced for them."""
        return self._programs.traces

    def epochs(self, hp: keras_tuner.HyperParameters) -> int:
        """Epochs of a trial of which nothing else is asked."""
        return int(self._space.choose(hp)[1].epochs)

    def seed(self, hp: keras_tuner.HyperParameters) -> int:
        """The seed of a trial's first repeat."""
        return int(self._space.choose(hp)[1].seed)

    def run(self, hp: keras_tuner.HyperParameters, run: Run, first_epoch: int) -> RunResult:
        """Trains from the beginning, or from where the run or its parent was paused."""
        options, recipe = self._space.choose(hp)
        # Where trials are paused at rungs, they stop somewhere on one schedule.
        recipe = dataclasses.replace(recipe, epochs=self._setting.max_epochs or run.epochs, seed=run.seed)
        if run.data.train.store is not None:
            program = self._programs.ready(options, recipe, run.data)
            metrics, records, seconds = _train(program, run, recipe, self._setting.objective)
        else:  # a stream: what it reads is part of the graph
            model = self._build(options, recipe)
            with Program(model, run.data, recipe) as program:
                metrics, records, seconds = _train(program, run, recipe, self._setting.objective)

        def make_model() -> keras.Model:
            stock = self._build(options, recipe)
            stock.set_weights(program.model.get_weights())
            zoo.compile_model(stock, recipe, steps_per_epoch=1)
            stock.optimizer.build(stock.trainable_variables)  # else Keras warns when it loads the model
            return stock

        rows = [row for row in records.epochs if row["epoch"] >= first_epoch]
        names = [name for name in (rows[0] if rows else {}) if name != "phase"]
        curve = {name: [row.get(name) for row in rows] for name in names}
        return RunResult(metrics, len(rows), seconds, curve, make_model)

    def close(self) -> None:
        """Lets all models go."""
        self._programs.close()

    def _build(self, options: dict[str, Any], recipe: Recipe) -> keras.Model:
        space = self._space
        return zoo.build(space.model_name, space.input_shape, space.num_classes, seed=recipe.seed, **options)


class _Watch(keras.callbacks.Callback):
    """Tells how far a run is, and ends one whose loss is lost."""

    def __init__(self, objective: str, on_epochs: OnEpochs, first_epoch: int) -> None:
        super().__init__()
        self._objective, self._on_epochs, self._done = objective, on_epochs, first_epoch

    def after_steps(self, done: int, steps: int) -> None:
        self._on_epochs(self._done + done / steps, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._done = epoch + 1
        self._on_epochs(self._done, logs.get(self._objective))
        if not math.isfinite(logs.get("loss", 0.0)):
            self.model.stop_training = True


def _train(program: Program, run: Run, recipe: Recipe, objective: str) -> tuple[dict[str, float], EpochRecords, float]:
    """Trains a program until the run's last epoch; gives the measures, the records and the run's own seconds."""
    started, earlier = time.monotonic(), 0.0
    check_fit(program.model, run.data, [recipe])
    state = _state(run.state)
    if state is not None:
        earlier = state.facts["seconds"]
    else:
        state = _state(run.parent_state)
    records = EpochRecords()
    phase = PhaseRun(program, run.data, recipe, records, state=state)
    watch = _Watch(objective, run.on_epochs, len(records.epochs))
    pause_at = run.epochs if run.keep_state else None
    saver = phase.saver(run.state, lambda: earlier + time.monotonic() - started, pause_at=pause_at)
    phase.on_progress.append(watch.after_steps)
    run.on_epochs(len(records.epochs), None)
    if phase.is_over and run.keep_state and state is not None:
        state.save(run.state)  # patience ran out before the pause: there is nothing to run
    phase.fit([watch, saver], until=run.epochs)
    metrics = {k: float(v) for k, v in phase.summary(recipe)["metrics"].items() if k != "epochs"}
    return metrics, records, earlier + time.monotonic() - started


def _state(path: Path | None) -> State | None:
    """A saved state; `None` where there is none or a damaged one: its epochs are made again, with the same result."""
    if path is None or not path.exists():
        return None
    try:
        return State.load(path)
    except ZooError:
        return None


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
        if model.optimizer is not None:
            forget_traces(model.optimizer)  # or every trial's graph would be kept
        first, state = 0, _state(run.parent_state)
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
            "callbacks": [_Watch(self._setting.objective, run.on_epochs, first)],
            "verbose": 0,
        }
        run.on_epochs(first, None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed")  # the batches see to it
            result = self._hypermodel.fit(hp, model, batches, **options)
        if run.keep_state and model.optimizer is not None:
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

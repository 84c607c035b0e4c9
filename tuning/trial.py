"""Values -> score: builds, trains and scores one trial.

A trial is a function of its values and the recipe's seed: it is built and trained from scratch, also when Hyperband
promotes it (resuming where it paused, and models that are reused from trial to trial, can come in here later). Task
and outcome are plain values, so that they can cross to another process.
"""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import storage
from zoo.errors import UsageError
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from zoo.data.splits import DataSplits


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all trials of a search share.

    Attributes:
        hypermodel: a `ModelSpace`, or a user's `HyperModel`.
        data: `train` is fitted, `validation` scores, `test` is never touched.
        recipe: how to train. A user's `HyperModel` gets its batch size, shuffling, seed and epochs.
        objective: name of the metric that is the score.
        direction: "max" or "min".
    """

    hypermodel: Any
    data: DataSplits
    recipe: Recipe
    objective: str
    direction: str


@dataclasses.dataclass(frozen=True)
class TrialTask:
    """One trial to run.

    Attributes:
        number: counts the trials of a search from 0.
        hyperparameters: `keras_tuner.HyperParameters.get_config()`: the space and the values.
        epochs: epochs to train, or `None` for the recipe's.
        save_to: where to keep the model when it beats `better_than`; `None` keeps nothing.
        better_than: the best score so far.
    """

    number: int
    hyperparameters: dict[str, Any]
    epochs: int | None = None
    save_to: str | None = None
    better_than: float | None = None


@dataclasses.dataclass(frozen=True)
class TrialOutcome:
    """What became of a trial.

    Attributes:
        status: "completed" or "failed".
        score: the objective, `None` for a failed trial.
        metrics: all metrics of the model at its end.
        epochs: epochs that were run.
        seconds: wall time, building included.
        reason: one line on why it failed.
        traceback: of the exception that failed it.
        hyperparameters: the config after the build, when the build declared hyper-parameters that were not yet known.
        model_sha256: of the file at `save_to`, when it was written.
    """

    status: str
    score: float | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    reason: str | None = None
    traceback: str | None = None
    hyperparameters: dict[str, Any] | None = None
    model_sha256: str | None = None


def run_trial(setting: Setting, task: TrialTask) -> TrialOutcome:
    """Builds, trains and scores one trial, and saves its model when it is the best so far.

    Sets the global seeds of Python, NumPy and TensorFlow to the recipe's.

    An exception of the build or the training, and an objective that is missing, infinite or not a number, make a failed
    trial. `KeyboardInterrupt`, and a disk that does not take the model, go through to the caller.
    """
    import zoo.startup  # noqa: F401  (before Keras)

    # isort: split
    import keras_tuner

    started = time.perf_counter()
    hp = keras_tuner.HyperParameters.from_config(task.hyperparameters)
    known = len(hp.space)
    try:
        model, metrics, epochs = _fit(setting, task, hp)
    except Exception as error:
        return _failure(error, seconds=time.perf_counter() - started)
    outcome = TrialOutcome(
        status="completed",
        metrics=metrics,
        epochs=epochs,
        hyperparameters=hp.get_config() if len(hp.space) > known else None,
    )
    problem = _problem(metrics, setting.objective)
    if problem is not None:
        return dataclasses.replace(outcome, status="failed", reason=problem, seconds=time.perf_counter() - started)
    outcome = dataclasses.replace(outcome, score=metrics[setting.objective])
    outcome = _keep(model, outcome, setting, task)
    return dataclasses.replace(outcome, seconds=time.perf_counter() - started)


def is_better(score: float, best: float | None, direction: str) -> bool:
    """Whether `score` beats `best`; a tie does not, so that the first of equals stays."""
    return best is None or (score > best if direction == "max" else score < best)


def _fit(
    setting: Setting, task: TrialTask, hp: keras_tuner.HyperParameters
) -> tuple[keras.Model, dict[str, float], int]:
    """The trained model, its metrics and the epochs it took."""
    from tuning.spaces import ModelSpace

    if isinstance(setting.hypermodel, ModelSpace):
        return _fit_space(setting.hypermodel, setting.data, task.epochs, hp)
    return _fit_hypermodel(setting, task.epochs, hp)


def _fit_space(
    space: Any, data: DataSplits, epochs: int | None, hp: keras_tuner.HyperParameters
) -> tuple[keras.Model, dict[str, float], int]:
    import keras

    import zoo

    options, recipe = space.choose(hp)
    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    keras.utils.set_random_seed(recipe.seed)
    model = zoo.build(space.model_name, space.input_shape, space.num_classes, seed=recipe.seed, **options)
    run = zoo.train(model, data, recipe, verbose=False)
    metrics = {name: float(value) for name, value in run.metrics.items() if name != "epochs"}
    return run.model, metrics, int(run.metrics["epochs"])


def _fit_hypermodel(
    setting: Setting, epochs: int | None, hp: keras_tuner.HyperParameters
) -> tuple[keras.Model, dict[str, float], int]:
    import keras

    from zoo.training.fused_updates import forget_traces

    recipe, data = setting.recipe, setting.data
    epochs = recipe.epochs if epochs is None else epochs
    keras.utils.set_random_seed(recipe.seed)
    model = setting.hypermodel.build(hp)
    if not isinstance(model, keras.Model):
        raise UsageError(f"a build function must return a compiled keras.Model. Received: {type(model).__name__}")
    if model.optimizer is not None:
        forget_traces(model.optimizer)  # or every trial's graph would be kept
    batches = data.train.batches(
        recipe.batch_size,
        shuffle=recipe.shuffle,
        augment=recipe.augment,
        drop_remainder=recipe.drop_remainder,
        seed=recipe.seed,
    )
    held_out = None if data.validation is None else data.validation.batches(recipe.batch_size)
    options: dict[str, Any] = {"validation_data": held_out, "epochs": epochs, "callbacks": [], "verbose": 0}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed")  # the batches see to it
        result = setting.hypermodel.fit(hp, model, batches, **options)
    if isinstance(result, keras.callbacks.History):
        last = {name: float(values[-1]) for name, values in result.history.items() if values}
        return model, last, len(result.epoch)
    if isinstance(result, Mapping):
        return model, {name: float(value) for name, value in result.items()}, epochs
    return model, {setting.objective: float(result)}, epochs


def _problem(metrics: Mapping[str, float], objective: str) -> str | None:
    """Why the metrics hold no score, if they hold none."""
    if objective not in metrics:
        return f"there is no {objective} among the metrics: {', '.join(metrics)}"
    for name in (objective, "loss", "val_loss"):
        if not math.isfinite(metrics.get(name, 0.0)):
            return f"{name} is {metrics[name]}"  # also where an accuracy hides it: NaN outputs are all of class 0
    return None


def _keep(model: keras.Model, outcome: TrialOutcome, setting: Setting, task: TrialTask) -> TrialOutcome:
    """Saves the model of a trial that is the best so far."""
    assert outcome.score is not None
    if task.save_to is None or not is_better(outcome.score, task.better_than, setting.direction):
        return outcome
    try:
        with storage.atomic_path(task.save_to) as temporary:
            model.save(temporary)
    except OSError:
        raise
    except Exception as error:  # a model class that Keras cannot serialize
        return dataclasses.replace(_failure(error), metrics=outcome.metrics, epochs=outcome.epochs)
    return dataclasses.replace(outcome, model_sha256=storage.sha256_of_file(Path(task.save_to)))


def _failure(error: Exception, *, seconds: float = 0.0) -> TrialOutcome:
    message = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    trace = "".join(traceback.format_exception(error))
    return TrialOutcome(status="failed", reason=reason, traceback=trace, seconds=seconds)

"""Optuna as its Keras example uses it: the objective clears the session, builds, compiles, fits and gives the accuracy."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import optuna
from search_networks import Arrays, Tally, fit, load, network
from search_tasks import Found, Job, Trial

__all__ = ["load", "search"]


class _Pruning(keras.callbacks.Callback):
    """Optuna's `KerasPruningCallback`; ends the study as well once the budget of epochs is spent."""

    def __init__(self, trial: optuna.Trial, budget: int) -> None:
        super().__init__()
        self._trial, self._budget = trial, budget

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._trial.report(float((logs or {})["val_accuracy"]), step=epoch + 1)
        if sum(Tally.epochs) >= self._budget:
            self._trial.study.stop()
            self.model.stop_training = True
        elif self._trial.should_prune():
            self.model.stop_training = True


def search(job: Job, arrays: Arrays) -> Found:
    """Searches as the task says: `GridSampler`, or TPE with `HyperbandPruner` until the budget of epochs is spent."""
    task = job.task
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shape, num_classes = arrays.x.shape[1:], int(arrays.y.max()) + 1
    is_hyperband = task.method == "hyperband"

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        values = {name: _suggest(trial, name, given) for name, given in task.space.items()}
        model = network(task, shape, num_classes, job.dtype, values)
        callbacks: list[keras.callbacks.Callback] = [Tally()]
        if is_hyperband:
            callbacks.append(_Pruning(trial, task.budget))
        history = fit(model, task, arrays, callbacks)
        if len(history.epoch) < task.epochs:
            raise optuna.TrialPruned
        return float(history.history["val_accuracy"][-1])

    if is_hyperband:
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=task.epochs, reduction_factor=task.factor)
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=job.seed), pruner=pruner
        )
    else:
        sampler = optuna.samplers.GridSampler(task.space, seed=job.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=None if is_hyperband else task.cells)
    rows = zip(study.trials, Tally.scores, Tally.epochs, strict=True)
    return Found([Trial(dict(trial.params), score, epochs) for trial, score, epochs in rows])


def _suggest(trial: optuna.Trial, name: str, given: Any) -> Any:
    if isinstance(given, list):
        return trial.suggest_categorical(name, given)
    return trial.suggest_float(name, given[0], given[1], log=len(given) == 3)

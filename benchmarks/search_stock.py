"""Keras Tuner as its tutorials use it: a build function, `tuner.search` on float32 arrays."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import keras_tuner
from search_networks import Arrays, Tally, load, network
from search_tasks import Found, Job, Trial
from stopwatch import memory

__all__ = ["load", "search"]


class _Weighed(keras_tuner.GridSearch):
    """A grid search that notes the resident memory after each trial."""

    curve: list[float]

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self.curve.append(memory()["resident"] or 0.0)


def search(job: Job, arrays: Arrays) -> Found:
    """Searches as the task says, with Keras Tuner's own tuners."""
    task = job.task
    shape, num_classes = arrays.x.shape[1:], int(arrays.y.max()) + 1

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        values = {name: _declare(hp, name, given) for name, given in task.space.items()}
        return network(task, shape, num_classes, job.dtype, values)

    common: dict[str, Any] = {
        "objective": "val_accuracy",
        "seed": job.seed + 1,  # 0 is none
        "directory": job.folder,
        "project_name": "search",
        "overwrite": True,
    }
    fit: dict[str, Any] = {"validation_data": arrays.validation, "batch_size": task.batch_size, "verbose": 0}
    if task.method == "hyperband":
        tuner = keras_tuner.Hyperband(
            build, max_epochs=task.epochs, factor=task.factor, hyperband_iterations=1, **common
        )
    else:
        fit["epochs"] = task.epochs
        tuner = (_Weighed if task.section == "memory" else keras_tuner.GridSearch)(build, **common)
    tuner.curve = []
    tuner.search(arrays.x, arrays.y, callbacks=[Tally()], **fit)
    order = tuner.oracle.end_order
    if not len(order) == len(Tally.scores) == len(Tally.epochs):
        raise RuntimeError(f"{len(order)} trials ended, {len(Tally.scores)} of {len(Tally.epochs)} were trained")
    trials = [
        Trial({name: tuner.oracle.trials[trial].hyperparameters.values[name] for name in task.space}, score, epochs)
        for trial, score, epochs in zip(order, Tally.scores, Tally.epochs, strict=True)
    ]
    return Found(trials, curve=tuner.curve)


def _declare(hp: keras_tuner.HyperParameters, name: str, given: Any) -> Any:
    if isinstance(given, list):
        return hp.Choice(name, given)
    return hp.Float(name, given[0], given[1], sampling="log" if len(given) == 3 else "linear")

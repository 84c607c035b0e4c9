"""Ray Tune as its Keras example uses it: a function that builds, fits and reports, with the data as parameters."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # no progress table

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from search_networks import Arrays, load
from search_tasks import Found, Job, Trial

from zoo.cores import num_cores

__all__ = ["close", "load", "search"]

_MOST_LETTERS = 36  # of 107 that Linux grants a socket; the rest is Ray's
_outside: list[str] = []


class _Budget(tune.Stopper):
    """Ends the search once so many epochs have been reported."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._left -= 1
        return self._left <= 0

    def stop_all(self) -> bool:
        return self._left <= 0


def search(job: Job, arrays: Arrays) -> Found:
    """Searches as the task says: `grid_search`, or ASHA over random samples until the budget of epochs is spent."""
    task = job.task
    is_hyperband = task.method == "hyperband"
    np.random.seed(job.seed)  # Ray samples by it
    at_once = job.entry.at_once
    cores = num_cores()
    ray.init(
        num_cpus=max(cores, at_once),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=_session_folder(job),
    )
    trainable = tune.with_parameters(_train, job=job, arrays=arrays)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": max(1, cores // at_once)}),
        param_space={name: _domain(given, is_hyperband) for name, given in task.space.items()},
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            num_samples=-1 if is_hyperband else 1,
            max_concurrent_trials=at_once,
            reuse_actors=True,  # else every trial starts a process and imports TensorFlow
            scheduler=ASHAScheduler(max_t=task.epochs, grace_period=1, reduction_factor=task.factor)
            if is_hyperband
            else None,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(job.folder),
            verbose=0,
            stop=_Budget(task.budget) if is_hyperband else None,
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise RuntimeError(f"{len(results.errors)} trials failed; the first: {results.errors[0]}")
    trials = []
    for number in range(len(results)):
        values, metrics = results[number].config or {}, results[number].metrics or {}
        if "val_accuracy" in metrics:  # some were sampled and not begun when the budget was spent
            trials.append(Trial(dict(values), metrics["val_accuracy"], metrics["epochs"]))
    return Found(trials)


def close() -> None:
    """Ends Ray and removes what it wrote outside of the job's folder."""
    ray.shutdown()
    for folder in _outside:
        shutil.rmtree(folder, ignore_errors=True)


def _session_folder(job: Job) -> str:
    """A folder for Ray's sockets, whose paths must be short: the job's own where its path is short enough."""
    if len(str(job.folder)) <= _MOST_LETTERS:
        return str(job.folder)
    _outside.append(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    return _outside[-1]


def _train(config: dict[str, Any], job: Job, arrays: Arrays) -> None:
    """One trial, in a worker of Ray's."""
    import keras
    from search_networks import fit, network

    task = job.task

    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            tune.report({"val_accuracy": float((logs or {})["val_accuracy"]), "epochs": epoch + 1})

    keras.backend.clear_session()
    model = network(task, arrays.x.shape[1:], int(arrays.y.max()) + 1, job.dtype, config)
    history = fit(model, task, arrays, [Report()] if task.method == "hyperband" else [])
    if task.method != "hyperband":
        tune.report({"val_accuracy": history.history["val_accuracy"][-1], "epochs": len(history.epoch)})


def _domain(given: Any, is_hyperband: bool) -> Any:
    if isinstance(given, list):
        return tune.choice(given) if is_hyperband else tune.grid_search(given)
    low, high = given[:2]
    return tune.loguniform(low, high) if len(given) == 3 else tune.uniform(low, math.nextafter(high, math.inf))

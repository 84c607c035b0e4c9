"""This project: `tuning.search` on the stored uint8 images."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

import zoo.startup

import keras
import keras_tuner
from search_memory import Watch, journal_trials
from search_tasks import Found, Job, Task, Trial

import tuning
import zoo
from tuning import plan
from tuning.executors import inline
from tuning.parameters import Choices, declare
from tuning.spaces import ModelSpace
from tuning.trial import TrialRunner

_CURVE = "memory"  # the section whose searches are watched


class CombinationSpace(ModelSpace):
    """A space that holds listed combinations of options and learning rates, and nothing between them."""

    def __init__(self, task: Task, data: zoo.DataSplits, recipe: zoo.Recipe, dtype: str) -> None:
        super().__init__(task.model, data.input_shape, data.num_classes, values={}, recipe=recipe)
        self.parameters = {"combination": Choices(tuple(task.space["combination"]))}
        self._task, self._dtype = task, dtype

    def choose(self, hp: keras_tuner.HyperParameters) -> tuple[dict[str, Any], zoo.Recipe]:
        """The options and the recipe of one combination."""
        options = self._task.options({"combination": declare(hp, "combination", self.parameters["combination"])})
        recipe = dataclasses.replace(self.recipe, learning_rate=options.pop("learning_rate"))
        return {**options, "dtype": self._dtype}, recipe


def load(job: Job) -> zoo.DataSplits:
    """The same images as everyone's, as they are stored."""
    data = zoo.load_dataset(job.task.data, limit=job.task.limit)
    keras.utils.set_random_seed(job.seed)
    return data


def search(job: Job, data: zoo.DataSplits) -> Found:
    """Searches as the task says: in this process or in workers, small models of one structure as one program or not."""
    task = job.task
    recipe = zoo.Recipe(optimizer=task.optimizer, batch_size=task.batch_size, epochs=task.epochs, seed=job.seed)
    space: dict[str, Any] = {"values": task.space, "recipe": recipe}
    model: Any = task.model
    if task.combinations:
        model, space = CombinationSpace(task, data, recipe, job.dtype), {}
    if task.method == "hyperband":
        space["max_epochs"] = task.epochs
    else:
        space["max_trials"] = task.cells  # all of them: a larger grid is a mistake, and is not to run for hours
    if job.entry.at_once > 1:
        space |= {"executor": "processes", "workers": job.entry.at_once}
    folder = job.folder / "search"
    watch = Watch(lambda: journal_trials(folder / "journal.jsonl"))
    one_by_one = contextlib.nullcontext() if job.entry.stacked else _one_by_one()
    with _runners() as runners, one_by_one, watch if task.section == _CURVE else contextlib.nullcontext():
        result = tuning.search(model, data, method=task.method, directory=folder, seed=job.seed, verbose=False, **space)
    rows = result.table.to_dict("records")
    failed = [row for row in rows if row["status"] != "completed"]
    if failed:
        raise RuntimeError(f"{len(failed)} trials failed; the first: {failed[0]['reason']}")
    trials = [Trial({k: row[k] for k in task.space}, float(row["score"]), int(row["epochs"])) for row in rows]
    found = Found(trials, curve=watch.curve, workers=watch.workers)
    if runners:
        found.traces = sum(runner.traces for runner in runners)
        found.signatures = sum(runner.signatures for runner in runners)
    return found


@contextlib.contextmanager
def _one_by_one() -> Iterator[None]:
    """Trains every trial on a program of its own, here and in workers, to which the setting is sent."""
    make_plan = plan.make_plan

    def unstacked(*args: Any, **kwargs: Any) -> plan.Plan:
        made = make_plan(*args, **kwargs)
        return dataclasses.replace(made, setting=dataclasses.replace(made.setting, stacked=False))

    with mock.patch.object(plan, "make_plan", unstacked):
        yield


@contextlib.contextmanager
def _runners() -> Iterator[list[TrialRunner]]:
    """Gives the runners that a search makes in this process, which know what they traced."""
    made: list[TrialRunner] = []

    class Known(TrialRunner):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    with mock.patch.object(inline, "TrialRunner", Known):
        yield made

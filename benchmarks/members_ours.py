"""This project: members through `SpaceRunner`, as a search trains them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import zoo.startup

import keras_tuner
from members_tasks import Member, Task

import zoo
from tuning.runs import Run
from tuning.space_runs import SpaceRunner
from tuning.spaces import ModelSpace
from tuning.task import Setting


def contestant(task: Task, name: str, folder: Path) -> Callable[[Sequence[Member]], list[float]]:
    """What trains members and gives the accuracy of each; everything is traced before it is returned."""
    data = zoo.load_dataset(task.data, limit=task.limit, classes=task.classes)
    recipe = zoo.Recipe(optimizer=task.optimizer, batch_size=task.batch_size, epochs=task.epochs)
    space = ModelSpace(task.model, data.input_shape, data.num_classes, values=task.space, recipe=recipe)
    runner = SpaceRunner(Setting(space, data, recipe, "val_accuracy", "max", stacked=True))
    numbers = itertools.count()

    def train(members: Sequence[Member], epochs: int = task.epochs) -> list[float]:
        hps = [_fixed(task, member) for member in members]
        runs = [
            Run(0, data, member.seed, epochs, folder / f"{next(numbers)}.npz", None, False, lambda *_: None)
            for member in members
        ]
        if name == "together":
            results = runner.run_together(hps, runs, 0)
        else:
            results = [runner.run(hp, run, 0) for hp, run in zip(hps, runs, strict=True)]
        if any(result.epochs != epochs for result in results):
            raise RuntimeError(f"{[result.epochs for result in results]} epochs were trained, not {epochs} each")
        return [result.metrics["val_accuracy"] for result in results]

    for count in (1, 2):  # one order, and where members have their own, several: two programs
        train(task.members(count), epochs=1)
    return train


def _fixed(task: Task, member: Member) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    for name, given in task.space.items():
        hp.Fixed(name, member.values[name] if name in member.values else given[0])
    return hp

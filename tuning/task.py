"""What crosses to where trials run, and back: plain values, and the data once."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.parameters import expanded
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from zoo.data.splits import DataSplits


FINE_TUNED = "fine_tuned"  # the folder of what becomes of the best trials in a search's folder


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all trials of a search share.

    Attributes:
        hypermodel: a `ModelSpace`, or a user's `HyperModel`.
        data: `train` is fitted, `validation` scores, `test` is never touched. With folds, `train` and `validation`
            together are divided anew.
        recipe: how to train. A user's `HyperModel` gets its batch size, shuffling, augmentation, seed and epochs.
        objective: name of the metric that is the score.
        direction: "max" or "min".
        folds: parts of a cross-validation; 1 is none.
        repeats: runs a trial (and fold) with different seeds: `recipe.seed`, `recipe.seed + 1`, ...
        max_epochs: epochs that a schedule runs over where trials are paused at rungs; `None` for each trial's own.
        stacked: whether small dense models may train as members of one program: several trials are asked for ahead, or a
            trial has several runs.
    """

    hypermodel: Any
    data: DataSplits
    recipe: Recipe
    objective: str
    direction: str
    folds: int = 1
    repeats: int = 1
    max_epochs: int | None = None
    stacked: bool = False


@dataclasses.dataclass(frozen=True)
class TrialTask:
    """One trial to run.

    Attributes:
        number: counts the trials of a search from 0.
        hyperparameters: `keras_tuner.HyperParameters.get_config()`: the space and the values.
        folder: the search's folder, where `states/` and `models/` are.
        epochs: epochs at the trial's end, those of `parent` included, or `None` for the recipe's.
        initial_epoch: epochs of the trial that this one continues.
        parent: number of the paused trial that this one continues, or `None`.
        pause: whether the state at the end is kept, so that another trial can continue it.
        better_than: (score, number) of the trial that this one must beat for its model to be kept; `None` keeps it anyway.
        keep_models: how many models of the search are kept; 0 where none is.
        together: whether it trains as a member of a program, where its structure is one that can.
    """

    number: int
    hyperparameters: dict[str, Any]
    folder: str
    epochs: int | None = None
    initial_epoch: int = 0
    parent: int | None = None
    pause: bool = False
    better_than: tuple[float, int] | None = None
    keep_models: int = 1
    together: bool = True


@dataclasses.dataclass(frozen=True)
class TrialOutcome:
    """What became of a trial.

    Attributes:
        status: "completed" or "failed".
        score: the objective, the mean over the runs; `None` for a failed trial.
        metrics: all measures at the trial's end, means over the runs.
        runs: one a fold and repeat: `fold`, `repeat`, `seed`, `score`, `metrics`, `epochs`, `seconds`, and `curve`: name of a
            measure -> its values by epoch (`epoch` counted from 0; a continued trial has its own epochs only).
        epochs: epochs that were run, over all runs; without those of `parent`.
        seconds: wall time, building included.
        reason: one line on why it failed.
        traceback: of the exception that failed it.
        hyperparameters: the config after the build, when the build declared hyper-parameters that were not yet known.
        model_sha256: of the trial's file in `models/`, when it was written.
        attempts: how often the trial was started before it came to this.
    """

    status: str
    score: float | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    runs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    epochs: int = 0
    seconds: float = 0.0
    reason: str | None = None
    traceback: str | None = None
    hyperparameters: dict[str, Any] | None = None
    model_sha256: str | None = None
    attempts: int = 1


@dataclasses.dataclass(frozen=True)
class TrialProgress:
    """How far a running trial is; also the sign that it is alive.

    Attributes:
        number: of the trial.
        done: epochs done, a fraction within one, over all runs.
        total: epochs to do.
        score: the objective after the last epoch, or `None`.
    """

    number: int
    done: float
    total: float
    score: float | None = None


def epochs_of(setting: Setting, values: dict[str, Any]) -> int:
    """Epochs that one run of a trial takes, by its values; those of the trial that it continues left out."""
    if values.get("tuner/epochs"):
        return int(values["tuner/epochs"]) - int(values.get("tuner/initial_epoch", 0))
    named = getattr(setting.hypermodel, "named", {})
    return int(expanded(values, named).get("epochs", setting.recipe.epochs))


def model_path(folder: str | os.PathLike[str], number: int) -> Path:
    """Where a trial keeps its model."""
    return Path(folder) / "models" / f"trial-{number:04d}.keras"


def fine_tuned_path(folder: str | os.PathLike[str], number: int) -> Path:
    """Where a trial keeps its model after fine-tuning."""
    return model_path(Path(folder) / FINE_TUNED, number)


def state_path(folder: str | os.PathLike[str], number: int, run: int) -> Path:
    """Where a run of a trial keeps the state it was paused in."""
    return Path(folder) / "states" / f"trial-{number:04d}-{run}.npz"


def is_kept(score: float, task: TrialTask, direction: str) -> bool:
    """Whether a trial's score is good enough for its model to be kept; of equals the first one asked is better."""
    if task.better_than is None:
        return True
    best, number = task.better_than
    return (score > best if direction == "max" else score < best) or (score == best and task.number < number)

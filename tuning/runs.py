"""One run of a trial, one fold and one seed: what it has to do, how it goes on a program, what it leaves behind."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from tuning.spaces import ModelSpace
from tuning.task import Setting, TrialTask, state_path
from zoo.data.folds import stratified_folds
from zoo.data.splits import DataSplits
from zoo.errors import ZooError
from zoo.training.phase import PhaseRun
from zoo.training.recipe import Recipe
from zoo.training.records import EpochRecords
from zoo.training.state import State

if TYPE_CHECKING:
    from zoo.training.program import Program

OnEpochs = Callable[[float, float | None], None]  # (epochs done, a fraction within one; the objective or None)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run has to do.

    Attributes:
        number: of the runs of a trial, counted by fold and then by repeat.
        data: the fold's.
        seed: of weights, order, dropout and augmentation.
        epochs: epochs at its end, those before the pause included.
        state: the file of its own state: read if it is there, written now and then.
        parent_state: the file of the paused run that it continues, or `None`.
        keep_state: whether the state at its end is kept.
        on_epochs: told how far it is.
    """

    number: int
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


def fold_data(setting: Setting) -> list[DataSplits]:
    """What each fold trains and scores on; without folds the data as they are."""
    if setting.folds == 1:
        return [setting.data]
    return stratified_folds(setting.data, setting.folds, seed=setting.recipe.seed)


def make_run(
    setting: Setting, task: TrialTask, number: int, data: DataSplits, seed: int, epochs: int, on_epochs: OnEpochs
) -> Run:
    """Run `number` of a trial."""
    parent = None if task.parent is None else state_path(task.folder, task.parent, number)
    # If a later run of several is interrupted, this one is not made again; a user's model starts again all the same.
    several = setting.folds * setting.repeats > 1 and isinstance(setting.hypermodel, ModelSpace)
    return Run(
        number=number,
        data=data,
        seed=seed,
        epochs=epochs,
        state=state_path(task.folder, task.number, number),
        parent_state=parent,
        keep_state=task.pause or several,
        on_epochs=on_epochs,
    )


class ProgramRun:
    """A run on a program, its own or its share of one: from the beginning, from its own state, or from its parent's.

    Args:
        program: what trains.
        run: what is to be done.
        recipe: of the program's structure.
        objective: the score.
        clock: seconds that it has taken in this process.

    Attributes:
        records: what is kept of its epochs.
        phase: its training.
        saver: saves its state.
        callbacks: what follows it, in this order, beside the phase's own.
    """

    def __init__(self, program: Program, run: Run, recipe: Recipe, objective: str, clock: Callable[[], float]) -> None:
        self.run, self._recipe, self._clock = run, recipe, clock
        own = load_state(run.state)
        state = own if own is not None else load_state(run.parent_state)
        self._earlier = own.facts["seconds"] if own is not None else 0.0
        self.records = EpochRecords()
        self.phase = PhaseRun(program, run.data, recipe, self.records, state=state)
        watch = Watch(objective, run.on_epochs, len(self.records.epochs))
        self.phase.on_progress.append(watch.after_steps)
        self.saver = self.phase.saver(run.state, self.seconds, pause_at=run.epochs if run.keep_state else None)
        self.callbacks: list[keras.callbacks.Callback] = [watch, self.saver]
        run.on_epochs(len(self.records.epochs), None)
        if self.phase.is_over and run.keep_state and state is not None:
            state.save(run.state)  # patience ran out before the pause: there is nothing to run

    def seconds(self) -> float:
        """Wall time of the run, that of earlier attempts included."""
        return self._earlier + self._clock()

    def result(self, first_epoch: int, make_model: Callable[[], keras.Model]) -> RunResult:
        """What it left behind; after its last epoch."""
        metrics = {k: float(v) for k, v in self.phase.summary(self._recipe)["metrics"].items() if k != "epochs"}
        rows = [row for row in self.records.epochs if row["epoch"] >= first_epoch]
        names = [name for name in (rows[0] if rows else {}) if name != "phase"]
        curve = {name: [row.get(name) for row in rows] for name in names}
        return RunResult(metrics, len(rows), self.seconds(), curve, make_model)


class Watch(keras.callbacks.Callback):
    """Tells how far a run is, and ends one whose loss is lost."""

    def __init__(self, objective: str, on_epochs: OnEpochs, first_epoch: int) -> None:
        super().__init__()
        self._objective, self._on_epochs, self._done = objective, on_epochs, first_epoch

    def after_steps(self, done: int, steps: int) -> None:
        """So many of an epoch's steps are done."""
        self._on_epochs(self._done + done / steps, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        logs = logs or {}
        self._done = epoch + 1
        self._on_epochs(self._done, logs.get(self._objective))
        if not math.isfinite(logs.get("loss", 0.0)):
            self.model.stop_training = True


def load_state(path: Path | None, *, of_weights: bool = False) -> State | None:
    """A saved state, with what `State.load` takes; `None` where there is none or a damaged one: its epochs are made again, with the same result."""
    if path is None or not path.exists():
        return None
    try:
        return State.load(path, of_weights=of_weights)
    except ZooError:
        return None

"""Records of training as it goes: one row an epoch in memory, and the run folder on disk."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd

from zoo.errors import UsageError, ZooError
from zoo.models.saving import save_weights
from zoo.storage import DirectoryLock, remove_torn, write_json
from zoo.training.event_log import EventLog
from zoo.training.recipe import Recipe
from zoo.training.recorder import StepRecorder
from zoo.training.run import config_changes, foreign_file, write_tables
from zoo.training.state import State
from zoo.training.validation import Validations

_FIRST = ("loss", "data_loss", "accuracy")  # the columns that the history opens with
_VALIDATION_COLUMNS = ["phase", "epoch", "step", "val_loss", "val_data_loss", "val_accuracy"]
_SAVE_EVERY = 5.0  # seconds between two writes of tables and best weights: what a killed process loses at most


class EpochRecords(keras.callbacks.Callback):
    """Collects epochs, gradient steps and validations over all phases.

    Attributes:
        epochs: one row an epoch.
        steps: (loss, data_loss) of every gradient step.
        validations: one row a validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[dict[str, Any]] = []
        self.steps: list[tuple[float, float]] = []
        self.phase, self.phase_start, self.phase_first_step = 0, 0, 0
        self._earlier_validations: list[dict[str, Any]] = []
        self._validations: Validations | None = None
        self._logs: dict[str, Any] = {}
        self._started, self._elapsed = time.monotonic(), 0.0  # seconds of the epoch before it was interrupted

    @property
    def validations(self) -> list[dict[str, Any]]:  # noqa: D102
        return self._earlier_validations + (self._validations.records if self._validations else [])

    def begin_phase(self) -> None:
        """What comes belongs to the next phase."""
        self._earlier_validations, self._validations = self.validations, None
        self.phase_start, self.phase_first_step = len(self.epochs), len(self.steps)

    def attach(
        self,
        phase: int,
        recipe: Recipe,
        recorder: StepRecorder,
        validations: Validations | None,
        num_examples: int,
        num_steps: int,
    ) -> None:
        """Makes the collection ready for the next `fit`."""
        self.phase, self._recipe, self._recorder, self._validations = phase, recipe, recorder, validations
        self._num_examples, self._num_steps = num_examples, num_steps

    def state(self) -> tuple[dict[str, Any], np.ndarray]:
        """What a resumed training needs to know: plain values, and the (N, 2) losses of all steps."""
        facts = {
            "epochs": self.epochs,
            "earlier_validations": self._earlier_validations,
            "phase_start": self.phase_start,
            "phase_first_step": self.phase_first_step,
            "elapsed": time.monotonic() - self._started,
        }
        return facts, np.array(self.steps, np.float64).reshape(-1, 2)

    def restore(self, facts: dict[str, Any], steps: np.ndarray) -> None:
        """Continues from what `state` gave."""
        self.epochs, self._earlier_validations = list(facts["epochs"]), list(facts["earlier_validations"])
        self.phase_start, self.phase_first_step = facts["phase_start"], facts["phase_first_step"]
        self.steps = [(float(loss), float(data)) for loss, data in steps]
        self._elapsed = facts["elapsed"]

    def tables(self) -> dict[str, pd.DataFrame]:
        """`history`, `steps` and `validations` as `TrainingRun` has them."""
        steps = pd.DataFrame(self.steps, columns=["loss", "data_loss"], dtype=float)
        steps.insert(0, "step", np.arange(len(steps)))
        validations = pd.DataFrame(self.validations, columns=_VALIDATION_COLUMNS)
        return {"history": pd.DataFrame(self.epochs), "steps": steps, "validations": validations}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.params["steps"] = self._num_steps  # what callbacks know as the steps of an epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._started, self._elapsed = time.monotonic() - self._elapsed, 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        logs = {} if logs is None else logs
        losses = self._recorder.take()
        self.steps += [(float(loss), float(data)) for loss, data in losses]
        sizes = np.full(len(losses), self._recipe.batch_size)
        logs["data_loss"] = float("nan")  # where a model's own train_step does not call compute_loss
        if len(losses):
            rest = self._num_examples - self._recipe.batch_size * (len(losses) - 1)
            sizes[-1] = min(sizes[-1], rest)  # the last batch of an epoch may be partial
            logs["data_loss"] = float(np.average(losses[:, 1], weights=sizes))
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds = time.monotonic() - self._started
        row = {"phase": self.phase, "epoch": epoch, **{name: logs.get(name) for name in _FIRST}, **logs}
        self.epochs.append({**row, "seconds": seconds})
        self._logs, self._started = dict(logs), time.monotonic()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if logs is not None:
            logs.update(
                self._logs
            )  # `fit` hands out what it measured itself; callbacks know the last epoch's logs here


class RunFolder:
    """The folder of a run while it trains: locked, configuration written first, tables and best weights as it goes."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        self.directory, self._config = directory, config

    def __enter__(self) -> RunFolder:
        self._logs: dict[str, EventLog] = {}
        with contextlib.ExitStack() as stack:  # if anything fails, the folder is let go
            stack.enter_context(DirectoryLock(self.directory))
            self._check_same_run()
            remove_torn(self.directory)
            if self.is_finished:
                self.state_path.unlink(missing_ok=True)  # killed between the two
            else:
                self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def _begin(self, stack: contextlib.ExitStack) -> None:
        if not (self.directory / "config.json").exists():
            write_json(self.directory / "config.json", self._config)
        for kind in ("train", "validation"):
            self._logs[kind] = EventLog(self.directory / "tensorboard" / kind)
            stack.callback(self._logs[kind].close)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds the finished run."""
        return (self.directory / "result.json").exists()

    @property
    def state_path(self) -> Path:
        """Where the state is saved while the run is not finished."""
        return self.directory / "state.npz"

    def state(self) -> State | None:
        """Where a run that was interrupted stopped; `None` for a new one.

        Raises:
            ZooError: the file is damaged, or that of another run.
        """
        if not self.state_path.exists():
            return None
        state = State.load(self.state_path)
        if state.facts["phase"] >= len(self._config["recipes"]):
            raise ZooError(f"{self.state_path} is the state of another run; delete it to start again")
        return state

    def _check_same_run(self) -> None:
        differences = config_changes(self.directory, self._config)
        if differences:
            raise UsageError(
                f"{self.directory} holds another run: {'; '.join(differences)}. Choose another folder, or delete it"
            )
        if differences is None and (foreign := foreign_file(self.directory)):
            raise UsageError(
                f"{self.directory} holds {foreign} and no run, and a training would overwrite it; choose another folder"
            )

    def callback(self, records: EpochRecords, validations: Validations | None) -> keras.callbacks.Callback:
        """The callback that keeps the folder up to date; it comes after `records`."""
        return _FolderCallback(self, records, validations)

    def log_scalars(self, epoch: int, logs: dict[str, Any]) -> None:
        """Adds an epoch's measures to the TensorBoard logs; `tf.summary` would take 2 ms for it."""
        for kind, log in self._logs.items():
            scalars = {
                f"epoch_{name.removeprefix('val_')}": value
                for name, value in logs.items()
                if name.startswith("val_") == (kind == "validation")
            }
            if scalars:
                log.add(epoch, scalars)


class _FolderCallback(keras.callbacks.Callback):
    def __init__(self, folder: RunFolder, records: EpochRecords, validations: Validations | None) -> None:
        super().__init__()
        self._folder, self._records, self._validations = folder, records, validations
        self._saved = time.monotonic()
        self._saved_best: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._folder.log_scalars(epoch, logs or {})
        if time.monotonic() - self._saved >= _SAVE_EVERY:
            self._save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._save()

    def _save(self) -> None:
        write_tables(self._folder.directory, self._records.tables())
        best = self._validations.best if self._validations else None
        if best is not None and best is not self._saved_best:
            assert self._validations is not None
            self._save_weights(self._validations.best_weights or [])
            self._saved_best = best
        self._saved = time.monotonic()

    def _save_weights(self, weights: list[np.ndarray]) -> None:
        assert self._validations is not None
        learner = self._validations.learner
        present = learner.get_weights()
        learner.set_weights(weights)
        try:
            save_weights(self.model, self._folder.directory / "best.weights.h5")
        finally:
            learner.set_weights(present)

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
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from zoo.errors import ZooError
from zoo.storage import DirectoryLock, atomic_path, write_json
from zoo.training.recipe import Recipe
from zoo.training.recorder import StepRecorder
from zoo.training.run import write_tables
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
        self._earlier_validations: list[dict[str, Any]] = []
        self._validations: Validations | None = None

    @property
    def validations(self) -> list[dict[str, Any]]:  # noqa: D102
        return self._earlier_validations + (self._validations.records if self._validations else [])

    def start_phase(
        self, phase: int, recipe: Recipe, recorder: StepRecorder, validations: Validations | None, num_examples: int
    ) -> None:
        """Makes the collection ready for the next `fit`."""
        self._earlier_validations, self._validations = self.validations, validations
        self._phase, self._recipe, self._recorder, self._num_examples = phase, recipe, recorder, num_examples

    def tables(self) -> dict[str, pd.DataFrame]:
        """`history`, `steps` and `validations` as `TrainingRun` has them."""
        steps = pd.DataFrame(self.steps, columns=["loss", "data_loss"], dtype=float)
        steps.insert(0, "step", np.arange(len(steps)))
        validations = pd.DataFrame(self.validations, columns=_VALIDATION_COLUMNS)
        return {"history": pd.DataFrame(self.epochs), "steps": steps, "validations": validations}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.params["steps"] = self._recorder.capacity  # what callbacks know as the steps of an epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._started = time.monotonic()

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
        row = {"phase": self._phase, "epoch": epoch, **{name: logs.get(name) for name in _FIRST}, **logs}
        self.epochs.append({**row, "seconds": seconds})
        self._logs = dict(logs)

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
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(DirectoryLock(self.directory))
        if (self.directory / "config.json").exists():
            self._stack.close()
            state = "a finished" if (self.directory / "result.json").exists() else "an unfinished"
            raise ZooError(f"{self.directory} holds {state} run already; choose another folder, or delete it")
        write_json(self.directory / "config.json", self._config)
        logs = self.directory / "tensorboard"
        self._writers = {kind: EventFileWriter(str(logs / kind)) for kind in ("train", "validation")}
        for writer in self._writers.values():
            self._stack.callback(writer.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def callback(self, records: EpochRecords, validations: Validations | None) -> keras.callbacks.Callback:
        """The callback that keeps the folder up to date; it comes after `records`."""
        return _FolderCallback(self, records, validations)

    def log_scalars(self, epoch: int, logs: dict[str, Any]) -> None:
        """Adds an epoch's measures to the TensorBoard logs; `tf.summary` would take 2 ms for it."""
        for kind, writer in self._writers.items():
            values = [
                summary_pb2.Summary.Value(tag=f"epoch_{name.removeprefix('val_')}", simple_value=value)
                for name, value in logs.items()
                if name.startswith("val_") == (kind == "validation")
            ]
            if values:
                summary = summary_pb2.Summary(value=values)
                writer.add_event(event_pb2.Event(wall_time=time.time(), step=epoch, summary=summary))


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
        present = self.model.get_weights()
        self.model.set_weights(weights)
        with atomic_path(self._folder.directory / "best.weights.h5") as temporary:
            self.model.save_weights(temporary)
        self.model.set_weights(present)

"""What a user sees while a model trains."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zoo.features.extraction import OnProgress

_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")
_LINE_EVERY = 2.0  # seconds; a run of 500 short epochs is not 500 lines
_PART_EVERY = 10.0  # seconds without a line before a long epoch tells how far it is


@contextlib.contextmanager
def computing_features(verbose: bool) -> Iterator[OnProgress | None]:
    """A function that is told (batches done, batches) and shows it; `None` where nothing is to be shown."""
    if not verbose:
        yield None
        return
    bar = ProgressBar(1, "features")

    def on_batches(done: int, batches: int) -> None:
        bar.on_train_begin()  # a bar that is shown already stays as it is
        bar.on_steps(done, batches)

    try:
        yield on_batches
    finally:
        bar.close()


class ProgressBar(keras.callbacks.Callback):
    """A bar by epochs on a terminal; elsewhere a plain line every two seconds and one for the last epoch."""

    def __init__(self, epochs: int, label: str, *, done: int = 0) -> None:
        super().__init__()
        self._epochs, self._label, self._done, self._text = epochs, label, done, ""
        self._printed = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
            )
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task(label, total=epochs, completed=done, text="")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if self._bar:
            self._bar.start()

    def on_steps(self, done: int, steps: int) -> None:
        """Shows how far the epoch is."""
        if self._bar:
            self._bar.update(self._task, completed=self._done + done / steps)
        elif time.monotonic() - self._printed >= _PART_EVERY:
            print(f"{self._label} {self._done + 1}/{self._epochs}  step {done}/{steps}", file=sys.stderr, flush=True)
            self._printed = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._done += 1
        self._text = "  ".join(f"{name} {logs[name]:.4f}" for name in _SHOWN if logs and name in logs)
        if self._bar:
            self._bar.update(self._task, completed=self._done, text=self._text)
        elif time.monotonic() - self._printed >= _LINE_EVERY:
            self._print()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.close()
        if self._text and not self._bar:
            self._print()

    def close(self) -> None:
        """Gives the terminal its cursor back."""
        if self._bar:
            self._bar.stop()

    def _print(self) -> None:
        print(f"{self._label} {self._done}/{self._epochs}  {self._text}", file=sys.stderr, flush=True)
        self._printed, self._text = time.monotonic(), ""

"""A search of thousands of trials whose training costs nothing: what the search itself takes, trial by trial."""

from __future__ import annotations

import math
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from stopwatch import memory

import tuning
import zoo
from tuning import executors
from tuning.oracles.halving import SuccessiveHalvingOracle
from tuning.oracles.hyperband import HyperbandOracle
from tuning.task import Setting, TrialOutcome, TrialTask, is_kept, model_path, state_path
from zoo.storage import sha256_of_file

METHODS = ("grid", "random", "exhausted", "halving", "hyperband", "bayesian", "gp", "genetic", "swarm")
_OBJECTIVE, _MAX_EPOCHS = "val_accuracy", 27
_RANGES = {
    "learning_rate": (1e-4, 1.0, "log"),
    "l2": (1e-7, 1e-1, "log"),
    "dropout": (0.0, 0.6),
    "units": (8, 512, "log"),
}
_WINDOW = 100  # trials before a size over which it is measured
_CURVE = 10  # epochs of which a trial keeps its measures


def sizes(method: str, *, quick: bool) -> tuple[int, int, int]:
    """Numbers of trials at which a search is looked at; a Gaussian process takes tenths of a second a trial."""
    if method == "gp":
        return (12, 14, 16) if quick else (100, 300, 500)
    return (16, 64, 256) if quick else (100, 1000, 10_000)


class Watch:
    """Times what lies between the end of a trial and the start of the next: record, tell, clear away, ask, write down.

    Args:
        marks: numbers of trials at which the memory is looked at, beside the first.

    Attributes:
        gaps: number of a trial -> seconds between the end of the one before and its start.
        resident: number of trials -> resident memory in MB.
        first: when the first trial started.
    """

    def __init__(self, marks: tuple[int, ...] = ()) -> None:
        self.gaps: dict[int, float] = {}
        self.resident: dict[int, float | None] = {}
        self.first: float | None = None
        self._marks, self._told = marks, 0.0

    def asked(self, number: int) -> None:
        """A trial starts."""
        now = time.perf_counter()
        if self.first is None:
            self.first = now
        else:
            self.gaps[number] = now - self._told
        if number + 1 in (1, *self._marks):
            self.resident[number + 1] = memory()["resident"]

    def told(self) -> None:
        """A trial has ended."""
        self._told = time.perf_counter()

    def window(self, size: int) -> list[float]:
        """Milliseconds of the trials before a size, at most half of them."""
        first = max(size // 2, size - _WINDOW)
        return [1000 * self.gaps[number] for number in range(first, size) if number in self.gaps]


class RecordedExecutor:
    """Gives each trial a score that its values decide, and leaves the files that a trained one leaves."""

    capacity = 1
    watch = Watch()

    def __init__(self, setting: Setting, *, workers: int, address: str | None, on_progress: Any) -> None:
        self._group: list[TrialTask] = []

    def submit(self, group: list[TrialTask]) -> None:
        """Remembers a trial."""
        self.watch.asked(group[0].number)
        self._group = group

    def next_outcomes(self) -> tuple[list[TrialTask], list[TrialOutcome]]:
        """Scores it."""
        outcomes = [_outcome(task) for task in self._group]
        self.watch.told()
        return self._group, outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group = []


def outcome(values: dict[str, Any], epochs: int = _MAX_EPOCHS, first: int = 0) -> TrialOutcome:
    """What a trial with these values comes to: a hill with some noise, and a curve that rises to its score."""
    score = 0.9 - 0.05 * (math.log10(values["learning_rate"]) + 1.5) ** 2
    score -= 0.02 * (math.log10(values["l2"]) + 4) ** 2 + 0.1 * (values["dropout"] - 0.3) ** 2
    score -= 0.01 * (math.log2(values["units"]) - 6) ** 2
    score += 0.002 * epochs + 1e-7 * (zlib.crc32(repr(sorted(values.items())).encode()) % 100_000)
    shown = list(range(max(first, epochs - _CURVE), epochs))
    names = ("loss", "data_loss", "accuracy", "val_loss", "val_data_loss", _OBJECTIVE)
    curve = {name: [score - 0.01 * (epochs - i) for i in shown] for name in names}
    metrics = dict.fromkeys(names, score)
    run = {"fold": 0, "repeat": 0, "seed": 0, "score": score, "metrics": metrics, "epochs": epochs - first}
    runs = [{**run, "seconds": 1.0, "curve": {"epoch": shown, **curve}}]
    return TrialOutcome("completed", score, metrics, runs, epochs=epochs - first, seconds=1.0)


def _outcome(task: TrialTask) -> TrialOutcome:
    values = {name: value for name, value in task.hyperparameters["values"].items() if not name.startswith("tuner/")}
    made = outcome(values, task.epochs or _MAX_EPOCHS, task.initial_epoch)
    if task.pause:
        _write(state_path(task.folder, task.number, 0))
    if made.score is not None and task.keep_models and is_kept(made.score, task, "max"):
        path = model_path(task.folder, task.number)
        _write(path)
        return TrialOutcome(**{**vars(made), "model_sha256": sha256_of_file(path)})
    return made


def _write(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(1000))


def run(method: str, trials: int, folder: Path, marks: tuple[int, ...]) -> dict[str, Any]:
    """Searches until there are so many trials, or goes on with what is in the folder.

    Returns:
        `seconds` of the search; `first`: seconds until its first trial starts; `windows`: size -> milliseconds between
        trials; `longest` of them; `resident`: size -> MB; `journal`: bytes.
    """
    executors.EXECUTORS["recorded"] = (__name__, RecordedExecutor.__name__)
    watch = RecordedExecutor.watch = Watch((*marks, trials))
    data = zoo.load_dataset("digits")
    started = time.perf_counter()
    tuning.search(
        "cnn",
        data,
        method=_method(method, marks[-1]),
        values=_cells(method, marks[-1]) if method in ("grid", "exhausted") else _RANGES,
        max_trials=trials,
        executor="recorded",
        directory=folder,
        verbose=False,
    )
    ended = time.perf_counter()
    return {
        "seconds": ended - started,
        "first": None if watch.first is None else watch.first - started,
        "windows": {size: watch.window(size) for size in marks},
        "longest": 1000 * max(watch.gaps.values(), default=0.0),
        "resident": watch.resident,
        "journal": (folder / "journal.jsonl").stat().st_size,
        **_read(folder),
    }


def _read(folder: Path) -> dict[str, float]:
    """Seconds in which what was found is read and written as tables."""
    started = time.perf_counter()
    result = tuning.load_result(folder)
    loaded = time.perf_counter()
    result.write()
    return {"load": loaded - started, "tables": time.perf_counter() - loaded}


def _method(name: str, trials: int) -> Any:
    """The method or oracle; one rung of halving holds most of its trials, Hyperband runs again and again."""
    if name == "exhausted":
        return "random"
    if name == "halving":
        return SuccessiveHalvingOracle(_OBJECTIVE, max_epochs=_MAX_EPOCHS, num_trials=math.ceil(0.68 * trials))
    if name == "hyperband":
        return HyperbandOracle(_OBJECTIVE, max_epochs=_MAX_EPOCHS, iterations=None)
    return name


def _cells(method: str, trials: int) -> dict[str, Any]:
    """A grid of as many cells as trials, to be exhausted, or with some to spare."""
    side = round(trials**0.25)
    return {
        "learning_rate": np.geomspace(1e-4, 1.0, side).tolist(),
        "l2": np.geomspace(1e-7, 1e-1, side).tolist(),
        "dropout": np.linspace(0.0, 0.6, side).tolist(),
        "units": list(range(8, 8 + side + (method == "grid"))),
    }

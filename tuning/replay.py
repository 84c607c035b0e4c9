"""A recorded grid played back to an oracle: what a search method finds for its cost, in milliseconds instead of hours."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import itertools
import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tuning import oracles
from zoo.errors import UsageError, ZooError, unknown_name
from zoo.storage import atomic_path

if TYPE_CHECKING:
    import keras_tuner

_COLUMNS = ["trial", "epochs", "cost", "seconds", "spent", "score", "best", "regret"]
_MOST_BYTES = 2**28  # of a grid, unfolded
_RECORDED = Path(__file__).with_name("recorded")


@dataclasses.dataclass(frozen=True)
class RecordedGrid:
    """Every cell of a grid, trained to the end once.

    Attributes:
        parameters: name -> its values. The cells are all combinations, the last parameter changing fastest.
        objective: name of the recorded measure.
        direction: "max" or "min".
        curves: (cells, epochs): the objective after each epoch; NaN from where a training diverged.
        seconds: (cells, epochs): what each epoch took.
        about: what was recorded: data, recipe, versions.
    """

    parameters: dict[str, list[Any]]
    objective: str
    direction: str
    curves: np.ndarray
    seconds: np.ndarray
    about: dict[str, Any]

    def __post_init__(self) -> None:
        cells = math.prod(len(values) for values in self.parameters.values())
        if self.curves.shape != self.seconds.shape or self.curves.ndim != 2 or len(self.curves) != cells:
            raise UsageError(
                f"a grid of {cells} cells needs curves and seconds of shape ({cells}, epochs). "
                f"Received: {self.curves.shape} and {self.seconds.shape}"
            )

    @property
    def max_epochs(self) -> int:
        """Epochs of every cell."""
        return int(self.curves.shape[1])

    @property
    def cost(self) -> int:
        """Epochs of the whole grid."""
        return self.curves.size

    @functools.cached_property
    def final(self) -> np.ndarray:
        """(cells,): the score of each cell at its last epoch; that of a diverged one is the worst there is."""
        worst = -math.inf if self.direction == "max" else math.inf
        return np.where(np.isfinite(self.curves[:, -1]), self.curves[:, -1], worst)

    @functools.cached_property
    def best(self) -> float:
        """The final score of the best cell."""
        return float(self.final.max() if self.direction == "max" else self.final.min())

    @functools.cached_property
    def _numbers(self) -> dict[tuple[Any, ...], int]:
        return {cell: number for number, cell in enumerate(itertools.product(*self.parameters.values()))}

    def cell(self, values: Mapping[str, Any]) -> int:
        """The number of the cell that has these values; other entries are ignored.

        Raises:
            UsageError: a value that was not recorded.
        """
        try:
            return self._numbers[tuple(values[name] for name in self.parameters)]
        except KeyError:
            raise UsageError(f"the grid has {self.parameters}. Received: {dict(values)}") from None

    def values(self, cell: int) -> dict[str, Any]:
        """The values of a cell."""
        lengths = [len(values) for values in self.parameters.values()]
        indices = np.unravel_index(cell, lengths)
        return {name: values[i] for (name, values), i in zip(self.parameters.items(), indices, strict=True)}

    def space(self) -> keras_tuner.HyperParameters:
        """The grid as a search space."""
        return _space(self.parameters)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the grid to one file, JSON under gzip, and returns the path."""
        document = {
            "about": self.about,
            "objective": self.objective,
            "direction": self.direction,
            "parameters": self.parameters,
            "curves": [
                [round(score, 5) if math.isfinite(score) else None for score in row] for row in self.curves.tolist()
            ],
            "seconds": [[round(seconds, 4) for seconds in row] for row in self.seconds.tolist()],
        }
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
        with atomic_path(path) as temporary:
            temporary.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RecordedGrid:
        """Reads what `save` wrote.

        Raises:
            ZooError: the file is missing or damaged.
        """
        try:
            with gzip.open(path) as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise ValueError(f"larger than {_MOST_BYTES:,} bytes")
            document = json.loads(content)
            for name in ("curves", "seconds"):
                document[name] = np.array(document[name], dtype=float)  # null becomes NaN
            return cls(**document)
        except (
            OSError,
            EOFError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            zlib.error,
        ) as error:
            raise ZooError(f"{path} is no recorded grid: {error}") from error


@functools.cache
def load_recorded(name: str = "digits_mlp") -> RecordedGrid:
    """A grid that comes with the package: an MLP on digits, made by `benchmarks/record_grid.py`.

    Raises:
        UsageError: there is none of this name.
    """
    known = [path.name.removesuffix(".json.gz") for path in _RECORDED.glob("*.json.gz")]
    if name not in known:
        raise unknown_name("recorded grid", name, known)
    return RecordedGrid.load(_RECORDED / f"{name}.json.gz")


def replay(
    method: str | keras_tuner.Oracle,
    grid: RecordedGrid,
    *,
    budget: float | None = None,
    seed: int = 0,
    max_epochs: int | None = None,
) -> pd.DataFrame:
    """Lets an oracle search a recorded grid: each trial is looked up instead of trained, one at a time.

    A trial runs for its "tuner/epochs", or for `max_epochs`; one that continues another pays its own epochs only. Its
    score is that of its last epoch, as in `tuning.search`. Halving and Hyperband are repeated until the budget is spent.

    Args:
        method: a name of `tuning.oracles.METHODS`, or an oracle over `grid.space()`, which is used up.
        grid: what was recorded.
        budget: share of the cost of the whole grid, in epochs; the trial that would exceed it does not start. `None`:
            until the oracle stops.
        seed: of the oracle; not used when `method` is one.
        max_epochs: epochs of a whole trial, by default all that were recorded.

    Returns:
        One row a trial: its values; `trial`, counted from 0; `epochs` at its end; `cost`, epochs newly run; `seconds`,
        what these took; `spent`, the sum of the costs; `score` (NaN where the training diverged); `best`, the best score
        so far; `regret`. The incumbent is the cell with the best score so far, the first of equals; the regret is the
        distance of its *final* recorded score (all epochs) to that of the grid's best cell. For methods that train every
        trial to the end it never rises; a promising cell that was only begun may raise it.

    Examples:
        >>> replay("random", load_recorded(), budget=0.25, seed=3).regret.iloc[-1]
    """
    epochs = grid.max_epochs if max_epochs is None else max_epochs
    if not 0 < epochs <= grid.max_epochs:
        raise UsageError(f"max_epochs must be 1 to {grid.max_epochs}, which were recorded. Received: {max_epochs}")
    if budget is not None and budget <= 0:
        raise UsageError(f"budget must be positive. Received: {budget}")
    if isinstance(method, str):
        import zoo.startup  # noqa: F401  (before Keras)

        # isort: split
        import keras_tuner

        aim = keras_tuner.Objective(grid.objective, grid.direction)
        oracle = oracles.make_oracle(method, grid.space(), objective=aim, max_epochs=epochs, seed=seed, repeated=True)
    else:
        oracle = method
    limit = math.inf if budget is None else budget * grid.cost
    return pd.DataFrame(_rows(oracle, grid, epochs, limit), columns=[*grid.parameters, *_COLUMNS])


def _rows(oracle: keras_tuner.Oracle, grid: RecordedGrid, max_epochs: int, limit: float) -> Iterator[tuple[Any, ...]]:
    sign = 1.0 if grid.direction == "max" else -1.0
    spent, best, regret = 0, math.nan, math.nan
    with oracles.opened(oracle):
        for number in itertools.count():
            trial = oracle.create_trial("replay")
            values = trial.hyperparameters.values
            if trial.status != "RUNNING":
                return
            end, start = values.get("tuner/epochs", max_epochs), values.get("tuner/initial_epoch", 0)
            spent += end - start
            if spent > limit:
                return
            cell = grid.cell(values)
            score = float(grid.curves[cell, end - 1])
            if math.isfinite(score):
                oracle.update_trial(trial.trial_id, {grid.objective: score})
                trial.status = "COMPLETED"
                if not sign * score <= sign * best:  # NaN: there is no best yet
                    best, regret = score, abs(grid.best - float(grid.final[cell]))
            else:
                trial.status = "FAILED"
            oracle.end_trial(trial)
            seconds = float(grid.seconds[cell, start:end].sum())
            recorded = [values[name] for name in grid.parameters]
            yield (*recorded, number, end, end - start, seconds, spent, score, best, regret)


def _space(parameters: Mapping[str, list[Any]]) -> keras_tuner.HyperParameters:
    from tuning.oracles.sharing import SharedSpace  # loads Keras Tuner

    space = SharedSpace()
    for name, values in parameters.items():
        space.Choice(name, values)
    return space

"""Search methods at equal cost: a grid that was searched live as a recorded one, its loops in another order, and regret."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tuning.replay import RecordedGrid
from zoo.errors import UsageError
from zoo.evaluation.comparison import Comparison, compare

if TYPE_CHECKING:
    from tuning.results import SearchResult


def recorded_grid(result: SearchResult, parameters: Mapping[str, Sequence[Any]]) -> RecordedGrid:
    """A grid search that has ended as what `tuning.replay` plays back.

    Args:
        result: of a search by "grid" with one fold and one repeat, each cell of as many epochs.
        parameters: the values that it searched, in the same order.

    Raises:
        UsageError: trials and cells, or the epochs of the trials, do not agree.

    Examples:
        >>> values = {"l2": [0.0, 1e-3], "learning_rate": [0.01, 0.1]}
        >>> recorded_grid(tuning.search("softmax", data, method="grid", values=values, directory="runs/grid"), values).best
    """
    tables = (
        result.epochs.pivot(index="trial", columns="epoch", values=name) for name in (result.objective, "seconds")
    )
    curves, seconds = (table.to_numpy(float) for table in tables)
    values = {name: list(options) for name, options in parameters.items()}
    return RecordedGrid(values, result.objective, result.direction, curves, seconds, about=result.header)


def reordered(grid: RecordedGrid, names: Sequence[str]) -> RecordedGrid:
    """The same cells with the parameters in another order: the last one is what a grid search changes fastest.

    Raises:
        UsageError: these are not the names of the grid's parameters.
    """
    known = list(grid.parameters)
    if sorted(names) != sorted(known):
        raise UsageError(f"names must be {known} in some order. Received: {list(names)}")
    sizes, order = [len(values) for values in grid.parameters.values()], [known.index(name) for name in names]

    def turned(table: np.ndarray) -> np.ndarray:
        return table.reshape(*sizes, -1).transpose(*order, len(sizes)).reshape(table.shape)

    parameters = {name: grid.parameters[name] for name in names}
    return dataclasses.replace(grid, parameters=parameters, curves=turned(grid.curves), seconds=turned(grid.seconds))


def with_regret(table: pd.DataFrame, grid: RecordedGrid) -> pd.DataFrame:
    """The trials of a live search with the columns `spent` and `regret`, which `tuning.replay.replay` gives of its own.

    Args:
        table: `SearchResult.table`, of a search over the cells of the grid.
        grid: what there was to find, see `recorded_grid`.

    Raises:
        UsageError: a trial's values are not those of a cell.
    """
    sign = 1.0 if grid.direction == "max" else -1.0
    rows = zip(*(table[name].tolist() for name in grid.parameters), strict=True)
    cells = np.array([grid.cell(dict(zip(grid.parameters, row, strict=True))) for row in rows])
    scores = (sign * table["score"].to_numpy(float)).copy()
    scores[np.isnan(scores)] = -np.inf
    first = [int(np.argmax(scores[: place + 1])) for place in range(len(scores))]  # the first of equals
    regret = np.where(np.isfinite(scores[first]), np.abs(grid.best - grid.final[cells[first]]), np.nan)
    return table.assign(spent=table["epochs"].cumsum(), regret=regret)


def regret_at(trials: pd.DataFrame, costs: npt.ArrayLike) -> np.ndarray:
    """The regret of a search after so many epochs; NaN where no trial has ended yet.

    Args:
        trials: of `replay` or `with_regret`: their columns `spent` and `regret`.
        costs: numbers of epochs.
    """
    ended = np.searchsorted(trials["spent"].to_numpy(), np.asarray(costs), side="right")
    return np.append(np.nan, trials["regret"].to_numpy(float))[ended]


def compare_regrets(trials: Mapping[str, Sequence[pd.DataFrame]], cost: float) -> Comparison:
    """The regrets of several methods after so many epochs, with intervals and tests over the searches.

    Args:
        trials: method -> one table a search, of `replay` or `with_regret`, as many for each method. Those at the same place
            belong together (a seed), and are compared in pairs.
        cost: epochs that each search may have spent.

    Returns:
        What `zoo.compare` says, the method with the least regret first.
    """
    rows = [
        (method, place, regret_at(table, cost).item())
        for method, tables in trials.items()
        for place, table in enumerate(tables)
    ]
    table = pd.DataFrame(rows, columns=["method", "search", "regret"])
    return compare(table, groups="method", units="search", score="regret", direction="min")

"""Every cell once, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from tuning.oracles.base import CellOracle, OracleOptions
from tuning.oracles.cells import Key, cell_key, check_cells, iterate_cells


class GridOracle(CellOracle):
    """Grid search: every cell of a finite space once, the last declared parameter changing fastest.

    When to use it: two or three parameters with a few values each, where the whole table is the result. With more, random
    search finds as good a cell sooner (Bergstra and Bengio, 2012, "Random search for hyper-parameter optimization").

    Cost before it starts: `cells.count_cells(hyperparameters)` trials, each of all its epochs.

    When a trial declares parameters that were not known, the enumeration starts again, without the cells that were tried
    by then; those that ended without asking for the new parameters are not repeated for each of their values.

    Args as for `CellOracle`.

    Raises:
        UsageError: a range of floats without a step, when the first trial is asked.

    Examples:
        >>> keras_tuner.Tuner(oracle=GridOracle("val_accuracy"), hypermodel=tuning.space(...))
    """

    asks_ahead = True

    def __init__(self, objective: Any = None, **options: Unpack[OracleOptions]) -> None:
        super().__init__(objective, **options)
        self._cells: Iterator[dict[str, Any]] | None = None
        self._cells_of = -1
        self._ended: dict[frozenset[str], set[Key]] = {}  # names of parameters -> the values of trials that had these
        self._num_ended = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next cell that was not tried."""
        size = len(self.hyperparameters.space)
        if self._cells is None or self._cells_of != size:
            check_cells(self.hyperparameters)
            self._cells, self._cells_of = iterate_cells(self.hyperparameters), size
        for values in self._cells:
            if self.known_trial(values) is None and not self._is_repeated(values):
                return {"status": "RUNNING", "values": dict(values)}
        return self.stopped_or_idle()  # a running trial may declare a parameter

    def _is_repeated(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial that never asked for the parameters it lacks had these values: an `if` without a scope."""
        for trial_id in self.end_order[self._num_ended :]:
            had = self.trials[trial_id].hyperparameters.values
            self._ended.setdefault(frozenset(had), set()).add(cell_key(had))
        self._num_ended = len(self.end_order)
        return any(
            cell_key({name: values[name] for name in names}) in cells
            for names, cells in self._ended.items()
            if len(names) < len(values) and names <= values.keys()
        )

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state; the enumeration starts again, without the cells that were tried."""
        super().set_state(state)
        self._cells, self._ended, self._num_ended = None, {}, 0

"""Random cells, each at most once."""

from __future__ import annotations

from typing import Any

from tuning.oracles.base import CellOracle


class RandomOracle(CellOracle):
    """Random search (Bergstra and Bengio, 2012, "Random search for hyper-parameter optimization", JMLR 13).

    When to use it: first, and as what every other method has to beat; it wants no scores, so that any number of trials
    runs at once. A parameter that does not matter costs it nothing.

    Cost before it starts: `max_trials` trials, each of all its epochs. A finite space ends when every cell was tried.

    The values of trial n are a function of the seed, of n and of the cells before it, not of any score. Args as for
    `CellOracle`.
    """

    asks_ahead = True

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """A random cell that was not tried."""
        values = self.untried_values(self.generator(len(self.start_order)))
        return self.stopped_or_idle() if values is None else {"status": "RUNNING", "values": values}

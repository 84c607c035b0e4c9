"""Successive halving from every starting point between many short trials and a few whole ones."""

from __future__ import annotations

from typing import Any, Unpack

from tuning.oracles.base import OracleOptions
from tuning.oracles.bracket import BracketOracle
from tuning.oracles.schedules import hyperband_schedules


class HyperbandOracle(BracketOracle):
    """Hyperband (Li et al., 2018, "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18).

    It has the rungs of `keras_tuner.Hyperband`, but is synchronous, halves on when trials fail, and promotions continue
    where their trial was paused.

    When to use it: when training is dear and nobody knows how many epochs tell good from bad.

    Cost before it starts: `cost.hyperband_cost(max_epochs)` trials and epochs: with 27 epochs, 70 trials of 49 cells in 375
    epochs, where training them all would take 1,323.

    Args:
        objective: as for every oracle.
        max_epochs: epochs of a trial in the last rung.
        factor: one in `factor` trials is promoted, to `factor` times the epochs.
        iterations: how often all brackets are run; `None`: until `max_trials`, or until the space has no more.
        **options: those of `CellOracle`.

    Examples:
        >>> HyperbandOracle("val_accuracy", max_epochs=27)
    """

    def __init__(
        self,
        objective: Any = None,
        *,
        max_epochs: int,
        factor: int = 3,
        iterations: int | None = 1,
        **options: Unpack[OracleOptions],
    ) -> None:
        schedules = hyperband_schedules(max_epochs, factor=factor)
        super().__init__(objective, schedules=schedules, iterations=iterations, **options)

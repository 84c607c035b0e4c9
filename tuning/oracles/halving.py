"""Many configurations for a few epochs, the best third for three times as many, and so on."""

from __future__ import annotations

from typing import Any, Unpack

from tuning.oracles.base import OracleOptions
from tuning.oracles.bracket import BracketOracle
from tuning.oracles.schedules import halving_schedule


class SuccessiveHalvingOracle(BracketOracle):
    """Successive halving, synchronous, each promotion continuing where its trial was paused.

    Jamieson and Talwalkar, 2016, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS.

    When to use it: when a few epochs tell good from bad, as they do of learning rates. Where the best cells start slowly
    (strong regularisation, small learning rates), Hyperband is the safer choice.

    Cost before it starts: `cost.halving_cost(max_epochs)` trials and epochs: with 27 epochs, 40 trials of 27 cells in 81
    epochs, where training them all would take 729.

    Args:
        objective: as for every oracle.
        max_epochs: epochs of a trial in the last rung.
        min_epochs: epochs of the first rung, at least.
        num_trials: cells of the first rung; by default as many as leave one for the last.
        factor: one in `factor` trials is promoted, to `factor` times the epochs.
        iterations: how often it is run, with new cells each time; `None`: until `max_trials`, or until the space has no more.
        **options: those of `CellOracle`.

    Examples:
        >>> SuccessiveHalvingOracle("val_accuracy", max_epochs=27, num_trials=81)
    """

    def __init__(
        self,
        objective: Any = None,
        *,
        max_epochs: int,
        min_epochs: int = 1,
        num_trials: int | None = None,
        factor: int = 3,
        iterations: int | None = 1,
        **options: Unpack[OracleOptions],
    ) -> None:
        schedule = halving_schedule(max_epochs, min_epochs=min_epochs, num_trials=num_trials, factor=factor)
        super().__init__(objective, schedules=[schedule], iterations=iterations, **options)

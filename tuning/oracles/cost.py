"""What a search costs, before it starts."""

from __future__ import annotations

from tuning.oracles.schedules import Schedule, halving_schedule, hyperband_schedules


def hyperband_cost(max_epochs: int, *, factor: int = 3) -> tuple[int, int]:
    """Trials and epochs of one whole Hyperband, when no trial fails and the space is large enough.

    Args:
        max_epochs: epochs of a trial that reaches the last rung.
        factor: one in `factor` trials is promoted, to `factor` times the epochs.

    Returns:
        The number of trials, a promoted one counted once a rung, and the sum of the epochs that they run: a promoted trial
        continues where it was paused.

    Raises:
        UsageError: epochs or a factor with which nothing can be halved.

    Examples:
        >>> hyperband_cost(9)
        (23, 75)
    """
    return _cost(hyperband_schedules(max_epochs, factor=factor))


def halving_cost(
    max_epochs: int, *, min_epochs: int = 1, num_trials: int | None = None, factor: int = 3
) -> tuple[int, int]:
    """Trials and epochs of one successive halving; arguments as for `SuccessiveHalvingOracle`, result as above.

    Examples:
        >>> halving_cost(27)
        (40, 81)
    """
    return _cost([halving_schedule(max_epochs, min_epochs=min_epochs, num_trials=num_trials, factor=factor)])


def _cost(schedules: list[Schedule]) -> tuple[int, int]:
    trials = epochs = 0
    for schedule in schedules:
        before = 0
        for rung in schedule:
            trials += rung.size
            epochs += rung.size * (rung.epochs - before)
            before = rung.epochs
    return trials, epochs

"""How many trials run for how long: the rungs of successive halving, the brackets of Hyperband."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from zoo.errors import UsageError


class Rung(NamedTuple):
    """One rung of a bracket.

    Attributes:
        size: trials at most.
        epochs: epochs at the end of each, those of the trial that it continues included.
    """

    size: int
    epochs: int


Schedule = Sequence[Rung]


def halving_schedule(
    max_epochs: int, *, min_epochs: int = 1, num_trials: int | None = None, factor: int = 3
) -> Schedule:
    """The rungs of one successive halving, see `SuccessiveHalvingOracle`."""
    _check_epochs(max_epochs, min_epochs=min_epochs, factor=factor)
    if num_trials is not None and num_trials < 1:
        raise UsageError(f"num_trials must be at least 1. Received: {num_trials}")
    last = 0
    while max_epochs >= min_epochs * factor ** (last + 1):
        last += 1
    first_size = factor**last if num_trials is None else num_trials
    return [
        Rung(max(1, first_size // factor**rung), math.ceil(max_epochs / factor ** (last - rung)))
        for rung in range(last + 1)
    ]


def hyperband_schedules(max_epochs: int, *, factor: int = 3) -> list[Schedule]:
    """The brackets of one Hyperband, the one that halves most first; sizes and epochs are Keras Tuner's."""
    _check_epochs(max_epochs, min_epochs=1, factor=factor)
    num_brackets, epochs = 0, float(max_epochs)
    while epochs >= 1:
        num_brackets, epochs = num_brackets + 1, epochs / factor
    last_size = math.ceil(1 + math.log(max_epochs, factor))
    return [
        [
            Rung(
                math.ceil(last_size / (bracket + 1) * factor ** (bracket - rung)),
                math.ceil(max_epochs / factor ** (bracket - rung)),
            )
            for rung in range(bracket + 1)
        ]
        for bracket in reversed(range(num_brackets))
    ]


def _check_epochs(max_epochs: int, *, min_epochs: int, factor: int) -> None:
    """Raises a UsageError for epochs or a factor with which nothing can be halved."""
    if not 1 <= min_epochs <= max_epochs:
        raise UsageError(f"epochs must be 1 <= min_epochs <= max_epochs. Received: {min_epochs} and {max_epochs}")
    if factor < 2 or factor != int(factor):
        raise UsageError(f"factor must be a whole number from 2. Received: {factor}")

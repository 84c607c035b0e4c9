"""What a search costs, before it starts."""

from __future__ import annotations

import math


def hyperband_cost(max_epochs: int, *, factor: int = 3) -> tuple[int, int]:
    """Trials and epochs of one whole Hyperband (Li et al., 2018), when no trial fails and the space is large enough.

    Args:
        max_epochs: epochs of a trial that reaches the last rung.
        factor: one in `factor` trials is promoted, to `factor` times the epochs.

    Returns:
        The number of trials, a promoted one counted once a rung, and the sum of their epochs: a promoted trial trains
        from scratch.

    Example:
        >>> hyperband_cost(9)
        (20, 94)
    """
    num_brackets, epochs = 0, float(max_epochs)
    while epochs >= 1:
        num_brackets, epochs = num_brackets + 1, epochs / factor
    last_size = math.ceil(1 + math.log(max_epochs, factor))
    trials = total = 0
    for bracket in range(num_brackets):
        for rung in range(bracket + 1):
            size = math.ceil(last_size / (bracket + 1) * factor ** (bracket - rung))
            trials += size
            total += size * math.ceil(max_epochs / factor ** (bracket - rung))
    return trials, total

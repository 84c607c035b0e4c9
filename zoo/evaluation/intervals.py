"""Intervals of proportions and medians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zoo.errors import UsageError


def wilson_interval(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion; z = 1.96 for 95 % (Wilson, 1927)."""
    share = successes / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half if successes else 0.0, centre + half if successes < count else 1.0


def median_interval(values: Any, *, confidence: float = 0.95) -> tuple[float, float]:
    """An interval of a median by order statistics, for any distribution; infinite values, as of what never happened, are welcome.

    The number of values below the median is binomial with p = 1/2, so the k-th smallest and the k-th largest value hold it
    between them with at least this confidence (Conover, 1999, Practical nonparametric statistics).

    Args:
        values: (N,) numbers without NaN. Of fewer than six (at 95 %) nothing can be said: the interval is the whole line.
        confidence: between 0 and 1.

    Example:
        >>> median_interval(range(1, 11))
        (2.0, 9.0)
    """
    from scipy import stats

    ordered = np.sort(np.asarray(values, np.float64))
    if ordered.ndim != 1 or not len(ordered) or np.isnan(ordered).any():
        raise UsageError(f"values must be one or more numbers without NaN. Received: {values!r}")
    k = int(stats.binom.ppf((1 - confidence) / 2, len(ordered), 0.5))
    return (float(ordered[k - 1]), float(ordered[-k])) if k else (-math.inf, math.inf)

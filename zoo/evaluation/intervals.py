"""Intervals of proportions and medians."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np

from zoo.errors import UsageError


def wilson_interval(successes: int, count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, 1927).

    Args:
        successes: 0 to `count`.
        count: of 0 nothing can be said: both ends are NaN.
        confidence: between 0 and 1.

    Raises:
        UsageError: a confidence that is not between 0 and 1.

    Examples:
        >>> wilson_interval(0, 0)
        (nan, nan)
    """
    check_confidence(confidence)
    if count == 0:
        return math.nan, math.nan
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
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

    Raises:
        UsageError: no values, NaN among them, or a confidence that is not between 0 and 1.

    Examples:
        >>> median_interval(range(1, 11))
        (2.0, 9.0)
    """
    check_confidence(confidence)
    from scipy import stats

    ordered = np.sort(np.asarray(values, np.float64))
    if ordered.ndim != 1 or not len(ordered) or np.isnan(ordered).any():
        raise UsageError(f"values must be one or more numbers without NaN. Received: {values!r}")
    k = int(stats.binom.ppf((1 - confidence) / 2, len(ordered), 0.5))
    return (float(ordered[k - 1]), float(ordered[-k])) if k else (-math.inf, math.inf)


def check_confidence(confidence: float) -> None:
    """Raises a UsageError unless a confidence lies between 0 and 1."""
    if not 0 < confidence < 1:
        raise UsageError(f"confidence must lie between 0 and 1. Received: confidence={confidence}")

"""Intervals of proportions."""

from __future__ import annotations

import math


def wilson_interval(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion; z = 1.96 for 95 % (Wilson, 1927)."""
    share = successes / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half if successes else 0.0, centre + half if successes < count else 1.0

"""Tables of scores, and their comparison."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

import zoo

quick = settings(deadline=None, max_examples=30, derandomize=True)
tables = st.tuples(st.integers(2, 5), st.integers(2, 8), st.integers(0, 2**32 - 1))


def long(scores, names=None):
    """One row a group and unit of (groups, units) scores."""
    names = names or [f"g{i}" for i in range(len(scores))]
    rows = [{"name": n, "seed": s, "score": x} for n, row in zip(names, scores, strict=True) for s, x in enumerate(row)]
    return pd.DataFrame(rows)


def compared(scores, names=None, **options):
    return zoo.compare(long(scores, names), groups="name", units="seed", **options)


def random_scores(shape):
    groups, units, seed = shape
    rng = np.random.default_rng(seed)
    return 0.8 + rng.normal(0, 0.02, units) + rng.normal(0, 0.02, (groups, 1)) + rng.normal(0, 0.01, (groups, units))

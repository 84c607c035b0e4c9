from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import UsageError
from zoo.evaluation.intervals import median_interval, wilson_interval

quick = settings(deadline=None, max_examples=30, derandomize=True)
proportions = st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_examples_of_newcombe(successes, count, low, high):
    """Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    found = wilson_interval(successes, count)
    assert tuple(round(bound, 4) for bound in found) == (low, high)


@quick
@given(proportions)
def test_bounds_solve_the_equation_of_the_score_test(proportion):
    """A bound p is where |share - p| is z standard errors, the error being that of p: that defines the interval."""
    successes, count = proportion
    share = successes / count
    for bound in wilson_interval(successes, count):
        assert 0 <= bound <= 1
        assert (share - bound) ** 2 == pytest.approx(1.959964**2 * bound * (1 - bound) / count, rel=1e-6, abs=1e-12)


@quick
@given(proportions)
def test_failures_mirror_successes(proportion):
    successes, count = proportion
    low, high = wilson_interval(successes, count)
    mirrored_low, mirrored_high = wilson_interval(count - successes, count)
    assert (1 - mirrored_high, 1 - mirrored_low) == pytest.approx((low, high), abs=1e-12)


@quick
@given(proportions, st.floats(0.4, 0.98))
def test_less_confidence_gives_a_narrower_interval(proportion, confidence):
    successes, count = proportion
    low, high = wilson_interval(successes, count, confidence=confidence)
    wide_low, wide_high = wilson_interval(successes, count, confidence=confidence + 0.015)
    assert wide_low <= low < high <= wide_high
    assert wide_high - wide_low > high - low


def test_the_share_lies_inside():
    for count in range(1, 40):
        for successes in range(count + 1):
            low, high = wilson_interval(successes, count)
            assert low <= successes / count <= high, (successes, count)


@pytest.mark.parametrize(
    ("count", "k"), [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (40, 14), (50, 18)]
)
def test_the_ranks_of_a_median_are_those_of_the_sign_test(count, k):
    """Dixon and Mood, The statistical sign test, 1946, table I, at 5 %: the interval goes from the k-th to the k-th last value."""
    assert median_interval(range(1, count + 1)) == (k, count + 1 - k)


@pytest.mark.parametrize("count", range(6, 60))
def test_the_interval_of_a_median_holds_its_confidence_and_no_narrower_one_would(count):
    """P(the k-th smallest value lies above the median) = P(fewer than k of n coins show heads), by whole numbers."""
    k = int(median_interval(range(1, count + 1))[0])
    tails = [2 * sum(math.comb(count, j) for j in range(ranks)) / 2**count for ranks in (k, k + 1)]
    assert tails[0] <= 0.05 < tails[1]


def test_few_values_say_nothing_of_a_median_and_infinite_ones_count():
    assert median_interval([3, 1, 2]) == (-math.inf, math.inf)
    assert median_interval([*range(1, 10), math.inf]) == (2, 9)
    for values in ([], [math.nan] * 9, [[1, 2]]):
        with pytest.raises(UsageError, match="without NaN"):
            median_interval(values)


def test_of_nothing_no_share_is_known_and_a_confidence_lies_between_0_and_1():
    assert all(map(math.isnan, wilson_interval(0, 0)))
    for confidence in (0, 1, 2, math.nan):
        with pytest.raises(UsageError, match=f"between 0 and 1. Received: confidence={confidence}"):
            wilson_interval(1, 2, confidence=confidence)
        with pytest.raises(UsageError, match=f"between 0 and 1. Received: confidence={confidence}"):
            median_interval([1, 2], confidence=confidence)

"""The statistics of comparisons, by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from score_tables import compared, quick, random_scores

import zoo
from zoo.errors import UsageError
from zoo.evaluation.significance import holm, mean_intervals, standard_errors


def test_t_intervals_and_paired_tests_are_those_of_the_textbook():
    scores = random_scores((3, 7, 1))
    found = compared(scores)
    order = np.argsort(-scores.mean(axis=1))
    assert list(found.groups["group"]) == [f"g{i}" for i in order]
    for row, i in zip(found.groups.itertuples(), order, strict=True):
        half = stats.t.ppf(0.975, 6) * scores[i].std(ddof=1) / math.sqrt(7)
        assert (row.n, row.mean, row.std) == (7, pytest.approx(scores[i].mean()), pytest.approx(scores[i].std(ddof=1)))
        assert (row.low, row.high) == pytest.approx((scores[i].mean() - half, scores[i].mean() + half))
    for row, (i, j) in zip(found.pairs.itertuples(), itertools.combinations(order, 2), strict=True):
        referee = stats.ttest_rel(scores[i], scores[j])
        assert (row.a, row.b) == (f"g{i}", f"g{j}")
        assert row.p == pytest.approx(referee.pvalue)
        assert (row.low, row.high) == pytest.approx(tuple(referee.confidence_interval()))
        assert row.difference == pytest.approx((scores[i] - scores[j]).mean())
    with_best = stats.ttest_rel(scores[order[1]], scores[order[0]])
    second = found.groups.iloc[1]
    assert second["p"] == pytest.approx(with_best.pvalue)
    assert (second["difference_low"], second["difference_high"]) == pytest.approx(
        tuple(with_best.confidence_interval())
    )


def test_a_pair_is_the_same_from_both_sides():
    table = pd.DataFrame({"g": list("aaabbbccc"), "u": [0, 1, 2] * 3, "score": [1.0, 2, 4, 2, 4, 5, 0, 0, 1]})
    found = zoo.compare(table, groups="g", units="u")
    for a, b in (("a", "b"), ("a", "c"), ("c", "b")):
        pair, turned = found.pair(a, b), found.pair(b, a)
        scores = {name: table.loc[table["g"] == name, "score"].to_numpy() for name in (a, b)}
        expected = stats.ttest_rel(scores[a], scores[b])
        interval = expected.confidence_interval(0.95)
        assert pair[:4] == pytest.approx(
            ((scores[a] - scores[b]).mean(), interval.low, interval.high, expected.pvalue), rel=1e-9
        )
        assert turned == pytest.approx((-pair.difference, -pair.high, -pair.low, pair.p, pair.p_holm))
    with pytest.raises(UsageError, match="unknown group 'd'"):
        found.pair("a", "d")
    with pytest.raises(UsageError, match="twice"):
        found.pair("a", "a")


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 not below it
        ([0.2], [0.2]),
        ([0.5, 0.6, 0.01], [1.0, 1.0, 0.03]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(raw, adjusted):
    np.testing.assert_allclose(holm(np.array(raw)), adjusted)


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_his_steps_reject(raw):
    """Holm's definition: go through the ordered p values while the i-th is at most level / (m - i)."""
    p, adjusted = np.array(raw), holm(np.array(raw))
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for i, k in enumerate(np.argsort(p, kind="stable")):
            if p[k] * (len(p) - i) > level:
                break
            rejected.add(int(k))
        assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected


def test_folds_are_corrected_as_nadeau_and_bengio_say():
    scores = random_scores((2, 10, 3))
    found = compared(scores, folds=5)  # 5 folds, divided twice
    difference = found.scores.to_numpy()[:, 0] - found.scores.to_numpy()[:, 1]
    error = math.sqrt((1 / 10 + 1 / 4) * difference.var(ddof=1))
    t, half = difference.mean() / error, stats.t.ppf(0.975, 9) * error
    row = found.pairs.iloc[0]
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(t), 9))
    assert (row["low"], row["high"]) == pytest.approx((difference.mean() - half, difference.mean() + half))
    plain = compared(scores).pairs.iloc[0]
    assert row["p"] > plain["p"]
    np.testing.assert_allclose(
        standard_errors(np.ones((4, 1)) * [[1], [2], [3], [4]], 1), np.std([1, 2, 3, 4], ddof=1) / 2
    )
    assert any("Nadeau and Bengio" in sentence for sentence in found.sentences())
    assert not any("Nadeau" in sentence for sentence in compared(scores).sentences())


def test_the_bootstrap_flips_signs_and_resamples():
    scores = random_scores((2, 9, 5))
    found = compared(scores, interval="bootstrap")
    difference = found.scores.to_numpy()[:, 0] - found.scores.to_numpy()[:, 1]
    means = [abs(np.mean(difference * signs)) for signs in itertools.product([1, -1], repeat=9)]
    assert found.pairs["p"][0] == pytest.approx(np.mean(np.array(means) >= abs(difference.mean()) - 1e-12))
    row, t = found.pairs.iloc[0], compared(scores).pairs.iloc[0]
    assert row["low"] < difference.mean() < row["high"]
    assert row["high"] - row["low"] == pytest.approx(t["high"] - t["low"], rel=0.4)
    again = compared(scores, interval="bootstrap")
    pd.testing.assert_frame_equal(found.groups, again.groups)


@pytest.mark.parametrize(("folds", "lowest", "highest"), [(1, 0.92, 0.98), (5, 0.99, 1.0)])
def test_intervals_cover_the_true_mean(folds, lowest, highest):
    """Independent draws: 95 % of the t intervals have the mean; those widened for overlapping folds have it nearly always."""
    samples = np.random.default_rng(7).normal(3.0, 0.5, (8, 1000))
    low, high = mean_intervals(samples, confidence=0.95, method="t", folds=folds)
    assert lowest <= np.mean((low <= 3.0) & (high >= 3.0)) <= highest


def test_bootstrap_intervals_cover_the_true_mean():
    samples = np.random.default_rng(8).normal(3.0, 0.5, (25, 150))
    low, high = mean_intervals(samples, confidence=0.95, method="bootstrap", folds=1)
    assert 0.89 <= np.mean((low <= 3.0) & (high >= 3.0)) <= 0.98


def test_equal_groups_are_rarely_told_apart():
    rng = np.random.default_rng(9)
    told = [len(compared(rng.normal(0, 1, (2, 6))).indistinguishable) < 2 for _ in range(300)]
    assert 0.02 <= np.mean(told) <= 0.09

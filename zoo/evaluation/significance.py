"""Intervals of means, tests of mean differences, and Holm's correction, on columns of paired scores."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats

_RESAMPLES = 9999


def holm(p_values: np.ndarray) -> np.ndarray:
    """P values adjusted so that the chance of any false rejection among them stays below the level (Holm, 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is below one before it, nor above 1.

    Args:
        p_values: (m,), in any order.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def spread(samples: np.ndarray) -> np.ndarray:
    """Standard deviations of the columns, with n - 1; exactly 0 where all numbers are equal, NaN for a single row."""
    if len(samples) < 2:
        return np.full(samples.shape[1], np.nan)
    return np.where(np.ptp(samples, axis=0) == 0, 0.0, samples.std(axis=0, ddof=1))


def mean_intervals(samples: np.ndarray, *, confidence: float, method: str, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of the mean of each column; NaN where nothing says how much they vary.

    That is so for a single row, and where all numbers are equal: a few accuracies on few examples often are.

    Args:
        samples: (n, m), one row a unit.
        confidence: between 0 and 1.
        method: "t", Student's, or "bootstrap", bias-corrected and accelerated (Efron, 1987; 9999 resamples, fixed seed).
        folds: of the cross-validation that the units are of; see `standard_errors`.
    """
    means, deviations = samples.mean(axis=0), spread(samples)
    if len(samples) < 2:
        return deviations, deviations
    if method == "t":
        half = stats.t.ppf((1 + confidence) / 2, len(samples) - 1) * standard_errors(samples, folds)
        half = np.where(deviations == 0, np.nan, half)
        return means - half, means + half
    bounds = np.full((2, len(means)), np.nan)
    for j in np.flatnonzero(deviations > 0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a degenerate sample: its bounds are NaN, which says it
            found = stats.bootstrap(
                (samples[:, j],), np.mean, n_resamples=_RESAMPLES, confidence_level=confidence, method="BCa", rng=0
            )
        bounds[:, j] = found.confidence_interval
    return bounds[0], bounds[1]


def zero_mean_p_values(differences: np.ndarray, *, method: str, folds: int) -> np.ndarray:
    """Two-sided p values of the paired test that the mean of each column is 0; NaN for a single row.

    Differences that are all 0 have p = 1. Differences that are all the same and not 0 have 2 / 2^n, that of the sign flips,
    by the t test too: their spread of 0 says that accuracies come in steps, not that there is no noise.

    Args:
        differences: (n, m), one row a unit.
        method: "t", Student's paired t test, or "bootstrap", a permutation test that flips the signs of the differences
            (Fisher, 1935): all 2^n flips up to n = 13, else 9999 random ones, fixed seed.
        folds: of the cross-validation that the units are of; see `standard_errors`.
    """
    if len(differences) < 2:
        return np.full(differences.shape[1], np.nan)
    means = differences.mean(axis=0)
    if method == "t":
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(means) / standard_errors(differences, folds)
        p = np.where(spread(differences) == 0, 2.0 ** (1 - len(differences)), 2 * stats.t.sf(t, len(differences) - 1))
        return np.where(means == 0, 1.0, p)
    return np.array([1.0 if m == 0 else _flip_p_value(column) for m, column in zip(means, differences.T, strict=True)])


def standard_errors(samples: np.ndarray, folds: int) -> np.ndarray:
    """Standard errors of the means of the columns of (n, m) samples.

    The training sets of two folds of a cross-validation share examples, so its scores are not independent and s / √n is
    too small. The corrected error is s √(1/n + n_test/n_train) (Nadeau and Bengio, 2003, Inference for the generalization
    error); with k folds n_test/n_train is 1 / (k - 1).
    """
    overlap = 1 / (folds - 1) if folds > 1 else 0.0
    errors: np.ndarray = spread(samples) * np.sqrt(1 / len(samples) + overlap)
    return errors


def _flip_p_value(differences: np.ndarray) -> float:
    found = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=_RESAMPLES, vectorized=True, axis=0, rng=0
    )
    return float(found.pvalue)

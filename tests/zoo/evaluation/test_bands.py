"""Means with intervals, against SciPy's and Matplotlib's own."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from zoo.evaluation.bands import draw_band, mean_interval


def test_mean_interval_is_scipys():
    samples = [0.90, 0.91, 0.87, 0.95]
    expected = stats.t.interval(0.9, 3, loc=np.mean(samples), scale=stats.sem(samples))
    assert mean_interval(samples, confidence=0.9) == pytest.approx((np.mean(samples), *expected))


def test_mean_interval_of_one_number_has_no_ends():
    mean, low, high = mean_interval([0.5])
    assert mean == 0.5
    assert np.isnan([low, high]).all()


def test_draw_band_has_the_interval_of_every_column():
    samples = np.random.default_rng(0).normal(size=(5, 3))
    axes = Figure().add_subplot()
    draw_band(axes, [1, 2, 4], samples, label="runs", colour="C0")
    (line,), (band,) = axes.get_lines(), axes.collections
    np.testing.assert_allclose(line.get_ydata(), samples.mean(axis=0))
    corners = band.get_paths()[0].vertices
    for x, column in zip([1, 2, 4], samples.T, strict=True):
        heights = corners[corners[:, 0] == x, 1]
        assert (heights.min(), heights.max()) == pytest.approx(mean_interval(column)[1:])

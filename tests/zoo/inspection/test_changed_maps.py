"""Maps of changed images side by side."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.inspection.changed_maps import plot_changed_maps


def test_a_map_has_one_scale_for_all_images():
    """The second image's maps are half of the first one's: they are drawn half as bright, each map by itself."""
    maps = np.zeros((2, 2, 2, 4))
    maps[0, 0, 0] = [1, 10, 100, 1000]
    maps[1] = maps[0] / 2
    figure = plot_changed_maps(np.zeros((2, 8, 8, 3)), maps, ["as it is", "faded"])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["as it is", "faded"]
    drawn = [axes.images[0].get_array() for axes in figure.axes[2:]]
    for grid, brightest in zip(drawn, (1.0, 0.5), strict=True):
        np.testing.assert_allclose(np.ma.filled(grid, np.nan)[::3, ::3], brightest)  # the corner of each of 2 x 2 maps


@pytest.mark.parametrize("count", [0, 1, 3])
def test_other_numbers_of_titles_are_refused(count):
    with pytest.raises(UsageError, match="a title for each image"):
        plot_changed_maps(np.zeros((2, 8, 8, 3)), np.zeros((2, 2, 2, 4)), ["x"] * count)

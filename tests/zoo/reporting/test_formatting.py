"""Values as text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zoo.reporting.formatting import format_seconds, frame_table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.85, "850 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (12.34, "12.3 s"), (59.96, "1 min 00 s"), (np.nan, "–")],
)
def test_a_duration_is_in_the_unit_that_fits_it(seconds, text):
    assert format_seconds(seconds) == text


def test_true_and_false_are_no_numbers():
    table = frame_table(pd.DataFrame({"correct": [True, False], "loss": [0.5, 1.5], "n": [1, 2], "name": ["a", "b"]}))
    assert table.numeric == [False, True, True, False]
    assert table.rows[0] == ["True", "0.5", "1", "a"]

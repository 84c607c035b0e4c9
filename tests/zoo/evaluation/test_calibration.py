from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve

from zoo.errors import SaveError, UsageError
from zoo.evaluation.calibration import measure_calibration
from zoo.evaluation.calibration_plot import plot_calibration
from zoo.evaluation.intervals import wilson_interval


def predictions(confidence, correct) -> pd.DataFrame:
    return pd.DataFrame({"confidence": confidence, "correct": correct})


def drawn(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.1, 1, count)
    return predictions(confidence, rng.random(count) < confidence**2)


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_bins_are_those_of_scikit_learn(bins):
    table = drawn(500)
    found = measure_calibration(table, bins=bins).table
    accuracy, confidence = calibration_curve(table["correct"], table["confidence"], n_bins=bins)
    filled = found[found["n"] > 0]
    np.testing.assert_allclose(filled["accuracy"], accuracy, rtol=1e-12)
    np.testing.assert_allclose(filled["confidence"], confidence, rtol=1e-12)


def test_by_hand():
    found = measure_calibration(predictions([0.55, 0.6, 0.9, 0.95], [True, False, True, True]), bins=2)
    # one bin: mean confidence 0.75, accuracy 0.75
    assert found.expected_error == pytest.approx(0)
    found = measure_calibration(predictions([0.3, 0.4, 0.9, 1.0], [True, True, True, False]), bins=2)
    # (0, 0.5]: 0.35 sure, all right, off by 0.65; (0.5, 1]: 0.95 sure, half right, off by 0.45
    assert found.expected_error == pytest.approx((0.65 * 2 + 0.45 * 2) / 4)
    assert found.largest_error == pytest.approx(0.65)
    assert found.overconfidence == pytest.approx(0.65 - 0.75)
    assert found.table["n"].tolist() == [2, 2]
    assert found.table.loc[0, ["accuracy_low", "accuracy_high"]].tolist() == list(wilson_interval(2, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 30))
def test_every_example_is_in_one_bin_and_errors_are_bounded(examples, bins):
    found = measure_calibration(predictions(*zip(*examples, strict=True)), bins=bins)
    table = found.table
    assert table["n"].sum() == len(examples)
    assert len(table) == bins
    filled = table[table["n"] > 0]
    assert (filled["confidence"] >= filled["low"] - 1e-12).all()
    assert (filled["confidence"] <= filled["high"] + 1e-12).all()
    assert 0 <= found.expected_error <= found.largest_error + 1e-12 <= 1 + 1e-12
    assert abs(found.overconfidence) <= found.expected_error + 1e-12  # a mean of differences against one of their sizes


def test_what_has_no_confidence_is_left_out():
    table = predictions([0.9, np.nan, 0.8], [True, False, True])
    assert measure_calibration(table).table["n"].sum() == 2


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (predictions([0.5], [True]), {"bins": 0}, "Received: bins=0"),
        (predictions([0.5], [True]), {"bins": 2.5}, r"Received: bins=2\.5"),
        (predictions([np.nan], [True]), {}, "finite confidence"),
        (pd.DataFrame({"correct": [True]}), {}, "'confidence'"),
    ],
)
def test_wrong_input_is_one_clear_error(table, options, message):
    with pytest.raises(UsageError, match=message):
        measure_calibration(table, **options)


def test_the_diagram_has_a_point_a_bin_and_the_diagonal(tmp_path):
    found = measure_calibration(drawn(300))
    points, counts = plot_calibration(found).axes
    filled = found.table[found.table["n"] > 0]
    line = next(line for line in points.lines if line.get_label() == "accuracy")
    np.testing.assert_array_equal(line.get_ydata(), filled["accuracy"])
    assert sum(bar.get_height() for bar in counts.patches) == 300
    assert found.plot(tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_an_error_of_drawing_is_not_blamed_on_the_disk(tmp_path, monkeypatch):
    found = measure_calibration(drawn(300))

    def without_font(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "DejaVuSans.ttf")

    monkeypatch.setattr(Figure, "savefig", without_font)
    with pytest.raises(FileNotFoundError, match="DejaVuSans") as raised:
        found.plot(tmp_path / "calibration.png")
    assert not isinstance(raised.value, SaveError)
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import zoo.startup

# isort: split
import numpy as np
import pytest

import zoo
from zoo.errors import UsageError
from zoo.evaluation.fooling import fool
from zoo.evaluation.fooling_plot import plot_fooling
from zoo.evaluation.robustness import measure_robustness
from zoo.evaluation.robustness_plot import plot_robustness


@pytest.fixture(scope="module")
def few():
    return zoo.load_dataset("digits", limit=100).test.subset(np.arange(12))


@pytest.fixture(scope="module")
def model():
    return zoo.build("softmax", (8, 8, 1), 10)


@pytest.fixture(scope="module")
def foolings(model, few):
    few.labels[:] = zoo.evaluate(model, few).predictions["predicted"].astype(int)  # so that all are right
    return [fool(model, few, by, verbose=False) for by in ("gradient_sign", "noise")]


def test_a_panel_each_corruption_a_line_and_a_band_each_model(model, few, tmp_path):
    result = measure_robustness(model, few, {"noise": [0.1, 0.2], "rotation": [-9, 9]}, verbose=False)
    alone, both = plot_robustness(result), plot_robustness({"one": result, "two": result})
    for figure, count in ((alone, 1), (both, 2)):
        assert [axes.get_xlabel() for axes in figure.axes] == ["noise (share of the range)", "rotation (degrees)"]
        assert figure.axes[0].get_ylabel() == "accuracy"
        for axes in figure.axes:
            assert len(axes.lines) == len(axes.collections) == count
    np.testing.assert_array_equal(alone.axes[1].lines[0].get_xdata(), [-9, 0, 9])
    np.testing.assert_array_equal(alone.axes[1].lines[0].get_ydata(), result.table["accuracy"][3:])
    assert alone.axes[0].get_legend() is None
    assert [text.get_text() for text in both.axes[0].get_legend().get_texts()] == ["one", "two"]
    assert result.plot(tmp_path / "curves.png").stat().st_size > 5000
    for wrong in ({}, {str(i): result for i in range(7)}):
        with pytest.raises(UsageError, match="1 to 6 results"):
            plot_robustness(wrong)


def test_a_row_each_image_and_way(foolings, tmp_path):
    figure = plot_fooling(foolings, np.array([0, 3]))
    assert len(figure.axes) == 2 * 2 * 4
    first = foolings[0].table.iloc[0]
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles[0] == f"image 0: {first['true']}\nanswer: {first['before']}"
    assert titles[1] == f"gradient_sign {first['strength']:.3g} of the range\nanswer: {first['after']}"
    assert titles[2].startswith("difference\n× ")
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), foolings[0].originals[0, ..., 0])
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), foolings[0].perturbed[0, ..., 0], atol=1e-6)
    factor = float(titles[2].split()[-1])
    change = foolings[0].perturbed[0, ..., 0] - foolings[0].originals[0, ..., 0]
    np.testing.assert_allclose(figure.axes[2].images[0].get_array(), np.clip(0.5 + factor * change, 0, 1), atol=1e-6)
    assert 0.25 < factor * np.abs(change).max() < 1
    bars = [bar.get_width() for bar in figure.axes[3].patches]
    shown = [int(label.get_text()) for label in figure.axes[3].get_yticklabels()]
    assert bars == [*foolings[0].scores_before[0][shown], *foolings[0].scores_after[0][shown]]
    assert foolings[0].plot(tmp_path / "fooling.png").stat().st_size > 5000


def test_by_default_those_that_all_ways_fool(foolings):
    titles = [axes.get_title() for axes in plot_fooling(foolings).axes]
    shown = [int(title.split()[1][:-1]) for title in titles if title.startswith("image")]
    fooled = foolings[0].table["strength"].notna() & foolings[1].table["strength"].notna()
    assert shown == np.flatnonzero(fooled)[:6].repeat(2).tolist()


def test_what_cannot_be_shown_is_refused(model, few, foolings):
    others = fool(model, few.subset(np.arange(11)), "blur", verbose=False)
    blobs = zoo.load_dataset("blobs")
    points = fool(zoo.build("logistic", (2,), 2), blobs.test, verbose=False)
    for wrong, images, words in (
        ([], None, "nothing to show"),
        (foolings, [12], "places of 0 to 11"),
        (foolings, [], "one or more"),
        (foolings, [0.5], r"places of 0 to 11, one or more. Received: images=\[0.5\]"),
        ([foolings[0], others], None, "same images"),
        (points, None, "only images"),
    ):
        with pytest.raises(UsageError, match=words):
            plot_fooling(wrong, images)

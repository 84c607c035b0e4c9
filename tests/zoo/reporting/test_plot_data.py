"""The values behind a drawing are those of the figure."""

from __future__ import annotations

import numpy as np
import pytest
from plot_contents import figure_of, marks_of, panels_of, svg_of

from zoo.reporting.plots import Plot, plot_markup


def test_points_are_those_of_the_figure_where_the_svg_draws_them():
    x, y = np.arange(5.0), np.array([1.0, 3.0, np.nan, 123456.78, np.inf])
    figure = figure_of(lambda axes: axes.plot(x, y, "o-", label="a"))
    markup = plot_markup(Plot("p", "x", figure))
    (panel,), (mark,) = panels_of(markup), panels_of(markup)[0]["marks"]
    assert (mark["x"], mark["y"]) == ([0, 1, 3], [1, 3, 123460.0])
    assert (panel["xscale"], panel["yscale"]) == ("linear", "linear")
    group = next(element for element in svg_of(markup).iter() if element.get("id") == mark["ids"][0])
    drawn = [(float(e.get("x")), float(e.get("y"))) for e in group.iter() if e.tag.endswith("use")]
    np.testing.assert_allclose(list(zip(mark["px"], mark["py"], strict=True)), drawn, atol=0.06)
    left, top, right, bottom = panel["box"]
    assert all(left <= px <= right and top <= py <= bottom for px, py in drawn)


def test_logarithmic_axes_space_points_evenly_and_skip_what_has_no_place():
    def draw(axes):
        axes.loglog([1, 10, 100, 1000], [1e-4, 1e-2, 0.0, 1.0], label="a")
        axes.set_xlabel("l2")

    (panel,) = panels_of(plot_markup(Plot("p", "x", figure_of(draw))))
    (mark,) = panel["marks"]
    assert (panel["x"], panel["xscale"]) == ("l2", "log")
    assert mark["x"] == [1, 10, 1000]
    assert np.diff(mark["px"])[1] == pytest.approx(2 * np.diff(mark["px"])[0], abs=0.2)


def test_long_series_are_thinned_from_end_to_end_and_stay_true():
    x = np.arange(20_000)
    (mark,) = marks_of(figure_of(lambda axes: axes.plot(x, x % 7, label="a")))
    assert len(mark["x"]) == 500
    assert (mark["x"][0], mark["x"][-1]) == (0, 19_999)
    assert all(y == x % 7 for x, y in zip(mark["x"], mark["y"], strict=True))


def test_points_outside_the_limits_are_left_out():
    def draw(axes):
        axes.plot([0, 1, 2], [0, 1, 1e9], label="a")
        axes.set_ylim(0, 2)

    assert marks_of(figure_of(draw))[0]["y"] == [0, 1]


def test_bars_and_scatters_tell_their_values_and_names():
    (bars,) = marks_of(figure_of(lambda axes: axes.bar([0, 1], [3, 5], tick_label=["cat", "dog"], label="n")))
    assert (bars["x"], bars["y"], len(bars["ids"])) == (["cat", "dog"], [3, 5], 2)
    (flat,) = marks_of(figure_of(lambda axes: axes.barh([0, 1], [0.5, 0.25])))
    assert (flat["x"], flat["y"]) == ([0.5, 0.25], [0, 1])
    (dots,) = marks_of(figure_of(lambda axes: axes.scatter([1, 2], [3, 4], label="dots")))
    assert (dots["x"], dots["y"], dots["look"], dots["colour"]) == ([1, 2], [3, 4], "dots", "#1f77b4ff")


def test_values_are_written_as_the_axes_say():
    def draw(axes):
        axes.plot([0, 1], [0, 1], label="_hidden but told")
        axes.fmt_xdata = lambda x: f"10^{x:g}"

    (mark,) = marks_of(figure_of(draw))
    assert (mark["x"], mark["label"], mark["note"]) == (["10^0", "10^1"], "", "hidden but told")

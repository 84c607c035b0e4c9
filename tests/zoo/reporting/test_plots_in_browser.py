"""Plots in a browser: the readout, the keys, the trials."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from browser_pages import assert_quiet, write_page
from matplotlib.figure import Figure
from plot_examples import make_tuned
from report_examples import make_repeated_search, make_run
from windows import DESKTOP, PHONE

from tuning import plots as tuning_plots
from zoo.drawing import finish_axes
from zoo.evaluation.comparison_plot import plot_comparison
from zoo.reporting.formatting import frame_table
from zoo.reporting.plots import Plot
from zoo.training.curves import curve_figures

EVIL = "</script><script>alert(1)</script>"


def two_lines() -> Plot:
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0.5, 1.5, 4.0], marker="o", label="first")
    axes.plot([0, 1, 2], [4.0, 3.25, 0.5], linestyle=":", label=EVIL)
    finish_axes(axes, "epoch", "loss")
    return Plot("two", "Two lines", figure)


@pytest.fixture(scope="module")
def search():
    return make_tuned(Path())


@pytest.fixture(scope="module")
def search_page(search, tmp_path_factory):
    plots = [Plot(n, n, tuning_plots.PLOTS[n](search)) for n in ("parallel_coordinates", "learning_curves")]
    return write_page(tmp_path_factory.mktemp("page") / "p.html", plots, frame_table(search.table.iloc[:, :8]), 0)


def on_screen(page, plot: str, x: float, y: float) -> tuple[float, float]:
    """Where a place of the SVG is in the window."""
    svg = page.locator(f"#plot-{plot} svg")
    svg.scroll_into_view_if_needed()
    place = "(svg, [x, y]) => { const p = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM()); return [p.x, p.y]; }"
    return tuple(svg.evaluate(place, [x, y]))


def panel_of(page, plot: str) -> dict:
    return page.locator(f"#plot-{plot} script").evaluate("element => JSON.parse(element.textContent)[0]")


def tip(page, plot: str) -> str | None:
    found = page.locator(f"#plot-{plot} .plot-tip")
    return found.inner_text() if found.is_visible() else None


# The readout


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_pointer_reads_the_nearest_point(opened, tmp_path, size):
    found = opened(write_page(tmp_path / "p.html", [two_lines()]), size=size)
    first, second = panel_of(found.page, "two")["marks"]
    found.page.mouse.move(*on_screen(found.page, "two", first["px"][1] + 4, first["py"][1] + 4))
    assert tip(found.page, "two") == "first\nepoch 1\nloss 1.5"
    found.page.mouse.move(*on_screen(found.page, "two", second["px"][1] + 3, second["py"][1] - 3))
    assert tip(found.page, "two") == f"{EVIL}\nepoch 1\nloss 3.25"
    box = found.page.locator("#plot-two .plot-tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= size[0]
    found.page.mouse.move(2, 2)
    assert tip(found.page, "two") is None
    assert found.page.locator("circle.plot-pointed").count() == 0
    assert_quiet(found)


def test_a_finger_reads_it_too(opened, tmp_path):
    found = opened(write_page(tmp_path / "p.html", [two_lines()]), size=PHONE, has_touch=True)
    (first, _) = panel_of(found.page, "two")["marks"]
    found.page.touchscreen.tap(*on_screen(found.page, "two", first["px"][2], first["py"][2]))
    assert tip(found.page, "two") == "first\nepoch 2\nloss 4"
    found.page.touchscreen.tap(30, 20)
    assert tip(found.page, "two") is None
    assert_quiet(found)


# The keys


def test_a_key_hides_its_series_by_mouse_and_keyboard(opened, tmp_path):
    found = opened(write_page(tmp_path / "p.html", [two_lines()]))
    page = found.page
    first, second = panel_of(page, "two")["marks"]
    line = page.locator(f"#{first['ids'][0]}")
    key, back = page.get_by_role("button", name="first"), page.get_by_role("button", name="Show all")
    assert (key.get_attribute("aria-pressed"), back.is_visible()) == ("true", False)
    assert page.locator(".plot-key").nth(1).inner_text() == EVIL
    key.click()
    assert (key.get_attribute("aria-pressed"), line.is_visible()) == ("false", False)
    page.mouse.move(*on_screen(page, "two", first["px"][1], first["py"][1]))
    assert tip(page, "two").startswith(EVIL)  # what is hidden does not answer
    key.focus()
    page.keyboard.press("Space")
    assert (key.get_attribute("aria-pressed"), line.is_visible()) == ("true", True)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert not page.locator(f"#{second['ids'][0]}").is_visible()
    back.click()
    assert page.locator(".plot-key[aria-pressed=true]").count() == 2
    key.click()
    page.emulate_media(media="print")
    assert line.is_visible()  # on paper all is there
    assert not key.is_visible()
    page.emulate_media(media="screen")
    page.locator("#plot-two svg").dblclick()
    assert line.is_visible()
    assert_quiet(found)


def test_every_drawing_of_a_series_goes_with_it(opened, tmp_path):
    comparison = Plot("means", "Means", plot_comparison(make_repeated_search().compare()))
    curves = Plot("loss", "Loss", curve_figures(make_run(num_epochs=40))["Loss by step"])
    found = opened(write_page(tmp_path / "p.html", [comparison, curves]))
    for plot, name, count in (("means", "worse", 4), ("loss", "train, each step", 1)):
        found.page.get_by_role("button", name=name, exact=True).click()
        assert found.page.locator(f"#plot-{plot} .plot-off").count() == count
        assert not found.page.locator(f"#plot-{plot} .plot-off").first.is_visible()
    assert_quiet(found)


def test_without_scripts_the_legend_stays(opened, tmp_path):
    found = opened(write_page(tmp_path / "p.html", [two_lines()]), java_script_enabled=False)
    assert found.page.locator(".plot-legend").is_visible()
    assert found.page.locator("#plot-two button").count() == 0
    assert found.page.locator("[data-sortable] button").count() == 0


# Trials


def drag(page, plot: str, x: float, low: float, high: float) -> None:
    page.mouse.move(*on_screen(page, plot, x, low))
    page.mouse.down()
    page.mouse.move(*on_screen(page, plot, x, (low + high) / 2))
    page.mouse.move(*on_screen(page, plot, x, high))
    page.mouse.up()


def faded_trials(page, plot: str) -> set[int]:
    ids = page.locator(f"#plot-{plot} .plot-faded").evaluate_all("elements => elements.map((e) => e.id)")
    return {int(re.search(r"trial-(\d+)", one)[1]) for one in ids}


def test_ranges_on_axes_fade_lines_and_filter_the_table(opened, search, search_page):
    found = opened(search_page)
    page, panel = found.page, panel_of(found.page, "parallel_coordinates")
    lines = {mark["trial"]: mark for mark in panel["marks"] if mark["trial"] and not mark["label"]}
    any_line = next(iter(lines.values()))
    top, bottom = panel["box"][1], panel["box"][3]
    middle = (top + bottom) / 2
    drag(page, "parallel_coordinates", any_line["px"][-1], top + 1, middle)
    good = {trial for trial, mark in lines.items() if top <= mark["py"][-1] <= middle}
    assert 0 < len(good) < len(lines)
    assert faded_trials(page, "parallel_coordinates") == set(lines) - good
    assert faded_trials(page, "learning_curves") == set(lines) - good
    drag(page, "parallel_coordinates", any_line["px"][0], top + 1, middle)
    both = {trial for trial in good if top <= lines[trial]["py"][0] <= middle}
    assert len(both) < len(good)
    rows = page.locator("tr[data-trial]:visible").evaluate_all("rows => rows.map((row) => Number(row.dataset.trial))")
    assert set(rows) == both
    status = page.get_by_role("status").filter(has_text="trials")
    assert status.inner_text() == f"{len(both)} of {len(search.table)} trials"
    page.mouse.click(*on_screen(page, "parallel_coordinates", any_line["px"][0], middle))  # clears that axis
    assert faded_trials(page, "parallel_coordinates") == set(lines) - good
    page.get_by_role("button", name="Show all trials").click()
    assert page.locator(".plot-faded").count() == 0
    assert page.locator("tr[data-trial]:visible").count() == len(search.table)
    drag(page, "parallel_coordinates", any_line["px"][0], top + 1, middle)
    assert page.locator(".plot-faded").count() > 0
    page.mouse.click(*on_screen(page, "parallel_coordinates", panel["box"][0] + 3, top + 3))  # beside every axis
    assert page.locator(".plot-faded").count() == 0
    assert_quiet(found)


def test_the_pointer_tells_a_trial_and_a_row_marks_its_line(opened, search_page):
    found = opened(search_page)
    page = found.page
    mark = next(mark for mark in panel_of(page, "parallel_coordinates")["marks"] if mark["label"])  # the best, on top
    x, y = np.mean(mark["px"][:2]), np.mean(mark["py"][:2])
    page.mouse.move(*on_screen(page, "parallel_coordinates", x, y))
    assert re.match(r"trial \d+\nlearning_rate [\d.]+\n", tip(page, "parallel_coordinates"))
    assert page.locator("polyline.plot-pointed").count() == 1
    page.locator("tr[data-trial='3'] td").first.click()
    assert page.locator("polyline.plot-selected").count() == 2  # in each plot of trials
    expected = next(m for m in panel_of(page, "parallel_coordinates")["marks"] if m["trial"] == 3)
    drawn = page.locator("#plot-parallel_coordinates .plot-selected").get_attribute("points")
    assert drawn.split()[0] == f"{expected['px'][0]:g},{expected['py'][0]:g}"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.trial") == "4"
    page.keyboard.press("Escape")
    assert page.locator("polyline.plot-selected").count() == 0
    assert page.locator("tr[data-trial][tabindex='0']").count() == 1
    assert_quiet(found)


# For everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_nothing_keeps_anybody_out(opened, search_page, tmp_path, scheme, size):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    for path in (search_page, write_page(tmp_path / "p.html", [two_lines()])):
        found = opened(path, size=size, color_scheme=scheme)
        assert found.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for button in found.page.locator(".plot-key, thead button").all()[:2]:
            button.click()
        violations = axe.run(found.page).response["violations"]
        assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
        assert_quiet(found)


def test_a_thousand_trials_are_brushed_together(opened, tmp_path):
    result = make_tuned(tmp_path, 1000)
    plot = Plot("parallel", "Trials", tuning_plots.PLOTS["parallel_coordinates"](result))
    found = opened(write_page(tmp_path / "p.html", [plot], frame_table(result.table.iloc[:, :8]), 0))
    panel = panel_of(found.page, "parallel")
    drag(found.page, "parallel", panel["marks"][0]["px"][0], panel["box"][1] + 1, panel["box"][1] + 80)
    assert found.page.locator(".plot-faded").count() > 100
    assert_quiet(found)

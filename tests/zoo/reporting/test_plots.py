"""Figures as drawings: small, well-formed, and safe from names."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from plot_contents import figure_of, panels_of, svg_of
from plot_examples import make_tuned
from report_examples import make_repeated_search, make_run, make_search

from tuning import plots as tuning_plots
from zoo.drawing import INK, finish_axes
from zoo.errors import UsageError
from zoo.evaluation.comparison_plot import plot_comparison
from zoo.evaluation.fooling_plot import plot_fooling
from zoo.evaluation.robustness_plot import plot_robustness
from zoo.reporting.figures import plot_confusion, plot_search
from zoo.reporting.plots import Plot, plot_markup, write_pngs
from zoo.training.curves import curve_figures

EVIL = "</script><img src=x onerror=alert(1)>\"'$\\broken"


def robustness(shift: float = 0.0) -> SimpleNamespace:
    rows = [(kind, s, 0.9 - s - shift) for kind in ("noise", "blur") for s in (0.0, 0.1, 0.2)]
    table = pd.DataFrame(rows, columns=["corruption", "strength", "accuracy"])
    bounds = {"low": table["accuracy"] - 0.05, "high": table["accuracy"] + 0.05}
    return SimpleNamespace(table=table.assign(unit="pixels", **bounds))


def fooling() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    images = rng.random((2, 8, 8, 1))
    row = {"index": 0, "true": "a", "before": "a", "after": "b", "correct": True, "strength": 0.1}
    scores = np.array([[0.8, 0.2], [0.7, 0.3]])
    return SimpleNamespace(
        table=pd.DataFrame([row, row]),
        originals=images,
        perturbed=images + 0.01,
        input_range=(0, 1),
        by="noise",
        unit="share of the range",
        largest=1.0,
        scores_before=scores,
        scores_after=scores[:, ::-1],
        class_names=("a", "b"),
    )


FIGURES = {
    **{f"curves-{i}": lambda i=i, **_: list(curve_figures(make_run()).values())[i] for i in range(3)},
    "search": lambda **_: plot_search(make_search()),
    "comparison": lambda **_: plot_comparison(make_repeated_search(trials=20).compare()),
    "confusion": lambda **_: plot_confusion(np.arange(2500).reshape(50, 50)),
    "robustness": lambda **_: plot_robustness({"cnn": robustness(), "mlp": robustness(0.1)}),
    "fooling": lambda **_: plot_fooling(fooling(), [0, 1]),
    **{name: lambda draw=draw, tuned=None: draw(tuned) for name, draw in tuning_plots.PLOTS.items()},
}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    return make_tuned(tmp_path_factory.mktemp("search"))


# Every figure of the project


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_becomes_a_small_well_formed_svg(name, tuned):
    markup = plot_markup(Plot(name, "A caption", FIGURES[name](tuned=tuned)))
    svg = svg_of(markup)
    assert (svg.get("role"), svg.get("aria-label")) == ("img", "A caption")
    assert re.match(f'<figure class="plot[^"]*" id="plot-{name}"><figcaption>A caption</figcaption>', markup)
    assert len(markup) < 70_000
    assert not re.search(INK, markup)
    assert name in ("confusion",) or all(panel["marks"] for panel in panels_of(markup))


def test_ids_of_several_plots_do_not_meet_and_references_hold(tuned):
    page = "".join(plot_markup(Plot(name, "x", draw(tuned=tuned))) for name, draw in FIGURES.items())
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(ids)
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert "xlink" not in svg
        assert "<style" not in svg  # Matplotlib's would hold for the whole page


def test_the_ids_of_a_series_are_its_drawing(tuned):
    for name, draw in FIGURES.items():
        markup = plot_markup(Plot(name, "x", draw(tuned=tuned)))
        ids = {element.get("id") for element in svg_of(markup).iter()}
        for mark in (mark for panel in panels_of(markup) for mark in panel["marks"]):
            assert set(mark["ids"]) <= ids
            assert mark["ids"] or not mark["px"], (name, mark["label"])


def test_a_search_of_a_thousand_trials_stays_small(tmp_path):
    result = make_tuned(tmp_path, 1000)
    for name in ("parallel_coordinates", "learning_curves", "objective_against", "best_so_far"):
        assert len(plot_markup(Plot(name, "x", tuning_plots.PLOTS[name](result)))) < 600_000, name


def test_what_has_no_label_belongs_to_the_series_of_its_colour():
    markup = plot_markup(Plot("r", "x", FIGURES["robustness"]()))
    first, second = panels_of(markup)
    assert [mark["label"] for mark in first["marks"]] == ["cnn", "mlp", "cnn", "mlp"]  # lines, then their bands
    assert (first["y"], second["y"]) == ("accuracy", "accuracy")  # said once in the figure


def test_a_rasterized_series_can_be_switched_off_too():
    run = make_run(num_epochs=40)
    figure = curve_figures(run)["Loss by step"]
    markup = plot_markup(Plot("loss", "x", figure))
    mark = panels_of(markup)[0]["marks"][0]
    assert mark["label"] == "train, each step"
    (element,) = (element for element in svg_of(markup).iter() if element.get("id") == mark["ids"][0])
    assert element.tag.endswith("image")


# Trials


def test_trials_of_parallel_coordinates_have_their_numbers_and_values(tuned):
    (panel,) = panels_of(plot_markup(Plot("p", "x", tuning_plots.PLOTS["parallel_coordinates"](tuned))))
    assert panel["is_parallel"]
    completed = tuned.table[tuned.table["status"] == "completed"]
    marks = {mark["trial"]: mark for mark in panel["marks"] if not mark["label"]}
    assert set(marks) == set(completed["trial"])
    best = completed.loc[completed["score"].idxmax()]
    lines = marks[best["trial"]]["note"].split("\n")
    assert lines[0] == f"trial {best['trial']}"
    assert f"learning_rate {best['learning_rate']:.4g}" in lines
    assert lines[-1] == f"val_accuracy {best['score']:.4g}"
    assert len({len(mark["px"]) for mark in marks.values()}) == 1


def test_learning_curves_know_their_trials(tuned):
    (panel,) = panels_of(plot_markup(Plot("p", "x", tuning_plots.PLOTS["learning_curves"](tuned))))
    trials = {mark["trial"] for mark in panel["marks"]} - {None}
    assert trials == set(tuned.table.loc[tuned.table["status"] == "completed", "trial"])


def test_objective_against_tells_values_not_positions(tuned):
    panels = panels_of(plot_markup(Plot("p", "x", tuning_plots.PLOTS["objective_against"](tuned))))
    values = {panel["x"]: panel["marks"][-1]["x"] for panel in panels}
    assert set(values["optimizer"]) == {"sgd", "adam", "adagrad"}
    rates = sorted(float(text) for text in values["learning_rate"])
    completed = tuned.table[tuned.table["status"] == "completed"]
    np.testing.assert_allclose(rates, sorted(completed["learning_rate"]), rtol=1e-3)


# Names from outside


def test_names_stay_text():
    def draw(axes):
        axes.plot([0, 1], [0, 1], label=EVIL)
        axes.plot([0, 1], [1, 0], label='x id="figure_1" #ffffff url(#p)')
        axes.set_title(EVIL, parse_math=False)
        finish_axes(axes, EVIL, EVIL)

    markup = plot_markup(Plot("evil", EVIL, figure_of(draw)))
    assert markup.count("</script>") == 1
    assert "<img" not in markup
    panel = panels_of(markup)[0]
    assert (panel["x"], panel["y"]) == (EVIL, EVIL)
    assert [mark["label"] for mark in panel["marks"]] == [EVIL, 'x id="figure_1" #ffffff url(#p)']
    texts = [element.text for element in svg_of(markup).iter() if element.tag.endswith("text")]
    assert texts.count(EVIL) == 4
    assert 'x id="figure_1" #ffffff url(#p)' in texts
    assert html.unescape(re.search("<figcaption>(.*?)</figcaption>", markup)[1]) == EVIL
    assert svg_of(markup).get("aria-label") == EVIL


def test_a_hyper_parameter_may_have_any_name(tmp_path):
    result = make_tuned(tmp_path, 30, rename={"momentum": EVIL})
    for name, draw in tuning_plots.PLOTS.items():
        markup = plot_markup(Plot(name, EVIL, draw(result)))
        assert markup.count("</script>") == 1
        assert "<img" not in markup
        svg_of(markup)


def test_white_and_ink_follow_the_page():
    def draw(axes):
        axes.text(0.5, 0.5, "boxed", bbox={"facecolor": "white"}, color=INK)
        axes.plot([0, 1], [0, 1], color="black")

    svg = plot_markup(Plot("p", "x", figure_of(draw)))
    assert "var(--card" in svg
    assert "#000000" not in svg
    assert svg_of(svg).get("fill") == "currentColor"


@pytest.mark.parametrize("name", ["", "../x", "a b", "1a", 'x"onload="', "a.b"])
def test_a_name_that_cannot_be_an_id_is_refused(name, tmp_path):
    plot = Plot(name, "x", figure_of(lambda axes: axes.plot([0, 1], [0, 1])))
    for call in (lambda: plot_markup(plot), lambda: write_pngs([plot], tmp_path)):
        with pytest.raises(UsageError, match="Received"):
            call()
    assert not list(tmp_path.iterdir())


def test_pngs_are_written_under_their_names(tmp_path):
    plots = [Plot(name, "x", figure_of(lambda axes: axes.plot([0, 1], [0, 1]))) for name in ("one", "two")]
    assert write_pngs(plots, tmp_path / "plots") == [tmp_path / "plots" / f"{name}.png" for name in ("one", "two")]
    assert [path.name for path in sorted((tmp_path / "plots").iterdir())] == ["one.png", "two.png"]
    assert (tmp_path / "plots/one.png").read_bytes().startswith(b"\x89PNG")


def test_the_markup_is_the_same_every_time(tuned):
    first, second = (plot_markup(Plot("p", "x", FIGURES["best_so_far"](tuned=tuned))) for _ in range(2))
    assert first == second


def test_no_tensorflow_is_loaded():
    code = "import sys, zoo.reporting.plots; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3], timeout=60)

"""What a page holds, and that it is safe."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from report_examples import make_evaluation, make_repeated_search, make_run, make_search
from report_pages import ATTACK, payload_of, programs_of, sections_of, written

from zoo.errors import DataError, UsageError
from zoo.evaluation.intervals import wilson_interval
from zoo.reporting.page import write_report


@pytest.mark.parametrize(
    ("parts", "sections"),
    [
        ({"run": make_run()}, ["summary", "curves", "recipe"]),
        ({"evaluation": make_evaluation()}, ["summary", "classes", "gallery", "calibration"]),
        ({"search": make_search()}, ["summary", "search"]),
        ({"search": make_repeated_search()}, ["summary", "search", "comparison"]),
        (
            {"run": make_run(), "evaluation": make_evaluation(), "search": make_search()},
            ["summary", "curves", "classes", "gallery", "calibration", "search", "recipe"],
        ),
    ],
)
def test_a_section_stands_only_where_its_data_are_given(tmp_path, parts, sections):
    page = written(tmp_path, **parts)
    assert sections_of(page) == sections
    assert set(re.findall(r'<a href="#(\w+)"', page)) == set(sections) - {"summary"}


def test_nothing_given_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="needs a run"):
        write_report(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_the_summary_tells_accuracy_interval_loss_model_and_time(tmp_path):
    evaluation = dataclasses.replace(make_evaluation(), accuracy=0.9, loss=0.25, num_examples=1000)
    page = re.sub(r"\s+", " ", written(tmp_path, run=make_run(), evaluation=evaluation)).replace("\u202f", " ")
    for text in ("90.00 %", "87.98 % to 91.71 %", "0.25", "1 000", "softmax", "1 650", "6.0 s", "softmax on digits"):
        assert text in page, text


def test_the_wilson_interval_equals_published_values():
    # Newcombe (1998), Statistics in Medicine 17:857, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    cases = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (hits, total), expected in cases.items():
        np.testing.assert_allclose(wilson_interval(hits, total), expected, atol=5e-5)


def test_recipes_of_several_phases_stand_side_by_side(tmp_path):
    page = written(tmp_path, run=make_run())
    assert "phase 1" in page
    assert re.search(r'<th scope="row">optimizer</th><td>sgd</td><td>adam</td>', page)
    assert "options.l2" in page


def test_a_title_replaces_the_default(tmp_path):
    assert "<title>A &amp; B</title>" in written(tmp_path, run=make_run(), title="A & B")


@pytest.mark.parametrize(("direction", "best"), [("max", "0.9"), ("min", "0.5")])
def test_the_best_trial_follows_the_direction(tmp_path, direction, best):
    page = written(tmp_path, search=make_search(direction=direction))
    assert f'<td class="number">{best}</td>' in re.search(r'<tr class="best".*?</tr>', page).group()


def test_a_search_without_a_score_has_no_plot(tmp_path):
    search = make_search()
    page = written(tmp_path, search=dataclasses.replace(search, table=search.table.assign(score=np.nan)))
    assert "No trial has a score" in page
    assert "<svg" not in page


def test_one_run_a_trial_is_said_to_tell_nothing(tmp_path):
    assert "One run a trial does not tell trials apart" in written(tmp_path, search=make_search())
    assert "does not tell trials apart" not in written(tmp_path, search=make_repeated_search())


def test_several_runs_a_trial_are_compared(tmp_path):
    search = make_repeated_search()
    page = written(tmp_path, search=search)
    section = page[page.index('<section id="comparison"') :].replace("&#39;", "'").replace("&lt;", "<")
    for sentence in search.compare().sentences():
        assert sentence in section
    marks = re.findall(r"<td>(best|indistinguishable from the best|worse)</td>", section)
    assert marks == ["best", "indistinguishable from the best", "worse", "worse"]
    assert section.count("<svg") == 1


def test_of_many_trials_the_best_twenty_are_in_the_table(tmp_path):
    page = written(tmp_path, search=make_repeated_search(trials=25))
    section = page[page.index('<section id="comparison"') :]
    assert "The table has the best 20 of 25." in section
    assert len(re.findall(r"<td>(?:best|indistinguishable from the best|worse)</td>", section)) == 20


def test_what_cannot_be_compared_has_no_section(tmp_path):
    search = make_repeated_search()
    alone = dataclasses.replace(search, runs=search.runs[search.runs["trial"] == 1])
    assert sections_of(written(tmp_path, search=alone)) == ["summary", "search"]


# Safety


def test_names_from_outside_never_become_markup(tmp_path):
    run, search = make_run(), make_search()
    run.config["model"]["name"] = ATTACK
    run.config["data"][ATTACK] = ATTACK
    search = dataclasses.replace(
        search, objective=ATTACK, best_values={ATTACK: ATTACK}, table=search.table.assign(**{ATTACK: ATTACK})
    )
    evaluation = make_evaluation(class_names=(ATTACK, "]]>--><!--", "$b & 'c' \"d\""))
    page = written(tmp_path, run=run, evaluation=evaluation, search=search, title=ATTACK)
    assert ATTACK not in page
    assert "alert(1)</" not in page
    assert payload_of(page)["classes"][0] == ATTACK
    assert not re.search(r"[<>&]", re.search(r'id="gallery-data">(.*?)</script>', page, re.DOTALL).group(1))
    assert len(programs_of(page)) == 2


def test_names_of_compared_groups_never_become_markup(tmp_path):
    search = make_repeated_search()
    runs = search.runs.assign(trial=ATTACK + search.runs["trial"].astype(str))
    page = written(tmp_path, search=dataclasses.replace(search, runs=runs))
    assert "comparison" in sections_of(page)
    assert ATTACK not in page
    assert len(programs_of(page)) == 1


def test_the_script_never_parses_markup():
    folder = Path(sys.modules["zoo.reporting.page"].__file__).parent / "templates"
    scripts = {file.name: file.read_text() for file in folder.glob("*.js")}
    assert set(scripts) == {"gallery.js", "plots.js", "tables.js"}
    script = "\n".join(scripts.values())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_the_page_loads_nothing(tmp_path):
    page = written(tmp_path, run=make_run(), evaluation=make_evaluation(), search=make_search())
    assert not re.search(r"""\b(?:src|href)\s*=\s*(?!"(?:data:|#))""", page)
    assert not re.search(r"url\((?!\"data:|#)", page)
    assert "@import" not in page
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\"'\s<]+", page))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)  # SVG name spaces, never fetched


def test_an_empty_split_and_an_empty_run_give_a_page(tmp_path):
    run = make_run()
    empty = dataclasses.replace(
        run, config={}, steps=run.steps.head(0), validations=run.validations.head(0), history=run.history.head(0)
    )
    evaluation = dataclasses.replace(make_evaluation(num_examples=0), accuracy=np.nan, loss=np.nan)
    assert sections_of(written(tmp_path, run=empty, evaluation=evaluation)) == ["summary", "classes", "gallery"]


def test_more_than_forty_classes_show_the_matrix_as_a_picture(tmp_path):
    page = written(tmp_path, evaluation=make_evaluation(class_names=tuple(f"c{i}" for i in range(41))))
    assert 'id="matrix"' not in page
    assert '<img src="data:image/png' in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"images": e.images[:3]}, "3 images do not fit 40 predictions"),
        (lambda e: {"images": e.images.astype(float)}, "Received: float64"),
        (lambda e: {"predictions": e.predictions.drop(columns="p(1)")}, r"lack the columns p\(1\)"),
    ],
)
def test_results_that_do_not_fit_together_are_refused_and_the_old_file_stays(tmp_path, change, message):
    (tmp_path / "report.html").write_text("old")
    evaluation = make_evaluation()
    with pytest.raises(DataError, match=message):
        write_report(tmp_path / "report.html", evaluation=dataclasses.replace(evaluation, **change(evaluation)))
    assert (tmp_path / "report.html").read_text() == "old"


def test_reporting_imports_no_tensorflow():
    heavy = "'tensorflow', 'keras', 'matplotlib.pyplot'"
    code = f"import sys, zoo.reporting.page, zoo.reporting.side_by_side, zoo.reporting.study; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

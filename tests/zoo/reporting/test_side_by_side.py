from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from report_examples import make_evaluation, make_run

import zoo
from zoo.errors import UsageError
from zoo.evaluation.comparison import compare
from zoo.evaluation.robustness import measure_robustness
from zoo.reporting.sections.runs import compare_seeds, differing_settings, runs_section
from zoo.reporting.side_by_side import write_comparison_report


def run_of(**changes):
    """A run of one phase, with some settings changed: `optimizer="adam", seed=3`."""
    run = make_run()
    recipe = {"optimizer": "sgd", "learning_rate": 0.1, "seed": 0} | changes
    config = {**run.config, "recipes": [recipe], "model": {**run.config["model"], "seed": recipe["seed"]}}
    return dataclasses.replace(run, config=config)


def scored(accuracy: float):
    """An evaluation of 40 examples with about this accuracy."""
    evaluation = make_evaluation()
    correct = np.arange(40) < round(40 * accuracy)
    table = evaluation.predictions
    wrong = table["true"].map({"0": "1", "1": "2", "2": "0"})
    table = table.assign(predicted=table["true"].where(correct, wrong), correct=correct)
    return dataclasses.replace(evaluation, predictions=table, accuracy=float(correct.mean()))


def test_the_settings_that_differ_are_columns():
    runs = {"a": run_of(), "b": run_of(optimizer="adam"), "c": run_of(optimizer="adam", learning_rate=0.01)}
    assert differing_settings(runs) == ["recipe.optimizer", "recipe.learning_rate"]
    table = runs_section(runs, {}).content["table"]
    assert table.header[:3] == ["run", "recipe.optimizer", "recipe.learning_rate"]
    assert [row[:3] for row in table.rows] == [["a", "sgd", "0.1"], ["b", "adam", "0.1"], ["c", "adam", "0.01"]]


def test_the_best_run_is_marked_and_what_is_missing_is_a_dash():
    runs = {"a": run_of(), "b": run_of(optimizer="adam")}
    content = runs_section(runs, {"b": scored(0.9)}).content
    assert content["best_row"] == 1
    assert content["table"].rows[0][2] == "–"
    assert content["table"].rows[1][2] == "0.9"


def test_settings_are_compared_over_seeds():
    accuracies = {("sgd", s): 0.7 + 0.025 * s for s in range(4)} | {
        ("adam", s): 0.9 + 0.025 * (s % 2) for s in range(4)
    }
    runs = {f"{o}-{s}": run_of(optimizer=o, seed=s) for o, s in accuracies}
    evaluations = {f"{o}-{s}": scored(a) for (o, s), a in accuracies.items()}
    found = compare_seeds(runs, evaluations)
    rows = [
        {"optimizer": f"optimizer={o}", "seed": s, "score": evaluations[f"{o}-{s}"].accuracy} for o, s in accuracies
    ]
    import pandas as pd

    expected = compare(pd.DataFrame(rows), groups="optimizer", units="seed")
    assert found.groups["group"].tolist() == expected.groups["group"].tolist() == ["optimizer=adam", "optimizer=sgd"]
    np.testing.assert_allclose(found.pairs["p"], expected.pairs["p"])


def test_settings_that_differ_little_are_not_one_group():
    rates = {f"{rate}-{seed}": (rate, seed) for rate in (0.10001, 0.10002) for seed in range(3)}
    runs = {name: run_of(learning_rate=rate, seed=seed) for name, (rate, seed) in rates.items()}
    found = compare_seeds(runs, {name: scored(0.8 + 0.05 * (seed % 2)) for name, (_, seed) in rates.items()})
    assert sorted(found.groups["group"]) == ["learning_rate=0.10001", "learning_rate=0.10002"]


def test_groups_are_told_apart_by_the_phase():
    recipes = [{"learning_rate": 0.1, "seed": 0}, {"learning_rate": 0.01, "seed": 0}]
    runs = {}
    for place in (0, 1):
        for seed in range(3):
            phases = [{**recipe, "seed": seed} for recipe in recipes]
            phases[place]["learning_rate"] = 0.5
            run = make_run()
            runs[f"{place}-{seed}"] = dataclasses.replace(run, config={**run.config, "recipes": phases})
    found = compare_seeds(runs, {name: scored(0.8 + 0.05 * (int(name[-1]) % 2)) for name in runs})
    assert "phase 1.learning_rate=0.5, phase 2.learning_rate=0.01" in set(found.groups["group"])


def test_training_times_are_numbers_of_one_unit():
    runs = {"slow": run_of(), "quick": run_of(optimizer="adam")}
    for name, seconds in (("slow", 100.0), ("quick", 0.1)):
        runs[name] = dataclasses.replace(runs[name], history=runs[name].history.assign(seconds=seconds))
    table = runs_section(runs, {}).content["table"]
    place = table.header.index("training seconds")
    assert [row[place] for row in table.rows] == ["400.0", "0.4"]  # "7 min" would sort before "400 ms"
    assert table.numeric[place]


@pytest.mark.parametrize(
    "runs",
    [
        {"a": run_of(), "b": run_of(optimizer="adam")},  # no seeds
        {"a": run_of(seed=0), "b": run_of(seed=1)},  # nothing but seeds
        {"a": run_of(seed=0), "b": run_of(optimizer="adam", seed=1)},  # nothing paired
    ],
)
def test_without_pairs_over_seeds_nothing_is_compared(runs):
    assert compare_seeds(runs, {name: scored(0.8) for name in runs}) is None


def test_two_runs_make_a_page(tmp_path):
    runs = {"sgd": run_of(), "<b>adam</b>": run_of(optimizer="adam")}
    evaluations = {"sgd": scored(0.6), "<b>adam</b>": scored(0.95)}
    path = write_comparison_report(tmp_path / "both.html", runs, evaluations, plots=tmp_path / "plots")
    page = path.read_text()
    assert re.findall(r'<section id="(\w+)"', page) == ["runs", "paired", "f1"]
    assert "<b>adam" not in page
    assert "&lt;b&gt;adam&lt;/b&gt; has the best accuracy" in page
    assert {"runs-loss.png", "runs-val-accuracy.png"} == {file.name for file in (tmp_path / "plots").iterdir()}


def test_models_on_other_examples_are_not_tested_against_each_other(tmp_path):
    evaluations = {"a": scored(0.6), "b": make_evaluation(num_examples=20)}
    page = write_comparison_report(tmp_path / "r.html", {"a": run_of(), "b": run_of()}, evaluations).read_text()
    assert '<section id="paired"' not in page
    assert "These runs have the same settings." in page


def test_what_is_too_many_to_compare_is_said(tmp_path):
    runs = {f"run {i}": run_of(seed=i) for i in range(13)}
    few = measure_robustness(
        zoo.build("logistic", (2,), 2), (np.eye(2, dtype=np.float32), [0, 1]), "noise", verbose=False
    )
    evaluations = {name: scored(0.6) for name in runs}
    robustness = dict.fromkeys([*runs][:7], few)
    page = write_comparison_report(tmp_path / "r.html", runs, evaluations, robustness=robustness).read_text()
    assert re.findall(r'<section id="(\w+)"', page) == ["runs"]
    assert "At most 12 models are compared example by example and class by class, not 13." in page
    assert "The robustness of at most 6 models is shown, not of 7." in page


@pytest.mark.parametrize(
    ("runs", "evaluations", "message"),
    [
        ({"a": make_run()}, {}, "two runs or more"),
        ({"a": make_run(), "b": make_run()}, {"c": scored(0.5)}, "Received: 'c'"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, runs, evaluations, message):
    with pytest.raises(UsageError, match=message):
        write_comparison_report(tmp_path / "r.html", runs, evaluations)
    assert not list(tmp_path.iterdir())

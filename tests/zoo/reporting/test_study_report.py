from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from zoo.errors import UsageError
from zoo.reporting.study import StudyReport
from zoo.version import __version__, versions


def make_study() -> StudyReport:
    settings = {"epochs": 5, "rates": (0.1, np.float32(0.5)), "folder": Path("runs/x"), "bad": math.nan}
    return StudyReport("vanishing", "Do gradients <vanish>?", "study.py vanishing --seed 0", settings, 0)


def result_of(directory: Path) -> dict:
    text = (directory / "result.json").read_text(encoding="utf-8")
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize(
    ("measured", "expected", "tolerance", "verdict"),
    [
        (0.92, 0.9, 0.02, "met"),  # in floats the difference is 0.020000000000000018
        (0.921, 0.9, 0.02, "not met"),
        (0.88, 0.9, 0.02, "met"),
        (3.0, 3.0, 0.0, "met"),
        (math.nextafter(3.0, 4), 3.0, 0.0, "not met"),
        (math.nan, 0.9, 0.02, "not met"),
        (math.inf, 0.9, 0.02, "not met"),
        (np.float32(1.5), 1.5, 0.1, "met"),
    ],
)
def test_a_number_within_the_tolerance_is_met(measured, expected, tolerance, verdict):
    study = make_study()
    study.check("key", "label", measured, expected, tolerance)
    assert study.findings["key"].verdict == verdict


@pytest.mark.parametrize(
    ("measured", "at_least", "at_most"),
    [(0.98, "met", "met"), (0.979, "not met", "met"), (0.981, "met", "not met"), (math.nan, "not met", "not met")],
)
def test_bounds_are_judged_on_their_side(measured, at_least, at_most):
    study = make_study()
    study.expect_at_least("low", "accuracy", measured, 0.98)
    study.expect_at_most("high", "accuracy", measured, 0.98)
    assert (study.findings["low"].verdict, study.findings["high"].verdict) == (at_least, at_most)
    assert "expected ≥ 0.98 " in study.summary_lines()[0]
    assert "expected ≤ 0.98 " in study.summary_lines()[1]


def test_a_cut_records_expectations_without_a_verdict_and_checks_with_one():
    study = StudyReport("cut", "Is it?", "study.py cut --fast", {}, 0, full=False)
    study.expect("near", "near", 5.0, 1.0, 0.1)
    study.expect_at_least("low", "low", 5.0, 9.0)
    study.expect_at_most("high", "high", 5.0, 1.0)
    study.claim("holds", "holds", False)
    study.check("exact", "exact", 5.0, 1.0, 0.1)
    assert [f.verdict for f in study.findings.values()] == [None, None, None, None, "not met"]
    assert study.findings["holds"].measured == 0.0


def test_what_is_off_can_be_explained_and_what_is_met_needs_no_reason(tmp_path):
    study = make_study()
    study.claim("good", "good", True)
    study.claim("bad", "bad", False)
    for key in ("good", "bad"):
        study.explain(key, "<too> few epochs")
    assert (study.findings["good"].why, study.findings["bad"].why) == (None, "<too> few epochs")
    page = study.write(tmp_path).read_text(encoding="utf-8")
    assert "&lt;too&gt; few epochs" in page
    with pytest.raises(UsageError, match="no number under 'other'"):
        study.explain("other", "why")


def test_result_json_holds_numbers_settings_seed_and_versions(tmp_path):
    study = make_study()
    study.check("accuracy", "test accuracy", 0.91, 0.92, 0.02)
    study.check("ratio", "norm ratio", math.nan, 1.0, 0.5)
    study.value("seconds", 12)
    study.not_run("imagenet", "ImageNet top-1", "no images here")
    study.answer("Why?", "Because.")
    assert study.write(tmp_path / "out") == tmp_path / "out/index.html"
    result = result_of(tmp_path / "out")
    assert result["numbers"]["accuracy"] == {
        "label": "test accuracy",
        "measured": 0.91,
        "expected": 0.92,
        "relation": "within",
        "tolerance": 0.02,
        "verdict": "met",
    }
    assert result["numbers"]["ratio"]["measured"] is None
    assert result["numbers"]["ratio"]["verdict"] == "not met"
    assert result["numbers"]["seconds"]["measured"] == 12
    assert result["numbers"]["seconds"]["verdict"] is None
    assert result["numbers"]["imagenet"]["verdict"] == "not run"
    assert result["numbers"]["imagenet"]["why"] == "no images here"
    assert result["settings"] == {"epochs": 5, "rates": [0.1, 0.5], "folder": "runs/x", "bad": None}
    assert result["answers"] == [{"question": "Why?", "answer": "Because."}]
    assert (result["seed"], result["command"]) == (0, "study.py vanishing --seed 0")
    assert list(result["versions"]) == ["python", "keras-zoo", "tensorflow", "keras", "numpy"]


def test_pictures_and_tables_are_written_and_the_page_holds_them(tmp_path):
    study = make_study()
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    study.figure("norms", figure, "Gradient <norms>")
    study.table("Norms, by layer", pd.DataFrame({"layer": ["a", "<b>"], "norm": [0.5, math.nan]}))
    study.table("Norms, by layer", pd.DataFrame({"layer": range(300)}))
    page = study.write(tmp_path).read_text(encoding="utf-8")
    names = ["index.html", "norms-by-layer-2.csv", "norms-by-layer.csv", "norms.png", "result.json"]
    assert sorted(f.name for f in tmp_path.iterdir()) == names
    assert (tmp_path / "norms.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "norms-by-layer.csv").read_text() == "layer,norm\na,0.5\n<b>,\n"
    assert "data:image/png;base64," in page
    assert "<vanish>" not in page
    assert "<norms>" not in page
    assert "<b>" not in page
    assert "The first 200 of 300 rows" in page
    result = result_of(tmp_path)
    assert result["figures"] == {"norms.png": "Gradient <norms>"}
    assert result["tables"]["norms-by-layer-2.csv"] == "Norms, by layer"


def test_summary_lines_are_plain_text():
    study = make_study()
    study.check("accuracy", "test accuracy", 0.91, 0.92, 0.02)
    study.value("seconds", 12.5)
    study.not_run("imagenet", "ImageNet top-1", "no images here")
    assert study.summary_lines() == [
        "accuracy: measured 0.91 expected 0.92 ± 0.02 met",
        "seconds: measured 12.5",
        "imagenet: not run: no images here",
    ]


def test_a_study_can_be_written_again(tmp_path):
    make_study().write(tmp_path)
    study = make_study()
    study.value("seconds", 1)
    study.write(tmp_path)
    assert list(result_of(tmp_path)["numbers"]) == ["seconds"]


def test_taken_keys_bad_tolerances_and_bad_file_names_are_refused():
    study = make_study()
    study.value("key", 1)
    study.figure("plot", Figure(), "")
    with pytest.raises(UsageError, match="already has a number under 'key'"):
        study.not_run("key", "", "")
    for tolerance in (-1, math.nan):
        with pytest.raises(UsageError, match="a tolerance is 0 or more"):
            study.check("other", "", 1, 1, tolerance)
    with pytest.raises(UsageError, match="already has a figure"):
        study.figure("plot", Figure(), "")
    for name in ("../x", "", ".hidden", "a/b"):
        with pytest.raises(UsageError, match="a figure's name"):
            study.figure(name, Figure(), "")


def test_versions_name_what_is_installed():
    result = make_study()._result()
    assert result["versions"] == versions()
    assert versions()["numpy"] == np.__version__
    assert versions()["keras-zoo"] == __version__


def test_each_table_has_a_file_of_its_own(tmp_path):
    study = make_study()
    for k, title in enumerate(("Loss 2", "Loss", "Loss", "loss")):
        study.table(title, pd.DataFrame({"a": [k]}))
    study.write(tmp_path)
    assert result_of(tmp_path)["tables"] == {
        "loss-2.csv": "Loss 2",
        "loss.csv": "Loss",
        "loss-3.csv": "Loss",
        "loss-4.csv": "loss",
    }
    assert (tmp_path / "loss-2.csv").read_text().split() == ["a", "0"]


def test_what_only_an_earlier_result_names_is_deleted_and_other_files_stay(tmp_path):
    for name in ("old", "new"):
        study = make_study()
        figure = Figure()
        figure.add_subplot().plot([1, 2])
        study.figure(name, figure, "a figure")
        study.table(name, pd.DataFrame({"a": [1]}))
        study.write(tmp_path)
        (tmp_path / "mine.txt").write_text("kept")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["index.html", "mine.txt", "new.csv", "new.png", "result.json"]
    (tmp_path / "result.json").write_text('{"figures": {"../../x.png": ""}, "tables": {}}')
    make_study().write(tmp_path)  # a name that no figure has is no file to delete
    (tmp_path / "result.json").write_text(
        '{"figures": {"mine.txt": "", "result.json": ""}, "tables": {"index.html": ""}}'
    )
    make_study().write(tmp_path)
    assert {"index.html", "mine.txt", "result.json"} < {f.name for f in tmp_path.iterdir()}

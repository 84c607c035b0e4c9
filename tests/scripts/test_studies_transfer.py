"""The arithmetic that `fine_tuning` and `selective_unfreezing` share, against NumPy and SciPy, and what they do with a user's options."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import study
from scipy import stats
from studies import fine_tuning, five_classes, selective_unfreezing
from studies.options import StudyOptions

import zoo
from zoo.reporting.study import StudyReport


def report() -> StudyReport:
    return StudyReport("transfer", "How?", "study.py", {}, 0, full=False)


def test_a_gap_is_the_paired_t_interval_in_either_order():
    scores = {"a": [81.0, 82.5, 80.0], "b": [80.0, 80.5, 79.5], "c": [90.0, 70.0, 80.0]}
    table = pd.DataFrame(scores).rename_axis("seed").reset_index().melt("seed", var_name="row", value_name="score")
    found = zoo.compare(table, groups="row", units="seed")
    expected = stats.ttest_rel(scores["a"], scores["b"]).confidence_interval(0.95)
    assert five_classes.gap(found, "a", "b") == pytest.approx((7 / 6, expected.low, expected.high))
    assert five_classes.gap(found, "b", "a") == pytest.approx((-7 / 6, -expected.high, -expected.low))
    assert five_classes.gap(found, "a", "c").verdict == "not to be told from what the seeds do"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((1, 0.5, 1.5), "a gain"), ((-1, -1.5, -0.5), "a loss"), ((1, -1, 3), "not to"), ((1, np.nan, np.nan), "not to")],
)
def test_words_follow_from_the_interval(interval, verdict):
    found = five_classes.Interval(*interval)
    assert found.verdict.startswith(verdict)
    assert ("one seed" in str(found)) == np.isnan(interval[1])


def test_images_are_drawn_apart_and_by_the_seed():
    data = zoo.load_dataset("digits", validation=None)
    drawn = [five_classes.drawn(data, 300, 200, seed) for seed in (0, 0, 1)]
    for part in drawn:
        assert (len(part.train), len(part.validation)) == (300, 200)
        assert not set(part.train.rows) & set(part.validation.rows)
        assert part.test is data.test
    np.testing.assert_array_equal(drawn[0].train.rows, drawn[1].train.rows)
    assert set(drawn[0].train.rows) != set(drawn[2].train.rows)
    few = five_classes.drawn(data, 10_000, 10_000, 0)
    assert (len(few.train), len(few.validation)) == (len(data.train) - len(data.train) // 5, len(data.train) // 5)


def test_the_classes_are_the_other_five_unless_something_else_is_asked_for():
    assert five_classes.target(StudyOptions(fast=True)).class_names == tuple("56789")
    assert five_classes.target(StudyOptions(fast=True, backbone="resnet20")).num_classes == 10


def test_the_network_is_trained_once_for_a_seed(tmp_path, monkeypatch):
    options = StudyOptions(fast=True, output=tmp_path)
    first = five_classes.pretrained(options).model.get_weights()
    with monkeypatch.context() as patched:
        patched.setattr(zoo, "train", lambda *_, **__: pytest.fail("trained again"))
        again = five_classes.pretrained(options).model.get_weights()
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    other = five_classes.pretrained(dataclasses.replace(options, seed=1)).model.get_weights()
    assert not np.array_equal(first[0], other[0])
    monkeypatch.setattr(five_classes, "RECIPE", dataclasses.replace(five_classes.RECIPE, learning_rate=0.2))
    with pytest.raises(zoo.UsageError, match="learning_rate"):
        five_classes.pretrained(options)


def test_absent_weights_are_no_number_and_a_bad_file_is_an_error(tmp_path, monkeypatch):
    def absent(*_, **__):
        raise zoo.WeightsError("cannot be downloaded")

    monkeypatch.setattr(zoo, "build", absent)
    told = report()
    assert five_classes.starting_point(StudyOptions(backbone="resnet50"), told) is None
    assert [f.verdict for f in told.findings.values()] == ["not run"]
    file = tmp_path / "weights.pt"
    file.write_bytes(b"none")
    with pytest.raises(zoo.WeightsError):
        five_classes.starting_point(StudyOptions(weights=file), report())
    assert not five_classes.has_cifar100(StudyOptions(weights=file))


@pytest.mark.parametrize(
    ("given", "told"),
    [("imges=100", "images"), ("images=0", "above 0"), ("seeds=1.5", "whole"), ("blur=true", "a number")],
)
@pytest.mark.parametrize("name", ["fine_tuning", "selective_unfreezing"])
def test_a_wrong_setting_is_one_line_before_anything_is_trained(name, given, told, tmp_path, capsys):
    if name == "selective_unfreezing" and given.startswith("blur"):
        given, told = "blur=1", "unknown setting"
    assert study.main(["run", name, "--fast", "--set", given, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "five_classes").exists()


def test_heads_on_a_named_backbone(tmp_path, monkeypatch):
    named = five_classes.starting_point(StudyOptions(fast=True, backbone="resnet20"), report())
    assert named is not None
    assert (named["backbone"], named["weights"]) == ("resnet20", None)  # random in a cut
    small = zoo.build("cnn", (8, 8, 3), 10, filters=4, num_stages=1, units=16)  # quick to trace
    monkeypatch.setattr(five_classes, "starting_point", lambda *_, **__: {"backbone": small})
    arguments = ["--fast", "--backbone", "resnet20", "--set", "units=5", "--output", str(tmp_path)]
    assert study.main(["run", "fine_tuning", *arguments]) == 0
    result = json.loads((tmp_path / "fine_tuning-cut" / "result.json").read_text())
    assert {"accuracy_plain_head", "accuracy_hidden_head"} <= set(result["numbers"])
    rows = pd.read_csv(tmp_path / "fine_tuning-cut" / "rows.csv")
    learn = rows["weights that learn"]
    assert list(learn) == [16 * 10 + 10, 16 * 5 + 5 + 5 * 10 + 10]
    assert (tmp_path / "fine_tuning-cut" / "report.html").exists()


def test_additions_are_judged_by_the_gaps_of_their_rows():
    scores = {row.name: [80.0 + k, 82.0 + k] for k, row in enumerate(fine_tuning.ROWS)}
    scores["head with L2"] = [81.1, 83.1]  # 0.1 above the head, which has 81 and 83
    table = pd.DataFrame(scores).rename_axis("seed").reset_index().melt("seed", var_name="row", value_name="score")
    filled = StudyReport("transfer", "How?", "study.py", {}, 0)
    fine_tuning.judge_additions(filled, zoo.compare(table, groups="row", units="seed"))
    found = filled.findings
    assert (found["l2_size"].measured, found["l2_size"].verdict) == (pytest.approx(0.1), "met")
    assert (found["dropout_size"].measured, found["dropout_size"].verdict) == (pytest.approx(3), "not met")


def test_a_cut_has_a_few_rows_and_a_backbone_of_its_own_two_heads():
    assert fine_tuning.chosen_rows(StudyOptions()) == fine_tuning.ROWS
    assert [row.key for row in fine_tuning.chosen_rows(StudyOptions(fast=True))] == ["head", "all", "backbone"]
    assert fine_tuning.chosen_rows(StudyOptions(fast=True, backbone="resnet20")) == fine_tuning.ON_BACKBONE


def test_two_phases_are_the_head_and_then_all_at_a_tenth():
    row = next(row for row in fine_tuning.ROWS if row.key == "two_phases")
    head, everything = fine_tuning.recipes(row, fine_tuning.DEFAULTS, 3)
    assert (head.trainable, everything.trainable, head.seed) == ("head", "all", 3)
    assert everything.learning_rate == pytest.approx(head.learning_rate / 10)
    assert (head.validation_freq, head.patience, head.monitor) == (2, 10, "val_accuracy")
    once = fine_tuning.recipes(fine_tuning.ROWS[0], fine_tuning.DEFAULTS, 0)
    assert [(r.epochs, r.validation_freq) for r in once] == [(1, 1)]


def test_how_far_filters_moved():
    before = np.zeros((2, 1, 2, 1))
    before[0, 0, :, 0] = 3, 0
    before[1, 0, :, 0] = 0, 4
    after = before.copy()
    after[1, 0, :, 0] = 3, 4
    assert selective_unfreezing.change(before, after) == pytest.approx(60)  # 3 against 5
    assert selective_unfreezing.least_cosine(before, after) == pytest.approx(0.8)

"""What the summary and the learning curves tell."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from report_examples import make_evaluation, make_run, make_search

from zoo.reporting.sections.curves import gap_notes
from zoo.reporting.sections.search import search_section
from zoo.reporting.sections.summary import summary_section


@pytest.mark.parametrize("direction", ["max", "min"])
def test_of_many_trials_the_table_has_the_best_in_their_order(direction):
    search = make_search(direction=direction)
    scores = np.random.default_rng(0).permutation(1500) / 1500
    scores[7] = np.nan
    table = pd.DataFrame({"trial": range(1, 1501), "score": scores, "seconds": 1.0, "epochs": 1})
    content = search_section(dataclasses.replace(search, table=table)).content
    shown = [int(row[0]) - 1 for row in content["table"].rows]
    order = np.argsort(-scores if direction == "max" else scores)  # NaN stands last
    assert shown == sorted(order[:1000].tolist())
    assert shown[content["best_row"]] == order[0]
    assert content["left_out"] == 500
    assert search_section(search).content["left_out"] == 0


def test_guessing_the_most_frequent_class_is_said():
    evaluation = dataclasses.replace(
        make_evaluation(), confusion_matrix=np.array([[50, 10, 0], [0, 20, 0], [0, 0, 20]])
    )
    note = summary_section(None, evaluation, None).content["tiles"][0].note
    assert "most frequent class gives 60.0" in note


def run_with(train: list[float], validation: list[float], losses: list[float]):
    run = make_run(num_epochs=len(train))
    history = run.history.assign(accuracy=train, val_accuracy=validation)
    checks = run.validations.assign(val_data_loss=losses, val_loss=losses)
    return dataclasses.replace(run, history=history, validations=checks)


def test_a_wide_gap_and_a_rising_loss_are_called_out():
    gap, loss = gap_notes(run_with([0.5, 0.9, 0.99], [0.5, 0.8, 0.79], [1.0, 0.5, 0.8]))
    assert "20.0 points below training accuracy" in gap["text"]
    assert gap["warning"]
    assert "lowest (0.5) after step 59" in loss["text"]
    assert loss["warning"]


def test_a_narrow_gap_and_a_falling_loss_are_not():
    gap, loss = gap_notes(run_with([0.5, 0.9, 0.92], [0.5, 0.88, 0.93], [1.0, 0.5, 0.4]))
    assert "1.0 points above" in gap["text"]
    assert not gap["warning"]
    assert not loss["warning"]


@pytest.mark.parametrize("losses", [[1.0, math.nan], [math.nan, math.nan], [1.0, math.inf]])  # the worst: all
def test_a_run_that_diverged_is_no_crash(losses):
    notes = gap_notes(run_with([0.5, 0.5], [math.nan, math.nan], losses))
    assert all("nan" not in str(note["text"]) for note in notes)
    assert [note["text"] for note in notes] == ["The last validation loss is not finite: training diverged."]
    assert notes[0]["warning"]

"""Trials that train together are interrupted, divided and gone on with, and come to the same."""

from __future__ import annotations

import contextlib
import random

import pytest
from resumed_searches import VALUES, names, search

# Of few structures: searches whose methods ask ahead run them in groups.
STRENGTHS, RATES = (1e-6, 1e-2, "log"), (1e-3, 0.1, "log")
GROUPED = {method: {"l2": STRENGTHS, "learning_rate": RATES, "units": [4, 8]} for method in sorted(VALUES)}
GROUPED["grid"] = {"l2": [1e-4, 1e-3, 1e-2], "learning_rate": [0.01, 0.02, 0.03], "units": [4, 8]}
del GROUPED["bayesian"]  # it learns from each trial before it asks for the next one


@pytest.fixture(autouse=True)
def short_trials_train_together_too(monkeypatch):
    monkeypatch.setattr("tuning.vectorized.grouping.LEAST_EPOCHS", 1)


@pytest.mark.parametrize("method", sorted(GROUPED))
@pytest.mark.parametrize("workers", [1, 3])
def test_groups_change_nothing(blobs, tmp_path, fake, monkeypatch, method, workers):
    options = {"values": GROUPED[method], "max_trials": 30, "keep_best": 2}
    with monkeypatch.context() as patch:
        patch.setattr("tuning.loop.can_stack", lambda setting: False)
        patch.setattr("tuning.loop.group_key", lambda setting, task: None)
        alone = fake(fail=lambda number: number % 5 == 2)
        one_by_one = search(blobs, tmp_path / "alone", method, **options)
    together = fake(fail=lambda number: number % 5 == 2, pick=random.Random(0).randrange)
    grouped = search(blobs, tmp_path / "together", method, workers=workers, **options)
    assert max(alone.sizes) == 1 < max(together.sizes)
    assert sorted(together.ran) == sorted(alone.ran)
    assert grouped.table.equals(one_by_one.table)
    assert grouped.best_values == one_by_one.best_values
    assert names(tmp_path / "together", "models") == names(tmp_path / "alone", "models")
    assert names(tmp_path / "together", "states") == []


@pytest.mark.parametrize("method", sorted(GROUPED))
@pytest.mark.parametrize("workers", [1, 3])
def test_groups_are_interrupted_at_any_moment(blobs, tmp_path, fake, method, workers):
    options = {"values": GROUPED[method], "max_trials": 30, "workers": workers}
    fake()
    whole = search(blobs, tmp_path / "whole", method, **options)
    draw, runs = random.Random(0), []
    for stop in (2, 3, 7, 11, 17):
        executor = fake(interrupt_at=stop, pick=draw.randrange)
        with contextlib.suppress(KeyboardInterrupt):
            search(blobs, tmp_path / "cut", method, **options)
        runs += executor.ran
    executor = fake()
    result = search(blobs, tmp_path / "cut", method, **options)
    assert result.table.equals(whole.table)
    assert sorted([*runs, *executor.ran]) == list(range(len(whole.table)))
    assert names(tmp_path / "cut", "models") == names(tmp_path / "whole", "models")


def test_a_group_is_divided_among_the_workers_that_are_free(blobs, tmp_path, fake):
    values = {"l2": STRENGTHS, "units": [8]}
    executor = fake()
    search(blobs, tmp_path / "one", "random", values=values, max_trials=100)
    assert executor.sizes == [64, 36]
    executor = fake()
    search(blobs, tmp_path / "three", "random", values=values, max_trials=60, workers=3)
    assert executor.sizes == [20, 20, 20]


def test_of_a_group_those_that_failed_are_run_again(blobs, tmp_path, fake):
    executor = fake()
    executor.fail = lambda number: number % 3 == 1 and executor.ran.count(number) < 2
    result = search(blobs, tmp_path, "random", values=GROUPED["random"], retries=1)
    assert set(result.table["status"]) == {"completed"}
    assert [result.trials[n]["attempts"] for n in range(10)] == [2 if n % 3 == 1 else 1 for n in range(10)]
    assert len(executor.ran) == 13
    assert len(executor.sizes) == 4  # those of a structure together, at first and again

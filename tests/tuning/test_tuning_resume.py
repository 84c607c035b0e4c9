"""A search that was interrupted goes on as if it had not been."""

from __future__ import annotations

import random
import time

import pytest
from resumed_searches import VALUES, names, search

import tuning
import zoo
from tuning.checkpoints import Checkpoints
from tuning.journal import FILE_NAME
from tuning.task import model_path
from zoo.errors import UsageError


def comparable(result):
    return result.table.drop(columns="seconds")


@pytest.mark.parametrize("method", sorted(VALUES))
@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_search_resumes(blobs, tmp_path, fake, method, torn):
    if method == "bayesian":
        pytest.importorskip("optuna", reason="optuna is not installed")
    whole_run = fake(fail=lambda number: number == 2)
    whole = search(blobs, tmp_path / "whole", method)
    fake(fail=lambda number: number == 2, interrupt_at=4)
    with pytest.raises(KeyboardInterrupt):
        search(blobs, tmp_path / "cut", method)
    if torn:
        journal = tmp_path / "cut" / FILE_NAME
        journal.write_bytes(journal.read_bytes()[:-30])
    ended = set(tuning.load_result(tmp_path / "cut").table["trial"] - 1)
    assert ended
    assert 4 not in ended
    rest = fake(fail=lambda number: number == 2)
    resumed = search(blobs, tmp_path / "cut", method)
    assert sorted(rest.ran) == sorted(set(whole_run.ran) - ended)
    assert resumed.table.equals(whole.table)
    assert resumed.best_values == whole.best_values
    best = whole.best_trial["number"]
    assert names(tmp_path / "cut", "models") == names(tmp_path / "whole", "models") == [f"trial-{best:04d}.keras"]
    assert names(tmp_path / "cut", "states") == []


@pytest.mark.parametrize("method", ["halving", "hyperband", "genetic", "swarm", "random", "grid"])
@pytest.mark.parametrize("seed", range(3))
def test_workers_ask_for_the_same_trials(blobs, tmp_path, fake, method, seed):
    fake(fail=lambda number: number % 5 == 2)
    one = search(blobs, tmp_path / "one", method, max_trials=30)
    draw = random.Random(seed)
    fake(fail=lambda number: number % 5 == 2, pick=draw.randrange)
    several = search(blobs, tmp_path / "several", method, max_trials=30, workers=3)
    assert several.table.equals(one.table)
    assert several.best_values == one.best_values


@pytest.mark.parametrize("method", ["hyperband", "genetic", "random"])
def test_workers_are_interrupted_at_any_moment(blobs, tmp_path, fake, method):
    fake()
    whole = search(blobs, tmp_path / "whole", method, max_trials=30)
    draw, runs = random.Random(0), []
    for stop in (2, 3, 7, 11, 20, None):
        executor = fake(interrupt_at=stop, pick=draw.randrange)
        if stop is None:
            result = search(blobs, tmp_path / "cut", method, max_trials=30, workers=3)
        else:
            with pytest.raises(KeyboardInterrupt):
                search(blobs, tmp_path / "cut", method, max_trials=30, workers=3)
        runs += executor.ran
    assert result.table.equals(whole.table)
    assert sorted(runs) == list(range(len(whole.table)))  # none was lost, none was run twice to its end


def test_states_go_as_soon_as_they_lose(blobs, tmp_path, fake):
    executor = fake()
    seen = []
    run = executor.run
    executor.run = lambda task: (seen.append((task.number, names(tmp_path, "states"))), run(task))[1]
    search(blobs, tmp_path, "halving")
    most = max(len(states) for _, states in seen)
    assert most <= 9  # of the first rung
    assert len(seen[-1][1]) <= 1  # the parent of the last one
    assert names(tmp_path, "states") == []


@pytest.mark.parametrize("keep_best", [1, 3])
def test_the_best_models_are_kept(blobs, tmp_path, fake, keep_best):
    fake()
    result = search(blobs, tmp_path, "random", keep_best=keep_best)
    best = result.table.sort_values("score", ascending=False)["trial"].head(keep_best)
    assert names(tmp_path, "models") == sorted(f"trial-{number - 1:04d}.keras" for number in best)
    assert model_path(tmp_path, result.best_trial["number"]).read_text() == f"trial {result.best_trial['number']}"


def test_what_a_crash_left_is_removed(blobs, tmp_path, fake):
    fake()
    result = search(blobs, tmp_path, "grid")
    best = model_path(tmp_path, result.best_trial["number"])
    for folder, name in (
        ("models", "trial-0077.keras"),
        ("models", f".zoo-{2**22 + 1}-{'0' * 16}.keras"),
        ("states", "trial-0001-0.npz"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("left over")
    fake()
    search(blobs, tmp_path, "grid")
    assert names(tmp_path, "models") == [best.name]
    assert names(tmp_path, "states") == []


def test_only_the_states_of_a_trial_are_forgotten(tmp_path):
    theirs = ["trial-0001-notes.txt", "trial-0001.npz.old", "trial-0001-0.npz.bak", "trial-00010-0.npz"]
    for name in ("trial-0001-0.npz", "trial-0001-11.npz", *theirs):
        (tmp_path / "states").mkdir(exist_ok=True)
        (tmp_path / "states" / name).touch()
    (tmp_path / "states" / "trial-0001-5.npz").mkdir()  # no file, and none of ours
    checkpoints = Checkpoints(tmp_path, direction="max", keep_best=1)
    checkpoints.forget(1)
    assert names(tmp_path, "states") == sorted([*theirs, "trial-0001-5.npz"])
    checkpoints.prune(running=(10,), resumable=())
    assert names(tmp_path, "states") == sorted([*theirs, "trial-0001-5.npz"])


def test_a_real_search_resumes(blobs, tmp_path, monkeypatch):
    def interrupting(self, tasks, on_progress=None):
        if any(task.number == 2 for task in tasks):
            raise KeyboardInterrupt
        return run(self, tasks, on_progress)

    from tuning.trial import TrialRunner

    run = TrialRunner.run
    options = {
        "method": "random",
        "max_trials": 3,
        "recipe": zoo.Recipe(epochs=1),
        "values": {"l2": (1e-6, 1e-2, "log"), "dropout": [0.0, 0.5], "units": [8]},
        "verbose": False,
    }
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrialRunner, "run", interrupting)
        tuning.search("mlp", blobs, directory=tmp_path / "cut", **options)
    cut = tuning.search("mlp", blobs, directory=tmp_path / "cut", **options)
    whole = tuning.search("mlp", blobs, directory=tmp_path / "whole", **options)
    assert comparable(cut).equals(comparable(whole))


def test_a_finished_search_is_only_read(blobs, tmp_path, fake, capsys):
    fake()
    first = search(blobs, tmp_path, "grid")
    again = fake()
    assert search(blobs, tmp_path, "grid", verbose=True).table.equals(first.table)
    assert again.ran == []
    assert "6 done already" in capsys.readouterr().out


def test_max_trials_grows(blobs, tmp_path, fake):
    fake()
    search(blobs, tmp_path / "grown", "random", max_trials=3)
    more = fake()
    grown = search(blobs, tmp_path / "grown", "random", max_trials=12)
    assert sorted(more.ran) == list(range(3, 12))
    fake()
    assert grown.table.equals(search(blobs, tmp_path / "whole", "random", max_trials=12).table)
    with pytest.raises(UsageError, match="max_trials was 12 and is 5"):
        search(blobs, tmp_path / "grown", "random", max_trials=5)


def test_max_seconds_counts_all_sessions(blobs, tmp_path, fake):
    def slow():
        executor = fake()
        run = executor.run
        executor.run = lambda task: (time.sleep(0.1), run(task))[1]

    slow()
    first = len(search(blobs, tmp_path, "random", max_seconds=0.25).table)
    assert 1 <= first <= 3
    slow()
    assert len(search(blobs, tmp_path, "random", max_seconds=0.2).table) == first
    slow()
    assert len(search(blobs, tmp_path, "random").table) == 10


def test_max_total_epochs(blobs, tmp_path, fake):
    fake()
    whole = search(blobs, tmp_path / "whole", "hyperband")
    fake()
    cut = search(blobs, tmp_path / "cut", "hyperband", max_total_epochs=30)
    assert 30 <= cut.table["epochs"].sum() <= 30 + 8
    assert cut.table.equals(whole.table.head(len(cut.table)))
    fake()
    assert search(blobs, tmp_path / "cut", "hyperband").table.equals(whole.table)


def test_retries(blobs, tmp_path, fake):
    executor = fake()
    executor.fail = lambda number: number == 1 and executor.ran.count(1) < 3
    result = search(blobs, tmp_path / "enough", "grid", retries=2)
    assert set(result.table["status"]) == {"completed"}
    assert result.trials[1]["attempts"] == 3
    executor = fake(fail=lambda number: number == 1)
    result = search(blobs, tmp_path / "too few", "grid", retries=1)
    assert executor.ran.count(1) == 2
    assert result.trials[1]["status"] == "failed"


def test_a_large_grid_that_was_begun_as_a_whole_goes_on(blobs, tmp_path, fake, monkeypatch):
    """Before large grids were asked about, they had no number of trials."""
    fake(interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        search(blobs, tmp_path, "grid")
    monkeypatch.setattr("tuning.plan.MOST_CELLS", 5)
    executor = fake()
    with pytest.raises(UsageError, match="this grid has 6 cells: give max_trials=6 to train all of them"):
        search(blobs, tmp_path, "grid")
    assert len(search(blobs, tmp_path, "grid", max_trials=6).table) == 6
    assert executor.ran == [2, 3, 4, 5]

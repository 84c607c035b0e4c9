"""Trials of our spaces: a value changed is a value set, alone and in a group."""

from __future__ import annotations

import dataclasses
import random

import keras
import numpy as np
import pytest
from trial_examples import run_trial, setting_for, task_for

import tuning
import zoo
from tuning.parameters import Range
from tuning.reuse import Programs
from tuning.task import TrialTask, is_kept, model_path, state_path
from tuning.trial import TrialRunner
from zoo.errors import SaveError
from zoo.storage import sha256_of_file

pytestmark = pytest.mark.usefixtures("traced_once")


def fresh_runner(setting):
    """A runner with models of its own, as in a new process."""
    runner = TrialRunner(setting)
    runner._runner._programs = Programs(setting.hypermodel)
    return runner


def test_our_space_takes_epochs_and_saves_what_is_better(blobs, tmp_path):
    setting = setting_for(tuning.space("softmax", blobs.input_shape, blobs.num_classes), blobs)
    task = task_for(setting, folder=tmp_path, epochs=1, keep_models=1, better_than=(1.0, 9))
    worse = run_trial(setting, task)
    assert worse.model_sha256 is None
    assert not model_path(tmp_path, 0).exists()
    better = run_trial(setting, dataclasses.replace(task, epochs=3, better_than=(-1.0, 9)))
    assert better.epochs == 3
    assert better.model_sha256 == sha256_of_file(model_path(tmp_path, 0))


MLP = {
    "num_layers": [1],
    "units": [8, 12],
    "dropout": (0.0, 0.5),
    "l2": (0.0, 0.1),
    "l1": [0.0, 1e-4],
    "learning_rate": (1e-3, 0.1),
}
SGD = zoo.Recipe(optimizer="sgd", momentum=0.9, epochs=3, batch_size=32)
RATES = {"dropout": 0.3, "l2": 0.01, "l1": 1e-4, "learning_rate": 0.02}


def mlp_setting(data, recipe=SGD, *, values=MLP, **changes):
    space = tuning.space("mlp", data.input_shape, data.num_classes, values=values, recipe=recipe)
    return dataclasses.replace(setting_for(space, data), recipe=recipe, **changes)


@pytest.fixture(params=[False, True], ids=["program of its own", "member"])
def stacked(request):
    """Whether a small dense model trains as a member of a program for many."""
    return request.param


def without_time(outcome):
    runs = [{**run, "seconds": 0, "curve": {**run["curve"], "seconds": []}} for run in outcome.runs]
    return dataclasses.replace(outcome, seconds=0.0, runs=runs)


def disturb(seed):
    random.seed(seed)
    np.random.seed(seed)
    keras.utils.set_random_seed(seed)


def test_a_model_is_traced_once_a_structure(digits, stacked):
    """And a trial is a function of its values alone, not of what ran before or of any random state."""
    setting = mlp_setting(digits, stacked=stacked)
    runner = fresh_runner(setting)
    changes = [{}, {"dropout": 0.0}, {"dropout": 0.1}, {"l2": 0.0}, {"l1": 0.0}, {"learning_rate": 0.1}, {}]
    disturb(1)
    outcomes = [
        run_trial(setting, task_for(setting, i, values={**RATES, **change}), runner=runner)
        for i, change in enumerate(changes)
    ]
    assert (runner.traces, runner.signatures) == (2, 2)  # without dropout nothing is computed for it
    assert without_time(outcomes[0]) == without_time(outcomes[-1])
    disturb(2)
    other = TrialRunner(setting)  # the first of its models, or after those of other tests: each has another place
    for i in (2, 5, 4):
        again = run_trial(setting, task_for(setting, i, values={**RATES, **changes[i]}), runner=other)
        assert without_time(again) == without_time(outcomes[i])
    assert len({outcome.metrics["val_loss"] for outcome in outcomes}) == len(changes) - 1


def test_a_trial_equals_plain_training(digits):
    setting = mlp_setting(digits)
    options = {"num_layers": 1, "units": 8, **{name: RATES[name] for name in ("dropout", "l1", "l2")}}
    recipe = dataclasses.replace(setting.recipe, learning_rate=RATES["learning_rate"])
    run = zoo.train(zoo.build("mlp", digits.input_shape, 10, **options), digits, recipe, verbose=False)
    for stacked in (False, True):
        outcome = run_trial(dataclasses.replace(setting, stacked=stacked), task_for(setting, values=RATES))
        assert {**outcome.metrics, "epochs": outcome.epochs} == pytest.approx(run.metrics, abs=1e-6)


def test_structures_are_bounded(digits, monkeypatch):
    monkeypatch.setattr("tuning.reuse._MOST", 1)
    setting = mlp_setting(digits, stacked=False)
    runner = fresh_runner(setting)
    for units in (8, 12, 8):
        run_trial(setting, task_for(setting, values={"units": units, **RATES}, epochs=1), runner=runner)
    assert (runner.traces, runner.signatures) == (3, 2)


@pytest.mark.parametrize(
    ("recipe", "values", "epochs"),
    [
        (zoo.Recipe(optimizer="adam", batch_size=32, schedule="cosine"), RATES, 6),
        (dataclasses.replace(SGD, patience=1), {**RATES, "learning_rate": 0.1, "l2": 0.1}, 4),
    ],
    ids=["schedule", "patience"],
)
def test_paused_and_resumed_equals_uninterrupted(digits, tmp_path, recipe, values, epochs, stacked):
    """Another trial of the same structure runs in between."""
    setting = mlp_setting(digits, recipe, max_epochs=6, stacked=stacked)
    runner = TrialRunner(setting)
    whole = run_trial(
        setting, task_for(setting, 0, folder=tmp_path, values=values, epochs=6, keep_models=1), runner=runner
    )
    assert whole.epochs == epochs
    pause = run_trial(
        setting, task_for(setting, 1, folder=tmp_path, values=values, epochs=3, pause=True), runner=runner
    )
    assert pause.epochs == 3
    assert state_path(tmp_path, 1, 0).exists()
    run_trial(setting, task_for(setting, 2, folder=tmp_path, values={**values, "dropout": 0.1}), runner=runner)
    more = {"epochs": 6, "initial_epoch": 3, "parent": 1, "pause": True}
    task = task_for(setting, 3, folder=tmp_path, values=values, keep_models=1, **more)
    resumed = run_trial(setting, task, runner=runner)
    assert resumed.metrics == whole.metrics
    assert resumed.epochs + pause.epochs == whole.epochs
    both = pause.runs[0]["curve"]["val_loss"] + resumed.runs[0]["curve"]["val_loss"]
    assert both == whole.runs[0]["curve"]["val_loss"]
    weights = [keras.saving.load_model(model_path(tmp_path, n)).get_weights() for n in (0, 3)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    if recipe.schedule is not None:
        runner = fresh_runner(setting)
    elsewhere = run_trial(setting, dataclasses.replace(task, number=4), runner=runner)
    assert elsewhere.metrics == whole.metrics
    state_path(tmp_path, 1, 0).write_bytes(state_path(tmp_path, 1, 0).read_bytes()[:-100])
    damaged = run_trial(setting, dataclasses.replace(task, number=6), runner=runner)
    assert damaged.metrics == whole.metrics
    state_path(tmp_path, 1, 0).unlink()
    lost = run_trial(setting, dataclasses.replace(task, number=5), runner=runner)  # the epochs are made again
    assert lost.metrics == whole.metrics


def test_a_trial_that_was_killed_goes_on(digits, tmp_path, monkeypatch, stacked):
    from zoo.training import state

    monkeypatch.setattr(state, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(state, "_SHARE", 1e9)
    setting = mlp_setting(digits, folds=2, repeats=2, stacked=stacked)
    task = task_for(setting, folder=tmp_path, values=RATES)
    whole = run_trial(setting, dataclasses.replace(task, number=1))
    seen = []

    def stop(progress):
        seen.append(progress.done)
        if progress.done == 3 + 2:  # of members: four of their first epochs, and a second one
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(setting, task, stop)
    seen.clear()
    resumed = run_trial(setting, task, lambda progress: seen.append(progress.done))
    assert without_time(resumed) == without_time(whole)
    if stacked:
        assert seen[:4] == [1, 2, 3, 4]  # of each, where it went on
    else:
        assert seen.count(3) == 1  # the first run was not made again
    assert max(seen) == 4 * 3


def test_folds_and_repeats(digits, stacked):
    setting = mlp_setting(digits, folds=3, repeats=2, stacked=stacked)
    one = run_trial(dataclasses.replace(setting, repeats=1), task_for(setting, values=RATES))
    runner = TrialRunner(setting)
    before = runner.traces, runner.signatures
    outcome = run_trial(setting, task_for(setting, values=RATES), runner=runner)
    assert (runner.traces, runner.signatures) == before  # all folds and repeats are of one structure
    assert [(run["fold"], run["repeat"], run["seed"]) for run in outcome.runs] == [
        (0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 1),
    ]  # fmt: skip
    scores = [run["score"] for run in outcome.runs]
    assert len(set(scores)) > 1
    assert outcome.score == pytest.approx(np.mean(scores))
    assert outcome.epochs == 18
    assert outcome.model_sha256 is None
    assert [run["score"] for run in one.runs] == scores[::2]


def test_a_run_that_diverges_ends_the_trial(digits, stacked):
    setting = mlp_setting(digits, dataclasses.replace(SGD, epochs=8), repeats=3, stacked=stacked)
    setting.hypermodel.parameters["learning_rate"] = Range(1.0, 1e30)
    outcome = run_trial(setting, task_for(setting, values={**RATES, "learning_rate": 1e20}))
    assert outcome.status == "failed"
    assert "is nan" in outcome.reason or "is inf" in outcome.reason
    assert len(outcome.runs) == 1
    assert outcome.epochs < 8


def test_the_seed_may_be_a_value(digits, stacked):
    setting = mlp_setting(digits, values={**MLP, "seed": [0, 1, 5]}, repeats=2, stacked=stacked)
    runs = [run_trial(setting, task_for(setting, values={**RATES, "seed": seed})).runs for seed in (0, 1, 5)]
    assert [[run["seed"] for run in two] for two in runs] == [[0, 1], [1, 2], [5, 6]]
    assert runs[0][1]["metrics"] == runs[1][0]["metrics"]
    assert runs[0][0]["metrics"] != runs[1][0]["metrics"]


@pytest.mark.parametrize(
    ("score", "number", "kept"), [(0.5, 1, True), (0.5, 3, False), (0.6, 3, True), (0.4, 1, False)]
)
def test_of_equals_the_first_one_asked_is_kept(score, number, kept):
    """Also when it ends last: after a resumption, or with several workers."""
    assert is_kept(score, TrialTask(number, {}, "", better_than=(0.5, 2)), "max") == kept
    assert is_kept(-score, TrialTask(number, {}, "", better_than=(-0.5, 2)), "min") == kept
    assert is_kept(score, TrialTask(number, {}, ""), "max")


def test_values_that_no_model_takes(digits, stacked):
    setting = mlp_setting(digits, stacked=stacked)
    outcome = run_trial(setting, task_for(setting, values={**RATES, "dropout": 1.0}))
    assert outcome.reason.startswith("UsageError: dropout must be at least 0 and below 1")


def test_a_disk_that_does_not_take_the_state_is_no_failed_trial(digits, tmp_path, stacked):
    setting = mlp_setting(digits, stacked=stacked)
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"trial-0000-0\.npz cannot be written"):
        run_trial(setting, task_for(setting, folder=tmp_path / "file", values=RATES, pause=True))


def run_group(setting, tasks, on_progress=None):
    return TrialRunner(setting).run(tasks, on_progress)


CHANGES = [{}, {"dropout": 0.1}, {"l2": 0.0}, {"learning_rate": 0.1}, {"l1": 0.0}]  # of one structure


def group_of(setting, folder, changes=CHANGES, **fields):
    return [
        task_for(setting, n, folder=folder, values={**RATES, **change}, **fields) for n, change in enumerate(changes)
    ]


def test_a_group_gives_what_its_trials_give_alone(digits, tmp_path):
    setting, told = mlp_setting(digits, stacked=True), []
    outcomes, runner = run_group(setting, group_of(setting, tmp_path), told.append), TrialRunner(setting)
    for task, outcome in zip(group_of(setting, tmp_path), outcomes, strict=True):
        assert without_time(run_trial(setting, task, runner=runner)) == without_time(outcome)
    ends = {progress.number: (progress.done, progress.total) for progress in told}
    assert ends == dict.fromkeys(range(5), (3, 3))


def test_of_a_group_as_many_models_are_kept_as_of_the_search(digits, tmp_path):
    setting = mlp_setting(digits, stacked=True)
    scores = [outcome.score for outcome in run_group(setting, group_of(setting, tmp_path / "none"))]
    assert not (tmp_path / "none" / "models").exists()
    order = sorted(range(5), key=lambda n: (-scores[n], n))
    outcomes = run_group(setting, group_of(setting, tmp_path, keep_models=2))
    assert {n for n in range(5) if outcomes[n].model_sha256} == set(order[:2])
    for number in order[:2]:
        assert outcomes[number].model_sha256 == sha256_of_file(model_path(tmp_path, number))
        model = keras.saving.load_model(model_path(tmp_path, number))
        model.run_eagerly, validation = True, digits.validation
        loss, accuracy = model.evaluate(validation.batches(64), verbose=0)[:2]
        assert accuracy == pytest.approx(outcomes[number].metrics["val_accuracy"], abs=1e-6)
        assert loss == pytest.approx(outcomes[number].metrics["val_loss"], abs=1e-5)
    better = (scores[order[0]], order[0])  # than it, only itself is not worse
    again = run_group(setting, group_of(setting, tmp_path / "again", keep_models=2, better_than=better))
    assert [n for n in range(5) if again[n].model_sha256] == []


def test_of_a_group_only_those_that_diverge_fail(digits, tmp_path):
    setting = mlp_setting(digits, dataclasses.replace(SGD, epochs=4), stacked=True)
    setting.hypermodel.parameters["learning_rate"] = Range(1e-3, 1e30)
    changes = [{}, {"learning_rate": 1e20}, {"dropout": 0.1}]
    outcomes = run_group(setting, group_of(setting, tmp_path, changes))
    assert [outcome.status for outcome in outcomes] == ["completed", "failed", "completed"]
    assert "is nan" in outcomes[1].reason or "is inf" in outcomes[1].reason
    runner = TrialRunner(setting)
    for task, outcome in zip(group_of(setting, tmp_path, changes), outcomes, strict=True):
        alone = run_trial(setting, task, runner=runner)
        assert repr(without_time(alone)) == repr(without_time(outcome))  # nan is not nan


def test_a_group_of_which_some_were_further_when_it_was_killed(digits, tmp_path, monkeypatch):
    from zoo.training import state

    monkeypatch.setattr(state, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(state, "_SHARE", 1e9)
    setting = mlp_setting(digits, stacked=True)
    whole = run_group(setting, group_of(setting, tmp_path / "whole"))

    def stop(progress):
        if (progress.number, progress.done) == (2, 2) and progress.score is not None:  # 0 and 1 are saved by then
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_group(setting, group_of(setting, tmp_path), stop)
    seen = {n: [] for n in range(5)}
    resumed = run_group(setting, group_of(setting, tmp_path), lambda told: seen[told.number].append(told.done))
    assert [seen[number][0] for number in range(5)] == [2, 2, 1, 1, 1]
    assert list(map(without_time, resumed)) == list(map(without_time, whole))


@pytest.mark.parametrize(("fields", "name"), [({"pause": True}, "npz"), ({"keep_models": 1}, "keras")])
def test_a_disk_that_takes_nothing_of_a_group(digits, tmp_path, fields, name):
    setting = mlp_setting(digits, stacked=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=rf"\.{name} cannot be written"):
        run_group(setting, group_of(setting, tmp_path / "file", **fields))

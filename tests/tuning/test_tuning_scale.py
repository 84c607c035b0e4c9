"""What a search does between two trials does not grow with the trials before them: counted, not timed."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent / "oracles"))

from oracle_play import aim, continuous_space, end, make, play

import tuning
from tuning.journal import FILE_NAME
from tuning.oracles import bayesian
from tuning.oracles.halving import SuccessiveHalvingOracle
from tuning.oracles.hyperband import HyperbandOracle

TRIALS = 192
EARLY, LATE = range(44, 64), range(TRIALS - 21, TRIALS - 1)  # both within a rung, and before cells run out
RANGES = {"l2": (1e-7, 1e-1, "log"), "dropout": (0.0, 0.6), "units": (8, 512, "log")}
CELLS = {"l2": np.geomspace(1e-7, 1e-1, 16).tolist(), "units": list(range(8, 24))}
CASES = {
    "grid": ("grid", CELLS),
    "random": ("random", RANGES),
    "genetic": ("genetic", RANGES),
    "swarm": ("swarm", RANGES),
    "one wide rung": (SuccessiveHalvingOracle, {"max_epochs": 9, "num_trials": TRIALS}),
    "many brackets": (HyperbandOracle, {"max_epochs": 3, "iterations": None}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_trial_costs_as_much_after_many_as_after_few(digits, tmp_path, fake, case):
    """Functions called and bytes written between the end of one trial and the start of the next.

    Of what may be promoted each trial counts, since its states are looked after.
    """
    method, options = CASES[case]
    values = options if isinstance(method, str) else RANGES
    oracle = method if isinstance(method, str) else method("val_accuracy", **options)
    executor = fake()
    calls, sizes, paused = counted(executor, tmp_path)
    try:
        tuning.search(
            "cnn",
            digits,
            method=oracle,
            values=values,
            max_trials=TRIALS,
            executor="fake",
            directory=tmp_path,
            verbose=False,
        )
    finally:
        sys.setprofile(None)
    assert len(executor.ran) == TRIALS
    few, many = (statistics.median(calls[number] for number in numbers) for numbers in (EARLY, LATE))
    assert many < 1.1 * few + 10 * max(0, paused[LATE[0]] - paused[EARLY[0]])
    few, many = ((sizes[numbers[-1]] - sizes[numbers[0]]) / len(numbers) for numbers in (EARLY, LATE))
    assert many < 1.1 * few


def counted(executor, directory):
    """Number of a trial -> functions called since the one before ended; -> bytes of the journal; -> states of others."""
    calls, sizes, paused, seen = {}, {}, {}, [0]
    submit, next_outcomes = executor.submit, executor.next_outcomes

    def count(frame, event, argument):
        seen[0] += event in ("call", "c_call")

    def started(group):
        sys.setprofile(None)
        (task,) = group
        calls[task.number], sizes[task.number] = seen[0], (directory / FILE_NAME).stat().st_size
        paused[task.number] = len(list((directory / "states").glob("*")))
        submit(group)

    def ended():
        outcomes = next_outcomes()
        seen[0] = 0
        sys.setprofile(count)
        return outcomes

    executor.submit, executor.next_outcomes = started, ended
    return calls, sizes, paused


def test_what_is_left_of_an_exhausted_space_is_listed_once(monkeypatch):
    from tuning.oracles import base

    listed = []
    iterate = base.iterate_cells
    monkeypatch.setattr(base, "iterate_cells", lambda hp: listed.append(0) or iterate(hp))
    monkeypatch.setattr(base, "_DRAWS", 2)
    space = tuning.space("cnn", (8, 8, 1), 10, values={"l2": [0.0, 1e-4, 1e-3], "units": list(range(8, 20))})
    hyperparameters = tuning_space(space)
    asked = play(make("random", hyperparameters, objective=aim()), limit=100)
    assert len({tuple(sorted(values.items())) for values in asked}) == len(asked) == 36
    assert len(listed) == 1


def tuning_space(space):
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    space.choose(hp)
    return hp


def test_the_model_of_the_scores_has_a_limit(monkeypatch):
    monkeypatch.setattr(bayesian, "_MOST", {"tpe": 30})
    oracle, sizes = make("bayesian", continuous_space(), objective=aim(), seed=3), []

    def after():
        sizes.append(len(oracle._study.trials))
        assert min(oracle.end_order, key=oracle.loss) in oracle._entries  # the best is never forgotten

    assert len(play(oracle, limit=90, workers=3, shuffle=1, after=after)) == 90
    assert max(sizes) <= 30
    assert sum(after < before for before, after in itertools.pairwise(sizes)) > 2  # it went on with half of them


def test_a_smaller_model_goes_through_json(monkeypatch):
    monkeypatch.setattr(bayesian, "_MOST", {"tpe": 30})
    whole = play(make("bayesian", continuous_space(), objective=aim(), seed=1), limit=60)
    oracle = make("bayesian", continuous_space(), objective=aim(), seed=1)
    assert play(oracle, limit=50) == whole[:50]
    state = json.loads(json.dumps(oracle.get_state()))
    reloaded = make("bayesian", continuous_space(), objective=aim(), seed=1)
    reloaded.trials = oracle.trials
    reloaded.set_state(state)
    assert whole[:50] + play_on(reloaded, 10) == whole


def play_on(oracle, count):
    """Goes on with an oracle that has trials."""
    asked = []
    with tuning.oracles.opened(oracle):
        for _ in range(count):
            trial = oracle.create_trial("again")
            asked.append(dict(trial.hyperparameters.values))
            end(oracle, trial)
    return asked

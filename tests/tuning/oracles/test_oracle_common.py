"""Rules that every method keeps."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter

import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.src.engine import oracle as engine
from oracle_play import (
    GP,
    METHODS,
    QUICK,
    StockTuner,
    aim,
    cell,
    continuous_space,
    end,
    mixed_space,
    play,
    quality,
    run_stock,
)

from tuning import oracles
from tuning.oracles.cells import count_cells
from zoo.errors import UsageError

WHOLE = [method for method in QUICK if method not in ("halving", "hyperband")]  # every trial trains to the end
SYNCHRONOUS = ["genetic", "grid", "halving", "hyperband", "random", "swarm"]


def make(method, space, *, direction="max", repeated=True, **options):
    options = {"max_epochs": 9, **options}
    return oracles.make_oracle(method, space, objective=aim(direction), repeated=repeated, **options)


def space_for(method):
    return mixed_space() if method == "grid" else continuous_space()


def build(hp):
    """What a stock tuner builds; the scope opens only for some values."""
    hp.Choice("a", [1, 2, 3])
    kind = hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        if kind == "deep":
            hp.Float("depth", 0, 1, step=0.5)


@pytest.mark.parametrize("method", METHODS)
def test_a_stock_tuner_runs_it(method, tmp_path, monkeypatch):
    if method == "gp":  # each costs a tenth of a second; fewer of them lead to the random untried cell as well
        monkeypatch.setattr("tuning.oracles.bayesian._ATTEMPTS", 2)
    oracle = make(method, keras_tuner.HyperParameters())
    tuner = run_stock(oracle, tmp_path, build)
    tried = Counter(cell(trial.hyperparameters.values) for trial in oracle.trials.values())
    assert len(tried) == 3 * (1 + 3)
    assert set(tried.values()) == {1} or method in ("halving", "hyperband")
    assert all(("depth" in dict(values)) == (dict(values)["kind"] == "deep") for values in tried)
    best = tuner.get_best_hyperparameters()[0].values
    assert quality(best) == max(quality(t.hyperparameters.values) for t in oracle.trials.values())
    assert (tmp_path / "stock" / "oracle.json").exists()


@pytest.mark.parametrize("method", QUICK)
def test_a_stock_tuner_reloads_it(method, tmp_path):
    whole = run_stock(make(method, keras_tuner.HyperParameters(), seed=3), tmp_path / "whole", build).oracle

    class Killed(StockTuner):
        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            if len(self.oracle.end_order) == 5:
                raise KeyboardInterrupt

    first = make(method, keras_tuner.HyperParameters(), seed=3)
    with pytest.raises(KeyboardInterrupt):
        Killed(oracle=first, hypermodel=build, directory=tmp_path / "cut", project_name="stock").search(verbose=0)
    again = make(method, keras_tuner.HyperParameters(), seed=3)
    StockTuner(oracle=again, hypermodel=build, directory=tmp_path / "cut", project_name="stock").search(verbose=0)
    asked = [whole.trials[i].hyperparameters.values for i in whole.start_order]
    assert [again.trials[i].hyperparameters.values for i in again.start_order] == asked


@pytest.mark.parametrize("method", QUICK)
def test_the_state_goes_through_json(method):
    space = space_for(method)
    straight = play(make(method, space, seed=5), limit=24)
    first, second = make(method, space, seed=5), make(method, space, seed=5)
    asked = play(first, limit=13)
    state = json.loads(json.dumps(first.get_state()))
    for trial_id in reversed(first.start_order):  # files come in any order
        second.trials[trial_id] = engine.trial_module.Trial.from_state(first.trials[trial_id].get_state())
    second.set_state(state)
    with oracles.opened(second):
        while len(asked) < 24:
            trial = second.create_trial("t")
            asked.append(dict(trial.hyperparameters.values))
            end(second, trial)
    assert asked == straight


@pytest.mark.parametrize("method", QUICK)
def test_a_small_space_is_exhausted(method):
    asked = play(make(method, mixed_space()), limit=200)
    cells = Counter(cell(values) for values in asked)
    assert len(cells) == count_cells(mixed_space()) == 24
    assert len(asked) == 24 or method in ("halving", "hyperband")
    assert all(("depth" in values) == (values["kind"] == "deep") for values in asked)
    assert {values["a"] for values in asked} == {0.1, 0.2, 0.3}


@pytest.mark.parametrize("method", METHODS)
def test_a_space_of_one_cell(method):
    hp = keras_tuner.HyperParameters()
    hp.Fixed("only", 1)
    asked = play(make(method, hp, max_epochs=1))
    assert [values["only"] for values in asked] == [1]


@pytest.mark.parametrize("method", QUICK)
@pytest.mark.parametrize("every", [1, 2, 3])
def test_failures_never_end_a_search(method, every):
    count = iter(range(10_000))
    asked = play(make(method, mixed_space()), limit=200, fails=lambda values: next(count) % every == 0)
    assert len({cell(values) for values in asked}) == 24


@pytest.mark.parametrize("method", ["genetic", "swarm", "bayesian", "halving", "hyperband"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_failures(method, bad):
    for direction in ("min", "max"):
        oracle = make(method, mixed_space(), direction=direction)
        asked = play(oracle, score=lambda values: bad if values["flag"] else quality(values))
        failed = [trial for trial in oracle.trials.values() if trial.status == "FAILED"]
        assert {trial.hyperparameters.values["flag"] for trial in failed} == {True}
        assert len({cell(values) for values in asked}) == 24
        assert math.isfinite(oracle.get_best_trials()[0].score)
        promoted = [values for values in asked if "tuner/trial_id" in values]
        assert not any(values["flag"] for values in promoted)


@pytest.mark.parametrize("method", QUICK)
def test_zero_is_a_seed_and_neighbours_do_not_overlap(method):
    def drawn(seed):
        space = space_for(method)
        return [cell(values) for values in play(make(method, space, seed=seed), limit=12)]

    assert drawn(0) == drawn(0)
    if method != "grid":
        assert not set(drawn(0)) & set(drawn(1))
    with pytest.raises(UsageError, match=r"seed must not be negative. Received: -1"):
        drawn(-1)


@pytest.mark.parametrize("space", [mixed_space, continuous_space])
@pytest.mark.parametrize("method", SYNCHRONOUS)
def test_trials_do_not_depend_on_timing(method, space):
    space = mixed_space if method == "grid" else space
    # Some fail, so that the ends count too.
    options = {"limit": 60, "fails": lambda values: int(1000 * quality(values)) % 5 == 0}
    alone = play(make(method, space()), **options)
    for workers in (2, 3):
        for shuffle in range(3):
            assert play(make(method, space()), workers=workers, shuffle=shuffle, **options) == alone


@pytest.mark.parametrize("method", QUICK)
def test_several_trials_at_once_are_of_different_cells(method):
    asked = play(make(method, mixed_space()), workers=4, shuffle=1, limit=24)
    fresh = [cell(values) for values in asked if "tuner/trial_id" not in values]
    assert len(fresh) == len(set(fresh))


@pytest.mark.parametrize("method", WHOLE)
def test_parameters_that_appear_on_the_way(method):
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    oracle = make(method, hp)
    asked = []
    with oracles.opened(oracle):
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            trial.hyperparameters.Choice("late", ["x", "y"])
            asked.append(cell(trial.hyperparameters.values))
            end(oracle, trial)
    assert len(asked) == len(set(asked)) == 6


@pytest.mark.parametrize("method", WHOLE)
def test_parameters_that_are_not_to_be_tuned(method):
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    oracle = make(method, hp)
    oracle.tune_new_entries = False
    asked = []
    with oracles.opened(oracle):
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            trial.hyperparameters.Choice("late", ["x", "y"])
            asked.append(cell(trial.hyperparameters.values))
            end(oracle, trial)
        assert sorted(asked) == [(("a", a), ("late", "x")) for a in (1, 2, 3)]
        oracle.allow_new_entries, oracle.hyperparameters = False, hp
        oracle.hyperparameters.Choice("b", [1, 2])
        trial = oracle.create_trial("t")
        trial.hyperparameters.Choice("later", ["x", "y"])
        with pytest.raises(RuntimeError, match="allow_new_entries"):
            end(oracle, trial)


@pytest.mark.parametrize("method", METHODS)
def test_oracles_are_silent_and_leave_nothing_behind(method, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    oracle = make(method, mixed_space(), max_trials=3)
    assert len(play(oracle)) == 3
    assert oracle not in engine.LOCKS
    assert oracle not in engine.THREADS
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["bayesian", "genetic", "swarm", GP])
@pytest.mark.parametrize("direction", ["min", "max"])
def test_it_goes_where_the_scores_are_good(method, direction):
    """Whichever way is better, later trials lie nearer to the optimum than the first, random ones."""
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0, 1)
    hp.Float("y", 1e-4, 1, sampling="log")
    hp.Choice("noise", ["a", "b"])
    limit, seeds = (20, 1) if method == "gp" else (40, 8)
    sign = 1 if direction == "min" else -1

    def distance(values):
        return (values["x"] - 0.7) ** 2 + (math.log10(values["y"]) / 4 + 0.3) ** 2

    early, late = [], []
    for seed in range(seeds):
        oracle = make(method, hp, direction=direction, seed=seed)
        asked = play(oracle, limit=limit, score=lambda values: sign * distance(values))
        early += map(distance, asked[:10])
        late += map(distance, asked[-10:])
    assert statistics.median(late) < statistics.median(early) / 3


@settings(max_examples=15, deadline=None)
@given(
    method=st.sampled_from(["genetic", "grid", "halving", "hyperband", "random", "swarm"]),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 2**40),
    workers=st.integers(1, 3),
    modulus=st.integers(2, 5),
)
def test_every_finite_space_is_exhausted(method, sizes, seed, workers, modulus):
    hp = keras_tuner.HyperParameters()
    for i, size in enumerate(sizes):
        hp.Choice(f"p{i}", list(range(size)))
    oracle = make(method, hp, seed=seed)
    asked = play(
        oracle, limit=500, workers=workers, fails=lambda values: sum(map(int, map(quality, [values]))) % modulus == 1
    )
    assert len({cell(values) for values in asked}) == math.prod(sizes)

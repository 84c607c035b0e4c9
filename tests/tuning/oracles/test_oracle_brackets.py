from __future__ import annotations

import math
from collections import Counter, defaultdict

import keras_tuner
import pytest
from keras_tuner.src.tuners.hyperband import HyperbandOracle as StockHyperband
from oracle_play import aim, cell, continuous_space, end, mixed_space, play, quality

from tuning import oracles
from tuning.oracles.cost import halving_cost, hyperband_cost
from tuning.oracles.halving import SuccessiveHalvingOracle
from tuning.oracles.hyperband import HyperbandOracle
from tuning.oracles.schedules import halving_schedule, hyperband_schedules
from zoo.errors import UsageError


def hyperband(space=None, *, max_epochs=9, **options):
    return HyperbandOracle(aim(), max_epochs=max_epochs, hyperparameters=space or continuous_space(), **options)


def halving(space=None, *, max_epochs=9, **options):
    return SuccessiveHalvingOracle(aim(), max_epochs=max_epochs, hyperparameters=space or continuous_space(), **options)


def epochs_run(asked):
    return sum(values["tuner/epochs"] - values["tuner/initial_epoch"] for values in asked)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("max_epochs", [1, 2, 3, 8, 9, 27, 30, 81, 100, 243])
def test_rungs_are_those_of_keras_tuner(max_epochs, factor):
    stock = StockHyperband(objective=aim(), max_epochs=max_epochs, factor=factor)
    schedules = hyperband_schedules(max_epochs, factor=factor)
    assert len(schedules) == stock._get_num_brackets()
    for schedule in schedules:
        bracket = len(schedule) - 1
        assert [tuple(rung) for rung in schedule] == [
            (stock._get_size(bracket, rung), stock._get_epochs(bracket, rung)) for rung in range(bracket + 1)
        ]


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 9, 27, 30])
def test_hyperband_costs_what_it_says(max_epochs):
    asked = play(hyperband(max_epochs=max_epochs))
    assert hyperband_cost(max_epochs) == (len(asked), epochs_run(asked))
    assert max(values["tuner/epochs"] for values in asked) == max_epochs


def test_costs():
    assert hyperband_cost(9) == (23, 75)
    assert hyperband_cost(27) == (70, 375)
    assert halving_cost(27) == (40, 81)
    assert halving_cost(27, num_trials=81) == (120, 243)


@pytest.mark.parametrize("num_trials", [None, 1, 5, 81])
@pytest.mark.parametrize("min_epochs", [1, 2])
def test_halving_costs_what_it_says(num_trials, min_epochs):
    asked = play(halving(max_epochs=27, min_epochs=min_epochs, num_trials=num_trials))
    cost = halving_cost(27, min_epochs=min_epochs, num_trials=num_trials)
    assert cost == (len(asked), epochs_run(asked))


def test_rungs_of_one_halving():
    assert [tuple(rung) for rung in halving_schedule(27)] == [(27, 1), (9, 3), (3, 9), (1, 27)]
    assert [tuple(rung) for rung in halving_schedule(30, min_epochs=4, num_trials=20)] == [(20, 10), (6, 30)]


def test_arguments_are_checked():
    with pytest.raises(UsageError, match=r"max_epochs. Received: 5 and 3"):
        halving(max_epochs=3, min_epochs=5)
    with pytest.raises(UsageError, match=r"factor.*Received: 1"):
        hyperband(factor=1)
    with pytest.raises(UsageError, match=r"num_trials.*Received: 0"):
        halving(num_trials=0)
    with pytest.raises(UsageError, match=r"iterations.*Received: 0"):
        hyperband(iterations=0)


@pytest.mark.parametrize("make", [halving, hyperband])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_best_of_a_rung_are_promoted(make, workers):
    oracle = make(max_epochs=27)
    asked = play(oracle, workers=workers, shuffle=0)
    rungs = defaultdict(list)
    for values in asked:
        rungs[values["tuner/bracket"], values["tuner/round"]].append(values)
    for (bracket, number), rung in rungs.items():
        for values in rung:
            parent = oracle.trials.get(values.get("tuner/trial_id"))
            assert (parent is None) == (number == 0) == (values["tuner/initial_epoch"] == 0)
            if parent is not None:
                assert cell(parent.hyperparameters.values) == cell(values)
                assert parent.hyperparameters.values["tuner/epochs"] == values["tuner/initial_epoch"]
        if number > 0:
            before = sorted(map(quality, rungs[bracket, number - 1]), reverse=True)
            parents = [quality(oracle.trials[values["tuner/trial_id"]].hyperparameters.values) for values in rung]
            assert parents == before[: len(rung)]


def test_ties_go_to_the_first_asked():
    asked = play(halving(), workers=3, shuffle=2, score=lambda values: 0.5)
    assert [values["tuner/trial_id"] for values in asked[9:]] == ["0000", "0001", "0002", "0009"]


@pytest.mark.parametrize("broken", [1, 6, 8, 9])
def test_failures_rank_last_and_never_stop_the_halving(broken):
    oracle = halving()
    first = [cell(values) for values in play(halving(), limit=9)]
    asked = play(oracle, fails=lambda values: cell(values) in first[:broken])
    rungs = Counter(values["tuner/round"] for values in asked)
    assert rungs == {0: 9, **{k: v for k, v in {1: min(3, 9 - broken), 2: min(1, 9 - broken)}.items() if v}}
    assert not any(cell(values) in first[:broken] for values in asked[9:])


def test_a_failed_promotion_leaves_the_others():
    asked = play(halving(), fails=lambda values: values["tuner/round"] == 1)
    assert Counter(values["tuner/round"] for values in asked) == {0: 9, 1: 3}
    asked = play(hyperband(), fails=lambda values: values["tuner/bracket"] == 2 and values["tuner/round"] == 1)
    assert Counter(values["tuner/bracket"] for values in asked) == {2: 12, 1: 7, 0: 3}


def test_iterations_try_new_cells():
    asked = play(hyperband(iterations=2))
    assert (len(asked), epochs_run(asked)) == tuple(2 * cost for cost in hyperband_cost(9))
    fresh = [cell(values) for values in asked if values["tuner/round"] == 0]
    assert len(fresh) == len(set(fresh))
    assert len(play(hyperband(iterations=None, max_trials=77))) == 77


def small_space(size):
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [float(i) for i in range(size)])
    return hp


def test_a_bracket_takes_what_there_is_and_later_ones_continue_what_was_stopped():
    oracle = hyperband(small_space(11))
    asked = play(oracle)
    by_bracket = {b: [v for v in asked if v["tuner/bracket"] == b and v["tuner/round"] == 0] for b in (2, 1, 0)}
    assert [len(by_bracket[b]) for b in (2, 1, 0)] == [9, 2, 3]
    last = [oracle.trials[values["tuner/trial_id"]] for values in by_bracket[0]]
    stopped = [values for values in asked if values["tuner/bracket"] > 0]
    deepest = {cell(values): values for values in stopped}
    ranked = sorted((v for v in deepest.values() if v["tuner/epochs"] < 9), key=quality, reverse=True)
    assert [cell(trial.hyperparameters.values) for trial in last] == [cell(values) for values in ranked[:3]]
    for values, parent in zip(by_bracket[0], last, strict=True):
        assert (
            values["tuner/initial_epoch"] == parent.hyperparameters.values["tuner/epochs"] < values["tuner/epochs"] == 9
        )


def test_repeated_hyperband_trains_a_small_space_to_the_end_and_stops():
    asked = play(hyperband(small_space(14), iterations=None))
    assert epochs_run(asked) == 14 * 9
    deepest = {cell(values): values["tuner/epochs"] for values in asked}
    assert set(deepest.values()) == {9}
    assert len(play(halving(small_space(1), iterations=None))) == 3


@pytest.mark.parametrize("make", [halving, hyperband])
@pytest.mark.parametrize("space", [continuous_space, mixed_space, lambda: small_space(5)])
@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_promoted_was_resumable_until_then(make, space, workers):
    oracle = make(space(), max_epochs=9, iterations=2)
    kept = []

    def after():
        keep = oracle.resumable_trials()
        kept.append(len(keep))
        assert all(oracle.trials[i].status == "COMPLETED" for i in keep)
        running = [trial.hyperparameters.values.get("tuner/trial_id") for trial in oracle.ongoing_trials.values()]
        assert keep.issuperset(i for i in running if i is not None)

    fails = {"fails": lambda values: int(1000 * quality(values)) % 7 == 0}
    asked = play(oracle, workers=workers, shuffle=1, after=after, **fails)
    for number, values in enumerate(asked):
        if "tuner/trial_id" in values:
            parent = oracle.trials[values["tuner/trial_id"]]
            assert int(parent.trial_id) < number
            assert parent.status == "COMPLETED"
    assert not oracle.resumable_trials()
    if space is continuous_space:
        assert max(kept) <= 9  # of a rung, only those that can still be promoted


@pytest.mark.parametrize("make", [halving, hyperband])
@pytest.mark.parametrize("space", [continuous_space, mixed_space])
def test_a_dropped_state_is_never_asked_for(make, space):
    oracle = make(space(), iterations=3)
    dropped: set[str] = set()
    with oracles.opened(oracle):
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            assert trial.hyperparameters.values.get("tuner/trial_id") not in dropped
            end(oracle, trial)
            dropped.update(set(oracle.end_order) - oracle.resumable_trials())
    assert len(dropped) == len(oracle.trials)


def test_a_retried_trial_holds_its_rung():
    """Keras Tuner puts a broken trial back into its queue: the rung waits for it."""
    oracle = halving(max_epochs=3, max_retries_per_trial=1)
    with oracles.opened(oracle):
        trials = [oracle.create_trial(str(i)) for i in range(3)]
        trials[0].status = "INVALID"
        oracle.end_trial(trials[0])
        for trial in trials[1:]:
            end(oracle, trial)
        again = oracle.create_trial("again")
        assert again.trial_id == trials[0].trial_id
        assert oracle.create_trial("next").status == "IDLE"
        end(oracle, again)
        assert oracle.create_trial("next").hyperparameters.values["tuner/round"] == 1
    assert math.isfinite(oracle.loss("0000"))

"""What the Bayesian, the genetic and the swarm oracle have to themselves."""

from __future__ import annotations

import sys

import keras_tuner
import optuna
import pytest
from oracle_play import aim, cell, continuous_space, mixed_space, play, quality

from tuning.oracles.bayesian import BayesianOracle
from tuning.oracles.codes import encoded, suggested
from tuning.oracles.genetic import GeneticOracle
from tuning.oracles.swarm import SwarmOracle
from zoo.errors import UsageError, ZooError


def every_kind():
    hp = keras_tuner.HyperParameters()
    hp.Int("int", 3, 20, step=4)
    hp.Int("int_log", 1, 512, sampling="log")
    hp.Int("int_log_step", 1, 512, step=2, sampling="log")
    hp.Int("int_reverse", 1, 64, sampling="reverse_log")
    hp.Float("float", -1, 1)
    hp.Float("float_step", 0, 1, step=0.1)
    hp.Float("float_log", 1e-4, 1, sampling="log")
    hp.Float("float_reverse", 1e-4, 1, sampling="reverse_log")
    hp.Float("float_log_step", 1e-4, 1, step=10, sampling="log")
    hp.Choice("numbers", [30, 10, 20])
    hp.Choice("unordered", [0.3, 0.1], ordered=False)
    hp.Choice("strings", ["a", "b"])
    hp.Boolean("boolean")
    hp.Fixed("fixed", "x")
    return hp


@pytest.mark.parametrize("parameter", every_kind().space, ids=lambda parameter: parameter.name)
def test_values_come_back_from_the_study(parameter):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        value = suggested(parameter, study.ask(), "0")
        study.enqueue_trial({"0": encoded(parameter, value)})
        assert suggested(parameter, study.ask(), "0") == pytest.approx(value)
        assert type(value) is type(parameter.default)


def test_the_study_learns_scores_and_failures():
    oracle = BayesianOracle(aim(), hyperparameters=continuous_space())
    asked = play(oracle, limit=20, fails=lambda values: values["kind"] == "plain")
    oracle._told_study()
    trials = oracle._study.get_trials()
    assert [oracle._entries[trial.number] for trial in trials] == oracle.start_order
    for trial, values in zip(trials, asked, strict=True):
        assert trial.state.name == ("FAIL" if values["kind"] == "plain" else "COMPLETE")
        assert len(trial.params) == (2 if values["kind"] == "plain" else 4)  # inactive ones are absent
        if values["kind"] == "deep":
            assert trial.value == -quality(values)


def test_a_known_cell_is_told_again_but_not_paid_again():
    oracle = BayesianOracle(aim(), hyperparameters=mixed_space())
    asked = play(oracle)
    assert len({cell(values) for values in asked}) == len(asked) == 24
    assert len(oracle._entries) > 24
    told = oracle._told_study().get_trials()
    scores = {i: oracle.loss(i) for i in oracle.trials}
    assert all(trial.value == scores[oracle._entries[trial.number]] for trial in told[:-1])


@pytest.mark.parametrize(("sampler", "missing"), [("tpe", "optuna"), ("gp", "optuna"), ("gp", "torch")])
def test_what_is_not_installed_is_named(sampler, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ZooError, match=rf"needs {missing}: pip install 'keras-zoo\[optuna\]'"):
        BayesianOracle(aim(), sampler=sampler)


def test_arguments_are_checked():
    with pytest.raises(UsageError, match=r"sampler must be one of tpe, gp. Received: 'cma'"):
        BayesianOracle(aim(), sampler="cma")
    with pytest.raises(UsageError, match=r"population must be at least 2. Received: 1"):
        GeneticOracle(aim(), population=1)
    with pytest.raises(UsageError, match=r"particles must be at least 1. Received: 0"):
        SwarmOracle(aim(), particles=0)


def test_a_generation_waits_for_the_former_one():
    oracle = GeneticOracle(aim(), hyperparameters=continuous_space(), population=4)
    asked = play(oracle, limit=12, workers=3, shuffle=0)
    survivors = sorted(asked[:8], key=quality, reverse=True)[:4]
    ids = [one["trial"] for one in oracle._survivors]
    assert [cell(oracle.trials[i].hyperparameters.values) for i in ids] == [cell(values) for values in survivors]


def test_genes_of_inactive_parameters_are_inherited():
    oracle = GeneticOracle(aim(), hyperparameters=continuous_space())
    asked = play(oracle, limit=40)
    assert all(set(one["genes"]) == {"rate", "kind", "width", "drop"} for one in oracle._survivors + oracle._children)
    assert {values["kind"] for values in asked} == {"plain", "deep"}


def test_particles_stay_in_the_space_and_remember_their_best():
    oracle = SwarmOracle(aim("min"), hyperparameters=continuous_space(), particles=5)
    asked = play(oracle, limit=60)
    assert all(0 <= place < 1 for particle in oracle._swarm for place in particle["genes"].values())
    # The last iteration may not have been looked at yet.
    assert min(oracle.loss(particle["best_trial"]) for particle in oracle._swarm) == min(map(quality, asked[:-5]))


def test_a_stale_swarm_is_scattered():
    hp = keras_tuner.HyperParameters()
    for name in "abc":
        hp.Choice(name, [0, 1, 2, 3])
    asked = play(SwarmOracle(aim(), hyperparameters=hp, particles=3), score=lambda values: -sum(values.values()))
    assert len({cell(values) for values in asked}) == len(asked) == 64

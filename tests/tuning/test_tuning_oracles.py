from __future__ import annotations

from collections import Counter
from pathlib import Path

import keras_tuner
import pytest
from keras_tuner.src.engine import oracle as engine

from tuning import oracles
from tuning.oracles.cells import count_cells
from tuning.oracles.cost import hyperband_cost
from zoo.errors import UsageError


def play(oracle, *, limit=10_000, fails=lambda number: False):
    """Runs an oracle to its end on scores that the values decide; returns the values of every trial."""
    asked = []
    with oracles.opened(oracle):
        while len(asked) < limit:
            trial = oracle.create_trial("t")
            if trial.status != "RUNNING":
                break
            asked.append(dict(trial.hyperparameters.values))
            if fails(len(asked) - 1):
                trial.status = "FAILED"
            else:
                oracle.update_trial(trial.trial_id, {"val_accuracy": asked[-1].get("a", 0)})
                trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return asked


def make(method, space, **options):
    return oracles.make_oracle(method, space, objective="val_accuracy", **options)


def mixed_space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [0.1, 0.2, 0.3])
    hp.Choice("kind", ["plain", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("depth", 2, 5)
    hp.Boolean("flag")
    hp.Fixed("same", 7)
    return hp


def continuous_space():
    hp = keras_tuner.HyperParameters()
    hp.Float("a", 0, 1)
    return hp


@pytest.mark.parametrize("failing", [False, True])
def test_a_grid_visits_every_cell_once(failing):
    space = mixed_space()
    asked = play(make("grid", space), fails=lambda number: failing and number % 2 == 0)
    assert count_cells(space) == 3 * (1 + 4) * 2
    assert len(asked) == count_cells(space)
    assert len({tuple(sorted(values.items())) for values in asked}) == len(asked)
    assert all(("depth" in values) == (values["kind"] == "deep") for values in asked)


def test_a_grid_is_in_the_declared_order():
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [2, 1])
    hp.Choice("b", [0.5, 0.1])
    assert [tuple(v.values()) for v in play(make("grid", hp))] == [(2, 0.5), (2, 0.1), (1, 0.5), (1, 0.1)]


def test_a_grid_refuses_a_range_without_a_step():
    with pytest.raises(UsageError, match=r"a is a range.*give a list"):
        make("grid", continuous_space())
    stepped = keras_tuner.HyperParameters()
    stepped.Int("units", 8, 32, step=8)
    assert len(play(make("grid", stepped))) == 4


@pytest.mark.parametrize("method", ["random", "hyperband"])
def test_zero_is_a_seed_and_neighbours_do_not_overlap(method):
    def drawn(seed):
        oracle = make(method, continuous_space(), seed=seed, max_epochs=3)
        return [v["a"] for v in play(oracle, limit=8)]

    assert drawn(0) == drawn(0)
    assert not set(drawn(0)) & set(drawn(1))
    with pytest.raises(UsageError, match="negative"):
        drawn(-1)


@pytest.mark.parametrize("method", sorted(oracles.METHODS))
def test_failures_never_end_a_search(method):
    space = mixed_space()
    asked = play(make(method, space, max_trials=8, max_epochs=9), fails=lambda number: True)
    assert len(asked) == 8


@pytest.mark.parametrize("method", sorted(oracles.METHODS))
def test_oracles_are_silent_and_leave_nothing_behind(method, capfd):
    oracle = make(method, mixed_space(), max_trials=3, max_epochs=3)
    with oracles.opened(oracle):
        folder = Path(oracle._project_dir)
        trial = oracle.create_trial("t")
        trial.status = "FAILED"
        oracle.end_trial(trial)
        assert folder.exists()
    assert not folder.exists()
    assert oracle not in engine.LOCKS
    assert oracle not in engine.THREADS
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 9, 27, 30])
def test_hyperband_costs_what_it_says(max_epochs):
    asked = play(make("hyperband", continuous_space(), max_epochs=max_epochs))
    assert hyperband_cost(max_epochs) == (len(asked), sum(v["tuner/epochs"] for v in asked))
    assert max(Counter(v["tuner/epochs"] for v in asked)) == max_epochs


def test_objectives_have_a_direction():
    directions = {name: oracles.resolve_objective(name).direction for name in ("val_data_loss", "accuracy", "val_auc")}
    assert directions == {"val_data_loss": "min", "accuracy": "max", "val_auc": "max"}
    with pytest.raises(UsageError, match="direction"):
        oracles.resolve_objective("val_quality")
    with pytest.raises(UsageError, match="did you mean 'random'"):
        make("randon", mixed_space())
    with pytest.raises(UsageError, match="max_epochs"):
        make("hyperband", mixed_space())

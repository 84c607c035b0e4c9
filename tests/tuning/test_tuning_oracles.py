"""The package's own functions; the algorithms are tested in `oracles/`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import keras_tuner
import pytest
from keras_tuner.src.engine import oracle as engine

from tuning import oracles
from zoo.errors import UsageError


def space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    return hp


def make(method, **options):
    return oracles.make_oracle(method, space(), objective="val_accuracy", **options)


def test_every_method_makes_an_oracle():
    assert set(oracles.METHODS) == {"grid", "random", "halving", "hyperband", "bayesian", "gp", "genetic", "swarm"}
    for method in oracles.METHODS:
        if method == "gp" and importlib.util.find_spec("torch") is None:
            continue  # it says so, see test_oracle_samplers
        oracle = make(method, max_epochs=3, max_trials=7, seed=0)
        assert isinstance(oracle, keras_tuner.Oracle)
        assert (oracle.max_trials, oracle.seed) == (7, 0)


def test_objectives_have_a_direction():
    directions = {name: oracles.resolve_objective(name).direction for name in ("val_data_loss", "accuracy", "val_auc")}
    assert directions == {"val_data_loss": "min", "accuracy": "max", "val_auc": "max"}
    with pytest.raises(UsageError, match="direction"):
        oracles.resolve_objective("val_quality")


def test_what_is_wrong_is_said():
    with pytest.raises(UsageError, match="did you mean 'random'"):
        make("randon")
    for method in ("halving", "hyperband"):
        with pytest.raises(UsageError, match=f"{method} needs max_epochs"):
            make(method)


def test_a_stock_oracle_is_opened_too(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_accuracy", max_trials=2, hyperparameters=space())
    with oracles.opened(oracle):
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            trial.status = "FAILED"
            oracle.end_trial(trial)
    assert len(oracle.trials) == 2
    assert list(tmp_path.iterdir()) == []
    assert oracle not in engine.LOCKS
    assert capfd.readouterr().out == ""
    oracle._set_project_dir(tmp_path, "stock")
    oracle.save()  # closed again, it writes
    assert (tmp_path / "stock" / "oracle.json").exists()


def test_importing_the_oracles_loads_no_tensorflow():
    code = "import sys, tuning.oracles, tuning.oracles.cost, tuning.replay; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

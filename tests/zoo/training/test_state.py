"""A training that was interrupted and continued equals one that was not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import zoo.startup

# isort: split
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UsageError, ZooError
from zoo.training import state
from zoo.training.state import State

ROOT = Path(__file__).parents[3]


class InterruptedTrainingError(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    """Breaks a training off at the end of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise InterruptedTrainingError


@pytest.fixture(autouse=True)
def _save_at_every_chance(monkeypatch):
    monkeypatch.setattr(state, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(state, "_SHARE", 1e9)


@pytest.fixture(scope="module")
def data():
    return zoo.load_dataset("digits", limit=300, validation=0.2)


def network(data, **options):
    options = {"units": 12, "num_layers": 1, "dropout": 0.3, "l2": 1e-3, "batch_normalization": True, **options}
    return zoo.build("mlp", data.input_shape, data.num_classes, **options)


def assert_same_run(one, other):
    for a, b in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    drop = {"columns": "seconds"}
    pd.testing.assert_frame_equal(one.history.drop(**drop), other.history.drop(**drop))
    pd.testing.assert_frame_equal(one.steps, other.steps)
    pd.testing.assert_frame_equal(one.validations, other.validations)
    assert one.metrics == other.metrics
    assert one.best == other.best
    assert one.stopped_early == other.stopped_early


RECIPES = {
    # Each case pays for four tracings.
    "adam-schedule-validation_freq": {
        "optimizer": "adam",
        "weight_decay": 1e-3,
        "schedule": "cosine",
        "validation_freq": 2,
    },
    "sgd-by_step": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 0.1,
        "validate_every_steps": 3,
        "patience": 9,
    },
    "patience": {"optimizer": "sgd", "learning_rate": 2.0, "patience": 2, "epochs": 12},
}


@pytest.mark.parametrize("name", RECIPES)
def test_interrupted_and_continued_equals_uninterrupted(data, tmp_path, name):
    """Broken off after the first epoch, and once more two epochs after it went on."""
    recipe = zoo.Recipe(**{"epochs": 5, "batch_size": 32, "seed": 3, **RECIPES[name]})
    whole = zoo.train(network(data), data, recipe, verbose=False)
    for after in (0, 2):
        with pytest.raises(InterruptedTrainingError):
            zoo.train(network(data), data, recipe, output_dir=tmp_path, callbacks=[StopAfter(after)], verbose=False)
        assert State.load(tmp_path / "state.npz").facts["epoch"] == after + 1
    continued = zoo.train(network(data, l2=1e-3), data, recipe, output_dir=tmp_path, verbose=False)
    assert_same_run(whole, continued)
    assert not (tmp_path / "state.npz").exists()


@pytest.mark.parametrize("second", ["all", None])  # None: what the first phase froze stays frozen
def test_phases_are_continued(data, tmp_path, second):
    phases = [
        zoo.Recipe(epochs=2, batch_size=32, trainable="head"),
        zoo.Recipe(epochs=3, batch_size=32, optimizer="sgd", trainable=second),
    ]
    whole = zoo.train(network(data), data, phases, verbose=False)
    with pytest.raises(InterruptedTrainingError):
        zoo.train(network(data), data, phases, output_dir=tmp_path, callbacks=[StopAfter(3)], verbose=False)
    assert_same_run(whole, zoo.train(network(data), data, phases, output_dir=tmp_path, verbose=False))


class Count(keras.callbacks.Callback):
    """Wants batches: `fit` then makes one gradient step a call."""

    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


@pytest.mark.parametrize("by_step", [None, 2])
def test_an_epoch_is_continued_in_its_middle(data, tmp_path, monkeypatch, by_step):
    """With a callback that wants batches, and without."""
    recipe = zoo.Recipe(epochs=3, batch_size=32, validate_every_steps=by_step)
    whole = zoo.train(network(data), data, recipe, verbose=False)
    monkeypatch.setattr("zoo.training.epochs._LONGEST_CALL", 0.0)  # a step a call
    saved = []
    save = state.StateSaver.save

    def save_and_break_off(self):
        save(self)
        facts = State.load(self._path).facts
        saved.append((facts["epoch"], facts["step"]))
        if saved[-1] == (1, 4):
            raise InterruptedTrainingError

    monkeypatch.setattr(state.StateSaver, "save", save_and_break_off)
    with pytest.raises(InterruptedTrainingError):
        zoo.train(network(data), data, recipe, output_dir=tmp_path / "epochs", verbose=False)
    assert (0, 3) in saved
    shutil.copytree(tmp_path / "epochs", tmp_path / "batches")
    for name, callbacks in (("epochs", []), ("batches", [Count()])):
        saved.clear()
        rest = zoo.train(network(data), data, recipe, output_dir=tmp_path / name, callbacks=callbacks, verbose=False)
        assert saved[0] > (1, 4)
        assert_same_run(whole, rest)


def test_callbacks_that_want_batches(data, tmp_path):
    recipe = zoo.Recipe(epochs=3, batch_size=32)
    whole = zoo.train(network(data), data, recipe, callbacks=[Count()], verbose=False)
    count = Count()
    with pytest.raises(InterruptedTrainingError):
        zoo.train(network(data), data, recipe, output_dir=tmp_path, callbacks=[StopAfter(1), count], verbose=False)
    rest = Count()
    assert_same_run(whole, zoo.train(network(data), data, recipe, output_dir=tmp_path, callbacks=[rest], verbose=False))
    assert count.steps + rest.steps == len(whole.steps)


def test_files_and_augmentation_are_continued(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("a", "b"):  # no picture twice: a folder with one in two classes is refused
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
            tf.io.write_file(str(tmp_path / "images" / label / f"{i}.png"), tf.io.encode_png(pixels))
    data = zoo.load_dataset(str(tmp_path / "images"), in_memory=False)
    assert data.train.store is None
    recipe = zoo.Recipe(epochs=3, batch_size=2, augment=("flip", "crop"))  # more steps an epoch than a call makes

    def model():
        return zoo.build("mlp", data.input_shape, 2, units=4, num_layers=1, dropout=0.2)

    whole = zoo.train(model(), data, recipe, verbose=False)
    with pytest.raises(InterruptedTrainingError):
        zoo.train(model(), data, recipe, output_dir=tmp_path / "run", callbacks=[StopAfter(0)], verbose=False)
    assert_same_run(whole, zoo.train(model(), data, recipe, output_dir=tmp_path / "run", verbose=False))


def test_a_killed_process_is_continued(tmp_path):
    """`kill -9` while it trains in another process; this one, which had not been told of it, ends it."""
    training = (
        "data = zoo.load_dataset('digits', limit=300)\n"
        "model = zoo.build('mlp', data.input_shape, 10, units=8, num_layers=1, dropout=0.2)\n"
        "zoo.train(model, data, zoo.Recipe(epochs=60, batch_size=32), output_dir=directory, verbose=False)"
    )
    saving = "import zoo, sys; from zoo.training import state; state._SAVE_EVERY = 0.0; state._SHARE = 1e9\n"
    command = [sys.executable, "-c", f"{saving}directory = sys.argv[1]\n{training}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    exec(training, {"zoo": zoo, "directory": tmp_path / "whole"})
    process, path = subprocess.Popen([*command, str(tmp_path / "cut")], env=environment), tmp_path / "cut" / "state.npz"
    while process.poll() is None and not path.exists():
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < State.load(path).facts["epoch"] < 60
    exec(training, {"zoo": zoo, "directory": tmp_path / "cut"})
    assert_same_run(zoo.load_run(tmp_path / "whole"), zoo.load_run(tmp_path / "cut"))


def test_other_data_in_the_same_place_are_refused(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(12):
            pixels = np.full((6, 6, 3), i + 20 * (label == "b"), np.uint8)
            tf.io.write_file(str(tmp_path / "images" / label / f"{i}.png"), tf.io.encode_png(pixels))

    def train():
        data = zoo.load_dataset(str(tmp_path / "images"))
        model = zoo.build("softmax", data.input_shape, 2)
        return zoo.train(model, data, zoo.Recipe(epochs=1), output_dir=tmp_path / "run", verbose=False)

    first = train()
    assert train().metrics == first.metrics
    for label in ("a", "b"):
        for i in range(12):
            pixels = np.full((6, 6, 3), 100 + i + 20 * (label == "b"), np.uint8)
            tf.io.write_file(str(tmp_path / "images" / label / f"{i}.png"), tf.io.encode_png(pixels))
    with pytest.raises(UsageError, match="data_sha256 was"):
        train()


def test_a_damaged_state_is_refused(data, tmp_path):
    recipe = zoo.Recipe(epochs=2, batch_size=64)
    with pytest.raises(InterruptedTrainingError):
        zoo.train(network(data), data, recipe, output_dir=tmp_path, callbacks=[StopAfter(0)], verbose=False)
    path = tmp_path / "state.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ZooError, match="delete it to start again"):
        zoo.train(network(data), data, recipe, output_dir=tmp_path, verbose=False)


def test_a_state_of_another_model_is_refused(data, tmp_path):
    recipe = zoo.Recipe(epochs=2, batch_size=64)
    with pytest.raises(InterruptedTrainingError):
        zoo.train(network(data), data, recipe, output_dir=tmp_path, callbacks=[StopAfter(0)], verbose=False)
    with pytest.raises(UsageError, match=r"model\.options\.units was 12 and is 5"):
        zoo.train(network(data, units=5), data, recipe, output_dir=tmp_path, verbose=False)

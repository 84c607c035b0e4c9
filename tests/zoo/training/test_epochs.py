"""`zoo.train`'s epochs against `keras.Model.fit` of a stock model on the same batches."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from small_trainings import assert_same_weights
from stock_twins import (
    MODELS,
    Own,
    assert_close_weights,
    batches_for,
    compiled_twin,
    recipe,
    steps_of,
    train,
)

import zoo
from zoo.training import epochs as epochs_module
from zoo.training.progress import ProgressBar

# fit of a stock model


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "mlp",
            {"optimizer": "adamw", "learning_rate": 0.01, "momentum": 0.0, "augment": ("crop", "flip"), "seed": 2**33},
        ),
        ("cnn", {"drop_remainder": True, "optimizer": "nesterov", "shuffle": False}),
        ("resnet", {"augment": ("noise",), "weight_decay": 0.01, "schedule": "cosine"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_training_is_fit_of_a_stock_model_on_the_same_batches(digits, name, values):
    how = recipe(**values)
    model = MODELS[name]()
    steps = digits.train.num_batches(how.batch_size, drop_remainder=how.drop_remainder)
    twin = compiled_twin(model, how, steps * how.epochs)
    before = model.get_weights()
    run = train(model, digits, how)
    history = twin.fit(batches_for(digits, how), epochs=how.epochs, verbose=0).history
    assert_close_weights(model, twin, 1e-4)
    np.testing.assert_allclose(run.history["loss"], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(run.history["accuracy"], history["accuracy"], rtol=1e-5)
    assert len(run.steps) == steps * how.epochs
    moved = [np.abs(weight - old).max() for weight, old in zip(model.get_weights(), before, strict=True)]
    assert min(moved) > 1e-3  # all of them have learnt, by more than the tolerance


class Counting(Own):
    """Gives a measure of its own beside those that it was compiled with."""

    def train_step(self, data):
        return {**super().train_step(data), "largest": tf.reduce_max(data[0])}


def small_mlp() -> keras.Model:
    return zoo.build("mlp", (2,), 2, units=8, num_layers=1, l2=2**-6)


@pytest.fixture(scope="module")
def mlp_under_keras(blobs) -> keras.Model:
    """Stock, to be given weights and a learning rate."""
    return compiled_twin(small_mlp(), recipe(momentum=0.0), 90)


@pytest.mark.parametrize("path", ["graph", "own-step", "dataset"])
def test_step_losses_are_those_of_train_on_batch(blobs, mlp_under_keras, path):
    """45 steps an epoch, so that streams make one graph call of 32 and one of 13."""
    how = recipe(batch_size=4, shuffle=path != "dataset", momentum=0.0)  # a dataset has an order of its own
    model, twin, data = small_mlp(), mlp_under_keras, blobs
    twin.set_weights(model.get_weights())
    twin.optimizer.learning_rate = 0.05 / 2 if path == "own-step" else 0.05
    if path == "own-step":
        model = Counting(model.inputs, model.outputs)
    if path == "dataset":
        data = tf.data.Dataset.from_tensor_slices((blobs.train.inputs, blobs.train.labels)).batch(50)
    run = train(model, data, how)
    losses, largest, batches = [], [], batches_for(blobs, how)
    for _ in range(2):
        for inputs, labels in batches:
            twin.reset_metrics()
            losses.append(float(twin.train_on_batch(inputs, labels, return_dict=True)["loss"]))
        largest.append(inputs.numpy().max())  # of the last batch
    assert len(run.steps) == len(losses) == 90
    np.testing.assert_allclose(run.steps["loss"], losses, rtol=1e-5)
    assert_close_weights(model, twin, 1e-5)
    np.testing.assert_allclose(run.history["loss"], [np.mean(losses[:45]), np.mean(losses[45:])], rtol=1e-5)
    if path != "dataset":
        measured = twin.evaluate(blobs.validation.batches(64), verbose=0, return_dict=True)
        for name in ("loss", "accuracy"):
            assert run.metrics[f"val_{name}"] == pytest.approx(measured[name], rel=1e-4)
    if path == "own-step":
        np.testing.assert_allclose(run.history["largest"], largest)
        assert {"data_loss", "accuracy"} <= set(run.history)


# An epoch cut into graph calls


@pytest.fixture
def calls(monkeypatch) -> list[tuple[int, int]]:
    """(Steps done, steps of the epoch) behind each graph call of what is trained with `verbose=True`."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(ProgressBar, "on_steps", lambda _, done, steps: calls.append((done, steps)))
    return calls


def test_an_epoch_in_many_calls_is_the_epoch_in_one(digits, monkeypatch, calls):
    def trained(longest_call: float):
        calls.clear()
        monkeypatch.setattr(epochs_module, "_LONGEST_CALL", longest_call)
        model = MODELS["random-mlp"]()
        run = zoo.train(model, digits, recipe(validate_every_steps=4, augment=("crop", "noise")), verbose=True)
        return list(calls), model.get_weights(), run

    few, weights, run = trained(1e9)
    many, same_weights, same_run = trained(0.0)
    steps = steps_of(digits)
    assert few == [(1, steps), (5, steps), (6, steps), (3, steps), (6, steps)]  # validated after the steps 0, 4, 8
    assert many == 2 * [(done, steps) for done in range(1, steps + 1)]
    assert_same_weights(weights, same_weights)
    for table in ("steps", "validations"):
        np.testing.assert_array_equal(getattr(run, table), getattr(same_run, table))
    for name in ("loss", "accuracy", "data_loss"):
        np.testing.assert_array_equal(run.history[name], same_run.history[name])


def test_an_epoch_that_nothing_cuts_is_one_call(digits, monkeypatch, calls):
    monkeypatch.setattr(epochs_module, "_LONGEST_CALL", 1e9)
    zoo.train(MODELS["softmax"](), digits, recipe(), verbose=True)
    assert calls == 2 * [(steps_of(digits), steps_of(digits))]

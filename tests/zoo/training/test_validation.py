"""When a training validates, what it measures, and when it stops."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
from small_trainings import BATCH, assert_same_weights, sgd, train

import zoo
from zoo.errors import UsageError


@pytest.fixture(scope="module")
def flipped(blobs) -> zoo.DataSplits:
    """Validation labels are the wrong ones, so that whatever is learnt makes validation worse."""
    v = blobs.validation
    return zoo.DataSplits.from_arrays((blobs.train.inputs, blobs.train.labels), validation=(v.inputs, 1 - v.labels))


@pytest.mark.parametrize(
    ("name", "options", "loss"),
    [
        ("mlp", {"units": 8, "dropout": 0.3, "batch_normalization": True, "l2": 2**-6}, None),
        ("logistic", {"l1": 2**-6}, None),
        ("logistic", {"classifier_activation": None}, "binary_crossentropy_from_logits"),
        ("softmax", {"classifier_activation": None}, "sparse_categorical_crossentropy_from_logits"),
    ],
)
def test_measures_are_those_of_model_evaluate(blobs, name, options, loss):
    model = zoo.build(name, (2,), 2, **options)
    run = train(model, blobs, sgd(loss=loss))
    expected = model.evaluate(blobs.validation.batches(7), verbose=0, return_dict=True)
    assert run.metrics["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert run.metrics["val_accuracy"] == pytest.approx(expected["accuracy"], rel=1e-6)
    assert run.history["val_loss"].iloc[-1] == run.validations["val_loss"].iloc[-1] == run.metrics["val_loss"]
    assert run.metrics["loss"] == run.history["loss"].iloc[-1]
    assert run.metrics["epochs"] == 2


def test_validation_freq_counts_epochs(blobs):
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=5, validation_freq=2))
    assert list(run.validations["epoch"]) == [1, 3]
    assert list(run.validations["step"]) == [23, 47]
    assert list(run.history["val_loss"].notna()) == [False, True, False, True, False]


@pytest.mark.parametrize("every", [1, 5, 100])
def test_validate_every_steps_counts_global_steps_from_zero(blobs, every):
    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=3, validate_every_steps=every))
    steps = list(range(0, 36, every))
    assert list(run.validations["step"]) == steps
    assert list(run.validations["epoch"]) == [step // 12 for step in steps]


@pytest.mark.parametrize("monitor", ["val_data_loss", "val_accuracy"])
def test_patience_counts_validations_and_restores_the_best_weights(flipped, monitor):
    def model():
        return zoo.build("softmax", (2,), 2, kernel_initializer="zeros")

    stopped = model()
    run = train(stopped, flipped, sgd(epochs=20, patience=3, monitor=monitor))
    assert run.stopped_early
    assert len(run.history) == len(run.validations) == 4  # the first is the best, three are not better
    assert run.best["epoch"] == 0
    assert run.metrics["epochs"] == 4
    assert run.metrics["val_loss"] == run.best["val_loss"] == run.validations["val_loss"].iloc[0]
    assert run.metrics["loss"] == run.history["loss"].iloc[0]
    once = model()
    train(once, flipped, sgd(epochs=1))
    assert_same_weights(stopped.get_weights(), once.get_weights())


def test_patience_counts_validations_not_epochs(flipped):
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, flipped, sgd(epochs=20, patience=2, validation_freq=3))
    assert len(run.history) == 9
    assert list(run.validations["epoch"]) == [2, 5, 8]


def test_patience_stops_in_the_middle_of_an_epoch(flipped):
    def model():
        return zoo.build("softmax", (2,), 2, kernel_initializer="zeros")

    stopped = model()
    run = train(stopped, flipped, sgd(epochs=5, patience=2, validate_every_steps=5, shuffle=False))
    assert run.stopped_early
    assert list(run.validations["step"]) == [0, 5, 10]
    assert len(run.steps) == 11
    one_step = model()
    one_step.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy())
    one_step.train_on_batch(flipped.train.inputs[:BATCH], flipped.train.labels[:BATCH])
    for a, b in zip(stopped.get_weights(), one_step.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_without_patience_the_last_weights_stay(flipped):
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, flipped, sgd(epochs=4))
    assert not run.stopped_early
    assert len(run.history) == 4
    assert run.best["epoch"] == 0
    assert run.metrics["val_loss"] == run.validations["val_loss"].iloc[-1]
    expected = model.evaluate(flipped.validation.batches(20), verbose=0, return_dict=True)
    assert run.metrics["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_run_that_improves_is_not_stopped(blobs):
    run = train(
        zoo.build("softmax", (2,), 2, kernel_initializer="zeros"), blobs, sgd(epochs=3, patience=1, learning_rate=0.01)
    )
    assert not run.stopped_early
    assert len(run.history) == 3
    assert run.best["epoch"] == 2


def test_callbacks_see_the_validation_and_can_stop(blobs):
    class Stop(keras.callbacks.Callback):
        seen: list[set[str]] = []  # noqa: RUF012

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(set(logs))
            self.model.stop_training = epoch == 1

    run = train(zoo.build("softmax", (2,), 2), blobs, sgd(epochs=9), callbacks=[Stop()])
    assert len(run.history) == 2
    assert {"loss", "data_loss", "accuracy", "val_loss", "val_data_loss", "val_accuracy"} <= Stop.seen[0]


def test_the_test_split_is_not_looked_at(blobs):
    class Forbidden:
        def __getattr__(self, name):
            raise AssertionError(f"test.{name} was read")

    data = zoo.DataSplits(blobs.train, blobs.validation, Forbidden(), {})
    train(zoo.build("softmax", (2,), 2), data, sgd(epochs=1))


def test_patience_needs_validation_data(blobs):
    data = zoo.DataSplits(blobs.train, None, None, {})
    with pytest.raises(UsageError, match="patience=3 needs validation"):
        train(zoo.build("softmax", (2,), 2), data, [sgd(), sgd(patience=3)])


@pytest.mark.parametrize("when", [{"validate_every_steps": 4}, {"validation_freq": 2}])
def test_final_metrics_are_those_of_the_final_weights(blobs, when):
    model = zoo.build("softmax", (2,), 2)
    run = train(model, blobs, sgd(epochs=3, **when))
    expected = model.evaluate(blobs.validation.batches(64), verbose=0, return_dict=True)
    assert run.metrics["val_loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert run.metrics["val_loss"] != run.validations["val_loss"].iloc[-1]

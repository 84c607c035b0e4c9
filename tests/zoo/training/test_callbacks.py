"""What callbacks see of `zoo.train`, and what they do to it, against `keras.Model.fit`."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
from small_trainings import assert_same_weights
from stock_twins import (
    BATCH,
    MODELS,
    Own,
    assert_as_before,
    assert_close_weights,
    batches_for,
    compiled_twin,
    interrupt,
    recipe,
    steps_of,
    train,
)


@pytest.fixture(scope="module")
def under_keras() -> keras.Model:
    """A stock model, to be given weights and a learning rate: what Keras traced serves all tests."""
    return compiled_twin(MODELS["softmax"](), recipe(momentum=0.0), 1)


def softmax(path: str) -> keras.Model:
    """A model that trains in the graph or by a train step of its own."""
    return MODELS["softmax"]() if path == "graph" else owned(MODELS["softmax"]())


def owned(model: keras.Model) -> keras.Model:
    return Own(model.inputs, model.outputs)


@pytest.fixture
def pair(under_keras):
    """The model above, and a stock one that trains as it does."""

    def pair(path: str) -> tuple[keras.Model, keras.Model]:
        model = softmax(path)
        under_keras.set_weights(model.get_weights())
        under_keras.optimizer.learning_rate = 0.05 if path == "graph" else 0.05 / 2
        return model, under_keras

    return pair


class Epochs(keras.callbacks.Callback):
    """Notes what it is called with."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[str, int | None]] = []
        self.logs: list[dict[str, float]] = []

    def note(self, hook, number, logs):
        self.calls.append((hook, number))
        self.logs.append(dict(logs or {}))

    def on_train_begin(self, logs=None):
        self.note("train begin", None, logs)

    def on_train_end(self, logs=None):
        self.note("train end", None, logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.note("epoch begin", epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch end", epoch, logs)


class Batches(Epochs):
    def on_train_batch_begin(self, batch, logs=None):
        self.note("batch begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.note("batch end", batch, logs)


@pytest.mark.parametrize(("kind", "path"), [(Epochs, "graph"), (Batches, "graph"), (Batches, "stream")])
def test_callbacks_are_called_as_under_fit(digits, pair, kind, path):
    ours, under_fit = kind(), kind()
    how = recipe(momentum=0.0)
    model, twin = pair(path)
    train(model, digits, how, ours)
    validation = digits.validation.batches(64)
    twin.fit(batches_for(digits, how), epochs=2, validation_data=validation, callbacks=[under_fit], verbose=0)
    assert ours.calls == under_fit.calls
    assert len(ours.calls) == 2 + 2 * (2 + (2 * steps_of(digits) if kind is Batches else 0))
    for (hook, _), logs, expected in zip(ours.calls, ours.logs, under_fit.logs, strict=True):
        if hook == "train end":
            continue
        assert logs.keys() - expected.keys() <= {"data_loss", "val_data_loss", "learning_rate"}
        for name, value in expected.items():  # after a batch, the running means of the epoch
            assert logs[name] == pytest.approx(value, rel=1e-4), name
    assert [hook for hook, _ in ours.calls[-2:]] == ["epoch end", "train end"]
    assert ours.logs[-2].keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert ours.logs[-1] == ours.logs[-2]  # the end of training has the logs of the last epoch, as under `fit`


def test_a_batch_hook_changes_no_bit(digits):
    values = {"validate_every_steps": 4, "augment": ("noise",)}
    watch, model, plain = Batches(), MODELS["random-mlp"](), MODELS["random-mlp"]()
    run, expected = train(model, digits, recipe(**values), watch), train(plain, digits, recipe(**values))
    assert_same_weights(model.get_weights(), plain.get_weights())
    for table in ("steps", "validations"):
        np.testing.assert_array_equal(getattr(run, table), getattr(expected, table))
    losses = [logs["loss"] for (hook, _), logs in zip(watch.calls, watch.logs, strict=True) if hook == "batch end"]
    steps = steps_of(digits)
    sizes = np.array([BATCH] * (steps - 1) + [len(digits.train) - BATCH * (steps - 1)])
    for epoch in range(2):
        rows = run.steps["loss"].to_numpy()[epoch * steps : (epoch + 1) * steps]
        running = np.cumsum(rows * sizes) / np.cumsum(sizes)
        np.testing.assert_allclose(losses[epoch * steps : (epoch + 1) * steps], running, rtol=1e-5)


class StopAt(keras.callbacks.Callback):
    """Stops training by the hook of a name, when it is called for the n-th time."""

    def __init__(self, hook: str, times: int = 1):
        super().__init__()
        self._left = times
        setattr(self, hook, self.stop)

    def stop(self, *_, **__):
        self._left -= 1
        if self._left == 0:
            self.model.stop_training = True


@pytest.mark.parametrize(("path", "last"), [("graph", 6), ("graph", 8), ("stream", 4)])
def test_training_stops_at_the_batch_that_says_so(digits, pair, path, last):
    how = recipe(momentum=0.0)
    model, twin = pair(path)
    run = train(model, digits, how, StopAt("on_train_batch_end", last))
    assert steps_of(digits) == 6
    assert len(run.steps) == int(model.optimizer.iterations) == last
    assert len(run.history) == (1 if last <= 6 else 2)
    batches = batches_for(digits, how)
    examples = [*batches, *batches]
    for inputs, labels in examples[:last]:
        twin.train_on_batch(inputs, labels)
    assert_close_weights(model, twin, 1e-5)


@pytest.mark.parametrize(("hook", "most"), [("on_train_begin", 6), ("on_epoch_begin", 6), ("on_train_batch_begin", 1)])
def test_who_stops_before_the_first_batch_ends_the_first_epoch(digits, hook, most):
    """As under `fit`, which looks after a call whether to stop."""
    run = train(MODELS["softmax"](), digits, recipe(), StopAt(hook))
    assert len(run.history) == 1
    assert 1 <= len(run.steps) <= most


@pytest.mark.parametrize(
    ("path", "hook"),
    [
        ("graph", "on_train_batch_end"),
        ("stream", "on_epoch_end"),
    ],
)
def test_an_interrupted_model_trains_on(digits, path, hook):
    model = softmax(path)
    callback = keras.callbacks.Callback()
    setattr(callback, hook, interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, digits, recipe(), callback)
    assert_as_before(model)
    other = softmax(path)
    other.set_weights(model.get_weights())
    run, expected = train(model, digits, recipe()), train(other, digits, recipe())
    np.testing.assert_allclose(run.steps, expected.steps, rtol=1e-5)  # nothing of the first run is left
    assert len(run.steps) == 12


@pytest.mark.parametrize("path", ["graph", "stream"])
def test_a_later_fit_on_other_data_is_keras_own(digits, pair, path):
    model, twin = pair(path)
    run = train(model, digits, recipe(momentum=0.0))
    assert_as_before(model)
    twin.set_weights(model.get_weights())
    random = np.random.default_rng(0)
    inputs, labels = random.random((50, 8, 8, 1)).astype(np.float32), random.integers(0, 10, 50)
    histories = [m.fit(inputs, labels, batch_size=7, epochs=2, shuffle=False, verbose=0).history for m in (model, twin)]
    assert_close_weights(model, twin, 1e-5)
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5)
    assert len(run.steps) == 12
    assert model.evaluate(inputs, labels, verbose=0, return_dict=True) == pytest.approx(
        twin.evaluate(inputs, labels, verbose=0, return_dict=True), rel=1e-5
    )

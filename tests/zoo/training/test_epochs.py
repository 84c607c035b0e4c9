"""`zoo.train`'s epochs against `keras.Model.fit` of a stock model on the same batches, and what callbacks see of them."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.models.normalization import fused_batch_normalization
from zoo.training import epochs as epochs_module
from zoo.training import progress as progress_module
from zoo.training.compiling import make_accuracy, make_optimizer
from zoo.training.progress import ProgressBar

BATCH = 32


@pytest.fixture(scope="module")
def digits() -> zoo.DataSplits:
    data = zoo.load_dataset("digits", limit=200)
    assert len(data.train) % BATCH  # the last batch is partial
    assert data.validation is not None
    return data


@pytest.fixture(scope="module")
def blobs() -> zoo.DataSplits:
    return zoo.load_dataset("blobs")  # 180 examples to train on


def steps_of(data: zoo.DataSplits, batch_size: int = BATCH) -> int:
    return data.train.num_batches(batch_size)


def recipe(**values: Any) -> zoo.Recipe:
    return zoo.Recipe(
        **{"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.5, "batch_size": BATCH, "epochs": 2, "seed": 3}
        | values
    )


def train(model: keras.Model, data: zoo.DataSplits, how: zoo.Recipe, *callbacks: keras.callbacks.Callback):
    return zoo.train(model, data, how, callbacks=callbacks, verbose=False)


def small_resnet() -> keras.Model:
    """A residual block behind a convolution, normalised as `resnet20` is."""
    layers = keras.layers
    with_seed = {name: keras.initializers.HeNormal(seed=i) for i, name in enumerate("abp")}

    def convolved(x, name):
        x = layers.Conv2D(8, 3, padding="same", use_bias=False, kernel_initializer=with_seed[name], name=name)(x)
        return fused_batch_normalization(dtype="float32", name=f"{name}_normalization", momentum=0.9, epsilon=1e-5)(x)

    inputs = keras.Input((8, 8, 1))
    x = layers.Activation("relu")(convolved(inputs, "a"))
    x = layers.Activation("relu")(layers.Add()([x, convolved(x, "b")]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", kernel_initializer=with_seed["p"])(x))


MODELS = {
    "softmax": lambda: zoo.build("softmax", (8, 8, 1), 10),
    "mlp": lambda: zoo.build("mlp", (8, 8, 1), 10, units=16, num_layers=1, l2=2**-8),
    "random-mlp": lambda: zoo.build(
        "mlp", (8, 8, 1), 10, units=16, num_layers=1, dropout=0.25, batch_normalization=True
    ),
    "cnn": lambda: zoo.build("cnn", (8, 8, 1), 10, filters=4, units=8, l1=2**-10),
    "resnet": small_resnet,
}


def stock_twin(model: keras.Model) -> keras.Model:
    """A model of stock layers with the same weights."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    assert not any("call" in vars(layer) for layer in twin.layers)
    return twin


def compiled_twin(model: keras.Model, how: zoo.Recipe, total_steps: int) -> keras.Model:
    """The twin with a stock optimizer, loss and metric."""
    twin = stock_twin(model)
    twin.compile(make_optimizer(how, total_steps), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    return twin


def batches_for(data: zoo.DataSplits, how: zoo.Recipe) -> tf.data.Dataset:
    return data.train.batches(
        how.batch_size,
        shuffle=how.shuffle,
        augment=how.augment or None,
        drop_remainder=how.drop_remainder,
        seed=how.seed,
    )


def assert_close_weights(model: keras.Model, other: keras.Model, tolerance: float):
    assert len(model.weights) == len(other.weights) > 0
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=ours.path)


def assert_same_weights(weights: list[np.ndarray], others: list[np.ndarray]):
    assert len(weights) == len(others) > 0
    for ours, theirs in zip(weights, others, strict=True):
        np.testing.assert_array_equal(ours, theirs)


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


class Own(keras.Model):
    """A train step of one's own, as Keras's guide writes one; it takes half of the gradients."""

    def train_step(self, data):
        inputs, labels = data
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=True)
            loss = self.compute_loss(y=labels, y_pred=outputs)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply([0.5 * gradient for gradient in gradients], self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(labels)[0])
        return self.compute_metrics(inputs, labels, outputs)


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


# Callbacks


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


def interrupt(*_, **__):
    raise KeyboardInterrupt


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


def assert_as_before(model: keras.Model):
    """Nothing of the training is left on the model."""
    assert model.train_function is None
    assert "compute_loss" not in vars(model)
    assert "train_step" not in vars(model)
    assert "_maybe_symbolic_build" not in vars(model)


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


# Accuracy


def accuracy_in_graph(accuracy, labels, logits, weights=None, activation=tf.nn.softmax) -> float:
    @tf.function
    def update(logits):
        accuracy.update_state(labels, activation(logits), weights)

    update(tf.constant(logits))
    return float(accuracy.result())


@pytest.mark.parametrize("activation", [tf.nn.softmax, tf.identity], ids=["softmax", "linear"])
@pytest.mark.parametrize("in_columns", [False, True])
def test_the_accuracy_is_the_stock_one(activation, in_columns):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(64, 5)).astype(np.float32), random.integers(0, 5, 64)
    labels = labels[:, None] if in_columns else labels
    for weights in (None, random.random(64).astype(np.float32)):
        arguments = labels, logits, weights, activation
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is tf.identity)
        found = accuracy_in_graph(make_accuracy(loss), *arguments)
        assert found == pytest.approx(accuracy_in_graph(keras.metrics.SparseCategoricalAccuracy(), *arguments))
        eager = make_accuracy(loss)
        eager.update_state(labels, activation(logits), weights)
        assert float(eager.result()) == pytest.approx(found)
        assert 0.05 < found < 0.5


def test_the_accuracy_is_counted_before_a_softmax_that_cannot_tell():
    logits = np.array([[0.0, 1e-8]], np.float32)
    assert np.ptp(tf.nn.softmax(logits)) == 0
    assert accuracy_in_graph(make_accuracy(keras.losses.SparseCategoricalCrossentropy()), [1], logits) == 1
    assert accuracy_in_graph(keras.metrics.SparseCategoricalAccuracy(), [1], logits) == 0


def test_the_accuracy_is_saved_as_the_stock_one():
    accuracy = make_accuracy(keras.losses.SparseCategoricalCrossentropy())
    stock = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    saved = keras.saving.serialize_keras_object(accuracy)
    assert saved == keras.saving.serialize_keras_object(stock)
    assert type(keras.saving.deserialize_keras_object(saved)) is keras.metrics.SparseCategoricalAccuracy


def test_bfloat16_is_as_accurate():
    data = zoo.load_dataset("digits", validation="test")

    def accuracy(dtype, seed):
        model = zoo.build("mlp", data.input_shape, 10, seed=seed, dtype=dtype, units=32, num_layers=1)
        how = zoo.Recipe(learning_rate=0.01, batch_size=64, epochs=4, validation_freq=4, seed=seed)
        return train(model, data, how).metrics["val_accuracy"]

    single, half = (np.mean([accuracy(dtype, s) for s in range(2)]) for dtype in ("float32", "mixed_bfloat16"))
    assert single > 0.9
    assert abs(single - half) <= 0.03


# Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_a_long_epoch_tells_how_far_it_is_every_ten_seconds(clock, capfd):
    bar = ProgressBar(3, "epoch")
    bar.on_train_begin()
    times = []
    for second in range(1, 46):
        clock.now = 1000.0 + second
        bar.on_steps(second, 100)
        lines = capfd.readouterr().err.splitlines()
        times += [second] * len(lines)
        assert lines in ([], [f"epoch 1/3  step {second}/100"])
    assert times == [10, 20, 30, 40]
    clock.now += 7  # 12 s after the line of 40 s
    bar.on_epoch_end(0, {"loss": 1.0})
    assert capfd.readouterr().err.startswith("epoch 1/3  loss 1.0000")
    clock.now += 9
    bar.on_steps(5, 100)
    assert capfd.readouterr().err == ""
    clock.now += 1
    bar.on_steps(6, 100)
    assert capfd.readouterr().err == "epoch 2/3  step 6/100\n"


def test_short_epochs_tell_nothing_between_their_ends(digits, monkeypatch, capfd):
    monkeypatch.setattr(epochs_module, "_LONGEST_CALL", 0.0)
    zoo.train(MODELS["softmax"](), digits, recipe())
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "step" not in shown.err
    assert "epoch 2/2  loss" in shown.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", None])
def test_a_terminal_has_its_cursor_back_however_training_ends(digits, monkeypatch, hook):
    terminal, out = Terminal(), sys.stdout
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", out)  # put back, whatever happens
    monkeypatch.setenv("TERM", "xterm")
    model, callback = MODELS["softmax"](), keras.callbacks.Callback()
    if hook:
        setattr(callback, hook, interrupt)
    with pytest.raises(KeyboardInterrupt) if hook else contextlib.nullcontext():
        zoo.train(model, digits, recipe(), callbacks=[callback])
    assert_as_before(model)
    hidden, shown = (terminal.getvalue().count(code) for code in ("\x1b[?25l", "\x1b[?25h"))
    assert hidden == shown > 0
    assert (sys.stdout, sys.stderr) == (out, terminal)


# Several devices: they must be made before TensorFlow starts, so all of this runs in one process of its own.

DEVICES = """
import contextlib, json, traceback
import zoo.startup
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
import zoo

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
blobs = zoo.load_dataset("blobs")
in_float64 = zoo.DataSplits.from_arrays(
    (blobs.train.inputs.astype("float64"), blobs.train.labels),
    validation=(blobs.validation.inputs.astype("float64"), blobs.validation.labels),
)
digits = zoo.load_dataset("digits", limit=120)


def recipe(**values):
    return zoo.Recipe(**{"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.5, "epochs": 2, "batch_size": 20} | values)


def trained(strategy, name, data, how, **options):
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = zoo.build(name, data.input_shape, data.num_classes, **options)
    return zoo.train(model, data, how, verbose=False)


def difference(found, expected):
    return float(max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in zip(found, expected, strict=True)))


def compared(name="mlp", data=blobs, strategy=two, how=None, **options):
    how, options = how or recipe(), {"num_layers": 1, **options}
    several, one = trained(strategy, name, data, how, **options), trained(None, name, data, how, **options)
    columns = ["loss", "data_loss", "accuracy", "val_loss", "val_data_loss", "val_accuracy", "learning_rate"]
    return {
        "weights": difference(several.model.get_weights(), one.model.get_weights()),
        "steps": difference([several.steps], [one.steps]),
        "history": difference([several.history[columns]], [one.history[columns]]),
        "count": len(several.steps),
    }


def normalised():
    # Stopped by a batch hook in its last epoch.
    seen, options = [], {"units": 16, "num_layers": 1, "batch_normalization": True}

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)
            self.model.stop_training = len(seen) > 2 * steps and batch == 3

    with two.scope():
        model = zoo.build("mlp", digits.input_shape, 10, **options)
    steps = digits.train.num_batches(20)
    run = zoo.train(model, digits, recipe(epochs=3), callbacks=[Stop()], verbose=False)
    means = [np.asarray(w) for w in run.model.weights if w.name == "moving_mean"]
    losses = run.steps["loss"].to_numpy()
    saved = zoo.build("mlp", digits.input_shape, 10, **options)
    saved.set_weights(run.model.get_weights())  # Keras lets every device keep averages of its own; the first's are saved
    return {
        "finite": bool(np.isfinite(losses).all() and all(np.isfinite(w).all() for w in run.model.get_weights())),
        "averages": min(float(np.abs(mean).max()) for mean in means),
        "losses": [float(losses[:3].mean()), float(losses[-3:].mean())],
        "val_loss": [run.metrics["val_loss"], zoo.evaluate(saved, digits.validation).loss],
        "batches": seen == [*range(steps), *range(steps), 0, 1, 2, 3],
        "count": len(losses) == 2 * steps + 4,
    }


def plain_fit():
    histories = []
    for strategy in (two, None):
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = zoo.build("mlp", (2,), 2, units=8, num_layers=1)
            optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
            model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(model.fit(blobs.train.batches(20), epochs=2, verbose=0).history)
    return {"losses": [h["loss"] for h in histories]}


scenarios = {
    "many-steps": lambda: compared(
        units=8, l2=0.05, how=recipe(batch_size=4, shuffle=False, validate_every_steps=7)
    ),
    "adam": lambda: compared(
        units=8, how=recipe(optimizer="adam", momentum=0.0, learning_rate=0.01, schedule="cosine", shuffle=False)
    ),
    "float64": lambda: compared(units=8, data=in_float64, dtype="float64", l2=0.05, how=recipe(shuffle=False)),
    "one-device": lambda: compared(units=8, batch_normalization=True, how=recipe(shuffle=False), strategy=tf.distribute.OneDeviceStrategy("CPU:1")),
    "normalised": normalised,
    "plain-fit": plain_fit,
}
results = {}
for name, scenario in scenarios.items():
    try:
        results[name] = scenario()
    except Exception:
        results[name] = {"error": traceback.format_exc(limit=-6)[-1500:]}
print(json.dumps(results))
"""


@pytest.fixture(scope="module", autouse=True)
def devices_process(request):
    """Runs beside the other tests, where a chosen test waits for it."""
    if not any("on_devices" in item.fixturenames for item in request.session.items):
        yield None
        return
    command = [sys.executable, "-c", DEVICES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def on_devices(devices_process) -> dict[str, Any]:
    output, _ = devices_process.communicate()
    assert devices_process.returncode == 0, output
    return json.loads(output.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("many-steps", 90),
        ("adam", 18),
        ("float64", 18),
        ("one-device", 18),
    ],
)
def test_several_devices_train_as_one_does(on_devices, name, steps):
    """Losses are those of whole batches, not of a device's share."""
    found = on_devices[name]
    assert "error" not in found, found["error"]
    assert found["count"] == steps
    assert found["weights"] <= (1e-12 if name == "float64" else 1e-4)
    assert found["steps"] <= (1e-12 if name == "float64" else 1e-5)
    assert found["history"] <= 1e-5


def test_a_normalised_model_trains_on_several_devices_until_a_batch_hook_stops_it(on_devices):
    found = on_devices["normalised"]
    assert "error" not in found, found["error"]
    assert found["finite"]
    assert found["averages"] > 0.01
    assert found["losses"][1] < 0.9 * found["losses"][0]
    assert found["val_loss"][0] == pytest.approx(found["val_loss"][1], rel=1e-4)
    assert found["batches"]
    assert found["count"]


def test_plain_fit_works_on_several_devices(on_devices):
    found = on_devices["plain-fit"]
    assert "error" not in found, found["error"]
    np.testing.assert_allclose(*found["losses"], rtol=1e-5)

"""Training on several devices: they must be made before TensorFlow starts, so all of this runs in one process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

# isort: split
import numpy as np
import pytest

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


@pytest.fixture(scope="module")
def on_devices() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


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

"""Models, optimizers, precisions and data that `zoo.train` takes, and those that it refuses."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from small_trainings import BATCH, assert_same_weights, sgd, train

import zoo
from zoo.errors import UsageError
from zoo.reference import DenseNetwork
from zoo.training.recipe import OPTIMIZERS


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains(blobs, optimizer):
    model = zoo.build("softmax", (2,), 2, kernel_initializer="zeros")
    run = train(model, blobs, zoo.Recipe(optimizer=optimizer, learning_rate=0.05, batch_size=BATCH, epochs=3))
    assert run.steps["data_loss"].iloc[0] == pytest.approx(np.log(2), rel=1e-6)
    assert run.metrics["data_loss"] < 0.5
    assert run.metrics["val_accuracy"] > 0.8


def test_mixed_precision_trains(blobs):
    run = train(zoo.build("mlp", (2,), 2, units=8, l2=2**-8, dtype="mixed_bfloat16"), blobs, sgd(epochs=4))
    assert run.metrics["val_accuracy"] > 0.8
    assert np.isfinite(run.steps.to_numpy()).all()


@pytest.mark.parametrize("penalty", [{}, {"l2": 2**-5}], ids=["plain", "l2"])
def test_float64_is_float64_from_end_to_end(blobs, penalty):
    model = zoo.build("softmax", (2,), 2, dtype="float64", **penalty)
    kernel, bias = model.get_weights()
    inputs, labels = blobs.train.inputs.astype(np.float64), blobs.train.labels
    data = zoo.DataSplits.from_arrays((inputs, labels), validation=(inputs[:9], labels[:9]))
    run = train(model, data, sgd(learning_rate=0.5, batch_size=180, epochs=1, shuffle=False))
    network = DenseNetwork([kernel], [bias], ["softmax"])
    (gradients,) = network.backward(inputs, labels, **penalty).gradients
    assert run.steps["loss"].item() == pytest.approx(network.loss(inputs, labels, **penalty).total, rel=1e-12)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.5 * gradients["kernel"], rtol=1e-10)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.5 * gradients["bias"], rtol=1e-10)


@pytest.mark.parametrize(
    ("trainable", "learns"),
    [
        ("head", ["predictions"]),
        ("backbone", ["dense1", "dense2"]),
        ("all", ["dense1", "dense2", "predictions"]),
        (("dense2", "pred*"), ["dense2", "predictions"]),
    ],
)
def test_frozen_layers_keep_every_bit(blobs, trainable, learns):
    model = zoo.build("mlp", (2,), 2, units=(6, 5), activation="tanh")
    before = {w.path: np.array(w) for w in model.weights}
    train(model, blobs, sgd(epochs=1, trainable=trainable))
    changed = {w.path for w in model.weights if not np.array_equal(w, before[w.path])}
    assert changed == {path for path in before if path.split("/")[0] in learns}


def test_frozen_normalisations_keep_their_statistics(blobs):
    model = zoo.build("mlp", (2,), 2, units=4, num_layers=1, batch_normalization=True)
    normalisation = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = normalisation.get_weights()
    train(model, blobs, sgd(epochs=1, trainable="head"))
    assert_same_weights(normalisation.get_weights(), before)
    train(model, blobs, sgd(epochs=1, trainable="all"))
    assert not any(np.array_equal(a, b) for a, b in zip(normalisation.get_weights(), before, strict=True))


def test_phases_train_what_each_says(blobs):
    model = zoo.build("mlp", (2,), 2, units=6, num_layers=1, activation="tanh")
    first = [np.array(w) for w in model.get_layer("dense1").weights]
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(w) for w in self.model.get_layer("dense1").weights])

    train(model, blobs, [sgd(trainable="head"), sgd(trainable="all", epochs=1)], callbacks=[Watch()])
    assert_same_weights(seen[0], first)
    assert_same_weights(seen[1], first)
    assert not np.array_equal(seen[2][0], first[0])


@pytest.mark.parametrize("wrong", ["dense3", ("predictions", "conv*")])
def test_a_pattern_without_a_layer_is_refused(blobs, wrong):
    with pytest.raises(UsageError, match="matches no layer"):
        train(zoo.build("mlp", (2,), 2), blobs, sgd(trainable=wrong))


def test_plain_arrays_are_data(blobs):
    run = train(zoo.build("softmax", (2,), 2), (blobs.train.inputs, blobs.train.labels), sgd())
    assert len(run.steps) == 2 * -(-162 // BATCH)  # a tenth is held out
    assert run.metrics["val_accuracy"] > 0.7


def test_a_plain_dataset_is_training_data(blobs):
    dataset = tf.data.Dataset.from_tensor_slices((blobs.train.inputs, blobs.train.labels)).batch(50)
    model, other = zoo.build("softmax", (2,), 2), zoo.build("softmax", (2,), 2)
    run = train(model, dataset, sgd(shuffle=False))
    assert len(run.steps) == 24
    assert run.validations.empty
    assert run.best is None
    without = zoo.DataSplits.from_arrays((blobs.train.inputs, blobs.train.labels), validation=None)
    train(other, without, sgd(shuffle=False))
    assert_same_weights(model.get_weights(), other.get_weights())


def test_a_sequential_model_trains(blobs):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    assert train(model, blobs, sgd()).metrics["val_accuracy"] > 0.7


def test_a_plain_functional_model_trains(blobs):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    model.compile("adam", "mse")  # recompiled, as promised
    run = train(model, blobs, sgd())
    assert run.metrics["val_accuracy"] > 0.7


def test_a_trained_model_goes_on_under_plain_fit(blobs):
    model = zoo.build("softmax", (2,), 2)
    run = train(model, blobs, sgd())
    steps = len(run.steps)
    model.fit(blobs.train.inputs, blobs.train.labels, epochs=1, verbose=0)
    assert len(run.steps) == steps
    again = train(model, blobs, sgd(epochs=1))
    assert len(again.steps) == 12


@pytest.mark.parametrize(
    ("model", "recipe", "message"),
    [
        (lambda: zoo.build("softmax", (3,), 2), sgd(), "inputs of shape"),
        (lambda: zoo.build("cnn", (8, 8, 1), 2), sgd(), "inputs of shape"),
        (lambda: zoo.build("softmax", (2,), 3), sgd(), "3 outputs"),
        (lambda: zoo.build("softmax", (2,), 2, classifier_activation=None), sgd(), "loss must be said"),
        (lambda: zoo.build("softmax", (2,), 2), sgd(batch_size=181, drop_remainder=True), "no batch"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(blobs, model, recipe, message):
    model = model()
    before = model.get_weights()
    with pytest.raises(UsageError, match=message):
        train(model, blobs, recipe)
    assert_same_weights(model.get_weights(), before)


def test_one_unit_does_not_fit_three_classes():
    with pytest.raises(UsageError, match="1 outputs"):
        train(zoo.build("logistic", (2,), 2), zoo.load_dataset("blobs3"), sgd())


@pytest.mark.parametrize(
    ("name", "activation", "loss"),
    [
        ("softmax", None, "sparse_categorical_crossentropy"),
        ("softmax", "softmax", "sparse_categorical_crossentropy_from_logits"),
        ("softmax", "softmax", "binary_crossentropy"),
        ("logistic", "sigmoid", "sparse_categorical_crossentropy"),
    ],
)
def test_a_loss_that_contradicts_the_output_is_refused(blobs, name, activation, loss):
    with pytest.raises(UsageError):
        train(zoo.build(name, (2,), 2, classifier_activation=activation), blobs, sgd(loss=loss, epochs=1))

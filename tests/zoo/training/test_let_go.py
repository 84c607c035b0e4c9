"""What `train` leaves behind (nothing: a search trains hundreds of models), and unusual models that it trains."""

from __future__ import annotations

import gc
import weakref

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

import zoo
from tuning.task import Setting, TrialTask
from tuning.trial import TrialRunner
from zoo.training.recipe import OPTIMIZERS


def graphs() -> int:
    gc.collect()
    return sum(type(thing) is FuncGraph for thing in gc.get_objects())


def small_data() -> zoo.DataSplits:
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 6, 1)).astype(np.uint8)
    return zoo.DataSplits.from_arrays((images, np.arange(60) % 2), validation=0.2)


def train(optimizer: str) -> weakref.ref:
    data = small_data()
    model = zoo.build("mlp", data.input_shape, 2, units=4, num_layers=1, batch_normalization=True, dropout=0.1)
    zoo.train(model, data, zoo.Recipe(optimizer=optimizer, epochs=1, batch_size=16), verbose=False)
    return weakref.ref(data.train.store)


@pytest.fixture(scope="module")
def trained_before():
    """What TensorFlow keeps once and for all is there."""
    train("sgd")


@pytest.mark.usefixtures("trained_before")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_is_left_of_a_trained_model(optimizer):
    before = graphs()
    store = train(optimizer)
    assert graphs() == before
    assert store() is None


def test_nothing_is_left_of_a_users_trial(tmp_path):
    import keras_tuner

    class Users(keras_tuner.HyperModel):
        def build(self, hp):
            units = hp.Int("units", 2, 4)
            model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(units)])
            model.add(keras.layers.Dense(2, activation="softmax"))
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

    def trial() -> None:
        setting = Setting(Users(), small_data(), zoo.Recipe(epochs=1, batch_size=16), "val_accuracy", "max")
        hp = keras_tuner.HyperParameters()
        hp.Int("units", 2, 4)
        outcome = TrialRunner(setting).run([TrialTask(0, hp.get_config(), str(tmp_path))])[0]
        assert outcome.status == "completed"

    trial()
    before = graphs()
    trial()
    assert graphs() == before


def test_a_model_that_is_not_built_yet_is_trained():
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    recipe = zoo.Recipe(loss="sparse_categorical_crossentropy_from_logits", epochs=2, batch_size=16)
    run = zoo.train(model, small_data(), recipe, verbose=False)
    assert len(run.history) == 2
    assert np.isfinite(run.steps["loss"]).all()


class OwnStep(keras.Model):
    """Keras's recipe for a training step without `compute_loss`."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, outputs))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(x, y, outputs)


def test_a_step_that_records_no_loss_is_trained():
    inputs = keras.Input((6, 6, 1))
    model = OwnStep(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(inputs)))
    run = zoo.train(model, small_data(), zoo.Recipe(epochs=2, batch_size=16), verbose=False)
    assert len(run.steps) == 0
    assert np.isfinite(run.history["loss"]).all()
    assert np.isfinite(run.metrics["val_loss"])

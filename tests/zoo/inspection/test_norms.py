"""Gradient norms against a plain tape, and over training."""

from __future__ import annotations

from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from inspected_models import KINDS, cnn, images, sparse_loss, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import GradientNormRecorder, gradient_norms, plot_gradient_history, plot_gradient_norms
from zoo.models.outputs import class_probabilities


@pytest.mark.parametrize("kind", KINDS)
def test_are_those_of_a_plain_tape(kind):
    model = KINDS[kind]()
    inputs, labels = images(4), np.array([0, 1, 2, 0])
    with unchanged(model):
        found = gradient_norms(model, inputs, labels, loss=sparse_loss)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(sparse_loss(labels, model(inputs, training=False)))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    total = np.sqrt(sum(np.square(g.numpy()).sum() for g in gradients))
    np.testing.assert_allclose(np.linalg.norm(found.norms), total, rtol=1e-4)
    last = np.sqrt(sum(np.square(g.numpy()).sum() for g in gradients[-2:]))
    np.testing.assert_allclose(found.norms[-1], last, rtol=1e-4)
    np.testing.assert_allclose(found.rms[-1], last / np.sqrt(sum(g.numpy().size for g in gradients[-2:])), rtol=1e-4)


def test_penalties_count_and_batch_statistics_stay():
    model = cnn(batch_normalization=True, dropout=0.5, l2=0.1)
    with unchanged(model):
        here = gradient_norms(model, images(4), [0, 1, 2, 0], training=True)
        again = gradient_norms(model, images(4), [0, 1, 2, 0], training=True)
    np.testing.assert_array_equal(here.norms, again.norms)  # one dropout mask
    assert here.layers[-1] == "predictions"
    assert np.linalg.norm(here.norms) > np.linalg.norm(gradient_norms(cnn(), images(4), [0, 1, 2, 0]).norms)


def test_a_chain_of_sigmoids_vanishes():
    model = zoo.build("mlp", (4,), 2, units=8, num_layers=8, activation="sigmoid")
    norms = gradient_norms(model, images(4, (4,)), [0, 1, 1, 0]).rms
    assert (norms[1:-1] > 2 * norms[:-2]).all()


def test_records_over_training_and_draws():
    model, inputs, labels = cnn(), images(8), np.arange(8) % 3
    recorder = GradientNormRecorder(inputs, labels)
    with pytest.raises(UsageError, match="Received: no history"):
        plot_gradient_history(recorder)
    before = gradient_norms(model, inputs, labels)
    data = zoo.DataSplits.from_arrays((inputs, labels), validation=None)
    zoo.train(model, data, zoo.Recipe(epochs=2, batch_size=4, optimizer="sgd"), callbacks=[recorder])
    assert recorder.norms.shape == (3, 4)
    np.testing.assert_array_equal(recorder.norms[0], before.norms)
    np.testing.assert_allclose(recorder.norms[-1], gradient_norms(model, inputs, labels).norms, rtol=1e-5)
    history = plot_gradient_history(recorder).axes[0]
    assert (history.get_xlabel(), history.get_ylabel()) == ("epochs done", "‖∂E/∂w‖")
    depth = plot_gradient_norms(before).axes[0]
    assert depth.get_title()
    assert depth.get_xlabel() == "layer"
    assert depth.get_ylabel() == "norm of the gradient"
    assert [t.get_text() for t in depth.get_xticklabels()] == list(before.layers)


def test_needs_something_trainable():
    model = cnn()
    model.trainable = False
    with pytest.raises(UsageError, match="Received: a frozen model"):
        gradient_norms(model, images(2), [0, 1])


def two_inputs(as_dictionary: bool) -> keras.Model:
    """Tokens before numbers: the types differ."""
    tokens, numbers = keras.Input((5,), dtype="int32", name="tokens"), keras.Input((4,), name="numbers")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(7, 2)(tokens))
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Concatenate()([embedded, numbers]))
    inputs = {"tokens": tokens, "numbers": numbers} if as_dictionary else [tokens, numbers]
    return keras.Model(inputs, outputs, name="two")


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_each_of_several_inputs_keeps_its_type(as_dictionary):
    model = two_inputs(as_dictionary)
    tokens, numbers = np.arange(15).reshape(3, 5) % 7, images(3, (4,))
    named = {"numbers": numbers, "tokens": tokens}
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(sparse_loss([0, 1, 2], model(named)))
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, [v.value for v in model.trainable_variables])]
    expected = [tf.norm(gradients[0]), tf.linalg.global_norm(gradients[1:])]
    for inputs in [named] if as_dictionary else [named, [tokens, numbers], (tokens, numbers)]:
        np.testing.assert_allclose(gradient_norms(model, inputs, [0, 1, 2]).norms, expected, rtol=1e-5)


def test_a_subclassed_model_may_take_several_inputs():
    class Sum(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs[0]) + inputs[1]

    model, inputs = Sum(), [images(2, (4,)), images(2, (3,))]
    model(inputs)
    assert gradient_norms(model, inputs, [0, 1], loss=sparse_loss).norms.shape == (1,)


def test_other_inputs_are_refused():
    model = two_inputs(as_dictionary=False)
    numbers = images(3, (4,))
    for inputs, words in (
        ([numbers], r"a list of 2 inputs. Received: 1 inputs"),
        (numbers, "a list of 2 inputs. Received: ndarray"),
        ({"numbers": numbers}, r"by the names \['numbers', 'tokens'\]. Received: \['numbers'\]"),
        ([numbers, numbers], r"of shape \(5,\). Received: \(3, 4\)"),
    ):
        with pytest.raises(UsageError, match=words):
            gradient_norms(model, inputs, [0, 1, 2])
    with pytest.raises(UsageError, match="takes arrays of numbers"):
        gradient_norms(zoo.build("mlp", (4,), 3, units=5), [[1.0, 2.0], [3.0]], [0, 1])
    rows = numbers.tolist()
    assert gradient_norms(zoo.build("mlp", (4,), 3, units=5), rows, [0, 1, 2]).norms.all()


def test_probabilities_in_bfloat16_without_logits_are_no_logits():
    """The two columns of an exported model; a cast of them must not pass for the logits."""
    inputs = keras.Input((4,))
    outputs = class_probabilities(keras.layers.Dense(1, dtype="mixed_bfloat16", name="dense")(inputs), "logit")
    model = keras.Model(inputs, outputs)
    wide = keras.Sequential([inputs, keras.layers.Dense(1)])
    wide.set_weights(model.get_weights())
    data = images(8, (4,)), np.arange(8) % 2
    np.testing.assert_allclose(gradient_norms(model, *data).norms, gradient_norms(wide, *data).norms, rtol=0.05)

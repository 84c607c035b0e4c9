"""Gradient norms against a plain tape, and over training."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from inspected_models import KINDS, cnn, images, sparse_loss, unchanged

import zoo
from zoo.errors import UsageError
from zoo.inspection import GradientNormRecorder, gradient_norms, plot_gradient_history, plot_gradient_norms


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

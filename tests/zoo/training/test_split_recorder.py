"""`SplitRecorder` says what `zoo.evaluate` says of the same weights, and leaves training as it is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.training.split_recorder import SplitRecorder

RECIPE = zoo.Recipe(optimizer="sgd", learning_rate=0.1, batch_size=32, epochs=2)


@pytest.fixture(scope="module")
def data() -> zoo.DataSplits:
    return zoo.load_dataset("digits", limit=1200)


def build(data):
    return zoo.build("mlp", data.input_shape, data.num_classes, units=8, l2=0.01, dropout=0.5)


def test_it_measures_all_examples_before_training_and_after_each_epoch(data):
    model, recorder = build(data), SplitRecorder(data.train)  # 1,080 images: the last batch is a smaller one
    before = zoo.evaluate(model, data.train)
    middle = build(data)
    zoo.train(middle, data, [RECIPE], verbose=False)
    halfway = zoo.evaluate(middle, data.train)
    zoo.train(model, data, [RECIPE, RECIPE], callbacks=[recorder], verbose=False)  # two phases, one count of epochs
    after = zoo.evaluate(model, data.train)
    table = recorder.table
    assert table["epoch"].tolist() == [0, 1, 2, 3, 4]
    for row, expected in ((0, before), (2, halfway), (4, after)):
        assert table["loss"][row] == pytest.approx(expected.loss, rel=1e-5)  # no penalty, no dropout
        assert table["accuracy"][row] == pytest.approx(expected.accuracy, abs=1e-7)  # a float32 metric


def test_other_losses_are_measured_in_the_same_pass(data):
    model, count = build(data), len(data.train)  # the last batch is a smaller one, and counts as such
    losses = {"label": lambda labels, outputs: tf.reduce_mean(tf.cast(labels, tf.float32))}
    recorder = SplitRecorder(data.train, losses=losses)
    zoo.train(model, data, RECIPE, callbacks=[recorder], verbose=False)
    assert list(recorder.table) == ["epoch", "loss", "accuracy", "label"]
    assert recorder.table["label"].to_numpy() == pytest.approx([data.train.labels.sum() / count] * 3, rel=1e-6)
    assert recorder.table["loss"].iloc[-1] == pytest.approx(zoo.evaluate(model, data.train).loss, rel=1e-5)


def test_training_is_the_same_with_and_without_it(data):
    plain, watched = build(data), build(data)
    one = zoo.train(plain, data, RECIPE, verbose=False)
    other = zoo.train(watched, data, RECIPE, callbacks=[SplitRecorder(data.train)], verbose=False)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.history["accuracy"].tolist() == other.history["accuracy"].tolist()

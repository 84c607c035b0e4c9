from __future__ import annotations

import zoo.startup

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo

# isort: split
import keras
import tensorflow as tf

from zoo.data.pipeline import scale
from zoo.data.split import Scaling, Split, as_split


def numbered(count):
    """Example k is the number k, with label k modulo 3."""
    return Split.from_arrays(np.arange(count, dtype=np.float32)[:, np.newaxis], np.arange(count) % 3)


def streamed(count):
    split = numbered(count)
    return as_split(tf.data.Dataset.from_tensor_slices((split.inputs, split.labels)).batch(4))


def order(batches):
    """One pass: the numbers of the examples, after checking that each has kept its label."""
    pairs = [(x[:, 0].astype(int), y) for x, y in batches.as_numpy_iterator()]
    numbers = np.concatenate([x for x, _ in pairs]).tolist()
    assert np.concatenate([y for _, y in pairs]).tolist() == [k % 3 for k in numbers]
    return numbers


# batches


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 30), batch_size=st.integers(1, 35), drop=st.booleans(), shuffle=st.booleans())
def test_the_sizes_of_batches(count, batch_size, drop, shuffle):
    full, rest = divmod(count, batch_size)
    expected = [batch_size] * full + [rest] * (rest > 0 and not drop)
    for split in (numbered(count), streamed(count)):
        batches = split.batches(batch_size, drop_remainder=drop, shuffle=shuffle)
        assert [len(y) for _, y in batches] == expected
        assert batches.cardinality() == len(expected)


@pytest.mark.parametrize("make", [numbered, streamed])
def test_without_shuffling_every_pass_is_in_order(make):
    batches = make(11).batches(4)
    assert order(batches) == order(batches) == list(range(11))
    assert batches.element_spec[1].dtype == tf.int32


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_refused(batch_size):
    with pytest.raises(zoo.UsageError, match="batch_size"):
        numbered(4).batches(batch_size)


def test_plain_keras_takes_the_batches():
    split = zoo.load_dataset("blobs").train
    model = keras.Sequential([keras.Input(split.input_shape), keras.layers.Dense(2, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy")
    history = model.fit(split.batches(32, shuffle=True), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert model.optimizer.iterations == 2 * -(-len(split) // 32)


# shuffling


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 2**40))
def test_every_shuffled_pass_is_another_permutation(count, batch_size, seed):
    batches = numbered(count).batches(batch_size, shuffle=True, seed=seed)
    again = numbered(count).batches(batch_size, shuffle=True, seed=seed)
    passes = [order(batches) for _ in range(3)]
    assert passes == [order(again) for _ in range(3)]
    assert all(sorted(numbers) == list(range(count)) for numbers in passes)
    if count >= 15:
        assert len({tuple(numbers) for numbers in passes}) == 3


def test_the_order_does_not_depend_on_the_batch_size():
    assert order(numbered(30).batches(4, shuffle=True)) == order(numbered(30).batches(30, shuffle=True))


def test_another_seed_is_another_order():
    assert len({tuple(order(numbered(30).batches(8, shuffle=True, seed=seed))) for seed in range(5)}) == 5


def test_a_pass_that_was_broken_off_does_not_spoil_the_next():
    batches = numbered(30).batches(4, shuffle=True)
    next(iter(batches))
    assert sorted(order(batches)) == list(range(30))


def test_streamed_examples_are_shuffled_anew_in_every_pass():
    batches = streamed(30).batches(4, shuffle=True)
    passes = [order(batches) for _ in range(3)]
    assert all(sorted(numbers) == list(range(30)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) == 3


def test_the_order_does_not_depend_on_tensorflows_global_seed():
    orders = set()
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        np.random.seed(global_seed)
        batches = numbered(30).batches(4, shuffle=True, seed=5)
        orders.add((tuple(order(batches)), tuple(order(batches))))
    assert len(orders) == 1


# scaling


@settings(deadline=None, max_examples=30)
@given(low=st.floats(-300, 300), width=st.floats(0.1, 300))
def test_pixels_are_scaled_onto_the_range(low, width):
    scaled = scale(tf.range(256) % 256, Scaling.to_range((low, low + width))).numpy()
    tolerance = 1e-6 * (abs(low) + width)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[[0, -1]], [low, low + width], atol=tolerance)
    np.testing.assert_allclose(scaled, np.linspace(low, low + width, 256), atol=tolerance)


@pytest.mark.parametrize("limits", [(0, 1), (-1, 1), (0, 255)])
def test_batches_are_in_the_input_range_and_stored_batches_are_not(limits):
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    split = Split.from_arrays(images, [0, 1, 0, 1], input_range=limits)
    scaled = np.concatenate([x for x, _ in split.batches(3).as_numpy_iterator()])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.reshape(-1), np.linspace(*limits, 256), atol=1e-4)
    stored = list(split.stored_batches(3).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([x for x, _ in stored])[..., 0], images)
    assert stored[0][0].dtype == np.uint8
    assert stored[0][1].dtype == np.int32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_pass_as_they_are(dtype):
    values = np.array([[-3.5], [1e-9], [700.25]], dtype)
    (batch, _), *_ = Split.from_arrays(values, [0, 1, 1], input_range=(-1, 1)).batches(3).as_numpy_iterator()
    assert batch.dtype == dtype
    np.testing.assert_array_equal(batch, values)

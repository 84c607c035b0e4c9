"""Streams that are read from their beginning: their order, their number and their cache."""

from __future__ import annotations

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass

# isort: split
import tensorflow as tf
from streaming_examples import COUNT, PLACES, Source, left_in, order

import zoo
from zoo.data import streaming
from zoo.data.split import as_split
from zoo.data.streaming import RepeatableStream


@PLACES
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_repeatable_stream_that_fits_is_read_once(put_in, place, shuffle):
    folder = put_in(place)
    source = Source()
    batches = source.split.batches(7, shuffle=shuffle, seed=1)
    passes = [order(batches) for _ in range(3)]
    assert order(source.split.stored_batches(4)) == list(range(COUNT))
    assert all(sorted(numbers) == list(range(COUNT)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) == (3 if shuffle else 1)
    assert source.opened == (1 if place else 4)
    assert left_in(folder) == []


def test_a_pass_over_a_stream_that_was_broken_off_spoils_nothing():
    source = Source(count=200)
    batches = source.split.batches(8, shuffle=True)
    order(source.split.batches(8).take(1))
    next(iter(batches))
    both = iter(batches), iter(source.split.stored_batches(4))  # two passes at once fill one cache
    assert [len(next(iterator)[1]) for iterator in both] == [8, 4]
    del both
    assert sorted(order(batches)) == list(range(200))
    opened = source.opened
    for _ in range(2):
        assert sorted(order(batches)) == list(range(200))
        assert order(source.split.batches(8)) == list(range(200))
    assert source.opened == opened


@pytest.mark.parametrize("drop", [False, True])
def test_the_number_of_batches_is_known(drop):
    for stream in (RepeatableStream, lambda read: read):
        split = Source(stream=stream).split
        for batches in (
            split.batches(8, drop_remainder=drop),
            split.batches(8, drop_remainder=drop, augment=["noise"]),
        ):
            assert batches.cardinality() == len(list(batches)) == (6 if drop else 7)
        assert split.stored_batches(8).cardinality() == 7
        assert split.stored_batches(8).element_spec[0].shape == (None, 2, 2, 1)


def test_a_stream_that_is_shorter_than_its_split_is_an_error():
    source = Source()
    source.split.size = COUNT + 20
    for _ in range(2):
        with pytest.raises(tf.errors.OpError, match="expected to contain 18 elements"):
            order(source.split.batches(4))


def test_the_order_of_a_stream_is_a_function_of_seed_and_pass(monkeypatch):
    monkeypatch.setattr(streaming, "_SHUFFLE_BUFFER", 10)
    orders = []
    for global_seed in (None, 1):
        if global_seed is not None:
            tf.random.set_seed(global_seed)
        for stream in (RepeatableStream, lambda read: read):
            batches = Source(stream=stream).split.batches(6, shuffle=True, seed=5)
            orders.append([order(batches) for _ in range(3)])
    assert all(passes == orders[0] for passes in orders)  # cached or not, whatever the global seed
    assert len({tuple(numbers) for numbers in orders[0]}) == 3
    assert max(abs(place - number) for place, number in enumerate(orders[0][0])) > 5
    others = {tuple(order(Source().split.batches(6, shuffle=True, seed=seed))) for seed in range(3)}
    assert len(others) == 3


def pairs(shape=(12, 3)):
    return tf.data.Dataset.from_tensor_slices((np.zeros(shape, np.float32), np.arange(12) % 2)).batch(4)


OPEN = tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None,), tf.int64)
UNFIT = {
    "no end": (lambda: pairs().repeat(), r"the dataset never ends; leave out \.repeat\(\), Recipe\(epochs=\.\.\.\)"),
    "named inputs": (lambda: pairs().map(lambda x, y: ({"x": x}, y)), r"must give batches of \(inputs, labels\)"),
    "three parts": (lambda: pairs().map(lambda x, y: (x, y, y)), r"must give batches of \(inputs, labels\)"),
    "sizes that differ": (
        lambda: tf.data.Dataset.from_generator(lambda: iter(()), output_signature=OPEN),
        r"must have one known shape; use ensure_shape\. Received: \(None, None, None, 3\)",
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_users_dataset_that_cannot_be_trained_on_is_refused(kind):
    make, message = UNFIT[kind]
    with pytest.raises(zoo.DataError, match=message):
        as_split(make())


def test_a_users_dataset_is_read_anew_in_every_pass():
    calls = []

    def augmented(x, y):
        return tf.numpy_function(lambda x: calls.append(1) or x + np.float32(len(calls)), [x], tf.float32), y

    values = np.zeros((12, 1), np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((values, np.arange(12) % 2)).batch(4)
    split = as_split(dataset.map(lambda x, y: (tf.ensure_shape(augmented(x, y)[0], (None, 1)), y)))
    batches = split.batches(4)
    first, second = one_pass(batches), one_pass(batches)
    assert (second[0] > first[0]).all()
    np.testing.assert_array_equal(first[1], second[1])
    assert not hasattr(split, "_pixel_cache")

"""Maximum pooling against its definition, Keras and TensorFlow."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import (
    max_pooling,
    max_pooling_gradient,
)

QUICK = settings(deadline=None, max_examples=40, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


@QUICK
@given(SEEDS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_max_pooling_is_its_definition(seed, size, strides, more_rows, more_columns):
    x = np.random.default_rng(seed).normal(size=(2, size + more_rows, size + more_columns, 3))
    y = max_pooling(x, size, strides)
    assert y.shape == (2, more_rows // strides + 1, more_columns // strides + 1, 3)
    for n, i, j, c in np.ndindex(y.shape):
        assert y[n, i, j, c] == max(x[n, strides * i + u, strides * j + v, c] for u in range(size) for v in range(size))


@pytest.mark.parametrize(("size", "strides"), [(1, 2), (2, 2), (3, 2)])
def test_max_pooling_is_that_of_keras(size, strides):
    x = np.random.default_rng(0).normal(size=(2, 8, 7, 3))
    layer = keras.layers.MaxPooling2D(size, strides=strides, dtype="float64")
    np.testing.assert_array_equal(max_pooling(x, size, strides), layer(x))


@QUICK
@given(SEEDS, st.integers(1, 3), st.integers(1, 4), st.tuples(*[st.integers(3, 7)] * 2), st.integers(1, 9))
def test_the_gradient_of_max_pooling_is_that_of_tensorflow_with_ties_and_overlaps(seed, size, strides, image, levels):
    random = np.random.default_rng(seed)
    x = tf.constant(random.integers(levels, size=(2, *image, 2)), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.max_pool(x, size, strides, "VALID")
        delta = random.integers(-9, 9, size=y.shape).astype(np.float64)
        loss = tf.reduce_sum(y * delta)
    np.testing.assert_array_equal(max_pooling_gradient(x, delta, size, strides), tape.gradient(loss, x))


def test_among_equals_the_first_in_row_major_order_receives_delta_and_overlapping_windows_add():
    x = np.reshape([[1.0, 3.0, 3.0], [3.0, 0.0, 0.0]], (1, 2, 3, 1))
    found = max_pooling_gradient(x, np.reshape([10.0, 5.0], (1, 1, 2, 1)), 2, 1)
    np.testing.assert_array_equal(found[0, :, :, 0], [[0.0, 15.0, 0.0], [0.0, 0.0, 0.0]])


def test_the_gradient_of_max_pooling_refuses_a_delta_of_another_shape():
    with pytest.raises(ValueError, match=r"outputs, \(1, 2, 2, 1\). Received: delta=\(2, 2\)$"):
        max_pooling_gradient(np.ones((1, 4, 4, 1)), np.ones((2, 2)), 2, 2)


@pytest.mark.parametrize(("shape", "size", "strides"), [((1, 4, 4, 1), 5, 1), ((1, 4, 4, 1), 0, 1), ((4, 4, 1), 2, 1)])
def test_max_pooling_refuses_what_does_not_fit(shape, size, strides):
    with pytest.raises(ValueError, match="Received: "):
        max_pooling(np.ones(shape), size, strides)

"""Random networks, layer by layer, against stock Keras layers and autodiff in float64."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_pairs import EXAMPLES, SMOOTH, WITH_KINKS, Pairs, largest_error

from zoo.reference import (
    Activation,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    Network,
    numerical_gradient,
)

QUICK = settings(deadline=None, max_examples=25, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
# Powers of two: Keras rounds a penalty's strength to float32.
PENALTIES = st.sampled_from([{}, {"l1": 2.0**-5}, {"l2": 2.0**-4, "penalize_bias": True}])
OUTPUTS = st.sampled_from(["identity", "sigmoid", "softmax"])


def dense_blocks(normalizations: list[str | None], activations: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "units": st.integers(2, 4),
            "normalized": st.sampled_from(normalizations),
            "activation": st.sampled_from([*activations, "softmax"]),
            "dropout": st.sampled_from([None, 0.25, 0.6]),
        }
    )


def image_blocks(normalizations: list[str | None], activations: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "filters": st.sampled_from([2, 4]),
            "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
            "strides": st.sampled_from([1, 1, 2, 3]),
            "padding": st.sampled_from(["same", "valid"]),
            "groups": st.sampled_from([1, 1, 2]),
            "normalized": st.sampled_from([*normalizations, "response"]),
            "activation": st.sampled_from(activations),
            "pool": st.sampled_from([None, (2, 2), (3, 2), (2, 1), (3, 1)]),
            "dropout": st.sampled_from([None, 0.25]),
        }
    )


def of_dense_blocks(*kind: list[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(dense_blocks(*kind), max_size=3)


def of_image_and_dense_blocks(*kind: list[Any]) -> st.SearchStrategy[tuple[list[dict[str, Any]], ...]]:
    return st.tuples(st.lists(image_blocks(*kind), min_size=1, max_size=2), st.lists(dense_blocks(*kind), max_size=1))


# Random networks


@QUICK
@given(
    SEEDS,
    st.integers(1, 4),
    of_dense_blocks(["batch", "batch", None], SMOOTH) | of_dense_blocks([None], WITH_KINKS),
    OUTPUTS,
    PENALTIES,
    st.booleans(),
)
def test_dense_networks_have_the_gradients_of_keras(seed, features, blocks, output, penalties, training):
    pairs = Pairs((features,), seed)
    for block in blocks:
        pairs.add_dense_block(block)
    labels = pairs.add_output(output)
    assert largest_error(pairs, labels, output, penalties, training=training) <= 1e-10


@QUICK
@given(
    SEEDS,
    st.tuples(st.integers(3, 7), st.integers(3, 7), st.sampled_from([1, 2])),
    of_image_and_dense_blocks(["batch", "batch", None], SMOOTH) | of_image_and_dense_blocks([None], WITH_KINKS),
    st.booleans(),
    OUTPUTS,
    PENALTIES,
)
def test_convolutional_networks_have_the_gradients_of_keras(seed, image, blocks, averaged, output, penalties):
    pairs = Pairs(image, seed)
    for block in blocks[0]:
        pairs.add_image_block(block)
    if averaged:
        pairs.add(GlobalAveragePooling(), keras.layers.GlobalAveragePooling2D(dtype="float64"))
    else:
        pairs.add(Flatten(), keras.layers.Flatten(dtype="float64"))
    for block in blocks[1]:
        pairs.add_dense_block(block)
    labels = pairs.add_output(output)
    assert largest_error(pairs, labels, output, penalties) <= 1e-10


# Known networks

BLOCK = {
    "filters": 4,
    "kernel": (3, 2),
    "strides": 1,
    "padding": "valid",
    "groups": 1,
    "normalized": None,
    "activation": "sigmoid",
    "pool": (2, 2),
    "dropout": None,
}


@pytest.mark.parametrize("pool", [(2, 2), (3, 2), (3, 1), (2, 3)], ids=str)
def test_sigmoid_convolution_pooling_and_dense_sigmoid_under_the_squared_error(pool):
    pairs = Pairs((8, 7, 2), 0)
    pairs.add_image_block({**BLOCK, "pool": pool})
    pairs.add(Flatten(), keras.layers.Flatten(dtype="float64"))
    pairs.add_dense(3)
    pairs.add_activation("sigmoid")
    assert largest_error(pairs, pairs.random.uniform(size=(EXAMPLES, 3)), "identity") <= 1e-10


def test_convolution_batch_normalization_relu_twice():
    pairs = Pairs((6, 6, 2), 1)
    for _ in range(2):
        pairs.add_image_block({**BLOCK, "normalized": "batch", "activation": "relu", "padding": "same"})
    pairs.add(Flatten(), keras.layers.Flatten(dtype="float64"))
    labels = pairs.add_output("softmax")
    assert largest_error(pairs, labels, "softmax", {"l2": 2.0**-4}) <= 1e-10


def test_gradients_of_every_layer_equal_central_differences():
    pairs = Pairs((6, 5, 2), 2)
    pairs.add_image_block({**BLOCK, "normalized": "batch", "activation": "tanh", "pool": (3, 1), "dropout": 0.25})
    pairs.add_image_block({**BLOCK, "kernel": (2, 2), "padding": "same", "groups": 2, "normalized": "response"})
    pairs.add(Flatten(), keras.layers.Flatten(dtype="float64"))
    labels = pairs.add_output("softmax")
    network, options = Network(pairs.ours, "softmax"), {"training": True, "l1": 0.01, "l2": 0.02}
    loss, gradient = network.loss_and_gradient(pairs.x, labels, **options)(network.weights)
    numerical = numerical_gradient(
        lambda w: network.with_weights(w).loss(pairs.x, labels, **options).total, network.weights
    )
    assert loss == network.loss(pairs.x, labels, **options).total
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)


# Layers alone


def test_a_flattened_image_keeps_the_channels_of_a_pixel_together():
    y, cache = Flatten().forward(np.arange(8.0).reshape(1, 2, 2, 2))
    np.testing.assert_array_equal(y, [np.arange(8.0)])
    assert Flatten().backward(y, cache)[0].shape == (1, 2, 2, 2)


def test_dropout_is_nothing_but_in_training():
    layer, x = Dropout(0.5, [[0, 1, 1]]), np.array([[1.0, 2.0, 3.0]])
    y, cache = layer.forward(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(layer.backward(x, cache)[0], x)
    y, cache = layer.forward(x, training=True)
    np.testing.assert_array_equal(y, [[0.0, 4.0, 6.0]])
    np.testing.assert_array_equal(layer.backward(np.ones((1, 3)), cache)[0], [[0.0, 2.0, 2.0]])


def test_a_generator_draws_a_mask_for_each_pass_and_the_backward_pass_has_that_of_its_forward_pass():
    layer, x = Dropout(0.3, np.random.default_rng(0)), np.ones((200, 100))
    (first, cache), (second, _) = (layer.forward(x, training=True) for _ in range(2))
    assert np.any(first != second)
    np.testing.assert_array_equal(np.unique(first), [0.0, 1.0 / 0.7])
    assert first.mean() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(layer.backward(x, cache)[0], first)


def test_loss_and_gradient_come_from_one_pass():
    network = Network([Dropout(0.5, np.random.default_rng(0)), Dense(np.ones((4, 1)))])
    x, y = np.ones((1, 4)), np.zeros((1, 1))
    for _ in range(5):
        loss, gradient = network.loss_and_gradient(x, y, training=True)(network.weights)
        assert loss == gradient.max() ** 2 / 16  # E = a² with a = 2 kept, and ∂E/∂w = 2a·2 where kept, 0 elsewhere


def test_layers_without_a_bias_have_no_gradient_for_one():
    for layer, x in (
        (Dense(np.ones((2, 3))), np.ones((1, 2))),
        (Convolution(np.ones((1, 1, 2, 3))), np.ones((1, 2, 2, 2))),
    ):
        y, cache = layer.forward(x)
        assert list(layer.weights) == list(layer.backward(y, cache)[1]) == ["kernel"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Activation("gelu"), "Received: name='gelu'$"),
        (lambda: Dense(np.ones(2)), r"Received: kernel=\(2,\), bias=None$"),
        (lambda: Dense(np.ones((2, 3)), np.ones(2)), r"Received: kernel=\(2, 3\), bias=\(2,\)$"),
        (lambda: Dropout(1.0, [1]), r"Received: rate=1.0$"),
        (lambda: Dropout(-0.1, [1]), r"Received: rate=-0.1$"),
        (lambda: Dropout(0.5, [1]).forward(np.ones((1, 2)), training=True), r"Received: mask=\(1,\)$"),
    ],
)
def test_layers_refuse_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Random networks, layer by layer, against stock Keras layers and autodiff in float64."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.reference import (
    Activation,
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    LocalResponseNormalization,
    MaxPooling,
    Network,
    numerical_gradient,
)

QUICK = settings(deadline=None, max_examples=25, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
EXAMPLES, CLASSES = 5, 3
LRN = {"radius": 1, "alpha": 0.3, "beta": 0.75, "bias": 1.5}
# Powers of two: Keras rounds a penalty's strength to float32.
PENALTIES = st.sampled_from([{}, {"l1": 2.0**-5}, {"l2": 2.0**-4, "penalize_bias": True}])
OUTPUTS = st.sampled_from(["identity", "sigmoid", "softmax"])
# A bias whose effect reaches a batch normalisation as a shift has a gradient of zero, and so an error without a measure: a
# random network has either batch normalisations and smooth activations, or kinks and no batch normalisation.
SMOOTH, WITH_KINKS = ["sigmoid", "tanh"], ["identity", "relu", "sigmoid", "tanh"]


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


def response_normalization(x: tf.Tensor) -> tf.Tensor:
    """Differentiated by TensorFlow: its own operation has no float64 kernel."""
    channels, radius = x.shape[-1], LRN["radius"]
    band = tf.linalg.band_part(tf.ones((channels, channels), x.dtype), radius, radius)
    return x / (LRN["bias"] + LRN["alpha"] * tf.tensordot(x**2, band, 1)) ** LRN["beta"]


class Pairs:
    """Layers of the reference, and the stock Keras layers (or operations) that they are to equal."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.x = self.random.normal(size=(EXAMPLES, *shape))
        self.shape: tuple[int, ...] = self.x.shape
        self.ours: list[Any] = []
        self.theirs: list[Any] = []

    def draw(self, *shape: int) -> np.ndarray:
        return self.random.normal(scale=0.7, size=shape)

    def add(self, ours: Any, theirs: Any) -> None:
        if isinstance(theirs, keras.layers.Layer):
            theirs.build(self.shape)
            for variable, value in zip(theirs.trainable_weights, ours.weights.values(), strict=True):
                variable.assign(value)
        self.shape = ours.forward(np.zeros(self.shape))[0].shape
        self.ours.append(ours)
        self.theirs.append(theirs)

    def add_dense(self, units: int, *, use_bias: bool = True) -> None:
        bias = self.draw(units) if use_bias else None
        self.add(
            Dense(self.draw(self.shape[1], units), bias), keras.layers.Dense(units, None, use_bias, dtype="float64")
        )

    def add_convolution(self, block: dict[str, Any]) -> None:
        height, width = block["kernel"]
        groups = block["groups"] if self.shape[3] % block["groups"] == 0 else 1
        fits = height <= self.shape[1] and width <= self.shape[2]
        use_bias = block["normalized"] != "batch"
        options = {
            "strides": block["strides"],
            "padding": block["padding"] if fits else "same",
            "groups": groups,
        }
        self.add(
            Convolution(
                self.draw(height, width, self.shape[3] // groups, block["filters"]),
                self.draw(block["filters"]) if use_bias else None,
                **options,
            ),
            keras.layers.Conv2D(block["filters"], (height, width), **options, use_bias=use_bias, dtype="float64"),
        )

    def add_normalization(self, kind: str | None) -> None:
        if kind == "batch":
            channels = self.shape[-1]
            ours = BatchNormalization(self.random.uniform(0.5, 1.5, channels), self.draw(channels))
            self.add(ours, keras.layers.BatchNormalization(dtype="float64"))
        elif kind == "response":
            self.add(LocalResponseNormalization(**LRN), response_normalization)

    def add_dropout(self, rate: float | None) -> None:
        """The Keras layer draws its mask on ones, and again the same one when its seed is put back."""
        if rate is not None:
            theirs = keras.layers.Dropout(rate, seed=int(self.random.integers(1000)), dtype="float64")
            state = np.array(theirs.seed_generator.state)
            mask = np.array(theirs(tf.ones(self.shape, tf.float64), training=True)) > 0
            theirs.seed_generator.state.assign(state)
            self.add(Dropout(rate, mask), theirs)

    def add_activation(self, name: str) -> None:
        self.add(Activation(name), keras.activations.get("linear" if name == "identity" else name))

    def add_dense_block(self, block: dict[str, Any]) -> None:
        self.add_dense(block["units"], use_bias=block["normalized"] is None)
        self.add_normalization(block["normalized"])
        self.add_activation(block["activation"])
        self.add_dropout(block["dropout"])

    def add_image_block(self, block: dict[str, Any]) -> None:
        self.add_convolution(block)
        if block["normalized"] == "batch":
            self.add_normalization("batch")
        self.add_activation(block["activation"])
        if block["normalized"] == "response":
            self.add_normalization("response")
        if block["pool"] and block["pool"][0] <= min(self.shape[1:3]):
            self.add(MaxPooling(*block["pool"]), keras.layers.MaxPooling2D(*block["pool"], dtype="float64"))
        self.add_dropout(block["dropout"])

    def add_output(self, output: str) -> np.ndarray:
        self.add_dense(1 if output == "sigmoid" else CLASSES)
        return {
            "identity": self.random.normal(size=(EXAMPLES, CLASSES)),
            "sigmoid": self.random.integers(2, size=(EXAMPLES, 1)),
            "softmax": self.random.integers(CLASSES, size=EXAMPLES),
        }[output]


def keras_backward(pairs: Pairs, labels: np.ndarray, output: str, penalties: dict[str, Any], *, training: bool) -> Any:
    """(Total loss, outputs, deltas, gradients): as `Network.backward` has them, by autodiff."""
    data_loss = {
        "identity": keras.losses.MeanSquaredError(dtype="float64"),
        "sigmoid": keras.losses.BinaryCrossentropy(from_logits=True, dtype="float64"),
        "softmax": keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64"),
    }[output]
    penalty = keras.regularizers.L1L2(penalties.get("l1", 0.0), penalties.get("l2", 0.0))
    names = ("kernel", "bias") if penalties.get("penalize_bias") else ("kernel",)
    weights = [w for layer in pairs.theirs for w in getattr(layer, "trainable_weights", [])]
    outputs = [tf.constant(pairs.x)]
    with tf.GradientTape() as tape:
        tape.watch(outputs[0])
        for layer in pairs.theirs:
            is_layer = isinstance(layer, keras.layers.Layer)
            outputs.append(layer(outputs[-1], training=training) if is_layer else layer(outputs[-1]))
            tape.watch(outputs[-1])
        loss = data_loss(labels, outputs[-1]) + sum(penalty(w.value) for w in weights if w.name in names)
    found = tape.gradient(loss, [*outputs, *(w.value for w in weights)])
    return float(loss), outputs, found[: len(outputs)], found[len(outputs) :]


def relative_error(ours: np.ndarray, theirs: Any) -> float:
    """max|a - b| / max|b|; 0 where both vanish."""
    b = np.asarray(theirs)
    assert b.dtype == ours.dtype == np.float64
    assert ours.shape == b.shape
    error, size = np.abs(ours - b).max(), np.abs(b).max()
    return float(error / size) if error else 0.0


def largest_error(
    pairs: Pairs, labels: np.ndarray, output: str, penalties: dict[str, Any] | None = None, *, training: bool = True
) -> float:
    """The largest relative error of a tensor of the backward pass: outputs, deltas and gradients."""
    penalties = penalties or {}
    network = Network(pairs.ours, output)
    ours = network.backward(pairs.x, labels, training=training, **penalties)
    loss, *theirs = keras_backward(pairs, labels, output, penalties, training=training)
    assert ours.loss.total == pytest.approx(loss, rel=1e-12)
    if training:
        assert network.loss(pairs.x, labels, training=True, **penalties) == ours.loss
    gradients = [gradient for layer in ours.gradients for gradient in layer.values()]
    tensors = zip((ours.forward.outputs, ours.deltas, gradients), theirs, strict=True)
    return max(relative_error(a, b) for left, right in tensors for a, b in zip(left, right, strict=True))


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

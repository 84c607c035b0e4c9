"""Layers of the reference beside stock Keras layers with the same weights, and how far their gradients are apart."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.reference import (
    Activation,
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    LocalResponseNormalization,
    MaxPooling,
    Network,
)

EXAMPLES, CLASSES = 5, 3
LRN = {"radius": 1, "alpha": 0.3, "beta": 0.75, "bias": 1.5}
# A bias whose effect reaches a batch normalisation as a shift has a gradient of zero, and so an error without a measure: a
# random network has either batch normalisations and smooth activations, or kinks and no batch normalisation.
SMOOTH, WITH_KINKS = ["sigmoid", "tanh"], ["identity", "relu", "sigmoid", "tanh"]


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

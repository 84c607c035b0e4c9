"""The referee: loss and gradients in float64 against the hand-written backward pass, and against finite differences."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from model_cases import PENALTIES, shake

import zoo
from zoo.reference import DenseNetwork, numerical_gradient
from zoo.training.compiling import make_loss

# The referee: loss and gradients in float64 against the hand-written backward pass.
REFEREED = [
    ("logistic", 2, {}, ["sigmoid"]),
    ("logistic", 2, {**PENALTIES}, ["sigmoid"]),
    ("logistic", 2, {**PENALTIES, "penalize_bias": True}, ["sigmoid"]),
    ("softmax", 4, {}, ["softmax"]),
    ("softmax", 4, {**PENALTIES}, ["softmax"]),
    ("softmax", 4, {**PENALTIES, "penalize_bias": True}, ["softmax"]),
    ("mlp", 4, {"units": (7, 5), "activation": "tanh", **PENALTIES}, ["tanh", "tanh", "softmax"]),
    ("mlp", 4, {"units": 6, "num_layers": 3, "activation": "sigmoid", "l2": 2**-4}, [*["sigmoid"] * 3, "softmax"]),
    ("mlp", 4, {"units": 6, "activation": "relu"}, ["relu", "relu", "softmax"]),
]


def total_loss(model: keras.Model, inputs: np.ndarray, labels: np.ndarray, *, training: bool = False) -> tf.Tensor:
    loss = make_loss(model, None)(labels, model(inputs, training=training))
    return tf.add_n([loss, *model.losses]) if model.losses else loss


@pytest.mark.parametrize(("name", "num_classes", "options", "activations"), REFEREED)
def test_loss_and_gradients_are_those_of_the_numpy_network(name, num_classes, options, activations):
    model = zoo.build(name, (3, 2), num_classes, dtype="float64", **options)
    shake(model)
    random = np.random.default_rng(3)
    inputs, labels = random.normal(size=(11, 3, 2)), random.integers(0, num_classes, 11)
    with tf.GradientTape() as tape:
        loss = total_loss(model, inputs, labels)
    gradients = tape.gradient(loss, [w.value for w in model.weights])

    weights = model.get_weights()
    network = DenseNetwork(weights[0::2], weights[1::2], activations)
    penalties = {k: options[k] for k in ("l1", "l2", "penalize_bias") if k in options}
    flat = inputs.reshape(11, 6)
    expected = network.backward(flat, labels, **penalties)
    assert abs(float(loss) - expected.loss.total) <= 1e-10 * abs(float(loss))
    references = [g for layer in expected.gradients for g in layer.values()]
    for gradient, reference in zip(gradients, references, strict=True):
        assert np.abs(gradient.numpy() - reference).max() <= 1e-10 * np.abs(reference).max()


@pytest.mark.parametrize(
    "options",
    [
        {"filters": (3, 4), "activation": "tanh", **PENALTIES},
        {"filters": 2, "num_stages": 1, "convolutions_per_stage": 2, "activation": "sigmoid"},
        {"filters": 3, "num_stages": 2, "activation": "tanh", "batch_normalization": True, "l2": 2**-5},
    ],
    ids=["stages", "deep-stage", "normalised"],
)
def test_gradients_of_the_cnn_are_finite_differences(options):
    model = zoo.build("cnn", (6, 5, 2), 3, units=4, dtype="float64", **options)
    shake(model)
    random = np.random.default_rng(4)
    inputs, labels = random.normal(size=(9, 6, 5, 2)), random.integers(0, 3, 9)

    @tf.function
    def loss_now() -> tf.Tensor:
        return total_loss(model, inputs, labels, training=True)

    with tf.GradientTape() as tape:
        loss = loss_now()
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        original = np.asarray(weight)
        chosen = random.choice(original.size, min(4, original.size), replace=False)

        def loss_at(values, weight=weight, original=original, chosen=chosen):
            changed = original.copy().ravel()
            changed[chosen] = values
            weight.assign(changed.reshape(original.shape))
            return float(loss_now())

        numerical = numerical_gradient(loss_at, original.ravel()[chosen])
        weight.assign(original)
        np.testing.assert_allclose(gradient.numpy().ravel()[chosen], numerical, rtol=1e-7, atol=1e-9)

"""The fast gradient-sign step: the direction in which a model's loss grows fastest, and a step along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.labels import checked_labels
from zoo.data.split import checked_range
from zoo.errors import UsageError
from zoo.evaluation.corruptions import along_images
from zoo.evaluation.scoring import log_probabilities
from zoo.models.outputs import known_output_kind


def gradient_sign_step(
    model: keras.Model,
    images: Any,
    labels: Any,
    epsilon: float | Any,
    *,
    input_range: tuple[float, float] = (0, 1),
) -> np.ndarray:
    """The fast gradient-sign step: x + ε·(high - low)·sign(∇ₓ L(x, y)), clipped to the range (Goodfellow et al., 2015).

    L is the cross entropy. Its gradient's sign is that of log Σ_{j≠y} exp(z_j) - z_y, of which L is an increasing function
    and which, unlike L, still has a gradient where the model is so sure that 1 - p_y rounds to 0. Where only probabilities
    are known and not the logits behind them, one that is 0 has no gradient and the image stays.

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits. It is not changed.
        images: (N, ...) float inputs of the model, in `input_range`.
        labels: (N,) integer classes y, away from which the step goes.
        epsilon: the step as a share of the range; one number, or (N,).
        input_range: (low, high) of the images.

    Returns:
        (N, ...) images of the same type.

    Raises:
        UsageError: the model has no gradient in its input, takes inputs of another shape, or its output is no classifier's;
            or an epsilon that is no finite number.
        DataError: labels that are not one class of the model an image.
    """
    inputs, bounds = tf.constant(images), checked_range(input_range)
    if not inputs.dtype.is_floating:
        raise UsageError(f"a gradient needs float inputs. Received: {inputs.dtype.name}")
    known = 2 if known_output_kind(model) in ("sigmoid", "logit") else model.outputs[0].shape[-1]
    expected = model.input_shape
    if isinstance(expected, tuple) and not inputs.shape.is_compatible_with(expected):
        raise UsageError(f"the model takes inputs of shape {expected[1:]}. Received: {tuple(inputs.shape)}")
    classes = checked_labels(labels, len(inputs), classes=known)
    strengths = np.asarray(epsilon)
    if strengths.shape not in ((), (len(inputs),)):
        raise UsageError(f"{len(inputs)} images need one epsilon or as many. Received: {strengths.size}")
    if strengths.dtype.kind not in "iuf" or not np.isfinite(strengths).all():
        raise UsageError(f"epsilon must be finite numbers. Received: epsilon={epsilon!r:.80}")
    signs = gradient_signs(model, tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype))
    of_each = np.broadcast_to(strengths.astype(np.float64), len(inputs))
    changed: np.ndarray = step_along(inputs, signs(inputs, tf.constant(classes)), of_each, bounds).numpy()
    return changed


def step_along(images: tf.Tensor, signs: tf.Tensor, strengths: np.ndarray, bounds: tuple[float, float]) -> tf.Tensor:
    """Images moved along signs by strengths (N,), shares of the range, and clipped."""
    return tf.clip_by_value(
        images + along_images(tf.constant(strengths * (bounds[1] - bounds[0])), images) * signs, *bounds
    )


def gradient_signs(model: keras.Model, signature: tf.TensorSpec) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function from (N, ...) inputs and (N,) int32 classes to the sign of the loss's gradient in each input value."""
    kind = known_output_kind(model)

    @tf.function(input_signature=[signature, tf.TensorSpec((None,), tf.int32)])
    def signs(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor | None:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logs = log_probabilities(model(images, training=False), kind)
            is_class = tf.one_hot(classes, logs.shape[-1], on_value=True, off_value=False)
            others = tf.reduce_logsumexp(tf.where(is_class, tf.constant(-np.inf, logs.dtype), logs), axis=1)
            margin = others - tf.boolean_mask(logs, is_class)
        gradient = tape.gradient(margin, images)
        if gradient is None:
            return None
        return tf.where(tf.math.is_nan(gradient), tf.zeros_like(gradient), tf.sign(gradient))

    def checked_signs(images: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        found = signs(images, classes)
        if found is None:
            raise UsageError(
                f"the output of {model.name!r} has no gradient in its input; a layer between them rounds or looks up"
            )
        return found

    return checked_signs

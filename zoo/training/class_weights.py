"""How much an example of each class counts in the training loss."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before TensorFlow)

import tensorflow as tf

from zoo.training.recipe import Recipe


def class_weights(recipe: Recipe, labels: tf.Tensor, num_classes: int) -> tf.Tensor | None:
    """(num_classes,) float32 weights, see `Recipe.class_weight`; `None` where all count the same.

    Args:
        recipe: says which.
        labels: (N,) of the training data.
        num_classes: number of classes.
    """
    if recipe.class_weight is None:
        return None
    if recipe.class_weight != "balanced":
        return tf.constant(recipe.class_weight, tf.float32)
    counts = tf.cast(tf.math.bincount(labels, minlength=num_classes, maxlength=num_classes), tf.float32)
    return tf.cast(tf.size(labels), tf.float32) / (num_classes * tf.maximum(counts, 1.0))

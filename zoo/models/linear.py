"""Linear classifiers: logistic and softmax regression."""

from __future__ import annotations

from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import layers


def logistic(
    input_shape: Sequence[int],
    num_classes: int = 2,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    penalize_bias: bool = False,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
    classifier_activation: str | None = "sigmoid",
    dtype: str = "float32",
) -> keras.Model:
    """Logistic regression: p(class 1) = σ(w·x + b).

    Args:
        input_shape: shape of one example; it is flattened.
        num_classes: 2; there is no other number.
        l1: strength of the penalty l1·Σ|w|.
        l2: strength of the penalty l2·Σw² (gradient 2·l2·w, as in Keras).
        penalize_bias: whether the penalties count the bias as well.
        kernel_initializer: initial weights, a Keras initializer or its name; "zeros" is as good, the loss is convex.
        classifier_activation: "sigmoid", or `None` for the logit.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, 1): the probability of class 1.

    Raises:
        UsageError: `num_classes` is not 2, or a strength is negative.
    """
    if num_classes != 2:
        raise UsageError(f"logistic has two classes; 'softmax' takes more. Received: num_classes={num_classes}")
    return _linear("logistic", input_shape, 1, classifier_activation, l1, l2, penalize_bias, kernel_initializer, dtype)


def softmax(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    penalize_bias: bool = False,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """A linear classifier of any number of classes (multinomial logistic regression).

    Args:
        input_shape: shape of one example; it is flattened.
        num_classes: number of classes.
        l1: strength of the penalty l1·Σ|w|.
        l2: strength of the penalty l2·Σw² (gradient 2·l2·w, as in Keras).
        penalize_bias: whether the penalties count the bias as well.
        kernel_initializer: initial weights, a Keras initializer or its name; "zeros" is as good, the loss is convex.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).
    """
    return _linear(
        "softmax", input_shape, num_classes, classifier_activation, l1, l2, penalize_bias, kernel_initializer, dtype
    )


def _linear(
    name: str,
    input_shape: Sequence[int],
    units: int,
    activation: str | None,
    l1: float,
    l2: float,
    penalize_bias: bool,
    kernel_initializer: str | keras.Initializer,
    dtype: str,
) -> keras.Model:
    inputs = layers.model_input(input_shape, dtype)
    features = keras.layers.Flatten(dtype=dtype, name="flatten")(inputs) if len(input_shape) > 1 else inputs
    outputs = layers.classifier(
        features,
        units,
        activation,
        l1=l1,
        l2=l2,
        penalize_bias=penalize_bias,
        kernel_initializer=kernel_initializer,
        dtype=dtype,
    )
    return keras.Model(inputs, outputs, name=name)

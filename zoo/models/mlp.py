"""Multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import layers


def mlp(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    units: int | Sequence[int] = 128,
    num_layers: int | None = None,
    parameter_budget: int | None = None,
    activation: str = "relu",
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    batch_normalization: bool = False,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """A multi-layer perceptron: hidden dense layers, each with optional batch normalisation and dropout, and a softmax.

    Args:
        input_shape: shape of one example; it is flattened.
        num_classes: number of classes.
        units: width of every hidden layer, or a sequence with the width of each.
        num_layers: number of hidden layers when `units` is one width or a budget is given; 2 by default.
        parameter_budget: largest number of trainable parameters; the common width of the hidden layers is computed from it
            and `units` is not used.
        activation: activation of the hidden layers.
        dropout: rate of the dropout after each hidden layer.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras).
        batch_normalization: whether each hidden layer is normalised before its activation (it then has no bias).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: options contradict each other, or the budget is too small for one unit a layer.
    """
    layers.check_dropout(dropout)
    if parameter_budget is not None:
        depth = 2 if num_layers is None else num_layers
        layers.check_counts(num_layers=depth, parameter_budget=parameter_budget)
        width = width_for_budget(math.prod(input_shape), num_classes, depth, parameter_budget, batch_normalization)
        widths = [width] * depth
    else:
        widths = layer_widths(units, num_layers)

    inputs = layers.model_input(input_shape, dtype)
    x = keras.layers.Flatten(dtype=dtype, name="flatten")(inputs) if len(input_shape) > 1 else inputs
    for i, width in enumerate(widths, start=1):
        dense = keras.layers.Dense(
            width,
            use_bias=not batch_normalization,
            kernel_regularizer=layers.penalty(l1, l2),
            kernel_initializer=kernel_initializer,
            dtype=dtype,
            name=f"dense{i}",
        )
        x = layers.hidden(x, dense, activation=activation, batch_normalization=batch_normalization, dtype=dtype)
        x = layers.dropped(x, f"dropout{i}", dropout, dtype)
    outputs = layers.classifier(
        x, num_classes, classifier_activation, l1=l1, l2=l2, kernel_initializer=kernel_initializer, dtype=dtype
    )
    return keras.Model(inputs, outputs, name="mlp")


def width_for_budget(num_inputs: int, num_classes: int, num_layers: int, budget: int, batch_normalization: bool) -> int:
    """The largest common width of the hidden layers with at most `budget` trainable parameters.

    With n inputs, K classes, d hidden layers of width w there are (d-1)·w² + (n + K + d·s)·w + K parameters, where s is 1
    for the biases, or 2 for the scales and offsets of batch normalisation.

    Raises:
        UsageError: not even width 1 fits.
    """
    square, per_unit = num_layers - 1, num_inputs + num_classes + num_layers * (2 if batch_normalization else 1)
    rest = max(0, budget - num_classes)
    if square == 0:
        width = rest // per_unit
    else:
        width = (math.isqrt(per_unit**2 + 4 * square * rest) - per_unit) // (2 * square)
    if width < 1:
        least = square + per_unit + num_classes
        raise UsageError(f"the smallest such mlp has {least} parameters. Received: parameter_budget={budget}")
    return width


def layer_widths(units: int | Sequence[int], num_layers: int | None) -> list[int]:
    """The width of each hidden layer, see `mlp`; a UsageError when the two contradict each other."""
    if not isinstance(units, Sequence):
        depth = 2 if num_layers is None else num_layers
        layers.check_counts(units=units, num_layers=depth)
        return [int(units)] * int(depth)
    if isinstance(units, str):
        raise UsageError(f"units must be one whole number, or one a layer. Received: units={units!r:.80}")
    widths = list(units)
    if num_layers is not None and num_layers != len(widths):
        raise UsageError(f"units={widths} are {len(widths)} layers. Received: num_layers={num_layers}")
    for width in widths:
        layers.check_counts(units=width)
    return [int(width) for width in widths]

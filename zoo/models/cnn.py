"""Convolutional networks: stages of 3x3 convolutions and max-pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import layers


def cnn(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    filters: int | Sequence[int] = 32,
    num_stages: int | None = None,
    convolutions_per_stage: int = 1,
    units: int = 128,
    activation: str = "relu",
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    batch_normalization: bool = False,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """A convolutional network: stages of 3x3 convolutions ("same") and 2x2 max-pooling, a dense layer, a softmax.

    `convolutions_per_stage=2, num_stages=4, filters=64` has the shape of a VGG network (Simonyan and Zisserman, 2015).

    Args:
        input_shape: (height, width, channels).
        num_classes: number of classes.
        filters: filters of the first stage, doubled from stage to stage, or a sequence with the filters of each.
        num_stages: number of stages when `filters` is one number; 2 by default. A stage halves the image.
        convolutions_per_stage: convolutions before each pooling.
        units: width of the dense layer between the last stage and the softmax.
        activation: activation of the hidden layers.
        dropout: rate of the dropout after each stage and after the dense layer.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras).
        batch_normalization: whether hidden layers are normalised before their activation (they then have no bias).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: the input is no image, or too small for so many stages.
    """
    layers.check_dropout(dropout)
    layers.check_counts(convolutions_per_stage=convolutions_per_stage, units=units)
    stage_filters = _stage_filters(filters, num_stages)
    if len(input_shape) != 3:
        raise UsageError(f"cnn needs images (height, width, channels). Received: input_shape={tuple(input_shape)}")
    if min(input_shape[:2]) < 2 ** len(stage_filters):
        most = min(input_shape[:2]).bit_length() - 1
        raise UsageError(
            f"each stage halves the image: {input_shape[0]}x{input_shape[1]} allows at most {most} stages. "
            f"Received: {len(stage_filters)} stages"
        )

    weights: dict[str, Any] = {
        "use_bias": not batch_normalization,
        "kernel_regularizer": layers.penalty(l1, l2),
        "kernel_initializer": kernel_initializer,
        "dtype": dtype,
    }
    after: dict[str, Any] = {"activation": activation, "batch_normalization": batch_normalization, "dtype": dtype}
    inputs = layers.model_input(input_shape, dtype)
    x = inputs
    for i, count in enumerate(stage_filters, start=1):
        pool = keras.layers.MaxPooling2D(2, dtype=dtype, name=f"stage{i}_pool")
        for j in range(1, int(convolutions_per_stage) + 1):
            convolution = keras.layers.Conv2D(count, 3, padding="same", name=f"stage{i}_conv{j}", **weights)
            x = layers.hidden(x, convolution, pool=pool if j == convolutions_per_stage else None, **after)
        x = layers.dropped(x, f"stage{i}_dropout", dropout, dtype)
    x = keras.layers.Flatten(dtype=dtype, name="flatten")(x)
    x = layers.hidden(x, keras.layers.Dense(int(units), name="dense", **weights), **after)
    x = layers.dropped(x, "dropout", dropout, dtype)
    outputs = layers.classifier(
        x, num_classes, classifier_activation, l1=l1, l2=l2, kernel_initializer=kernel_initializer, dtype=dtype
    )
    return keras.Model(inputs, outputs, name="cnn")


def _stage_filters(filters: int | Sequence[int], num_stages: int | None) -> list[int]:
    if not isinstance(filters, Sequence):
        count = 2 if num_stages is None else num_stages
        layers.check_counts(filters=filters, num_stages=count)
        return [int(filters) * 2**i for i in range(count)]
    stages = list(filters)
    if not stages or (num_stages is not None and num_stages != len(stages)):
        raise UsageError(f"filters={stages} are {len(stages)} stages. Received: num_stages={num_stages}")
    for count in stages:
        layers.check_counts(filters=count)
    return [int(count) for count in stages]

"""Residual networks (He et al., 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import layers
from zoo.models.normalization import fused_batch_normalization


def resnet20(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "he_normal",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """The ResNet-20 for CIFAR-10: three stages of three blocks with 16, 32 and 64 filters, 0.27 million weights.

    Shortcuts have no parameters ("option A": where a stage begins, every second pixel, and zeros for the new channels).
    Published test accuracy on CIFAR-10: 91.25 % (He et al., 2016, table 6), with SGD (momentum 0.9, rate 0.1 in steps,
    batches of 128), weight decay 0.0001 (here `l2=5e-5`), flips and crops, 64,000 steps.

    Args:
        input_shape: (height, width, channels), 4 x 4 or larger; published for 32 x 32 x 3.
        num_classes: number of classes.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: the input is no image, or smaller than 4 x 4.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 4:
        raise UsageError(
            f"resnet20 needs images (height, width, channels) of 4x4 or more. Received: input_shape={tuple(input_shape)}"
        )
    weights = {"kernel_regularizer": layers.penalty(l1, l2), "kernel_initializer": kernel_initializer, "dtype": dtype}
    inputs = layers.model_input(input_shape, dtype)
    x = _normalized(_convolution(inputs, 16, 1, "conv1", weights), "conv1", dtype)
    x = keras.layers.Activation("relu", dtype=dtype, name="conv1_activation")(x)
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, 4):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _basic_block(x, filters, strides, f"stage{stage}_block{block}", weights)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
    outputs = layers.classifier(
        x, num_classes, classifier_activation, l1=l1, l2=l2, kernel_initializer=kernel_initializer, dtype=dtype
    )
    return keras.Model(inputs, outputs, name="resnet20")


def _basic_block(
    x: keras.KerasTensor, filters: int, strides: int, name: str, weights: dict[str, Any]
) -> keras.KerasTensor:
    """Two 3x3 convolutions, each normalised, and the shortcut around them."""
    dtype = weights["dtype"]
    y = _normalized(_convolution(x, filters, strides, f"{name}_conv1", weights), f"{name}_conv1", dtype)
    y = keras.layers.Activation("relu", dtype=dtype, name=f"{name}_conv1_activation")(y)
    y = _normalized(_convolution(y, filters, 1, f"{name}_conv2", weights), f"{name}_conv2", dtype)
    if strides > 1:
        x = _shortcut(x, filters, strides, name, dtype)
    y = keras.layers.Add(dtype=dtype, name=f"{name}_add")([x, y])
    return keras.layers.Activation("relu", dtype=dtype, name=f"{name}_activation")(y)


def _shortcut(x: keras.KerasTensor, filters: int, strides: int, name: str, dtype: str) -> keras.KerasTensor:
    """Every second pixel, and zeros before and after the channels."""
    # Pooling over one pixel picks pixels as x[:, ::2, ::2] does, in an eighth of the time.
    x = keras.layers.MaxPooling2D(1, strides=strides, dtype=dtype, name=f"{name}_shortcut")(x)
    missing = filters - x.shape[-1]
    pad = keras.layers.ZeroPadding2D(
        ((0, 0), (missing // 2, missing - missing // 2)),
        data_format="channels_first",  # so that what it pads last are our channels, not the columns
        dtype=dtype,
        name=f"{name}_shortcut_channels",
    )
    return pad(x)


def _convolution(
    x: keras.KerasTensor, filters: int, strides: int, name: str, weights: dict[str, Any]
) -> keras.KerasTensor:
    """A 3x3 convolution with one pixel of padding all round, which at stride 2 is not Keras's "same"."""
    padding = "same"
    if strides > 1:
        x = keras.layers.ZeroPadding2D(1, dtype=weights["dtype"], name=f"{name}_padding")(x)
        padding = "valid"
    return keras.layers.Conv2D(filters, 3, strides=strides, padding=padding, use_bias=False, name=name, **weights)(x)


def _normalized(x: keras.KerasTensor, name: str, dtype: str) -> keras.KerasTensor:
    return fused_batch_normalization(dtype=dtype, name=f"{name}_batch_normalization", momentum=0.9, epsilon=1e-5)(x)

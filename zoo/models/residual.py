"""The blocks of residual networks (He et al., 2016); a layer is named after its stage, its block and its place in it."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.models.normalization import fused_batch_normalization


def basic_block(
    x: keras.KerasTensor, filters: int, strides: int, name: str, shortcut: str, weights: dict[str, Any]
) -> keras.KerasTensor:
    """Two 3x3 convolutions, each normalised, and the shortcut around them.

    Args:
        x: input of the block.
        filters: filters of each convolution.
        strides: of the first convolution and of the shortcut.
        name: prefix of the names, e.g. "stage2_block1".
        shortcut: "zero_padding" or "projection", where the shape changes.
        weights: options of the convolutions, dtype among them.
    """
    y = activated(normalized(convolution(x, filters, 3, strides, f"{name}_conv1", weights)))
    y = normalized(convolution(y, filters, 3, 1, f"{name}_conv2", weights))
    return _joined(x, y, strides, name, shortcut, weights)


def bottleneck_block(
    x: keras.KerasTensor, filters: int, strides: int, name: str, shortcut: str, weights: dict[str, Any]
) -> keras.KerasTensor:
    """1x1, 3x3 and 1x1 convolutions, the last with four times the filters; arguments as in `basic_block`.

    The 3x3 convolution has the stride ("version 1.5", as in torchvision; in the paper it is the first one).
    """
    y = activated(normalized(convolution(x, filters, 1, 1, f"{name}_conv1", weights)))
    y = activated(normalized(convolution(y, filters, 3, strides, f"{name}_conv2", weights)))
    y = normalized(convolution(y, 4 * filters, 1, 1, f"{name}_conv3", weights))
    return _joined(x, y, strides, name, shortcut, weights)


def convolution(
    x: keras.KerasTensor, filters: int, size: int, strides: int, name: str, weights: dict[str, Any]
) -> keras.KerasTensor:
    """A convolution with (size - 1) / 2 pixels of padding all round, which at stride 2 is not Keras's "same"."""
    padding = "same"
    if strides > 1:
        padding = "valid"
        if size > 1:
            x = keras.layers.ZeroPadding2D(size // 2, dtype=weights["dtype"], name=f"{name}_padding")(x)
    layer = keras.layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=name, **weights)
    return layer(x)


def normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    """Batch normalisation, named after the layer before it."""
    before = x._keras_history.operation
    name = f"{before.name}_batch_normalization"
    return fused_batch_normalization(dtype=before.dtype_policy, name=name, momentum=0.9, epsilon=1e-5)(x)


def activated(x: keras.KerasTensor) -> keras.KerasTensor:
    """A ReLU, named after the layer before it, or the one that that normalises."""
    before = x._keras_history.operation
    name = before.name.removesuffix("_batch_normalization")
    return keras.layers.Activation("relu", dtype=before.dtype_policy, name=f"{name}_activation")(x)


def _joined(
    x: keras.KerasTensor, y: keras.KerasTensor, strides: int, name: str, shortcut: str, weights: dict[str, Any]
) -> keras.KerasTensor:
    """The sum of a block's two ways, and the ReLU after it."""
    if x.shape[-1] != y.shape[-1] or strides > 1:
        if shortcut == "projection":
            x = normalized(convolution(x, y.shape[-1], 1, strides, f"{name}_shortcut", weights))
        else:
            x = _padded_shortcut(x, y.shape[-1], strides, name, weights["dtype"])
    y = keras.layers.Add(dtype=weights["dtype"], name=f"{name}_add")([x, y])
    return keras.layers.Activation("relu", dtype=weights["dtype"], name=f"{name}_activation")(y)


def _padded_shortcut(x: keras.KerasTensor, filters: int, strides: int, name: str, dtype: str) -> keras.KerasTensor:
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

"""AlexNet twice: as Caffe published the net of 2012, and the one tower of "One weird trick"."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.models import layers
from zoo.models.fusing import fuse_convolution
from zoo.models.response_normalization import LocalResponseNormalization


def alexnet(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    weights: str | os.PathLike[str] | None = None,
    dropout: float = 0.5,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "he_normal",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """The AlexNet of 2012 (Krizhevsky, Sutskever and Hinton) as Caffe published it: 60,965,224 weights at 1000 classes.

    Five convolutions (96 11x11 with stride 4, 256 5x5, 384, 384 and 256 3x3; the second, fourth and fifth in two groups, which
    were the two GPUs), local response normalisation after the first two, overlapping pooling 3x3 with stride 2 after the first,
    second and fifth, two dense layers of 4096 with dropout, the classifier.

    Args:
        input_shape: (height, width, channels), 67 x 67 or larger; published for 227 x 227 x 3. The first dense layer has as
            many weights as the image needs.
        num_classes: number of classes.
        weights: `None` (random), "imagenet" (Caffe's, `bvlc_alexnet.npy`: 57.1 % top-1 accuracy, 80.2 % top-5), or the path of
            a file in this format. Inputs are then RGB in [0, 1], 227 x 227: the mean is subtracted in the model, and the first
            layer's kernels are turned from BGR to RGB. With another number of classes than the file's, the last layer has
            random weights.
        dropout: rate of the dropout after each of the two dense layers.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras; published: l2=2.5e-4).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: the input is no image, or too small, or not 227 x 227 x 3 where there are weights; unknown weights.
        WeightsError: the weights cannot be had, or do not fit.
    """
    layers.check_image("alexnet", input_shape, 67)
    layers.check_dropout(dropout)
    layers.penalty(l1, l2)
    inputs = layers.model_input(input_shape, dtype)
    file = layers.published_weights("alexnet", weights, input_shape, size=227)  # after all that is quick to check
    options = layers.hidden_options(l1, l2, kernel_initializer, dtype, file)
    x = layers.published_normalization(inputs, file, dtype)
    x = _convolution(x, "conv1", 96, 11, options, strides=4)
    x = _pooled(LocalResponseNormalization(dtype=dtype, name="conv1_response_normalization")(x), "conv1_pool", dtype)
    x = _convolution(x, "conv2", 256, 5, options, groups=2)
    x = _pooled(LocalResponseNormalization(dtype=dtype, name="conv2_response_normalization")(x), "conv2_pool", dtype)
    x = _convolution(x, "conv3", 384, 3, options)
    x = _convolution(x, "conv4", 384, 3, options, groups=2)
    x = _pooled(_convolution(x, "conv5", 256, 3, options, groups=2), "conv5_pool", dtype)
    x = keras.layers.Flatten(dtype=dtype, name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = layers.dropped(_dense(x, name, options), f"{name}_dropout", dropout, dtype)
    outputs = layers.classifier(
        x, num_classes, classifier_activation, l1=l1, l2=l2, kernel_initializer=kernel_initializer, dtype=dtype
    )
    return layers.functional_model("alexnet", inputs, outputs, file, kernel_initializer)


def alexnet_v2(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    weights: str | os.PathLike[str] | None = None,
    dropout: float = 0.5,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "he_normal",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """The AlexNet with one tower (Krizhevsky, 2014, "One weird trick") as in torchvision: 61,100,840 weights at 1000 classes.

    Five convolutions (64 11x11 with stride 4, 192 5x5, 384, 256 and 256 3x3) without groups or response normalisation, pooling
    3x3 with stride 2 after the first, second and fifth, two dense layers of 4096 with dropout before each, the classifier.

    Args:
        input_shape: (height, width, channels), 63 x 63 or larger; published for 224 x 224 x 3. The first dense layer has as
            many weights as the image needs.
        num_classes: number of classes.
        weights: `None` (random), "imagenet" (torchvision's: 56.52 % top-1 accuracy, 79.07 % top-5), or the path of a file in
            this format. Inputs are then RGB in [0, 1], 224 x 224, which the model normalises as the weights need. With another
            number of classes than the file's, the last layer has random weights.
        dropout: rate of the dropout before each of the two dense layers.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: the input is no image, or too small, or not 224 x 224 x 3 where there are weights; unknown weights.
        WeightsError: the weights cannot be had, or do not fit.
    """
    layers.check_image("alexnet_v2", input_shape, 63)
    layers.check_dropout(dropout)
    layers.penalty(l1, l2)
    inputs = layers.model_input(input_shape, dtype)
    file = layers.published_weights("alexnet_v2", weights, input_shape, size=224)  # after all that is quick to check
    options = layers.hidden_options(l1, l2, kernel_initializer, dtype, file)
    x = layers.published_normalization(inputs, file, dtype)
    x = keras.layers.ZeroPadding2D(2, dtype=dtype, name="conv1_padding")(x)
    x = _pooled(_convolution(x, "conv1", 64, 11, options, strides=4), "conv1_pool", dtype)
    x = _pooled(_convolution(x, "conv2", 192, 5, options), "conv2_pool", dtype)
    x = _convolution(x, "conv3", 384, 3, options)
    x = _convolution(x, "conv4", 256, 3, options)
    x = _pooled(_convolution(x, "conv5", 256, 3, options), "conv5_pool", dtype)
    x = keras.layers.Flatten(dtype=dtype, name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = _dense(layers.dropped(x, f"{name}_dropout", dropout, dtype), name, options)
    outputs = layers.classifier(
        x, num_classes, classifier_activation, l1=l1, l2=l2, kernel_initializer=kernel_initializer, dtype=dtype
    )
    return layers.functional_model("alexnet_v2", inputs, outputs, file, kernel_initializer)


def _convolution(
    x: keras.KerasTensor,
    name: str,
    filters: int,
    size: int,
    options: dict[str, Any],
    *,
    strides: int = 1,
    groups: int = 1,
) -> keras.KerasTensor:
    """A convolution with a bias, "same" at stride 1, and a ReLU."""
    padding = "same" if strides == 1 else "valid"
    layer = keras.layers.Conv2D(filters, size, strides=strides, padding=padding, groups=groups, name=name, **options)
    x = fuse_convolution(layer)(x)
    return keras.layers.Activation("relu", dtype=options["dtype"], name=f"{name}_activation")(x)


def _pooled(x: keras.KerasTensor, name: str, dtype: str) -> keras.KerasTensor:
    return keras.layers.MaxPooling2D(3, strides=2, dtype=dtype, name=name)(x)


def _dense(x: keras.KerasTensor, name: str, options: dict[str, Any]) -> keras.KerasTensor:
    x = keras.layers.Dense(4096, name=name, **options)(x)
    return keras.layers.Activation("relu", dtype=options["dtype"], name=f"{name}_activation")(x)

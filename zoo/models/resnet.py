"""Residual networks (He et al., 2016): the small ones for CIFAR images and the large ones for ImageNet's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import layers, residual
from zoo.weights.fetch import WeightFile

_SHORTCUTS = ("zero_padding", "projection")
_CIFAR_DEPTHS = (20, 32, 44, 56)
_IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def resnet_cifar(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    depth: int = 20,
    shortcut: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "he_normal",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """The residual networks for CIFAR-10: three stages of basic blocks with 16, 32 and 64 filters (He et al., 2016, section 4.2).

    | depth | trained weights | test accuracy in the paper | of weights="cifar10" |
    |---|---|---|---|
    | 20 | 269,722 | 91.25 % | 91.73 % |
    | 32 | 464,154 | 92.49 % | 92.63 % |
    | 44 | 658,586 | 92.83 % | 93.10 % |
    | 56 | 853,018 | 93.03 % | 93.39 % |

    The paper trains with SGD (momentum 0.9, rate 0.1 in steps, batches of 128), weight decay 0.0001 (here `l2=5e-5`), flips
    and crops, 64,000 steps.

    Args:
        input_shape: (height, width, channels), 4 x 4 or larger; published for 32 x 32 x 3.
        num_classes: number of classes.
        depth: 20, 32, 44 or 56 layers; the catalog's name decides it.
        shortcut: what stands around a block where the shape changes: "zero_padding" (the paper's option A: every second
            pixel, and zeros for the new channels; no weights), "projection" (option B: a normalised 1x1 convolution), or
            `None`: what `weights` have, "zero_padding" without.
        weights: `None` (random), "cifar10", "cifar10_projection", "cifar100" (see `zoo.weights.sources`), or the path of a
            file in their format. Inputs are then RGB in [0, 1], which the model normalises as the weights need. With
            another number of classes than the file's, the last layer has random weights.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: the input is no image, smaller than 4 x 4, or not RGB where there are weights; unknown weights.
        WeightsError: the weights cannot be had, or do not fit.
    """
    name = f"resnet{depth}"
    layers.check_image(name, input_shape, 4)
    if depth not in _CIFAR_DEPTHS:
        raise UsageError(f"depth must be one of {', '.join(map(str, _CIFAR_DEPTHS))}. Received: depth={depth!r}")
    if shortcut not in (None, *_SHORTCUTS):
        raise UsageError(f"shortcut must be None or one of {', '.join(_SHORTCUTS)}. Received: shortcut={shortcut!r}")
    layers.penalty(l1, l2)
    inputs = layers.model_input(input_shape, dtype)
    file = layers.published_weights(name, weights, input_shape)  # after all that is quick to check
    shortcut = shortcut or (file.shortcut if file else "zero_padding")
    options = layers.hidden_options(l1, l2, kernel_initializer, dtype, file)
    x = layers.published_normalization(inputs, file, dtype)
    x = residual.activated(residual.normalized(residual.convolution(x, 16, 3, 1, "conv1", options)))
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, (depth - 2) // 6 + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = residual.basic_block(x, filters, strides, f"stage{stage}_block{block}", shortcut, options)
    return _classifier(
        name,
        inputs,
        x,
        num_classes,
        file,
        classifier_activation,
        l1=l1,
        l2=l2,
        kernel_initializer=kernel_initializer,
        dtype=dtype,
    )


def resnet_imagenet(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    depth: int = 50,
    weights: str | os.PathLike[str] | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "he_normal",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """The residual networks for ImageNet as torchvision arranges them: a 7x7 convolution, pooling, four stages of blocks.

    | depth | blocks | trained weights at 1000 classes | top-1 accuracy of weights="imagenet" |
    |---|---|---|---|
    | 18 | basic | 11,689,512 | 69.76 % |
    | 34 | basic | 21,797,672 | 73.31 % |
    | 50 | bottleneck, "version 1.5" | 25,557,032 | 76.13 % ("imagenet_v2": 80.86 %) |

    Where a stage begins, shortcuts are normalised 1x1 convolutions. `keras.applications.ResNet50` is another net: it has the
    stride in another convolution, biases, and other padding.

    Args:
        input_shape: (height, width, channels), 32 x 32 or larger; published for 224 x 224 x 3.
        num_classes: number of classes.
        depth: 18, 34 or 50 layers; the catalog's name decides it.
        weights: `None` (random), "imagenet", for ResNet-50 also "imagenet_v2" (see `zoo.weights.sources`), or the path of a
            file in torchvision's format. Inputs are then RGB in [0, 1], which the model normalises as the weights need. With
            another number of classes than the file's, the last layer has random weights.
        l1: strength of the penalty l1·Σ|w| on every kernel.
        l2: strength of the penalty l2·Σw² on every kernel (gradient 2·l2·w, as in Keras).
        kernel_initializer: initial weights, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes).

    Raises:
        UsageError: the input is no image, smaller than 32 x 32, or not RGB where there are weights; unknown weights.
        WeightsError: the weights cannot be had, or do not fit.
    """
    name = f"resnet{depth}"
    layers.check_image(name, input_shape, 32)
    if depth not in _IMAGENET_BLOCKS:
        raise UsageError(f"depth must be one of {', '.join(map(str, _IMAGENET_BLOCKS))}. Received: depth={depth!r}")
    layers.penalty(l1, l2)
    inputs = layers.model_input(input_shape, dtype)
    file = layers.published_weights(name, weights, input_shape)  # after all that is quick to check
    options = layers.hidden_options(l1, l2, kernel_initializer, dtype, file)
    x = layers.published_normalization(inputs, file, dtype)
    x = residual.activated(residual.normalized(residual.convolution(x, 64, 7, 2, "conv1", options)))
    x = keras.layers.ZeroPadding2D(1, dtype=dtype, name="conv1_pool_padding")(x)  # of what is never negative
    x = keras.layers.MaxPooling2D(3, strides=2, dtype=dtype, name="conv1_pool")(x)
    block_of = residual.bottleneck_block if depth >= 50 else residual.basic_block
    for stage, (filters, blocks) in enumerate(zip((64, 128, 256, 512), _IMAGENET_BLOCKS[depth], strict=True), start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = block_of(x, filters, strides, f"stage{stage}_block{block}", "projection", options)
    return _classifier(
        name,
        inputs,
        x,
        num_classes,
        file,
        classifier_activation,
        l1=l1,
        l2=l2,
        kernel_initializer=kernel_initializer,
        dtype=dtype,
    )


def _classifier(
    name: str,
    inputs: keras.KerasTensor,
    x: keras.KerasTensor,
    num_classes: int,
    file: WeightFile | None,
    classifier_activation: str | None,
    **options: Any,
) -> keras.Model:
    """The mean of each map, the last layer, and the weights of a file."""
    x = keras.layers.GlobalAveragePooling2D(dtype=options["dtype"], name="pool")(x)
    outputs = layers.classifier(x, num_classes, classifier_activation, **options)
    return layers.functional_model(name, inputs, outputs, file, options["kernel_initializer"])

"""A new head on a backbone that was trained before."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models import backbones, layers
from zoo.models.fusing import fuse_layer

HEAD = "head_"  # the names of all layers of the head begin so, but for the last one, "predictions"
_NAMES_OF_OURS = ("inputs", "rgb", "predictions")


def transfer(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | keras.Model = backbones.DEFAULT_BACKBONE,
    weights: str | os.PathLike[str] | None = "published",
    image_size: int | None = None,
    units: int | Sequence[int] = (),
    activation: str = "relu",
    batch_normalization: bool = False,
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """A backbone without its classifier, and a new head: dense layers and the classifier.

    The layers of the backbone are layers of the model, with their names, so `Recipe(trainable=("stage3_*", "predictions"))`
    chooses among them; "head" are the new ones. What the backbone wants done to pixels is done inside: the model takes
    images in [0, 1].

    Args:
        input_shape: (height, width, channels) of the data; grey images are repeated in three channels, and images of another
            size than `image_size` are resized (bilinear).
        num_classes: number of classes.
        backbone: a name of the catalog that has published weights, the name of a network of `keras.applications` (e.g.
            "MobileNetV2"), or a Keras model, which is copied; if it ends in a classifier, what goes into that is used.
        weights: of a named backbone: "published" (the first of its table, or Keras's for ImageNet), a name of its table, the
            path of a file, or `None` (random).
        image_size: height and width that the backbone sees; by default what it was made for.
        units: widths of the head's hidden layers; none by default.
        activation: activation of these layers.
        batch_normalization: whether these layers are normalised before their activation (they then have no bias).
        dropout: rate of the dropout before each layer of the head.
        l1: strength of the penalty l1·Σ|w| on every kernel of the head.
        l2: strength of the penalty l2·Σw² on every kernel of the head (gradient 2·l2·w, as in Keras).
        kernel_initializer: initial weights of the head, a Keras initializer or its name.
        classifier_activation: "softmax", or `None` for logits.
        dtype: of the head; also of a named backbone of the catalog. "float32", "float64" or "mixed_bfloat16".

    Returns:
        An uncompiled model with output (N, num_classes), named "transfer".

    Raises:
        UsageError: the input is no image, the backbone is unknown or cannot take such images, or a value is out of range.
        WeightsError: the weights cannot be had, or do not fit.
    """
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise UsageError(f"transfer needs grey or RGB images. Received: input_shape={tuple(input_shape)}")
    layers.check_dropout(dropout)
    layers.penalty(l1, l2)
    widths = _widths(units)
    inputs = layers.model_input(input_shape, dtype)
    state = random.getstate()
    features = backbones.features_of(backbone, weights, image_size, dtype)  # after all that is quick to check
    x = _on_backbone(features, _as_backbone_takes(inputs, features, dtype))
    random.setstate(state)  # the head's initial weights are those of `head`, whatever the backbone drew
    outputs = _with_head(
        x,
        num_classes,
        widths=widths,
        activation=activation,
        batch_normalization=batch_normalization,
        dropout=dropout,
        l1=l1,
        l2=l2,
        kernel_initializer=kernel_initializer,
        classifier_activation=classifier_activation,
        dtype=dtype,
    )
    model = keras.Model(inputs, outputs, name="transfer")
    model.zoo_weights = getattr(features, "zoo_weights", {})
    return model


def head(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    units: int | Sequence[int] = (),
    activation: str = "relu",
    batch_normalization: bool = False,
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    kernel_initializer: str | keras.Initializer = "glorot_uniform",
    classifier_activation: str | None = "softmax",
    dtype: str = "float32",
) -> keras.Model:
    """The head of `transfer` alone, on features of `input_shape`; options as there."""
    inputs = layers.model_input(input_shape, dtype)
    outputs = _with_head(
        inputs,
        num_classes,
        widths=_widths(units),
        activation=activation,
        batch_normalization=batch_normalization,
        dropout=dropout,
        l1=l1,
        l2=l2,
        kernel_initializer=kernel_initializer,
        classifier_activation=classifier_activation,
        dtype=dtype,
    )
    return keras.Model(inputs, outputs, name="head")


def _widths(units: int | Sequence[int]) -> list[int]:
    """The widths of a head's hidden layers; a UsageError unless all are whole numbers of at least 1."""
    widths = list(units) if isinstance(units, Sequence) else [units]
    for width in widths:
        layers.check_counts(units=width)
    return [int(width) for width in widths]


def _with_head(
    x: keras.KerasTensor,
    num_classes: int,
    *,
    widths: Sequence[int],
    activation: str,
    batch_normalization: bool,
    dropout: float,
    l1: float,
    l2: float,
    kernel_initializer: str | keras.Initializer,
    classifier_activation: str | None,
    dtype: str,
) -> keras.KerasTensor:
    """A head's outputs on features `x`."""
    options: dict[str, Any] = {
        "use_bias": not batch_normalization,
        "kernel_regularizer": layers.penalty(l1, l2),
        "kernel_initializer": kernel_initializer,
        "dtype": dtype,
    }
    for i, width in enumerate(widths, start=1):
        x = layers.dropped(x, f"{HEAD}dropout{i}", dropout, dtype)
        dense = keras.layers.Dense(width, name=f"{HEAD}dense{i}", **options)
        x = layers.hidden(x, dense, activation=activation, batch_normalization=batch_normalization, dtype=dtype)
    x = layers.dropped(x, f"{HEAD}dropout", dropout, dtype)
    return layers.classifier(
        x, num_classes, classifier_activation, l1=l1, l2=l2, kernel_initializer=kernel_initializer, dtype=dtype
    )


def _as_backbone_takes(inputs: keras.KerasTensor, features: keras.Model, dtype: str) -> keras.KerasTensor:
    """Three channels, and the size of the backbone."""
    x = inputs
    if x.shape[-1] == 1:
        x = keras.layers.Concatenate(dtype=layers.unmixed(dtype), name="rgb")([x, x, x])
    size = features.input_shape[1:3]
    if x.shape[1:3] != size:
        # Not the layer Resizing: in a model that is called without `training` it lets all layers behind it train.
        x = keras.ops.image.resize(x, size, interpolation="bilinear")
    return x


def _on_backbone(features: keras.Model, x: keras.KerasTensor) -> keras.KerasTensor:
    """Copies of the layers of `features`, applied to `x`, with their weights."""
    copies: dict[str, keras.layers.Layer] = {}
    taken = {layer.name for layer in features.layers}

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name not in copies:
            name = layer.name
            while name.startswith(HEAD) or name in _NAMES_OF_OURS or (name != layer.name and name in taken):
                name = f"backbone_{name}"
            taken.add(name)
            config = layer.get_config() | {"name": name}
            copies[layer.name] = fuse_layer(type(layer).from_config(config))
        return copies[layer.name]

    outputs = features._run_through_graph(x, operation_fn=copied)
    for layer in features.layers:
        if layer.weights:
            copies[layer.name].set_weights(layer.get_weights())
            for inner in copies[layer.name]._flatten_layers():
                if isinstance(inner, keras.layers.Normalization):
                    inner.finalize_state()  # it computes with tensors made of its weights
    return outputs

"""Stock layers with TensorFlow's own arithmetic: what is set on the objects, and again when a model was loaded."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

from zoo.models.normalization import fuse


def fuse_model(model: keras.Model) -> keras.Model:
    """`fuse_layer` for every layer of a model that was loaded or made elsewhere; returns it."""
    for layer in model._flatten_layers():
        fuse_layer(layer)
    return model


def fuse_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """`fuse` for a batch normalisation, `fuse_convolution` for a convolution; returns the layer."""
    if type(layer) is keras.layers.BatchNormalization:
        fuse(layer)
    elif type(layer) is keras.layers.Conv2D:
        fuse_convolution(layer)
    return layer


def fuse_convolution(layer: keras.layers.Conv2D) -> keras.layers.Conv2D:
    """Gives a convolution in groups TensorFlow's own operation, which computes them on a CPU too; returns the layer.

    Keras compiles such a layer with XLA, because older versions of TensorFlow could not, and XLA does not go into every
    exported format. Other convolutions are left as they are.
    """
    if layer.groups > 1 and layer.data_format == "channels_last":

        def convolve(inputs: Any, kernel: Any) -> Any:
            padding = layer.padding.upper()
            return tf.nn.conv2d(inputs, kernel, layer.strides, padding, dilations=layer.dilation_rate)

        layer.convolution_op = convolve
    return layer

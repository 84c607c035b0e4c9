"""Batch normalisation with TensorFlow's fused arithmetic, on the stock Keras layer."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf


def fused_batch_normalization(
    *, dtype: str, name: str, momentum: float = 0.99, epsilon: float = 0.001
) -> keras.layers.Layer:
    """A `keras.layers.BatchNormalization` over the last axis, fused; see `fuse`."""
    return fuse(keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon, dtype=dtype, name=name))


def fuse(layer: keras.layers.BatchNormalization) -> keras.layers.BatchNormalization:
    """Makes this one layer compute by `FusedBatchNormV3` (Ioffe and Szegedy, 2015, as one operation); returns it.

    Keras computes moments, difference and scaling one by one, in float32: in a ResNet that was half of the time. Weights,
    moving averages (of the biased variance), gradients and the saved configuration remain those of the stock layer,
    because it is one: its `call` is set on the object. A saved model loads without us, with Keras's arithmetic.

    float64, masks, another axis than the last, renormalisation, and statistics over several devices keep Keras's arithmetic.
    """
    if "call" in vars(layer):
        return layer
    stock = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        rank = len(inputs.shape)
        is_plain = layer.axis in (-1, rank - 1) and rank in (2, 4) and mask is None
        is_plain = is_plain and keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype))
        is_other = layer.synchronized or getattr(layer, "renorm", False) or layer.compute_dtype == "float64"
        if not is_plain or is_other or isinstance(inputs, keras.KerasTensor):
            return stock(inputs, training=training, mask=mask)
        return _fused(layer, tf.convert_to_tensor(inputs), bool(training and layer.trainable))

    layer.call = call
    return layer


def _fused(layer: keras.layers.BatchNormalization, inputs: tf.Tensor, by_batch: bool) -> tf.Tensor:
    x = inputs if inputs.shape.rank == 4 else inputs[:, tf.newaxis, tf.newaxis, :]
    channels = x.shape[-1]
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=_float32(layer.gamma) if layer.scale else tf.ones([channels]),
        offset=_float32(layer.beta) if layer.center else tf.zeros([channels]),
        mean=[] if by_batch else _float32(layer.moving_mean),
        variance=[] if by_batch else _float32(layer.moving_variance),
        epsilon=layer.epsilon,
        is_training=by_batch,
    )
    if by_batch:
        count = tf.cast(tf.size(x) // channels, tf.float32)
        biased = variance * (count - 1) / count  # the operation gives the unbiased one
        for average, value in ((layer.moving_mean, mean), (layer.moving_variance, biased)):
            average.assign(average * layer.momentum + tf.cast(value, average.dtype) * (1 - layer.momentum))
    return outputs if inputs.shape.rank == 4 else tf.reshape(outputs, tf.shape(inputs))


def _float32(variable: keras.Variable) -> tf.Tensor:
    return tf.cast(variable.value, tf.float32)

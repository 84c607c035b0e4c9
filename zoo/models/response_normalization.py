"""Local response normalisation, the layer of AlexNet that Keras lacks."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("zoo")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by a power of the energy of its neighbours in the last axis, at the same pixel.

    y_c = x_c / (bias + alpha · Σ x_j²)^beta, where j runs over the channels from c - radius to c + radius that exist
    (Krizhevsky, Sutskever and Hinton, 2012, section 3.3). This is the form of `tf.nn.local_response_normalization`;
    Caffe and PyTorch divide alpha by the number of channels in the window, 2·radius + 1.

    The sums of all windows are one product with a band matrix: in training about half the time of TensorFlow's own
    operation on a CPU, and in float64 too. It computes in float32 under mixed precision.

    Args:
        radius: channels on each side.
        alpha: weight of the sum.
        beta: exponent.
        bias: what the sum is added to.
    """

    def __init__(
        self, radius: int = 2, alpha: float = 2e-5, beta: float = 0.75, bias: float = 1.0, **layer: Any
    ) -> None:
        super().__init__(**layer)
        self.radius = radius
        self.alpha = alpha
        self.beta = beta
        self.bias = bias

    def call(self, inputs: Any) -> Any:  # noqa: D102
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        x = ops.cast(inputs, dtype)
        channels = x.shape[-1]
        distance = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
        band = np.where(distance <= self.radius, self.alpha, 0.0).astype(dtype)
        energy = self.bias + ops.matmul(ops.square(x), band)
        if self.beta == 0.75:  # two square roots are faster than a power
            root = ops.rsqrt(energy)
            return ops.cast(x * root * ops.sqrt(root), self.compute_dtype)
        return ops.cast(x * ops.power(energy, -self.beta), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:  # noqa: D102
        return input_shape

    def get_config(self) -> dict[str, Any]:  # noqa: D102
        own = {"radius": self.radius, "alpha": self.alpha, "beta": self.beta, "bias": self.bias}
        config: dict[str, Any] = super().get_config() | own
        return config


def stock_equivalent(layer: LocalResponseNormalization, dtype: str | None) -> keras.Model:
    """The same function as a model of stock Keras operations, for files that are to load without the zoo.

    `dtype` is what it takes and gives; `None`: the layer's.
    """
    compute_dtype = dtype or layer.compute_dtype
    inputs = keras.Input(layer.input.shape[1:], dtype=compute_dtype)
    dtype = "float64" if compute_dtype == "float64" else "float32"
    x = ops.cast(inputs, dtype)
    beside = [(0, 0)] * (len(inputs.shape) - 1) + [(layer.radius, layer.radius)]
    squares = ops.pad(ops.square(x), beside)
    channels = inputs.shape[-1]
    energy = squares[..., :channels]
    for i in range(1, 2 * layer.radius + 1):
        energy = energy + squares[..., i : i + channels]
    outputs = x * ops.power(layer.bias + layer.alpha * energy, -layer.beta)
    return keras.Model(inputs, ops.cast(outputs, compute_dtype), name=layer.name)

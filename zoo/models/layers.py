"""What all builders share: input, penalty, dtype of the output, range checks."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError, check_count
from zoo.models.normalization import fused_batch_normalization
from zoo.weights.convert import load_weights
from zoo.weights.fetch import WeightFile, find_weights

_MONOTONE = ("relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus", "softsign", "linear")
DTYPES = ("float32", "float64", "mixed_bfloat16")


def model_input(input_shape: Sequence[int], dtype: str) -> keras.KerasTensor:
    """The input of a model: float64 for a float64 model, else float32."""
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}. Received: dtype={dtype!r}")
    return keras.Input(tuple(input_shape), dtype="float64" if dtype == "float64" else "float32", name="inputs")


def check_image(name: str, input_shape: Sequence[int], least: int) -> None:
    """Raises a UsageError unless the input is an image of at least `least` x `least` pixels."""
    if len(input_shape) != 3 or min(input_shape[:2]) < least:
        raise UsageError(
            f"{name} needs images (height, width, channels) of {least}x{least} or more. "
            f"Received: input_shape={tuple(input_shape)}"
        )


def published_weights(
    name: str, weights: str | os.PathLike[str] | None, input_shape: Sequence[int], *, size: int | None = None
) -> WeightFile | None:
    """The file that a builder's `weights` stands for, see `find_weights`; `size`: height and width that it needs."""
    if weights is not None and size is not None and tuple(input_shape) != (size, size, 3):
        raise UsageError(
            f"the weights of {name} are for images of {size}x{size}x3. Received: input_shape={tuple(input_shape)}"
        )
    if weights is not None and input_shape[-1] != 3:
        raise UsageError(f"published weights are for RGB images. Received: input_shape={tuple(input_shape)}")
    return find_weights(name, weights)


def published_normalization(inputs: keras.KerasTensor, file: WeightFile | None, dtype: str) -> keras.KerasTensor:
    """What published weights expect of RGB in [0, 1]: its mean subtracted, divided by its deviation. Without weights, nothing."""
    if file is None:
        return inputs
    variance = [deviation**2 for deviation in file.source.normalization.std]
    layer = keras.layers.Normalization(
        mean=list(file.source.normalization.mean), variance=variance, dtype=unmixed(dtype), name="normalization"
    )
    return layer(inputs)


def hidden_options(
    l1: float, l2: float, kernel_initializer: str | keras.Initializer, dtype: str, file: WeightFile | None
) -> dict[str, Any]:
    """What all hidden layers of a published network are given.

    Where weights come from a file they begin at zero: to draw AlexNet's takes as long as to read them, and four times
    their memory. `load_weights` puts the initializer back.
    """
    return {
        "kernel_regularizer": penalty(l1, l2),
        "kernel_initializer": kernel_initializer if file is None else "zeros",
        "dtype": dtype,
    }


def unmixed(dtype: str) -> str:
    """What computes where bfloat16 would lose too much: the first and the last layer."""
    return "float32" if dtype == "mixed_bfloat16" else dtype


def penalty(l1: float, l2: float) -> keras.Regularizer | None:
    """Keras's penalty l1·Σ|w| + l2·Σw² (gradient l1·sign(w) + 2·l2·w), or `None` when both are zero."""
    for name, value in (("l1", l1), ("l2", l2)):
        if not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
            raise UsageError(f"{name} must be 0 or more. Received: {name}={value!r}")
    return keras.regularizers.L1L2(l1=l1, l2=l2) if l1 or l2 else None


def hidden(
    x: keras.KerasTensor,
    layer: keras.layers.Layer,
    *,
    activation: str,
    batch_normalization: bool,
    dtype: str,
    pool: keras.layers.Layer | None = None,
) -> keras.KerasTensor:
    """A layer with weights, optional batch normalisation, the activation, named after the layer, and maximum pooling.

    A monotone activation comes after the pooling: the maximum of the activations is the activation of the maximum, at
    a quarter of the work.
    """
    x = layer(x)
    if batch_normalization:
        x = fused_batch_normalization(dtype=dtype, name=f"{layer.name}_batch_normalization")(x)
    activate = keras.layers.Activation(activation, dtype=dtype, name=f"{layer.name}_activation")
    if pool is None:
        return activate(x)
    return activate(pool(x)) if activation in _MONOTONE else pool(activate(x))


def dropped(x: keras.KerasTensor, name: str, rate: float, dtype: str) -> keras.KerasTensor:
    """Dropout where a rate is given."""
    return keras.layers.Dropout(rate, dtype=dtype, name=name)(x) if rate else x


def classifier(
    features: keras.KerasTensor,
    units: int,
    activation: str | None,
    *,
    l1: float,
    l2: float,
    penalize_bias: bool = False,
    kernel_initializer: str | keras.Initializer,
    dtype: str,
) -> keras.KerasTensor:
    """The last layer, named "predictions". Under mixed precision it computes in float32, so that probabilities do."""
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_regularizer=penalty(l1, l2),
        bias_regularizer=penalty(l1, l2) if penalize_bias else None,
        kernel_initializer=kernel_initializer,
        dtype=unmixed(dtype),
        name="predictions",
    )(features)


def functional_model(
    name: str,
    inputs: keras.KerasTensor,
    outputs: keras.KerasTensor,
    file: WeightFile | None,
    kernel_initializer: str | keras.Initializer,
) -> keras.Model:
    """A published network, with the weights of a file where there is one."""
    model = keras.Model(inputs, outputs, name=name)
    if file is not None:
        load_weights(model, file, kernel_initializer)
    return model


def check_dropout(rate: float) -> None:
    """Raises a UsageError unless 0 <= rate < 1."""
    if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
        raise UsageError(f"dropout must be at least 0 and below 1. Received: dropout={rate!r}")


def check_counts(**values: int) -> None:
    """Raises a UsageError naming the first value that is below 1."""
    for name, value in values.items():
        check_count(name, value)

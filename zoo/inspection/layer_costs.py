"""Where a model has its weights, and where its work is."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd

from zoo.errors import UsageError
from zoo.inspection.calling import check_built, named_layers

_COUNTED = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


def layer_table(model: keras.Model) -> pd.DataFrame:
    """The convolutions and dense layers of a model, with the multiplications that an example costs.

    A kernel's weight is used once at each place of the layer's output, so that a layer costs as many multiplications as its
    kernel has weights, times the places (a dense layer has one). Groups are counted as what they are. Layers of another kind,
    such as recurrent, separable and transposed ones, have no row.

    Returns:
        One row a dense layer, convolution or depthwise convolution: layer, output (height x width x maps), weights (bias included), multiplications.

    Raises:
        UsageError: the model is not built, not functional, or takes inputs of no fixed size.

    Examples:
        >>> layer_table(zoo.build("cnn", (28, 28, 1), 10))["multiplications"].sum()  # doctest: +SKIP
    """
    check_built(model)
    rows = []
    for name, layer in named_layers(model).items():
        if isinstance(layer, _COUNTED):
            shape = _output_shape(model, layer)
            products = int(np.prod(shape[:-1])) * int(np.prod(layer.kernel.shape))
            size = " x ".join(map(str, shape))
            rows.append({"layer": name, "output": size, "weights": layer.count_params(), "multiplications": products})
    return pd.DataFrame(rows, columns=["layer", "output", "weights", "multiplications"])


def _output_shape(model: keras.Model, layer: keras.layers.Layer) -> tuple[int, ...]:
    try:
        shape = tuple(layer.output.shape[1:])
    except AttributeError:  # only layers that were connected symbolically know it
        raise UsageError(f"{model.name!r} is not functional; its layers have no known output") from None
    if None in shape:
        raise UsageError(f"{model.name!r} takes inputs of no fixed size; give its keras.Input all sizes")
    return shape

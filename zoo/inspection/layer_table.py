"""Where a model has its weights, and where its work is."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd

from zoo.inspection.calling import check_built, named_layers


def layer_table(model: keras.Model) -> pd.DataFrame:
    """The convolutions and dense layers of a model, with the multiplications that an example costs.

    A kernel's weight is used once at each place of the layer's output, so that a layer costs as many multiplications as its
    kernel has weights, times the places (a dense layer has one). Groups are counted as what they are.

    Returns:
        One row a layer with a kernel: layer, output (height x width x maps), weights (bias included), multiplications.

    Raises:
        UsageError: the model is not built.

    Example:
        >>> layer_table(zoo.build("cnn", (28, 28, 1), 10))["multiplications"].sum()  # doctest: +SKIP
    """
    check_built(model)
    rows = []
    for name, layer in named_layers(model).items():
        if getattr(layer, "kernel", None) is not None:
            shape = tuple(layer.output.shape[1:])
            products = int(np.prod(shape[:-1])) * int(np.prod(layer.kernel.shape))
            size = " x ".join(map(str, shape))
            rows.append({"layer": name, "output": size, "weights": layer.count_params(), "multiplications": products})
    return pd.DataFrame(rows, columns=["layer", "output", "weights", "multiplications"])

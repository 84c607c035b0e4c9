"""Inputs that look as if nobody had scaled them, told of where nothing in the model does it either."""

from __future__ import annotations

import math
import warnings
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np

from zoo.data.split import Split
from zoo.data.splits import DataSplits
from zoo.errors import DataWarning

_SCALED = 10.0  # root mean square that inputs of a model seldom have: pixels have 80 or more, standardised features 1
_NUMBERS, _EXAMPLES = 2**20, 1000  # looked at, at most
_PASSES_ON = (  # values as they are, to the layer behind
    keras.layers.InputLayer,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Dropout,
    keras.layers.ZeroPadding2D,
)


def warn_if_unscaled(model: keras.Model, data: DataSplits, *, stacklevel: int = 3) -> None:
    """A `DataWarning` where float inputs are large, as pixels or measures are, and meet the weights of `model` as they are.

    Not where the model begins with something else than a product with weights: `Rescaling`, `Normalization`, batch normalisation,
    an embedding, an operation. A few training and validation inputs are looked at; uint8 pixels are scaled by us.

    Args:
        model: any Keras model.
        data: what it is trained on.
        stacklevel: as of `warnings.warn`; 3 names the line that calls the caller of this.
    """
    first = _first_operation(model)
    for name, split in (("training", data.train), ("validation", data.validation)):
        if split is None or split.dtype == np.uint8 or not hasattr(first, "kernel"):
            continue
        inputs = _some_inputs(split)
        with np.errstate(over="ignore"):
            size = math.sqrt(np.mean(np.square(inputs, dtype=np.float64)))
        if size > _SCALED:
            text = (
                f"the {name} inputs are not scaled, they go from {inputs.min():.4g} to {inputs.max():.4g}, and training may "
                "fail: bring them to about 0 to 1, or give pixels as uint8, which are scaled for you"
            )
            warnings.warn(text, DataWarning, stacklevel=stacklevel)
            return


def _first_operation(model: Any) -> Any:
    """What is first done to the inputs of a model, but for their shape; `None` where that is not known."""
    operations = model.layers if isinstance(model, keras.Sequential) else getattr(model, "operations", ())
    first = next((operation for operation in operations if not isinstance(operation, _PASSES_ON)), None)
    return _first_operation(first) if isinstance(first, keras.Model) else first


def _some_inputs(split: Split) -> np.ndarray:
    """(n, ...) stored inputs, about a million numbers: from all over a split in memory, else the first ones."""
    count = min(len(split), _EXAMPLES, max(1, _NUMBERS // math.prod(split.input_shape)))
    if split.store is not None and split.rows is not None:
        return split.store.array[split.rows[:: len(split) // count][:count]]
    first: np.ndarray = next(iter(split.stored_batches(count)))[0].numpy()
    return first

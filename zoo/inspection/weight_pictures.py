"""The weights of a dense layer as images in the shape of the model's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np

from zoo.errors import UsageError
from zoo.inspection.calling import check_built, layer_named, named_layers, to_numpy
from zoo.inspection.grids import draw_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def weight_images(model: keras.Model, *, layer: str | None = None, shape: Sequence[int] | None = None) -> np.ndarray:
    """The incoming weights of each unit, as an image: what the unit looks for.

    Args:
        model: any built model.
        layer: name of a dense layer on the flattened input; by default the first dense layer.
        shape: (height, width) or (height, width, channels) of an image; by default that of the model's input.

    Returns:
        (units, height, width, channels) array.

    Raises:
        UsageError: there is no such layer, or its number of inputs is not that of the image's pixels.
    """
    check_built(model)
    if layer is None:
        dense = next((d for d in named_layers(model).values() if isinstance(d, keras.layers.Dense)), None)
    else:
        dense = layer_named(model, layer)
    if not isinstance(dense, keras.layers.Dense):
        raise UsageError(f"weight images are of a dense layer of {model.name!r}. Received: layer={layer!r}")
    size = tuple(shape) if shape is not None else tuple((getattr(model, "input_shape", None) or (None,))[1:])
    kernel = to_numpy(dense.kernel)
    if len(size) not in (2, 3) or None in size or int(np.prod(size)) != kernel.shape[0]:
        raise UsageError(
            f"{dense.name!r} has {kernel.shape[0]} inputs, which are no image of this shape; give shape=. Received: {size}"
        )
    height, width, channels = (*size, 1)[:3]
    return kernel.T.reshape(-1, height, width, channels)


def plot_weight_images(images: Any, *, scale: str = "joint", columns: int | None = None, title: str = "") -> Figure:
    """Weight images as a grid, in colours where they have three channels; of other numbers of channels, their mean.

    Args:
        images: (units, height, width, channels): what `weight_images` gives.
        scale: "each" or "joint"; see `image_grid`.
        columns: images in a row.
        title: what is above; by default their number and size.

    Raises:
        UsageError: no images of this shape, no column, or another scale.
    """
    array = np.asarray(images)
    if array.ndim != 4:
        raise UsageError(f"weight images are (units, height, width, channels). Received: shape {array.shape}")
    shown = array if array.shape[-1] == 3 else array.mean(axis=-1)
    text = title or f"incoming weights of {len(array)} units as {array.shape[1]} x {array.shape[2]} images"
    return draw_grid(shown, scale=scale, title=text, what="unit", columns=columns)

"""What a layer gives for an example, and the kernels that it gives it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np

from zoo.errors import UsageError
from zoo.inspection.calling import (
    as_inputs,
    check_built,
    layer_named,
    named_layers,
    output_of,
    tapped,
    to_numpy,
    untouched,
)
from zoo.inspection.grids import draw_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def activations(model: keras.Model, inputs: Any, layer: str) -> np.ndarray:
    """What a layer gives for each input, in inference.

    Args:
        model: any built model.
        inputs: (N, ...) examples, as the model takes them.
        layer: name of a layer, also of one inside a nested model ("backbone/conv1" where the name alone is ambiguous).

    Returns:
        (N, ...) array, e.g. (N, H, W, channels) of a convolution; of a layer that is used more than once, the first use.

    Raises:
        UsageError: an unknown layer (the nearest names are given), or one that was not used.
    """
    chosen = layer_named(model, layer)
    with untouched(), tapped([chosen]) as calls:
        model(as_inputs(model, inputs), training=False)
    return to_numpy(output_of(calls, chosen))


def plot_activations(maps: Any, *, scale: str = "each", columns: int | None = None, title: str = "") -> Figure:
    """The maps of one example as a grid, 64 of them as 8 x 8.

    Args:
        maps: (H, W, channels): one example of what `activations` gives.
        scale: "each" or "joint"; see `image_grid`.
        columns: maps in a row.
        title: what is above; by default their number and size.

    Raises:
        UsageError: other than one example's maps.
    """
    array = np.asarray(maps)
    if array.ndim != 3:
        raise UsageError(f"give the maps (H, W, channels) of one example. Received: shape {array.shape}")
    height, width, channels = array.shape
    text = title or f"{channels} maps of {height} x {width}, {_told(scale)}"
    return draw_grid(np.moveaxis(array, -1, 0), scale=scale, title=text, what="map", columns=columns)


def filters(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """The kernels of a convolution.

    Args:
        model: any built model.
        layer: name of a two-dimensional convolution; by default the first one.

    Returns:
        (filters, height, width, input channels) array: input channels of its group where there are groups, 1 where the
        convolution is depthwise.

    Raises:
        UsageError: an unknown layer, one that is no such convolution, or a model without one.
    """
    found = convolution_named(model, layer)
    kernel = to_numpy(found.kernel.value)
    if isinstance(found, keras.layers.DepthwiseConv2D):
        height, width, channels, multiplier = kernel.shape
        kernel = kernel.reshape(height, width, 1, channels * multiplier)
    elif isinstance(found, keras.layers.Conv2DTranspose):
        kernel = np.swapaxes(kernel, 2, 3)
    return np.moveaxis(kernel, -1, 0)


_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D)


def convolution_named(model: keras.Model, name: str | None) -> keras.layers.Layer:
    """The two-dimensional convolution of this name, or the model's first one; else a UsageError."""
    if name is None:
        return _convolutions(model, _CONVOLUTIONS)[0]
    layer = layer_named(model, name)
    if not isinstance(layer, _CONVOLUTIONS):
        kind = type(layer).__name__
        raise UsageError(f"the layer {name!r} is no two-dimensional convolution. Received: a {kind}")
    return layer


def last_convolution(model: keras.Model) -> keras.layers.Layer:
    """The model's last two-dimensional convolution, separable ones among them; else a UsageError."""
    return _convolutions(model, (*_CONVOLUTIONS, keras.layers.SeparableConv2D))[-1]


def _convolutions(model: keras.Model, kinds: tuple[type, ...]) -> list[keras.layers.Layer]:
    check_built(model)
    found = [layer for layer in named_layers(model).values() if isinstance(layer, kinds)]
    if not found:
        raise UsageError(f"{model.name!r} has no two-dimensional convolution. Received: layer=None")
    return found


def plot_filters(
    kernels: Any, *, channel: int | None = None, scale: str = "joint", columns: int | None = None, title: str = ""
) -> Figure:
    """Filters as a grid: in colours where they have three input channels and no channel is chosen.

    Args:
        kernels: (filters, height, width, input channels): what `filters` gives.
        channel: the input channel that is shown; by default 0, or all three as red, green and blue.
        scale: "each" or "joint"; see `image_grid`.
        columns: filters in a row.
        title: what is above; by default their number and size.

    Raises:
        UsageError: other than filters, or no such channel.
    """
    array = np.asarray(kernels)
    if array.ndim != 4:
        raise UsageError(f"filters are (filters, height, width, channels). Received: shape {array.shape}")
    count, height, width, channels = array.shape
    if channel is not None and not 0 <= channel < channels:
        raise UsageError(f"the filters have {channels} input channels. Received: channel={channel}")
    in_colours = channel is None and channels == 3
    shown = array if in_colours else array[..., channel or 0]
    which = " in red, green and blue" if in_colours else f", input channel {channel or 0}" if channels > 1 else ""
    text = title or f"{count} filters of {height} x {width}{which}, {_told(scale)}"
    return draw_grid(shown, scale=scale, title=text, what="filter", columns=columns)


def _told(scale: str) -> str:
    return "each scaled by itself" if scale == "each" else "one scale"

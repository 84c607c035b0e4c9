"""What becomes of a layer's maps when the image changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import UsageError
from zoo.inspection.grids import image_grid, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_changed_maps(images: Any, maps: Any, titles: Sequence[str]) -> Figure:
    """Draws images side by side with the grid of their maps below each, 64 maps as 8 x 8.

    A map has one scale for all images, so that what fades is seen to fade.

    Args:
        images: (N, H, W, 1 or 3), e.g. an image and what `zoo.corrupt` makes of it.
        maps: (N, h, w, channels): what `activations` gives for them.
        titles: one above each image.

    Raises:
        UsageError: no image, or other numbers of maps or titles.
    """
    from matplotlib.figure import Figure

    pictures, values = np.asarray(images), np.asarray(maps, np.float64)
    if pictures.ndim != 4 or values.ndim != 4 or not len(pictures) == len(values) == len(titles) >= 1:
        received = f"images {pictures.shape}, maps {values.shape}, {len(titles)} titles"
        raise UsageError(f"maps (h, w, channels) and a title for each image, one or more. Received: {received}")
    low, high = values.min(axis=(0, 1, 2)), values.max(axis=(0, 1, 2))
    unit = np.moveaxis((values - low) / np.where(high > low, high - low, 1.0), -1, 1)
    figure = Figure(figsize=(3.1 * len(pictures), 5.6), dpi=110, layout="constrained")
    places = figure.subplots(2, len(pictures), squeeze=False, height_ratios=(0.75, 1))
    for above, below, picture, of_picture, title in zip(*places, pictures, unit, titles, strict=True):
        show_image(above, picture)
        above.set_title(title, parse_math=False)
        grid = image_grid(of_picture, scale="joint", gap=1 + max(of_picture.shape[1:]) // 32)
        below.imshow(grid, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        below.set_axis_off()
    return figure

"""Many small images as one picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCALES = ("each", "joint")


def image_grid(images: Any, *, columns: int | None = None, scale: str = "each", gap: int = 1) -> np.ndarray:
    """Images side by side and below each other; 64 of them as 8 x 8.

    Args:
        images: (K, H, W) or (K, H, W, 3).
        columns: images in a row; by default as many as rows, or one more.
        scale: "each" maps the smallest and largest value of each image to 0 and 1 (an image of one value to 0), "joint"
            leaves the values as they are, to be compared with each other.
        gap: pixels between images, which are NaN.

    Returns:
        (rows·(H + gap) - gap, columns·(W + gap) - gap) float array, with a last axis of 3 for RGB.

    Raises:
        UsageError: no images, no column, or another scale.

    Examples:
        >>> image_grid(np.zeros((64, 5, 4))).shape
        (47, 39)
    """
    stack = np.asarray(images, np.float64)
    if stack.ndim not in (3, 4) or not stack.size or (stack.ndim == 4 and stack.shape[-1] != 3):
        raise UsageError(f"a grid is of images (K, H, W) or (K, H, W, 3). Received: shape {stack.shape}")
    if columns is not None and columns < 1:
        raise UsageError(f"a grid has one column or more. Received: columns={columns}")
    stack = _scaled(stack, scale)
    count, height, width = stack.shape[:3]
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *stack.shape[3:])
    grid = np.full(shape, np.nan)
    for i, image in enumerate(stack):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def _scaled(stack: np.ndarray, scale: str) -> np.ndarray:
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    if scale == "joint":
        return stack
    axes = tuple(range(1, stack.ndim))
    low, high = stack.min(axis=axes, keepdims=True), stack.max(axis=axes, keepdims=True)
    scaled: np.ndarray = (stack - low) / np.where(high > low, high - low, 1.0)
    return scaled


def draw_grid(images: np.ndarray, *, scale: str, title: str, what: str, columns: int | None = None) -> Figure:
    """A figure of a grid, with a colour bar; both axes count images.

    Values of both signs have a colour map with white at 0, when their scale is joint.

    Args:
        images: as in `image_grid`.
        scale: as in `image_grid`.
        title: what is above the grid.
        what: what one image is, e.g. "filter", for the axes, and what is below the colour bar's values.
        columns: as in `image_grid`.
    """
    from matplotlib.figure import Figure

    gap = 1 + max(images.shape[1:3]) // 32
    grid = image_grid(images, columns=columns, scale=scale, gap=gap)
    height, width = images.shape[1:3]
    across = (grid.shape[1] + gap) // (width + gap)
    side = 6.0 / max(grid.shape[:2])
    inches = (max(2.6, side * grid.shape[1]) + 1.2, max(1.4, side * grid.shape[0]) + 0.9)
    figure = Figure(figsize=inches, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    if grid.ndim == 3:  # RGB, of which each image or all have been stretched to 0..1
        low, high = np.nanmin(grid), np.nanmax(grid)
        axes.imshow(np.nan_to_num((grid - low) / ((high - low) or 1.0), nan=1.0), interpolation="nearest")
    else:
        signed = scale == "joint" and np.nanmin(grid) < 0 < np.nanmax(grid)
        most = float(np.nanmax(np.abs(grid)))
        limits = {"vmin": -most, "vmax": most, "cmap": "RdBu_r"} if signed else {"cmap": "viridis"}
        drawn = axes.imshow(grid, interpolation="nearest", **limits)
        label = f"value in the {what}" if scale == "joint" else f"smallest to largest of each {what}"
        figure.colorbar(drawn, ax=axes, label=label, fraction=0.05, pad=0.02)
    axes.set_title(title, fontsize=10, parse_math=False)  # it may name a class
    down = (grid.shape[0] + gap) // (height + gap)
    _count(axes, across, down, width + gap, height + gap)
    axes.set_xlabel(f"{what} (column)")
    axes.set_ylabel("number of the first in the row")
    return figure


def _count(axes: Axes, across: int, down: int, step_x: float, step_y: float) -> None:
    """Columns are numbered from 0, and a row by its first image."""
    every_x, every_y = -(-across // 16), -(-down // 16)
    columns, rows = range(0, across, every_x), range(0, down, every_y)
    axes.set_xticks([(c + 0.5) * step_x - 1 for c in columns], [str(c) for c in columns], fontsize=7)
    axes.set_yticks([(r + 0.5) * step_y - 1 for r in rows], [str(r * across) for r in rows], fontsize=7)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def show_image(axes: Axes, image: np.ndarray) -> None:
    """One example (H, W), (H, W, 1) or (H, W, 3), whatever its range, in grey or colours, without ticks."""
    values = np.asarray(image, np.float64)
    low, high = values.min(), values.max()
    unit = (values - low) / ((high - low) or 1.0)
    shown = unit[..., 0] if unit.ndim == 3 and unit.shape[-1] != 3 else unit
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def image_batch(images: Any, what: str) -> np.ndarray:
    """(N, H, W, C) examples as an array, or a UsageError."""
    array = np.asarray(images)
    if array.ndim != 4:
        raise UsageError(f"{what} is of images (N, H, W, C). Received: shape {array.shape}")
    return array

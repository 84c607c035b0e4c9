"""The first images of each class, to look at before anything is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.data.images import are_images, read_image
from zoo.data.split import Split, as_split
from zoo.data.splits import DataSplits
from zoo.errors import UsageError, check_count

MAX_CLASSES = 100
_MAX_PER_CLASS = 10
_MAX_COLUMNS = 10  # images side by side
_WIDTH, _SMALLEST, _LARGEST = 9.0, 1.2, 2.2  # inches: of a row of images where they may be so large; of an image
_TITLE, _FOOT = 0.42, 0.2  # inches above the images of a class, and below all
_GAP = 0.2  # inches between classes
_INNER_GAP = 0.06  # widths of an image, between images of one class
_CHARACTER = 0.067  # inches of a title, on average
_SHARP = 48  # pixels; smaller images are shown as the squares they are, larger ones smoothly


def plot_examples(data: Any, *, per_class: int = 1) -> Figure:
    r"""The first images of each class in file order, under the class's name and its number of images.

    Only what is shown is decoded. Of more than 100 classes the first 100 are shown.

    Args:
        data: `DataSplits`, of which the training split is shown, a `Split`, or a pair (images, labels); uint8, grey or RGB,
            in memory or decoded from files.
        per_class: images of each class, side by side; 1 to 10. A class that has fewer shows those.

    Raises:
        UsageError: points or other inputs that are no uint8 images, a stream, or a `per_class` out of range.
        DataError: a file that is to be shown cannot be read.

    Examples:
        >>> import zoo
        >>> figure = plot_examples(zoo.load_dataset("digits"))
        >>> figure.axes[3].get_title()
        '3\n132 images'
        >>> figure.savefig("digits.png")  # doctest: +SKIP
    """
    check_count("per_class", per_class, below=_MAX_PER_CLASS + 1)
    split = data.train if isinstance(data, DataSplits) else as_split(data)
    labels = _labels_of_images(split)
    counts = np.bincount(labels, minlength=split.num_classes)
    shown = min(split.num_classes, MAX_CLASSES)
    figure = _grid(shown, per_class, split.input_shape)
    room = figure.axes[0].get_position(original=True).width * figure.get_figwidth()  # inches for a title
    for k, axes in enumerate(figure.axes):
        members = np.flatnonzero(labels == k)[:per_class]
        _draw_row(axes, _stored_images(split.subset(members)), per_class, split.input_shape)
        name = _clipped(split.class_names[k], int(room / _CHARACTER))
        number = f"{counts[k]:,} image{'' if counts[k] == 1 else 's'}"
        axes.set_title(f"{name}\n{number}", fontsize=8, pad=3, parse_math=False)
    if shown < split.num_classes:
        foot = f"the first {shown} of {split.num_classes:,} classes"
        figure.text(0.5, 0.08 / figure.get_figheight(), foot, ha="center", fontsize=8)
    return figure


def _labels_of_images(split: Split) -> np.ndarray:
    """The labels of a split whose images can be shown."""
    shape = split.input_shape
    if not are_images(split.dtype, shape):
        raise UsageError(
            f"only uint8 images, grey or RGB, can be shown. Received: {split.dtype} inputs of shape {shape}"
        )
    if split.labels is None or split.stream is not None:
        raise UsageError("a stream can only be read from its beginning; load it with in_memory=True to see each class")
    return split.labels


def _stored_images(split: Split) -> list[np.ndarray]:
    """Each (height, width, channels) uint8, decoded where they are not in memory."""
    inputs = split.inputs
    if inputs is not None:
        return list(inputs)
    assert split.files is not None
    height, width, channels = split.input_shape
    return [read_image(Path(file), (height, width), channels) for file in split.files]


def _draw_row(axes: Axes, images: list[np.ndarray], places: int, shape: tuple[int, ...]) -> None:
    """Images beside each other, in a row that has room for `places`."""
    height, width = shape[:2]
    for i, image in enumerate(images):
        left = i * width * (1 + _INNER_GAP)
        axes.imshow(
            image,
            cmap="gray",
            vmin=0,
            vmax=255,
            extent=(left, left + width, height, 0),
            interpolation="nearest" if max(height, width) <= _SHARP else "hanning",
        )
    axes.set(xlim=(0, _row_width(places, width)), ylim=(height, 0))


def _row_width(places: int, width: float) -> float:
    return width * (places + (places - 1) * _INNER_GAP)


def _grid(classes: int, per_class: int, shape: tuple[int, ...]) -> Figure:
    """A figure with an empty place for the images of each class, about twice as many images beside as below each other."""
    height, width = shape[:2]
    most = min(math.ceil(math.sqrt(2 * classes / per_class)), _MAX_COLUMNS // per_class)
    rows = math.ceil(classes / most)
    columns = math.ceil(classes / rows)
    inches = min(max(_WIDTH / (columns * per_class), _SMALLEST), _LARGEST) / max(height, width)  # of a pixel
    cell_width = max(_row_width(per_class, width * inches), _SMALLEST)
    cell_height = height * inches
    step_x, step_y = cell_width + _GAP, cell_height + _TITLE + _GAP / 2
    total_width, total_height = columns * step_x, rows * step_y + _FOOT
    figure = Figure(figsize=(total_width, total_height), dpi=110)
    for i in range(classes):
        row, column = divmod(i, columns)
        left, bottom = column * step_x + _GAP / 2, total_height - row * step_y - _TITLE - cell_height
        place = (left / total_width, bottom / total_height, cell_width / total_width, cell_height / total_height)
        figure.add_axes(place).set_axis_off()
    return figure


def _clipped(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"

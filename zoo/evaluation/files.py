"""What a model says of image files that have no labels."""

from __future__ import annotations

import os
from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np

from zoo.data.images import load_images
from zoo.data.split import Split
from zoo.errors import UsageError
from zoo.models.outputs import check_shapes, class_probabilities, known_output_kind


def score_files(
    model: keras.Model, files: Sequence[str | os.PathLike[str]], like: Split, *, batch_size: int = 256
) -> np.ndarray:
    """Class probabilities of image files, read, resized and scaled as the images of a split were.

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits.
        files: one or more images; `zoo.data.folder.image_files` gives those of a folder.
        like: a split of the data that the model was trained on: uint8, grey or RGB.
        batch_size: images that are in memory at once.

    Returns:
        (N, K), in the order of the files.

    Raises:
        UsageError: no file, data that are no uint8 images, or a model of another shape.
        DataError: a file is no readable image; the message names it.
    """
    if like.dtype != np.uint8 or len(like.input_shape) != 3 or like.input_shape[-1] not in (1, 3):
        raise UsageError(f"files are read as uint8 images are. Received: {like.dtype} inputs of {like.input_shape}")
    if not files:
        raise UsageError("files must be one or more images. Received: none")
    check_shapes(model, like.input_shape)
    height, width, channels = like.input_shape
    kind, mode, found = known_output_kind(model), "rgb" if channels == 3 else "grayscale", []
    for start in range(0, len(files), batch_size):
        part = list(files[start : start + batch_size])
        images = load_images(part, (height, width), fit="stretch", color_mode=mode)
        inputs = images * np.float32(255 * like.scaling.scale) + np.float32(like.scaling.offset)
        found.append(np.asarray(class_probabilities(model(inputs, training=False), kind)))
    return np.concatenate(found)

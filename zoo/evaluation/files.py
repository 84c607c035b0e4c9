"""What a model says of image files that have no labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.images import are_images, read_image
from zoo.data.pipeline import scale
from zoo.data.split import Split
from zoo.errors import UsageError, check_count
from zoo.evaluation.scoring import class_scores
from zoo.models.outputs import check_shapes


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
        UsageError: no file, data that are no uint8 images, a model of another shape, or a batch size below 1.
        DataError: a file is no readable image; the message names it.
    """
    check_count("batch_size", batch_size)
    if not are_images(like.dtype, like.input_shape):
        raise UsageError(f"files are read as uint8 images are. Received: {like.dtype} inputs of {like.input_shape}")
    if isinstance(files, str | os.PathLike) or not len(files):
        raise UsageError(f"files must be a list of one or more images. Received: {files!r:.80}")
    check_shapes(model, like.input_shape)
    height, width, channels = like.input_shape
    scores, found = class_scores(model, like), []
    for start in range(0, len(files), batch_size):
        part = files[start : start + batch_size]
        pixels = np.stack([read_image(Path(file), (height, width), channels) for file in part])
        found.append(scores(scale(tf.constant(pixels), like.scaling)))
    return np.concatenate(found)

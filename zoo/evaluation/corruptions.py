"""What can be done to images at a strength: noise, blur, crop, rotation, brightness, shifts; and `corrupt`, which does it.

Images are float (N, H, W, C) in a range (low, high) and stay in it: what leaves it is clipped. Each image has a strength of its
own, and 0 changes nothing. Noise is the only random one: the pattern of image n is a function of (seed, n), whatever the
batch, and is the same for every strength.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from zoo.data import augment
from zoo.data.split import checked_range
from zoo.errors import UsageError, check_seed, unknown_name

SHARE_OF_RANGE = "share of the range"
_SIGMA_A_PASS = 0.85  # pixels; cut to 5 x 5, a wider Gaussian would lose more than 1 % of its standard deviation
_STREAM = 2  # of random numbers; order and augmentation of the data draw from (seed, 0) and (seed, 1)

Draw = Callable[[], tf.Tensor]  # standard normal numbers, one for each value of the images


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A way to change images.

    Attributes:
        change: (images, strengths, draw) -> images; strengths are float32 (N,), in the data's units where `unit` is a share
            of the range.
        unit: of the strength.
        strengths: the grades by default, without 0.
        limits: smallest and largest strength; where the smallest is negative, the sign is a direction.
        largest: how far `zoo.fool` goes by default; `None` for half of the side that is shifted.
        axis: of a shift by whole pixels, along which it goes (1 down, 2 to the right); else `None`.
        is_for_images: whether inputs must be images; else they may have any shape.
    """

    change: Callable[[tf.Tensor, tf.Tensor, Draw], tf.Tensor]
    unit: str
    strengths: tuple[float, ...]
    limits: tuple[float, float]
    largest: float | None
    axis: int | None = None
    is_for_images: bool = True


def _noise(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    return images + along_images(strengths, images) * tf.cast(draw(), images.dtype)


def _brightness(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    return images + along_images(strengths, images)


def _blur(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Gaussian blur as in augmentation, in as many passes as the standard deviation needs: their variances add up."""
    passes = np.maximum(np.ceil((strengths.numpy() / _SIGMA_A_PASS) ** 2), 1)
    for i in range(int(passes.max(initial=0))):
        images = augment.blur(images, tf.where(passes > i, strengths / np.sqrt(passes).astype(np.float32), 0.0))
    return images


def _crop(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    boxes = tf.stack([strengths / 2, strengths / 2, 1 - strengths / 2, 1 - strengths / 2], axis=1)
    cropped = tf.image.crop_and_resize(images, boxes, tf.range(len(images)), images.shape[1:3])
    return tf.where(along_images(strengths, images) == 0, images, tf.cast(cropped, images.dtype))


def _rotation(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    return augment.rotate(images, strengths * (math.pi / 180))


def _shift_x(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    pixels = tf.cast(strengths, tf.int32)
    return augment.shift(images, tf.zeros_like(pixels), -pixels)


def _shift_y(images: tf.Tensor, strengths: tf.Tensor, draw: Draw) -> tf.Tensor:
    pixels = tf.cast(strengths, tf.int32)
    return augment.shift(images, -pixels, tf.zeros_like(pixels))


_ANY = (-math.inf, math.inf)
CORRUPTIONS = {
    "noise": Corruption(
        _noise, SHARE_OF_RANGE, (0.05, 0.1, 0.2, 0.3, 0.5), (0, math.inf), largest=1.0, is_for_images=False
    ),
    "blur": Corruption(_blur, "pixels", (0.5, 1.0, 1.5, 2.0, 3.0), (0, 50), largest=5.0),
    "crop": Corruption(_crop, "share of the side", (0.1, 0.2, 0.3, 0.4, 0.5), (0, 0.95), largest=0.9),
    "rotation": Corruption(_rotation, "degrees", (5, 10, 20, 30, 45, 60), _ANY, largest=180.0),
    "brightness": Corruption(_brightness, SHARE_OF_RANGE, (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5), (-1, 1), largest=1.0),
    "shift_x": Corruption(_shift_x, "pixels", (-3, -2, -1, 1, 2, 3), _ANY, largest=None, axis=2),
    "shift_y": Corruption(_shift_y, "pixels", (-3, -2, -1, 1, 2, 3), _ANY, largest=None, axis=1),
}


def corrupt(
    images: Any, name: str, strength: Any, *, seed: int = 0, input_range: tuple[float, float] | None = None
) -> np.ndarray:
    """Images under one corruption, clipped to their range.

    | name | strength | what is done |
    |---|---|---|
    | noise | share of the range, >= 0 | Gaussian noise of this standard deviation on every value; inputs of any shape |
    | blur | pixels, 0 to 50 | Gaussian blur of this standard deviation, to 1 %; mirrored outside |
    | crop | share of the side, 0 to 0.95 | this share of height and of width is cut off, the middle enlarged to the whole; bilinear |
    | rotation | degrees | about the centre, positive counter-clockwise; bilinear, mirrored outside |
    | brightness | share of the range, -1 to 1 | added to every value |
    | shift_x, shift_y | whole pixels | to the right, down; negative to the left, up; mirrored outside |

    Blur, rotation and shifts are those of the package's augmentations (`zoo.data.augment`).

    Args:
        images: (N, H, W, C); uint8, or floats in `input_range`.
        name: of the table.
        strength: one number, or (N,) numbers, one for each image. 0 leaves an image as it is, but for the clipping.
        seed: decides the noise of each image, together with its place among the images.
        input_range: what black and white are. By default (0, 1) for floats; uint8 is (0, 255) and is rounded.

    Returns:
        Images of the same shape and type.

    Raises:
        UsageError: an unknown name, a strength out of range, or inputs that are no images.

    Examples:
        >>> corrupt(np.zeros((2, 8, 8, 1), "float32"), "brightness", [0.25, 0.5])[:, 0, 0, 0]
        array([0.25, 0.5 ], dtype=float32)
    """
    array = np.asarray(images)
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"images must be uint8 or floats. Received: {array.dtype}")
    check_seed(seed)
    low, high = checked_range((0, 255) if array.dtype == np.uint8 else input_range or (0, 1))
    checked_strengths(name, np.ravel(strength).tolist(), array.shape[1:])
    if np.shape(strength) not in ((), (len(array),)):
        raise UsageError(f"{len(array)} images need one strength or as many. Received: {np.size(strength)}")
    strengths = np.broadcast_to(np.asarray(strength, np.float32), len(array))
    if not len(array):
        return array.copy()  # TensorFlow draws no numbers for none
    floats = tf.constant(array, tf.float32 if array.dtype == np.uint8 else None)
    changed: np.ndarray = corrupted(floats, name, strengths, np.arange(len(array)), seed, (low, high)).numpy()
    return changed.round().astype(np.uint8) if array.dtype == np.uint8 else changed


def corrupted(
    images: tf.Tensor,
    name: str,
    strengths: np.ndarray,
    examples: np.ndarray,
    seed: int,
    input_range: tuple[float, float],
) -> tf.Tensor:
    """`corrupt` of float images by checked arguments.

    Args:
        images: (N, H, W, C) float32 or float64.
        name: of `CORRUPTIONS`.
        strengths: (N,).
        examples: (N,) places of the images in their data, which decide their noise.
        seed: of the noise.
        input_range: (low, high) of the images.
    """
    kind, (low, high) = CORRUPTIONS[name], input_range
    factor = high - low if kind.unit == SHARE_OF_RANGE else 1.0
    changed = kind.change(
        images,
        tf.constant(strengths * factor, tf.float32),
        lambda: _normal(tf.constant([seed, _STREAM], tf.int64), examples, tf.shape(images)[1:]),
    )
    return tf.clip_by_value(changed, low, high)


def checked_strengths(name: str, strengths: Sequence[float], shape: Sequence[int]) -> list[float]:
    """The strengths as numbers, if `name` exists and inputs of `shape` (without N) can be changed so; else a UsageError."""
    if name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    kind = CORRUPTIONS[name]
    if kind.is_for_images and len(shape) != 3:
        raise UsageError(f"{name} is for images (height, width, channels). Received: inputs of shape {tuple(shape)}")
    low, high = kind.limits
    if kind.axis is not None:
        high = shape[kind.axis - 1] - 1
        low = -high
    for strength in strengths:
        value = float(strength) if isinstance(strength, numbers.Real) else math.nan
        if not math.isfinite(value) or not low <= value <= high or (kind.axis is not None and value != int(value)):
            allowed = f"{low:g} to {high:g}" if math.isfinite(high) else "0 or more" if low == 0 else "finite"
            unit = f"whole {kind.unit}" if kind.axis is not None else kind.unit
            raise UsageError(f"a strength of {name} must be {allowed} ({unit}). Received: {strength!r}")
    return [float(strength) for strength in strengths]


def along_images(values: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """(N,) values in a shape that multiplies images (N, ...), and in their type."""
    return tf.cast(tf.reshape(values, [-1] + [1] * (len(images.shape) - 1)), images.dtype)


@tf.function(
    input_signature=[tf.TensorSpec([2], tf.int64), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int32)]
)
def _normal(seed: tf.Tensor, examples: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """(N, *shape) standard normal float32 numbers, row n a function of the seed and `examples[n]`."""

    def one(example: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal(shape, tf.random.fold_in(seed, example))

    return tf.map_fn(one, examples, fn_output_signature=tf.float32)

"""JPEG and PNG bytes -> uint8 pixels as operations of a graph, pixel by pixel what `zoo.data.images.read_image` gives.

A model that was trained on images that Pillow read and resized is served from a SavedModel in which there is no Pillow. The
integer arithmetic of Pillow's decoder options, transparency, grey conversion, reduction and bilinear filter (Pillow 10 to 13,
src/libImaging: AlphaComposite.c, Convert.c, Reduce.c, Resample.c) is therefore repeated here, not approximated.
"""

from __future__ import annotations

from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before TensorFlow)

import tensorflow as tf
from PIL import Image

# The orientation is looked for in so many bytes: a segment has at most 65,536, and few stand before.
_EXIF_BYTES = 131_072
_ENTRIES = 256  # of the EXIF directory that are looked through
_ORIENTATION, _SHORT = 0x0112, 3  # EXIF's tag, and the type of its value
_REDUCING_GAP = 2.0  # of `read_image`: what is larger than this times the size is first averaged in whole blocks
_PRECISION = 22  # bits of the filter's integer weights


def decode_images(encoded: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """(N,) strings with a JPEG or PNG image each -> (N, height, width, channels) uint8, upright and stretched to `shape`.

    What differs from `read_image`: an orientation that a PNG or XMP data state is not read, pixels of 16 bits lose their lower
    eight, and CMYK is converted by TensorFlow's formula.

    Args:
        encoded: one image an element.
        shape: (height, width, 1 or 3).
    """
    pixels = tf.TensorSpec(tuple(shape), tf.uint8)
    return tf.map_fn(lambda one: _decode(one, tuple(shape)), encoded, fn_output_signature=pixels)


def _decode(encoded: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    height, width, channels = shape
    pixels = tf.cond(tf.io.is_jpeg(encoded), lambda: _decode_jpeg(encoded, height, width), lambda: _decode_png(encoded))
    if channels == 1:  # ITU-R 601-2 luma, as Pillow rounds it
        weighted = tf.reduce_sum(pixels * tf.constant([19595, 38470, 7471]), axis=-1, keepdims=True)
        pixels = tf.bitwise.right_shift(weighted + 0x8000, 16)
    pixels = _stretched(pixels, height, width)
    return tf.ensure_shape(tf.cast(pixels, tf.uint8), shape)


def _decode_jpeg(encoded: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """(H, W, 3) int32, upright, decoded at a half, quarter or eighth where at least twice the size is left."""
    orientation = _orientation(encoded)
    wanted = tf.where(orientation >= 5, [width, height], [height, width])
    times = tf.reduce_min(tf.io.extract_jpeg_shape(encoded)[:2] // (2 * wanted))
    choice = tf.searchsorted([2, 4, 8], tf.reshape(times, [1]), side="right")[0]

    def decoded(ratio: int) -> tf.Tensor:
        return tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, fancy_upscaling=True, dct_method="INTEGER_ACCURATE")

    branches = [lambda ratio=ratio: decoded(ratio) for ratio in (1, 2, 4, 8)]
    return tf.cast(_upright(tf.switch_case(choice, branches), orientation), tf.int32)


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    """(H, W, 3) int32, what is transparent on white."""
    pixels = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
    colours, alpha = pixels[..., :3], tf.minimum(pixels[..., 3:] * _alpha_step(encoded), 255)
    blended = (colours * alpha + 255 * (255 - alpha) + 128) * 128
    return tf.bitwise.right_shift(tf.bitwise.right_shift(blended, 8) + blended, 15)


def _alpha_step(encoded: tf.Tensor) -> tf.Tensor:
    """Grey pixels of 1, 2 or 4 bits come from TensorFlow with an opacity of so few bits; of all others it is 255 already."""
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 24, 2), tf.uint8), tf.int32)  # bits, kind of colour
    narrow = (header[1] == 0) & (header[0] < 8)
    return tf.where(narrow, 255 // (tf.bitwise.left_shift(1, header[0]) - 1), 1)


def _orientation(encoded: tf.Tensor) -> tf.Tensor:
    """EXIF's orientation of a JPEG, 1 to 8; 1 where it has none."""
    start = tf.strings.substr(encoded, 0, _EXIF_BYTES)
    data = tf.pad(tf.cast(tf.io.decode_raw(start, tf.uint8), tf.int32), [[0, 16]])
    last = tf.size(data) - 1

    def byte(place: tf.Tensor) -> tf.Tensor:
        return tf.gather(data, tf.clip_by_value(place, 0, last))

    size = tf.size(data) - 16
    is_header = tf.ones([size], tf.bool)
    for offset, value in [(0, 0xFF), (1, 0xE1), *enumerate(b"Exif\0\0", start=4)]:
        is_header &= data[offset : offset + size] == value
    found = tf.reduce_any(is_header)
    tiff = tf.argmax(tf.cast(is_header, tf.int32), output_type=tf.int32) + 10
    is_little = byte(tiff) == ord("I")

    def number(place: tf.Tensor, count: int) -> tf.Tensor:
        values = [byte(place + i) for i in range(count)]
        little = tf.add_n([value * 256**i for i, value in enumerate(values[:3])])
        big = tf.add_n([value * 256**i for i, value in enumerate(values[::-1][:3])])  # more than 24 bits lead nowhere
        return tf.where(is_little, little, big)

    directory = tiff + number(tiff + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), _ENTRIES))
    matches = (number(entries, 2) == _ORIENTATION) & (number(entries + 2, 2) == _SHORT)
    values = tf.boolean_mask(number(entries + 8, 2), matches)
    value = tf.concat([values, [1]], axis=0)[0]
    return tf.where(found & (value >= 1) & (value <= 8), value, 1)


def _upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """An image as it is to be shown."""
    pixels = tf.cast(pixels, tf.float32)  # TensorFlow says on standard error that it transposes integers slowly
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    for axis, turned in ((1, [2, 3, 6, 7]), (0, [3, 4, 7, 8])):
        is_turned = tf.reduce_any(orientation == turned)
        pixels = tf.cond(is_turned, lambda p=pixels, a=axis: tf.reverse(p, [a]), lambda p=pixels: p)
    return pixels


def _stretched(pixels: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """`Image.resize((width, height), BILINEAR, reducing_gap=2.0)` of an int32 image."""
    length = tf.cast(tf.shape(pixels)[:2], tf.float64)
    gaps = length / tf.constant([height, width], tf.float64) / _REDUCING_GAP
    blocks = tf.maximum(tf.cast(tf.floor(gaps), tf.int32), 1)
    reduced = tf.cond(tf.reduce_all(blocks == 1), lambda: pixels, lambda: _averaged(pixels, blocks))
    shown = tf.cast(tf.cast(length / tf.cast(blocks, tf.float64), tf.float32), tf.float64)  # Pillow's box has floats

    def rows(image: tf.Tensor) -> tf.Tensor:
        return _filtered(image, 0, shown[0], height)

    def columns(image: tf.Tensor) -> tf.Tensor:
        return _filtered(image, 1, shown[1], width)

    if not _may_filter_rows_first():
        return rows(columns(reduced))
    fewer = tf.shape(reduced)[:2] - tf.constant([height, width])
    rows_first = (fewer[0] > 0) & (fewer[0] > 2 * fewer[1])
    return tf.cond(rows_first, lambda: columns(rows(reduced)), lambda: rows(columns(reduced)))


def _may_filter_rows_first() -> bool:
    """Whether this Pillow shrinks the height before it changes the width, where that is less work (python-pillow#9549)."""
    image = Image.frombytes("L", (7, 16), bytes(97 * i % 256 for i in range(7 * 16)))
    filter_ = Image.Resampling.BILINEAR
    return image.resize((9, 5), filter_).tobytes() == image.resize((7, 5), filter_).resize((9, 5), filter_).tobytes()


def _averaged(pixels: tf.Tensor, blocks: tf.Tensor) -> tf.Tensor:
    """`Image.reduce`: means of blocks of (rows, columns) pixels; those at the right and lower edge may be smaller."""
    rows, columns = blocks[0], blocks[1]
    sizes = tf.shape(pixels)[:2]
    counts = -(-sizes // blocks)
    missing = counts * blocks - sizes
    padded = tf.pad(pixels, [[0, missing[0]], [0, missing[1]], [0, 0]])
    sums = tf.reduce_sum(tf.reshape(padded, [counts[0], rows, counts[1], columns, pixels.shape[-1]]), axis=[1, 3])
    high = tf.minimum(rows, sizes[0] - rows * tf.range(counts[0]))
    wide = tf.minimum(columns, sizes[1] - columns * tf.range(counts[1]))
    members = tf.cast(high[:, tf.newaxis] * wide, tf.int64)[..., tf.newaxis]
    scaled = (tf.cast(sums, tf.int64) + members // 2) * (2**24 // members)
    return tf.cast(tf.bitwise.right_shift(scaled, tf.constant(24, tf.int64)), tf.int32)


def _filtered(pixels: tf.Tensor, axis: int, length: tf.Tensor, size: int) -> tf.Tensor:
    """One axis resized to `size` with a triangle filter; `length` pixels of it are shown, the last perhaps in part."""
    scale = length / size
    support = tf.maximum(scale, 1.0)
    centres = (tf.range(size, dtype=tf.float64) + 0.5) * scale
    available = tf.shape(pixels)[axis]
    first = tf.maximum(tf.cast(centres - support + 0.5, tf.int32), 0)
    end = tf.minimum(tf.cast(centres + support + 0.5, tf.int32), available)
    taps = first[:, tf.newaxis] + tf.range(2 * tf.cast(tf.math.ceil(support), tf.int32) + 1)
    distances = (tf.cast(taps, tf.float64) - centres[:, tf.newaxis] + 0.5) * (1.0 / support)
    weights = tf.where(taps < end[:, tf.newaxis], tf.maximum(1.0 - tf.abs(distances), 0.0), 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    whole = tf.cast(0.5 + weights * 2**_PRECISION, tf.int32)
    whole = tf.reshape(whole, tf.concat([tf.shape(whole), [1] * (2 - axis)], axis=0))  # beside the axes that follow
    gathered = tf.gather(pixels, tf.minimum(taps, available - 1), axis=axis)
    sums = tf.reduce_sum(gathered * whole, axis=axis + 1) + 2 ** (_PRECISION - 1)
    return tf.clip_by_value(tf.bitwise.right_shift(sums, _PRECISION), 0, 255)

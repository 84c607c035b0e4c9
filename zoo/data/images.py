"""What is done to every image on its way in: size, colour, scaling, memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from zoo.data.split import Scaling
from zoo.errors import DataError, UsageError, unknown_name

FITS = ("crop", "pad", "stretch")
_IN_MEMORY_LIMIT = 2**30  # bytes of uint8 pixels
_MAX_PIXELS = 100_000_000  # a larger image is refused before it is decoded: a small PNG can unfold to gigabytes


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """How images are read.

    Attributes:
        size: (height, width) to resize to, or `None`.
        color_mode: "grayscale", "rgb" or `None` (as stored).
        scaling: how uint8 pixels become model inputs.
        in_memory: `True`, `False`, or `None` to decide by size.
    """

    size: tuple[int, int] | None
    color_mode: str | None
    scaling: Scaling
    in_memory: bool | None

    def holds_in_memory(self, count: int, shape: tuple[int, ...]) -> bool:
        """Whether `count` images of `shape` are held as one array."""
        if self.in_memory is not None:
            return self.in_memory
        return count * int(np.prod(shape)) <= _IN_MEMORY_LIMIT

    def convert(self, image: np.ndarray) -> np.ndarray:
        """One uint8 (H, W, 1 or 3) image in the wanted colour and size."""
        channels = {"grayscale": 1, "rgb": 3, None: image.shape[-1]}[self.color_mode]
        if (self.size is None or self.size == image.shape[:2]) and channels == image.shape[-1]:
            return image
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        return _pixels(picture, self.size, channels)


def load_images(
    paths: Sequence[str | os.PathLike[str]],
    image_size: int | tuple[int, int],
    *,
    fit: str = "crop",
    color_mode: str = "rgb",
) -> np.ndarray:
    """Photographs as the input of a model: float32 (N, height, width, channels) in [0, 1].

    Files may have any mode (grey, palette, transparent, CMYK, 16 bits) and size. They are turned upright (EXIF), and what is
    transparent is shown on white.

    Args:
        paths: image files.
        image_size: height and width, or (height, width), in pixels.
        fit: "crop" (the largest part in the middle that has the shape), "pad" (the whole image, black beside it) or
            "stretch" (the whole image, its proportions changed).
        color_mode: "rgb" or "grayscale".

    Raises:
        UsageError: an unknown `fit` or `color_mode`.
        DataError: a file is no readable image; the message names it.

    Example:
        >>> model = zoo.build("resnet50", (224, 224, 3), 1000, weights="imagenet")  # doctest: +SKIP
        >>> zoo.decode_predictions(model.predict(zoo.load_images(["photo.jpg"], 224)))  # doctest: +SKIP
    """
    if fit not in FITS:
        raise unknown_name("fit", fit, FITS)
    channels = {"rgb": 3, "grayscale": 1}.get(color_mode)
    if channels is None:
        raise unknown_name("color_mode", color_mode, ("rgb", "grayscale"))
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or min(size) < 1:
        raise UsageError(f"image_size must be one or two positive numbers. Received: image_size={image_size!r}")
    if isinstance(paths, str | os.PathLike):
        raise UsageError(f"paths must be a list of files. Received: {os.fspath(paths)!r}")
    pixels = np.empty((len(paths), *size, channels), np.float32)
    for i, path in enumerate(paths):
        np.divide(read_image(Path(path), size, channels, fit), np.float32(255), out=pixels[i])
    return pixels


def read_image(path: Path, size: tuple[int, int] | None, channels: int, fit: str = "stretch") -> np.ndarray:
    """Decodes one image file of any mode to uint8 (H, W, channels), upright (EXIF), brought to `size` (height, width).

    `fit` is one of `FITS`, see `load_images`.

    Raises:
        DataError: the file is no readable image; the message names it.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise DataError(
                    f"{path}: {picture.width}x{picture.height} pixels are too many; the most is {_MAX_PIXELS:,}"
                )
            if size is not None:
                picture.draft("RGB", (size[1], size[0]))  # lets JPEG decode at a smaller scale: faster
            upright = ImageOps.exif_transpose(picture)
            return _pixels(upright, size, channels, fit)
    except DataError:
        raise
    except Exception as error:  # Pillow raises many kinds on corrupt files
        raise DataError(f"{path}: not a readable image ({_one_line(error)}); repair or remove it") from error


def image_header(path: Path) -> tuple[tuple[int, int], int]:
    """((height, width) as shown, channels) of an image file, without decoding it."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if picture.getexif().get(0x0112) in (5, 6, 7, 8):  # EXIF: shown turned by 90 degrees
                width, height = height, width
            return (height, width), 1 if picture.mode in ("1", "L", "F") or picture.mode.startswith("I") else 3
    except Exception as error:
        raise DataError(f"{path}: not a readable image ({_one_line(error)}); repair or remove it") from error


def _pixels(picture: Image.Image, size: tuple[int, int] | None, channels: int, fit: str = "stretch") -> np.ndarray:
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow would clip it at 255 instead of scaling
        picture = Image.fromarray((np.asarray(picture, np.float64) / 257).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:  # as it would be shown on a white page
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if size is not None and picture.size != (size[1], size[0]):
        picture = _fitted(picture, (size[1], size[0]), fit)
    pixels = np.asarray(picture, np.uint8)
    return pixels[..., np.newaxis] if channels == 1 else pixels


def _fitted(picture: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """An image in another size (width, height)."""
    if fit == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.BILINEAR)
    if fit == "pad":
        return ImageOps.pad(picture, size, Image.Resampling.BILINEAR)
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]

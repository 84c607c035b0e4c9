"""What is done to every image on its way in: size, colour, scaling, memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from zoo.data.split import Scaling
from zoo.errors import DataError

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


def read_image(path: Path, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """Decodes one image file of any mode to uint8 (H, W, channels), upright (EXIF), resized to `size` (height, width).

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
            return _pixels(upright, size, channels)
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


def _pixels(picture: Image.Image, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow would clip it at 255 instead of scaling
        picture = Image.fromarray((np.asarray(picture, np.float64) / 257).clip(0, 255).astype(np.uint8))
    picture = picture.convert("L" if channels == 1 else "RGB")
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.asarray(picture, np.uint8)
    return pixels[..., np.newaxis] if channels == 1 else pixels


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]

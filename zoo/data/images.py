"""What is done to every image on its way in: size, colour, scaling, memory."""

from __future__ import annotations

import dataclasses
import numbers
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
        UsageError: no files, an unknown `fit` or `color_mode`, or a size that is none.
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
    size = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
    whole = [n for n in size if isinstance(n, numbers.Integral) and not isinstance(n, bool) and n > 0]
    if len(size) != 2 or len(whole) != 2 or size[0] * size[1] > _MAX_PIXELS:
        raise UsageError(f"image_size must be one or two positive whole numbers. Received: image_size={image_size!r}")
    files = [] if isinstance(paths, str | bytes | os.PathLike) else list(paths)
    if not files or not all(isinstance(file, str | os.PathLike) for file in files):
        raise UsageError(f"paths must be a list of one or more files. Received: {paths!r}")
    pixels = np.empty((len(files), *size, channels), np.float32)
    for i, file in enumerate(files):
        np.divide(read_image(Path(file), (int(size[0]), int(size[1])), channels, fit), np.float32(255), out=pixels[i])
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
            if size is not None:  # lets JPEG decode at a smaller scale, faster, but still be reduced by us: sharper
                height, width = size[::-1] if _is_turned(picture) else size
                picture.draft("RGB", (2 * width, 2 * height))
            upright = ImageOps.exif_transpose(picture)
            return _pixels(upright, size, channels, fit)
    except DataError as error:
        raise error if str(error).startswith(str(path)) else DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # Pillow raises many kinds on corrupt files
        raise DataError(f"{path}: not a readable image ({_one_line(error)}); repair or remove it") from error


def image_header(path: Path) -> tuple[tuple[int, int], int]:
    """((height, width) as shown, channels) of an image file, without decoding it."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if _is_turned(picture):
                width, height = height, width
            return (height, width), 1 if picture.mode in ("1", "L", "F") or picture.mode.startswith("I") else 3
    except Exception as error:
        raise DataError(f"{path}: not a readable image ({_one_line(error)}); repair or remove it") from error


def _is_turned(picture: Image.Image) -> bool:
    """Whether EXIF says that the image is shown turned by 90 degrees."""
    return picture.getexif().get(0x0112) in (5, 6, 7, 8)


def _pixels(picture: Image.Image, size: tuple[int, int] | None, channels: int, fit: str = "stretch") -> np.ndarray:
    if picture.mode == "F":
        raise DataError("floating-point pixels, whose white nothing says; save it with 8 or 16 bits")
    if picture.mode.startswith("I"):  # Pillow would clip at 255 instead of scaling
        grey = np.asarray(picture, np.float64)
        grey = grey / 257 if picture.mode != "I" or grey.max() > 255 else grey  # of 16 bits, or of 8 in 32
        picture = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
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
        scale = min(size[0] / picture.width, size[1] / picture.height)
        width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        whole, page = picture.resize((width, height), Image.Resampling.BILINEAR), Image.new(picture.mode, size)
        page.paste(whole, ((size[0] - width) // 2, (size[1] - height) // 2))
        return page
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]

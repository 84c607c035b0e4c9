"""What is done to every image on its way in: size, colour, scaling, memory."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import numbers
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.data.split import Scaling
from zoo.errors import DataError, UsageError, one_line, unknown_name
from zoo.plain import plain_list

FITS = ("crop", "pad", "stretch")
COLOR_MODES = {"grayscale": 1, "rgb": 3}  # name -> channels
_IN_MEMORY_LIMIT = 2**30  # bytes of uint8 pixels
_BAND_PIXELS = 2**22  # that are converted at a time
# What Pillow is let read; a JPEG may turn out to be an MPO. It has more: PostScript, which it gives to a program.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "DIB", "ICO", "TGA")
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

    def channels(self, stored: int) -> int:
        """How many channels images have that are stored with `stored`."""
        return stored if self.color_mode is None else COLOR_MODES[self.color_mode]

    def convert(self, image: np.ndarray) -> np.ndarray:
        """One uint8 (H, W, 1 or 3) image in the wanted colour and size."""
        channels = self.channels(image.shape[-1])
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

    Examples:
        >>> model = zoo.build("resnet50", (224, 224, 3), 1000, weights="imagenet")  # doctest: +SKIP
        >>> zoo.decode_predictions(model.predict(zoo.load_images(["photo.jpg"], 224)))  # doctest: +SKIP
    """
    if fit not in FITS:
        raise unknown_name("fit", fit, FITS)
    if color_mode not in COLOR_MODES:
        raise unknown_name("color_mode", color_mode, COLOR_MODES)
    channels = COLOR_MODES[color_mode]
    size = checked_size(image_size)
    files = [] if isinstance(paths, str | bytes | os.PathLike) else list(paths)
    if not files or not all(isinstance(file, str | os.PathLike) for file in files):
        raise UsageError(f"paths must be a list of one or more files. Received: {paths!r}")
    pixels = np.empty((len(files), *size, channels), np.float32)
    for i, file in enumerate(files):
        np.divide(read_image(Path(file), size, channels, fit), np.float32(255), out=pixels[i])
    return pixels


def checked_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of what is one number for both or two numbers; a UsageError for anything else."""
    size: list[Any] = plain_list(image_size) or [image_size, image_size]
    whole = [int(n) for n in size if isinstance(n, numbers.Integral) and not isinstance(n, bool) and int(n) > 0]
    if len(size) != 2 or len(whole) != 2 or whole[0] * whole[1] > _MAX_PIXELS:
        raise UsageError(
            f"image_size must be one or two positive whole numbers, of at most {_MAX_PIXELS:,} pixels. "
            f"Received: image_size={image_size!r:.80}"
        )
    return whole[0], whole[1]


def read_image(path: Path, size: tuple[int, int] | None, channels: int, fit: str = "stretch") -> np.ndarray:
    """Decodes one image file of any mode to uint8 (H, W, channels), upright (EXIF), brought to `size` (height, width).

    `fit` is one of `FITS`, see `load_images`.

    Raises:
        DataError: the file is no readable image; the message names it.
    """
    try:
        with _opened(path) as picture:
            if size is not None:  # lets JPEG decode at a smaller scale, faster, but still be reduced by us: sharper
                height, width = size[::-1] if _is_turned(picture) else size
                picture.draft("RGB", (2 * width, 2 * height))
            ImageOps.exif_transpose(picture, in_place=True)  # else a copy of it, turned or not
            return _pixels(picture, size, channels, fit)
    except Exception as error:  # Pillow raises many kinds on corrupt files
        raise _unreadable(path, error) from error


def are_images(dtype: Any, shape: Sequence[int]) -> bool:
    """Whether inputs of this type and shape, without the batch axis, are grey or RGB images of 8 bits as they are stored."""
    return dtype == np.uint8 and len(shape) == 3 and shape[-1] in (1, 3)


@contextlib.contextmanager
def naming_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raises a `DataError` that names an image file which cannot be read, or is gone since the data were loaded."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put it back or load the data again") from None


def image_header(path: Path) -> tuple[tuple[int, int], int]:
    """((height, width) as shown, channels) of an image file, without decoding it.

    Raises:
        DataError: the file is no readable image; the message names it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # an error of ours follows
            picture = _opened(path)
        with picture:
            width, height = picture.size
            if _is_turned(picture):
                width, height = height, width
            return (height, width), 1 if picture.mode in ("1", "L", "F") or picture.mode.startswith("I") else 3
    except Exception as error:
        raise _unreadable(path, error) from error


class _UnfitError(Exception):
    """What is wrong with an image that could be opened, and what to do, without its name."""


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, _UnfitError):
        return DataError(f"{path}: {error}")
    if isinstance(error, UnidentifiedImageError):
        return DataError(
            f"{path}: not a readable image (no sound {', '.join(_FORMATS)}); save it as PNG, repair or remove it"
        )
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file")
    if isinstance(error, OSError) and error.strerror:  # of the system; Pillow's have none
        return DataError(f"{path}: cannot be read ({error.strerror}); mend that or remove it")
    return DataError(f"{path}: not a readable image ({one_line(error, 120)}); repair or remove it")


def _opened(path: Path) -> Image.Image:
    """An image whose header was read. Pipes and devices, of which reading might never end, and too large ones are refused."""
    if not path.is_file() and path.exists():
        raise _UnfitError(f"a {'folder' if path.is_dir() else 'pipe or device'}, and no image file; give another one")
    picture = Image.open(path, formats=_known_formats())
    if picture.width * picture.height > _MAX_PIXELS:
        picture.close()
        raise _UnfitError(
            f"{picture.width}x{picture.height} pixels are too many, the most is {_MAX_PIXELS:,}; make it smaller or remove it"
        )
    return picture


@functools.cache
def _known_formats() -> list[str]:
    """Those that this Pillow has; it trips over others."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _is_turned(picture: Image.Image) -> bool:
    """Whether EXIF says that the image is shown turned by 90 degrees."""
    return picture.getexif().get(0x0112) in (5, 6, 7, 8)


def _pixels(picture: Image.Image, size: tuple[int, int] | None, channels: int, fit: str = "stretch") -> np.ndarray:
    if picture.mode == "F":
        raise _UnfitError("floating-point pixels, whose white nothing says; save it with 8 or 16 bits")
    mode = "L" if channels == 1 else "RGB"
    convert = _conversion(picture, mode)
    if size in (None, (picture.height, picture.width)):
        pixels = np.empty((picture.height, picture.width, channels), np.uint8)
        for top, band in _bands(picture):
            pixels[top : top + band.height] = np.asarray(convert(band)).reshape(band.height, band.width, channels)
        return pixels
    assert size is not None
    whole = picture
    if picture.mode != mode or picture.has_transparency_data:
        whole = Image.new(mode, picture.size)
        for top, band in _bands(picture):
            whole.paste(convert(band), (0, top))
    fitted = np.asarray(_fitted(whole, (size[1], size[0]), fit))
    return fitted[..., np.newaxis] if channels == 1 else fitted


def _bands(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, some rows) of an image: a small file may unfold to a large one, of which copies would fill the memory."""
    rows = max(1, _BAND_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _conversion(picture: Image.Image, mode: str) -> Callable[[Image.Image], Image.Image]:
    """What makes grey or RGB pixels of 8 bits of any part of an image."""
    if picture.mode.startswith("I"):  # Pillow would clip at 255 instead of scaling
        is_wide = picture.mode != "I" or picture.getextrema()[1] > 255  # type: ignore[operator]  # of 16 bits, or of 8 in 32
        return lambda band: _eight_bits(band, 257 if is_wide else 1).convert(mode)
    if picture.has_transparency_data:
        return lambda band: _on_white(band).convert(mode)
    return lambda band: band.convert(mode)


def _eight_bits(grey: Image.Image, divisor: int) -> Image.Image:
    return Image.fromarray((np.asarray(grey, np.float64) / divisor).clip(0, 255).astype(np.uint8))


def _on_white(picture: Image.Image) -> Image.Image:
    """As it would be shown on a white page."""
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)


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

"""Test images -> a few sprite sheets, small enough that one page holds them all."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
from PIL import Image

from zoo.errors import DataError

_BUDGET = 14_000_000  # bytes for all sheets; base64 makes a third more of them
_SHEET_SIDE = 1024  # pixels; a browser decodes only the sheets on screen
_SAMPLE = 96  # images whose size stands for all
_DISPLAY = 96  # pixels on the page, about
_JPEG_BLOCK = 8  # a tile that starts on a block does not bleed into its neighbour
_CANDIDATES = ((96, "png"), (96, "jpeg"), (64, "jpeg"), (48, "jpeg"), (32, "jpeg"), (24, "jpeg"))


@dataclasses.dataclass(frozen=True)
class Atlas:
    """Sprite sheets of equal tiles, filled row by row.

    Attributes:
        sheets: the encoded sheets.
        media_type: `"image/png"`, or `"image/jpeg"` where PNG would not fit the budget.
        width: a picture's width in pixels.
        height: a picture's height in pixels.
        cell: (width, height) of a tile: the picture and its padding.
        columns: tiles in a row of a sheet.
        rows: rows in a full sheet. The last sheet may be shorter.
        scale: how much larger the page shows a picture.
        pixelated: whether to show sharp pixels (digits) or smooth ones (photographs).
    """

    sheets: list[bytes]
    media_type: str
    width: int
    height: int
    cell: tuple[int, int]
    columns: int
    rows: int
    scale: int
    pixelated: bool


def pack_images(images: np.ndarray, *, budget: int = _BUDGET) -> Atlas:
    """Packs images into sprite sheets, as PNG when these fit the budget, else as JPEG, else as smaller JPEG.

    Args:
        images: uint8, (N, height, width, 1 or 3), N > 0. What is larger than 96 pixels is scaled down.
        budget: bytes for all sheets together. Only the smallest candidate may exceed it.

    Raises:
        DataError: when the array is not of that kind.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"a report shows uint8 images of shape (N, height, width, 1 or 3). Received: {images.dtype}, {images.shape}"
        )
    sample = images[np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))]
    for side, kind in _CANDIDATES:
        atlas = _pack(sample, side, kind)
        if sum(map(len, atlas.sheets)) / len(sample) * len(images) <= budget:
            break
    return _pack(images, side, kind)


def _pack(images: np.ndarray, side: int, kind: str) -> Atlas:
    _, full_height, full_width, channels = images.shape
    shrink = min(1.0, side / max(full_height, full_width))
    height, width = (max(1, round(n * shrink)) for n in (full_height, full_width))
    block = _JPEG_BLOCK if kind == "jpeg" else 1
    cell_height, cell_width = (math.ceil(n / block) * block for n in (height, width))
    columns, rows = max(1, _SHEET_SIDE // cell_width), max(1, _SHEET_SIDE // cell_height)
    padding = ((0, cell_height - height), (0, cell_width - width), (0, 0))
    sheets = []
    for start in range(0, len(images), columns * rows):
        part = images[start : start + columns * rows]
        used_rows = math.ceil(len(part) / columns)
        tiles = np.zeros((used_rows * columns, cell_height, cell_width, channels), np.uint8)
        for i, image in enumerate(part):
            tiles[i] = np.pad(_resized(image, height, width) if shrink < 1 else image, padding, mode="edge")
        grid = tiles.reshape(used_rows, columns, cell_height, cell_width, channels).transpose(0, 2, 1, 3, 4)
        sheets.append(_encoded(grid.reshape(used_rows * cell_height, columns * cell_width, channels), kind))
    return Atlas(
        sheets=sheets,
        media_type=f"image/{kind}",
        width=width,
        height=height,
        cell=(cell_width, cell_height),
        columns=columns,
        rows=rows,
        scale=max(1, round(_DISPLAY / max(width, height))),
        pixelated=shrink == 1 and max(width, height) <= 48,
    )


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    return small.reshape(height, width, image.shape[-1])


def _encoded(sheet: np.ndarray, kind: str) -> bytes:
    picture = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    buffer = io.BytesIO()
    if kind == "png":
        picture.save(buffer, "PNG", compress_level=6)
    else:
        picture.save(buffer, "JPEG", quality=82, subsampling=0)
    return buffer.getvalue()

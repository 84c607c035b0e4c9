"""Readers of what goes into a training: published weights and images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_reading import put
from PIL import Image


def read_weights(folder: Path, content: bytes) -> None:
    from zoo.weights.readers import read_tensors

    for array in read_tensors(put(folder, "weights.bin", content)).values():
        array.sum()  # what is a view of the file is read


def weight_samples() -> list[bytes]:
    from weight_files import GOOD

    saved = io.BytesIO()
    np.save(saved, {"conv1": {"weights": np.ones((2, 3)), "biases": np.ones(3)}}, allow_pickle=True)
    return [*GOOD.values(), saved.getvalue()]


# Images


def open_image(folder: Path, content: bytes) -> None:
    from zoo.data.images import image_header, read_image

    path = put(folder, "image.png", content)
    try:
        image_header(path)
    finally:
        read_image(path, None, 3)
        read_image(path, (8, 9), 1, "crop")


def image_samples() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8)
    colours, samples = Image.fromarray(pixels), []
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("PNG", colours, {}),
        ("PNG", Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {}),
        ("PNG", colours.convert("P"), {"transparency": 3}),
        ("PNG", colours.convert("RGBA"), {"exif": exif}),
        ("JPEG", colours, {"exif": exif}),
        ("JPEG", colours.convert("CMYK"), {"progressive": True}),
        ("GIF", colours, {}),
        ("BMP", colours, {}),
        ("TIFF", colours, {"compression": "tiff_lzw"}),
        ("TIFF", colours.convert("I"), {}),
        ("WEBP", colours, {"exif": exif}),
    ]
    for kind, picture, options in kinds:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        samples.append(file.getvalue())
    return samples

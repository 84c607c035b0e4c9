"""Writes models and weights as Keras does, with HDF5 made in memory.

A full disk makes the HDF5 library crash the interpreter (a segmentation fault), which no program can answer. Keras also takes
file objects and tells the format by their names: through one, HDF5 never sees a disk, and a full one is an error like any other.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.storage import atomic_path


def save_model(model: keras.Model, path: str | os.PathLike[str]) -> Path:
    """Writes a .keras file in one step, and returns its path.

    Raises:
        SaveError: the disk does not take it.
    """
    with atomic_path(path) as temporary:
        write_model(model, temporary)
    return Path(path)


def write_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file where nobody looks for it yet, as in a temporary folder."""
    # Opened by number: beside a file with a name Keras would put HDF5 on the disk when memory is short.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    with _Archive(io.FileIO(descriptor, "wb")) as file:
        keras.saving.save_model(model, file)


def save_weights(model: keras.Model, path: str | os.PathLike[str]) -> Path:
    """Writes a .weights.h5 file in one step, and returns its path.

    Raises:
        SaveError: the disk does not take it.
    """
    content = _Weights()
    model.save_weights(content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return Path(path)


class _Archive(io.BufferedWriter):
    def __str__(self) -> str:
        return "model.keras"


class _Weights(io.BytesIO):
    def __str__(self) -> str:
        return "model.weights.h5"

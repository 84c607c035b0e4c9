"""Where features are kept: arrays in files that later runs find by a key, checked, bounded, and gone on with after a kill."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.store import Store
from zoo.data.streaming import available_memory
from zoo.errors import LockedError
from zoo.storage import DirectoryLock, read_json, remove_files, remove_torn, sha256_of_file, write_json

MOST_BYTES = 4 * 2**30  # of all features in the folder; those not used for longest go
_SAVE_EVERY = 5.0  # seconds; what a killed process computes again at most
_ARRAY, _ABOUT, _DONE = "features.npy", "about.json", "done.json"
_FILES = (_ARRAY, _ABOUT, _DONE, ".lock", ".lock-holder.json")
_ENTRY = re.compile(r"[0-9a-f]{64}(\.partial)?")  # a folder of another name is none of ours, nor another file in one

# Computes the rows of an array from one on, and tells how many are done: fill(array, first, on_rows).
Fill = Callable[[np.ndarray, int, Callable[[int], None]], None]


def cache_directory() -> Path:
    """The folder that ZOO_CACHE_DIR names, else one beside the downloaded weights, below ~/.keras or KERAS_HOME."""
    directory = os.environ.get("ZOO_CACHE_DIR")
    if directory:
        return Path(directory).expanduser() / "features"
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras-zoo" / "features"


def stored(key: str | None, shape: Sequence[int], dtype: np.dtype, fill: Fill, about: dict[str, Any]) -> Store | None:
    """An array by its key: read from its file, else computed, into a file where there is room, else into memory.

    Args:
        key: 64 hexadecimal digits that everything decides which the values depend on; `None` for what is not kept.
        shape: of the array.
        dtype: of the array.
        fill: computes it.
        about: what the file says of itself, for whoever finds it.

    Returns:
        The array as a store, which maps the file; `None` where there is no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if key is not None:
        try:
            return _from_file(cache_directory() / key, size, shape, np.dtype(dtype), fill, about)
        except _FillError as error:
            raise error.args[0] from None
        except (OSError, LockedError):  # no disk, or another process computes the same
            pass
    if size > available_memory() // 4:
        return None
    store = Store.empty(shape, dtype)
    fill(store.array, 0, lambda rows: None)
    return store


class _FillError(Exception):
    """What went wrong with the examples, and not with the disk of the cache."""


def _from_file(
    folder: Path, size: int, shape: Sequence[int], dtype: np.dtype, fill: Fill, about: dict[str, Any]
) -> Store:
    found = _read(folder, shape, dtype)
    if found is None:
        _make_room(folder.parent, size)
        partial = folder.with_suffix(".partial")
        if partial.is_file() or folder.is_file():
            raise OSError("a file is in the way, which is not ours to delete")
        with DirectoryLock(partial):
            found = _read(folder, shape, dtype)  # another process may have made it meanwhile
            if found is None:
                try:
                    _remove(folder)  # damaged
                    if folder.exists():
                        raise OSError("a file is in it which is not ours to delete")
                    _compute(partial, size, shape, dtype, fill)
                    write_json(partial / _ABOUT, {**about, "sha256": sha256_of_file(partial / _ARRAY)})
                    os.rename(partial, folder)
                except OSError:  # the disk is full: what is there of the array only makes it fuller
                    _remove(partial)
                    raise
        _remove(partial)
        found = _read(folder, shape, dtype)
        if found is None:
            raise OSError("what was written cannot be read")
    with contextlib.suppress(OSError):  # the folder may be another user's
        os.utime(folder)  # it was used
    return found


def _remove(entry: Path) -> None:
    """Deletes an entry, but for files that we have not written."""
    remove_torn(entry)
    remove_files(entry, _FILES)


def _read(folder: Path, shape: Sequence[int], dtype: np.dtype) -> Store | None:
    """The array of a folder, mapped; `None` where there is none, or it is not what was written."""
    try:
        about = read_json(folder / _ABOUT)
        if sha256_of_file(folder / _ARRAY) != about["sha256"]:
            return None
        array = np.load(folder / _ARRAY, mmap_mode="c", allow_pickle=False)
        return Store.mapped(array) if array.shape == tuple(shape) and array.dtype == dtype else None
    except Exception:  # of a dozen kinds: NumPy parses a header as Python text
        return None


def _compute(partial: Path, size: int, shape: Sequence[int], dtype: np.dtype, fill: Fill) -> None:
    """Computes an array in its file, from where an earlier process was killed."""
    array, first = _begun(partial, shape, dtype)
    if array is None:
        (partial / _DONE).unlink(missing_ok=True)
        array = np.lib.format.open_memmap(partial / _ARRAY, mode="w+", dtype=dtype, shape=tuple(shape))
        if hasattr(os, "posix_fallocate"):  # a disk that fills up later would kill the process at a write
            with (partial / _ARRAY).open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    saved = time.monotonic()

    def on_rows(rows: int) -> None:
        nonlocal saved
        if time.monotonic() - saved >= _SAVE_EVERY:
            with contextlib.suppress(OSError):
                array.flush()
                write_json(partial / _DONE, {"rows": rows})
            saved = time.monotonic()

    try:
        fill(array, first, on_rows)
    except OSError as error:
        raise _FillError(error) from error
    array.flush()
    (partial / _DONE).unlink(missing_ok=True)


def _begun(partial: Path, shape: Sequence[int], dtype: np.dtype) -> tuple[np.memmap | None, int]:
    """The array that a killed process left, if it said how far it came, and how many rows are done."""
    with contextlib.suppress(Exception):  # of a dozen kinds: NumPy parses a header as Python text
        rows = int(read_json(partial / _DONE)["rows"])
        # "r" refuses a file that is too short, where "r+" extends it
        np.load(partial / _ARRAY, mmap_mode="r", allow_pickle=False)
        array = np.load(partial / _ARRAY, mmap_mode="r+", allow_pickle=False)
        if array.shape == tuple(shape) and array.dtype == dtype and 0 <= rows <= len(array):
            return array, rows
    return None, 0


def _make_room(directory: Path, size: int) -> None:
    """Deletes what was not used for longest until there is room for `size` more bytes.

    Raises:
        OSError: there will be none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if size > min(MOST_BYTES, shutil.disk_usage(directory).free // 2):
        raise OSError("no room")
    ours = [f for f in directory.iterdir() if f.is_dir() and _ENTRY.fullmatch(f.name)]
    folders = sorted(ours, key=lambda f: f.stat().st_mtime)
    sizes = {folder: sum(f.stat().st_size for f in folder.iterdir()) for folder in folders}
    total = sum(sizes.values())
    for folder in folders:
        if total + size <= MOST_BYTES:
            return
        with contextlib.suppress(LockedError), DirectoryLock(folder):  # another process may be filling it
            _remove(folder)  # whoever has mapped it keeps it
            total -= sizes[folder]

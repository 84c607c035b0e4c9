"""A weight file of any kind -> its named tensors. No pickle is executed, and memory is bounded by the size of the file."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import safetensors.numpy

from zoo.errors import WeightsError
from zoo.weights import numpy_files, torch_files
from zoo.weights.unpickle import MalformedError


class Tensors(dict[str, np.ndarray]):
    """Tensor name -> array: read-only views of a file that is mapped into memory (of a safetensors file, copies)."""

    def __init__(self, arrays: dict[str, np.ndarray], mapped: mmap.mmap) -> None:
        super().__init__(arrays)
        self._mapped = mapped

    def forget_pages(self) -> None:
        """Gives back the memory of what was read so far; what is read again comes from the file again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


def read_tensors(path: Path) -> Tensors:
    """The named tensors of a `.npy` dictionary, a Torch file (legacy or zip) or a safetensors file.

    The kind is that of the content, whatever the file is called. The file must not change while it is in use.

    Raises:
        WeightsError: the file is missing, damaged or of another kind, or its pickle refers to anything but arrays.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise WeightsError(f"{path}: the file is empty") from None
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from None
    try:
        tensors = _read(path, memoryview(mapped))
        if strange := [name for name in tensors if not name.isprintable()]:
            raise MalformedError(f"it has a tensor with the name {strange[0]!r}")
    except MalformedError as error:
        raise WeightsError(f"{path}: {error}") from None
    return Tensors(tensors, mapped)


def _read(path: Path, data: memoryview) -> dict[str, np.ndarray]:
    if numpy_files.is_npy(data):
        return numpy_files.read_dictionary(data)
    if torch_files.is_legacy(data):
        return torch_files.read_legacy(data)
    if bytes(data[:4]) == b"PK\x03\x04":
        return torch_files.read_zip(data)
    if bytes(data[8:9]) == b"{":
        try:
            return safetensors.numpy.load_file(path)
        except Exception as error:  # it raises many kinds, e.g. for numbers that NumPy lacks
            raise MalformedError(f"it is no readable safetensors file ({error})") from None
    raise MalformedError("it is no weight file of a known kind (.npy dictionary, Torch .th or .pth, safetensors)")

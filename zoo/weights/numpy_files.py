"""Arrays of `.npy` files that hold a pickled dictionary {layer: [kernel, bias]}, without NumPy's unpickling."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from zoo.errors import one_line
from zoo.weights.unpickle import Allowed, Described, MalformedError, is_shape, read_pickle, text

_LONGEST_HEADER = 10_000
_DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_PARTS = ("weights", "biases")  # Caffe's blobs of a layer, in their order


def is_npy(data: memoryview) -> bool:
    """Whether a file begins as NumPy's files do."""
    return bytes(data[:6]) == b"\x93NUMPY"


def read_dictionary(data: memoryview) -> dict[str, np.ndarray]:
    """Names such as "conv1/weights" and "conv1/biases" -> arrays, views of `data`.

    The dictionary is {layer: [weights, biases]} or {layer: {"weights": ..., "biases": ...}}, as converters of Caffe models
    write it, also under Python 2.
    """
    value, _ = read_pickle(data, _after_header(data), _ALLOWED)
    if not isinstance(value, _Array) or not isinstance(value.content, list) or len(value.content) != 1:
        raise MalformedError("it holds no dictionary of arrays")
    dictionary = value.content[0]
    if not isinstance(dictionary, dict):
        raise MalformedError("it holds no dictionary of arrays")
    arrays = {}
    for layer, parts in dictionary.items():
        named = dict(zip(_PARTS, parts, strict=False)) if isinstance(parts, list | tuple) else parts
        if not isinstance(named, dict) or (isinstance(parts, list | tuple) and len(parts) > len(_PARTS)):
            raise MalformedError(f"its layer {layer!r} holds no weights and biases")
        for part, array in named.items():
            if not isinstance(array, _Array) or not isinstance(array.content, np.ndarray):
                raise MalformedError(f"its {layer}/{part} is no array of numbers")
            arrays[f"{layer}/{part}"] = array.content
    return arrays


def _after_header(data: memoryview) -> int:
    """The position of the pickle in a file with one Python object."""
    head = io.BytesIO(bytes(data[: _LONGEST_HEADER + 20]))
    try:
        version = np.lib.format.read_magic(head)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(head, max_header_size=_LONGEST_HEADER)
    except Exception as error:  # NumPy parses it as Python text, which can be damaged in many ways
        raise MalformedError(f"its header is damaged ({one_line(error, 100)})") from None
    if dtype != np.dtype(object) or shape not in ((), (1,)):
        raise MalformedError(f"it holds an array of {dtype} with shape {shape}, not a dictionary of arrays")
    return head.tell()


class _DType(Described):
    def __init__(self, code: Any, *others: Any) -> None:
        self.code = text(code)
        self.is_big_endian = False
        if self.code not in _DTYPES | {"O8", "O4", "O"}:
            raise MalformedError(f"it has numbers of the kind {self.code[:20]!r}")

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5:
            raise MalformedError("it describes numbers in a way that is not known")
        _, order, fields, *others = state
        if text(order) not in ("<", ">", "|", "=") or fields is not None or any(o is not None for o in others[:2]):
            raise MalformedError("it has arrays of records")
        self.is_big_endian = text(order) == ">"

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")


class _Array(Described):
    """An array as `numpy.core.multiarray._reconstruct` begins it, and its pickled state completes it."""

    content: Any = None

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise MalformedError("it describes an array in a way that is not known")
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or not is_shape(shape):
            raise MalformedError("it describes an array in a way that is not known")
        if dtype.is_object:
            if not isinstance(content, list) or len(content) != math.prod(shape):
                raise MalformedError("it describes an array in a way that is not known")
            self.content = content
            return
        kind = np.dtype((">" if dtype.is_big_endian else "<") + dtype.code)
        if not isinstance(content, memoryview) or math.prod(shape) * kind.itemsize != len(content):
            raise MalformedError(
                f"it declares an array of {'x'.join(map(str, shape))} numbers and does not have their bytes"
            )
        try:
            self.content = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
        except ValueError:  # of no numbers, and yet too large for NumPy
            raise MalformedError(f"it declares an array of {'x'.join(map(str, shape))} numbers") from None


_ALLOWED: Allowed = {
    "numpy.core.multiarray._reconstruct": lambda *arguments: _Array(),
    "numpy._core.multiarray._reconstruct": lambda *arguments: _Array(),
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": _DType,
}

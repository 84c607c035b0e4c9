"""Tensors of Torch files, legacy (.th, .pth before Torch 1.6) and zip (.pth, .pt), without Torch and without unpickling."""

from __future__ import annotations

import dataclasses
import io
import math
import zipfile
from typing import Any

import ml_dtypes as _registers  # noqa: F401  (NumPy then knows bfloat16)
import numpy as np

from zoo.weights.unpickle import Allowed, Described, MalformedError, is_count, is_shape, read_pickle, text

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a legacy file
_PROTOCOL = 1001
_STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "u1",
}
# What checkpoints hold beside tensors, e.g. the best accuracy as a NumPy number. It is passed over.
_IGNORED = (
    "__builtin__.set",
    "_codecs.encode",
    "builtins.set",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "torch.device",
)
_MOST_PAIRS = 100_000  # of dictionaries that are given as lists
_LARGEST_PICKLE = 2**26  # in a zip file, where the tensors lie beside it


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers of one kind, somewhere in the file."""

    key: str
    dtype: str
    count: int

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage, all of which lies within it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, data: memoryview) -> np.ndarray:
        """The tensor from the bytes of its storage: a view of them."""
        numbers = np.frombuffer(data, self.storage.dtype)
        strides = [step * numbers.itemsize if n > 1 else 0 for n, step in zip(self.size, self.stride, strict=True)]
        try:
            return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, strides, writeable=False)
        except ValueError:  # of no numbers, and yet too large for NumPy
            raise MalformedError(f"it declares a tensor of {'x'.join(map(str, self.size))} numbers") from None


def is_legacy(data: memoryview) -> bool:
    """Whether a file begins with the magic number of legacy Torch files."""
    return bytes(data[:15]) == b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_legacy(data: memoryview) -> dict[str, np.ndarray]:
    """Tensor name -> array, views of `data`.

    The file is five pickles (magic number, protocol, machine, the object, keys of the storages) and then, for each
    storage, its count and its numbers.
    """
    position = 0
    headers = []
    for _ in range(3):
        value, position = read_pickle(data, position, {})
        headers.append(value)
    magic, protocol, machine = headers
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(machine, dict):
        raise MalformedError("it is no Torch file of a kind that is known")
    if machine.get("little_endian") is not True:
        raise MalformedError("it was written on a big-endian machine, whose files are not read")
    storages: dict[str, Storage] = {}

    def described(identity: tuple[Any, ...]) -> Storage:
        if len(identity) != 6 or identity[5] is not None:
            raise MalformedError("it describes a storage in a way that is not known")
        storage = _storage(identity)
        return storages.setdefault(storage.key, storage)

    value, position = read_pickle(data, position, _allowed(), described)
    keys, position = read_pickle(data, position, {})
    is_list = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not is_list or sorted(keys) != sorted(storages):
        raise MalformedError("its list of storages is damaged")
    contents: dict[str, memoryview] = {}
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(data[position : position + 8], "little")
        if count != storage.count or count * storage.itemsize > len(data) - position - 8:
            raise MalformedError(
                f"it is cut off or damaged: storage {key!r} should have {storage.count:,} numbers at byte {position:,}"
            )
        position += 8
        contents[key] = data[position : position + count * storage.itemsize]
        position += count * storage.itemsize
    return {name: tensor.array(contents[tensor.storage.key]) for name, tensor in _tensors(value).items()}


def read_zip(data: memoryview) -> dict[str, np.ndarray]:
    """Tensor name -> array, views of `data`; the archive holds `data.pkl` and one uncompressed member a storage."""
    try:
        archive = zipfile.ZipFile(_View(data))
    except Exception as error:  # zipfile raises many kinds on damaged files
        raise MalformedError(f"it is no readable zip file ({error})") from None
    members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
    if "data.pkl" not in members:
        raise MalformedError("it is a zip file without data.pkl, so no Torch file")
    if "byteorder" in members and bytes(_content(data, members["byteorder"])) != b"little":
        raise MalformedError("it was written on a big-endian machine, whose files are not read")
    if members["data.pkl"].file_size > _LARGEST_PICKLE:
        raise MalformedError(f"its data.pkl has {members['data.pkl'].file_size:,} bytes")
    value, _ = read_pickle(_content(data, members["data.pkl"]), 0, _allowed(), _storage)
    arrays = {}
    for name, tensor in _tensors(value).items():
        storage = tensor.storage
        member = members.get(f"data/{storage.key}")
        if member is None:
            raise MalformedError(f"it has no data/{storage.key} for {name}")
        content = _content(data, member)
        if len(content) != storage.count * storage.itemsize:
            raise MalformedError(
                f"data/{storage.key} has {len(content):,} bytes; {storage.count:,} numbers of {name} take "
                f"{storage.count * storage.itemsize:,}"
            )
        arrays[name] = tensor.array(content)
    return arrays


class _View(io.RawIOBase):
    """A file over a memory view, for `zipfile`: nothing is copied but what is read."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        found = self._data[self._position : self._position + len(buffer)]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)


def _content(data: memoryview, member: zipfile.ZipInfo) -> memoryview:
    """The bytes of a member that is stored as it is."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise MalformedError(f"{member.filename} is compressed, as no Torch file is")
    header = data[member.header_offset : member.header_offset + 30]
    if len(header) < 30 or bytes(header[:4]) != b"PK\x03\x04":
        raise MalformedError(f"it is cut off or damaged at {member.filename}")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start = member.header_offset + 30 + names
    if start + member.file_size > len(data):
        raise MalformedError(f"it is cut off or damaged at {member.filename}")
    return data[start : start + member.file_size]


def _allowed() -> Allowed:
    """The names that a dictionary of tensors needs; made for each file, because one of them counts."""
    remaining = _MOST_PAIRS

    def ordered_dictionary(*arguments: Any) -> dict[str, Any]:
        nonlocal remaining
        if not arguments:
            return {}
        pairs = arguments[0]  # Python 2 wrote its dictionaries so
        if len(arguments) > 1 or not isinstance(pairs, list) or len(pairs) > remaining:
            raise MalformedError("its dictionaries are damaged")
        remaining -= len(pairs)
        return {text(key): value for key, value in pairs}

    return {
        "collections.OrderedDict": ordered_dictionary,
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_parameter": lambda tensor, *others: tensor,
        "torch.Size": lambda size: size,
        **{name: lambda *arguments: Described() for name in _IGNORED},
        **{name: name for name in _STORAGES},
    }


def _storage(identity: tuple[Any, ...]) -> Storage:
    """The storage of a persistent id: ("storage", kind, key, device, count), in legacy files with one part more."""
    if len(identity) < 5 or identity[0] != "storage":
        raise MalformedError("it describes a storage in a way that is not known")
    _, kind, key, _, count, *_ = identity
    if not isinstance(kind, str) or kind not in _STORAGES or not isinstance(key, str) or not is_count(count):
        raise MalformedError("it describes a storage of no known kind")
    return Storage(key, _STORAGES[kind], count)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *others: Any) -> Tensor:
    """Refuses a tensor that is larger than its storage or reaches beyond it, before anything is allocated."""
    if not isinstance(storage, Storage) or not is_shape(size) or not is_shape(stride) or len(size) != len(stride):
        raise MalformedError("it describes a tensor in a way that is not known")
    if not is_count(offset):
        raise MalformedError("it describes a tensor that begins nowhere")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > storage.count or (math.prod(size) and last >= storage.count):
        raise MalformedError(
            f"it declares a tensor of {'x'.join(map(str, size))} numbers in a storage of {storage.count:,}"
        )
    return Tensor(storage, offset, size, stride)


def _tensors(value: Any) -> dict[str, Tensor]:
    """The dictionary of tensors in what a file holds: the value itself, or one of its members, "state_dict" first."""
    candidates = [value.get("state_dict"), value, *value.values()] if isinstance(value, dict) else []
    for candidate in candidates:
        if isinstance(candidate, dict):
            tensors = {k: t for k, t in candidate.items() if isinstance(k, str) and isinstance(t, Tensor)}
            if tensors:
                return tensors
    raise MalformedError("it holds no dictionary of named tensors")

"""Weight files and the pickles in them, made byte by byte, for the tests beside this file.

As a program it reads the files that are named to it, see `read_those_that_are_named`.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

from zoo.weights.readers import read_tensors

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared"
SHARED_WEIGHTS = Path(os.environ.get("ZOO_WEIGHTS_DIR") or SHARED / "weights")
SHARED_DATASETS = Path(os.environ.get("TFDS_DATA_DIR") or SHARED / "datasets")

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
BIAS = np.array([0.5, -1, 2], np.float32)
NONE, TRUE, FALSE = b"N", b"\x88", b"\x89"
_MAGIC = 0x1950A86A20F9469CFC6C


def number(value):
    """The opcodes of a whole number of at most 255 bytes."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def string(value):
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def byte_string(content):
    return b"B" + struct.pack("<I", len(content)) + content


def real(value):
    return b"G" + struct.pack(">d", value)


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def list_of(*parts):
    return b"](" + b"".join(parts) + b"e"


def dictionary(*keys_and_values):
    return b"}(" + b"".join(keys_and_values) + b"u"


def call(function, *arguments):
    return function + tuple_of(*arguments) + b"R"


def build(target, *state):
    return target + tuple_of(*state) + b"b"


def doubled(times, start=b")"):
    """A tuple of 2**times parts in a few bytes: each level holds the one before twice."""
    return start + b"q\x00h\x00\x86" * times


def pickled(body):
    return b"\x80\x02" + body + b"."


# NumPy's files


def numbers_dtype(code="f4", order="<"):
    start = call(name("numpy", "dtype"), string(code), number(0), number(1))
    return build(start, number(3), string(order), NONE, NONE, NONE, number(-1), number(-1), number(0))


def begun_array():
    return call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tuple_of(number(0)), byte_string(b"b")
    )


def array(shape=(2, 3), content=None, dtype=None, fortran=FALSE):
    """An array of a pickle; `shape` and `content` are numbers and bytes, or opcodes that stand for anything else."""
    shape = tuple_of(*map(number, shape)) if isinstance(shape, tuple) else shape
    content = byte_string(KERNEL.tobytes()) if content is None else content
    return build(begun_array(), number(1), shape, dtype or numbers_dtype(), fortran, content)


def object_array(*members, shape=()):
    return array(shape, list_of(*members), numbers_dtype("O8", "|"))


def npy_header(header="{'descr': '|O', 'fortran_order': False, 'shape': (), }", version=(1, 0)):
    content = header.encode("latin-1")
    content += b" " * (-(len(content) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", len(content)) + content


def npy_file(body):
    return npy_header() + pickled(body)


# Torch's files


def storage(key="0", kind="FloatStorage", count=6, *, legacy):
    """What refers to a storage; each part is a plain value, or opcodes that stand for anything else."""
    parts = [
        string("storage"),
        kind if isinstance(kind, bytes) else name("torch", kind),
        key if isinstance(key, bytes) else string(key),
        string("cpu"),
        count if isinstance(count, bytes) else number(count),
    ]
    return tuple_of(*parts, *([NONE] if legacy else [])) + b"Q"


def tensor(of, offset=0, size=(2, 3), stride=(3, 1)):
    def opcodes(value):
        if isinstance(value, bytes):
            return value
        return number(value) if isinstance(value, int) else tuple_of(*map(number, value))

    ordered = call(name("collections", "OrderedDict"))
    return call(
        name("torch._utils", "_rebuild_tensor_v2"), of, opcodes(offset), opcodes(size), opcodes(stride), FALSE, ordered
    )


def legacy_file(body, storages=None, keys=None, protocol=1001, little_endian=TRUE, machine=None):
    """Torch's file of before 1.6; `storages` is {key: (declared count, bytes)}, `keys` the opcodes of their list."""
    storages = {"0": (6, KERNEL.tobytes())} if storages is None else storages
    keys = list_of(*map(string, storages)) if keys is None else keys
    machine = (
        dictionary(string("protocol_version"), number(1001), string("little_endian"), little_endian)
        if (machine is None)
        else machine
    )
    headers = pickled(number(_MAGIC)) + pickled(number(protocol)) + pickled(machine)
    contents = b"".join(struct.pack("<q", count) + content for count, content in storages.values())
    return headers + pickled(body) + pickled(keys) + contents


def zip_file(body, members=None, byteorder=b"little", compression=zipfile.ZIP_STORED, folder="archive/"):
    """Torch's file since 1.6; `members` is {name: bytes}, `body` is `None` for a file without a pickle."""
    members = {"data/0": KERNEL.tobytes()} if members is None else members
    head = {} if body is None else {"data.pkl": pickled(body)}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for member, content in {**head, "byteorder": byteorder, **members}.items():
            archive.writestr(zipfile.ZipInfo(folder + member), content, compression)
    return file.getvalue()


def safetensors_file(header, content):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + content


# container -> a file that holds a good array and beside it what the opcodes make
WITH = {
    "npy": lambda piece: npy_file(object_array(dictionary(string("conv1"), list_of(array(), piece)))),
    "th": lambda piece: legacy_file(dictionary(string("a"), tensor(storage(legacy=True)), string("b"), piece)),
    "pth": lambda piece: zip_file(dictionary(string("a"), tensor(storage(legacy=False)), string("b"), piece)),
}
# container -> a file whose pickle is these opcodes and nothing more
ONLY = {"npy": npy_file, "th": legacy_file, "pth": zip_file}
# container -> a small file as it should be
GOOD = {
    "npy": WITH["npy"](array((3,), byte_string(BIAS.tobytes()))),
    "th": WITH["th"](tensor(storage(legacy=True), 1, (3,), (2,))),
    "pth": WITH["pth"](tensor(storage(legacy=False), 1, (3,), (2,))),
    "safetensors": safetensors_file(
        {
            "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
            "b": {"dtype": "F32", "shape": [3], "data_offsets": [24, 36]},
        },
        KERNEL.tobytes() + BIAS.tobytes(),
    ),
}


def write(path, content):
    """Puts a new file in the place of whatever was there, which may still be mapped into memory."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path


def read(folder, content, file_name="weights.bin"):
    return read_tensors(write(folder / file_name, content))


# What reads hostile files


MOST_MORE = 500_000_000  # bytes of address space, beyond what the imports took


def read_those_that_are_named(marker):
    """Reads the files that standard input names, one a line, in little memory; says of each what became of it.

    For a process of its own, which needs nothing but the readers: where a reader takes more than it may, or never
    returns, no more than that process suffers.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_MORE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for line in sys.stdin:
        try:
            outcome = "read", str(len(read_tensors(Path(line.strip()))))
        except BaseException as error:
            outcome = type(error).__name__, str(error)
        executed = marker.exists()
        marker.unlink(missing_ok=True)
        print(json.dumps([*outcome, executed]), flush=True)
    heavy = [module for module in ("tensorflow", "keras", "torch") if module in sys.modules]
    assert not heavy, heavy


if __name__ == "__main__":
    read_those_that_are_named(Path(sys.argv[1]))

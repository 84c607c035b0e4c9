"""Torch's files since 1.6 that are damaged as ZIP files."""

from __future__ import annotations

import io
import struct
import zipfile

from weight_files import (
    GOOD,
    KERNEL,
    NONE,
    dictionary,
    name,
    pickled,
    storage,
    string,
    tensor,
    zip_file,
)

STATE = dictionary(string("a"), tensor(storage(legacy=False)))


def of_zip_files():
    return of_members() | of_entries()


def of_members():
    """Archives whose members are not those of a model, or not stored as they are."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(NONE * 20_000_000), zipfile.ZIP_DEFLATED)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(STATE))
        archive.writestr("archive/data/0", KERNEL.tobytes()[:20])
        archive.writestr("other/data/0", KERNEL.tobytes()[:12])
    lines = dictionary(string("a\nb\u2028c"), tensor(storage("7", legacy=False)))
    return {
        "no pickle": zip_file(None),
        "no pickle in a folder": zip_file(STATE, folder=""),
        "big-endian": zip_file(STATE, byteorder=b"big"),
        "byte order of nothing": zip_file(STATE, byteorder=b""),
        "member that is missing": zip_file(STATE, {}),
        "member that is missing for a name of lines": zip_file(lines),
        "member that is smaller": zip_file(STATE, {"data/0": bytes(23)}),
        "member that is larger": zip_file(STATE, {"data/0": bytes(25)}),
        "members in two folders": twice.getvalue(),
        "compressed storage": zip_file(STATE, {"data/0": bytes(2_000_000)}, compression=zipfile.ZIP_DEFLATED),
        "compressed pickle": bomb.getvalue(),
        "compressed storage in a folder of lines": zip_file(STATE, compression=zipfile.ZIP_DEFLATED, folder="a\nb\r/"),
        "pickle larger than any": lambda: zip_file(NONE * (2**26 + 1)),
        "pickle that is no pickle": zip_file(None, {"data.pkl": b"hello"}),
        "pickle that is empty": zip_file(None, {"data.pkl": b""}),
        "pickle of a legacy file": zip_file(None, {"data.pkl": GOOD["th"]}),
        "code": zip_file(None, {"code/__torch__.py": b"import os", "data.pkl": pickled(name("__torch__", "Model"))}),
    }  # fmt: skip


def places_of_entries(content):
    """Where the directory of an archive has its members."""
    return [i for i in range(len(content)) if content[i : i + 4] == b"PK\x01\x02"]


def patched(content, position, form, value):
    return content[:position] + struct.pack(form, value) + content[position + struct.calcsize(form) :]


def of_entries():
    """Archives whose directory is not what stands before it."""
    good = zip_file(STATE)
    end = good.rindex(b"PK\x05\x06")
    first, *_, last = places_of_entries(good)  # of data.pkl and of data/0
    named = zip_file(STATE, {"data/0": KERNEL.tobytes()}, folder="a\nb\r/")
    return {
        "no members": b"PK\x05\x06" + bytes(18),
        "no end": good[:end],
        "no folder of members": good[:first],
        "another file behind its first bytes": b"PK\x03\x04" + b"hello" * 1000,
        "size that is false": patched(good, last + 24, "<I", 2**31),
        "packed size that is false": patched(good, last + 20, "<I", 2**31),
        "sizes that are false": patched(patched(good, last + 24, "<I", 2**31), last + 20, "<I", 2**31),
        "sizes of gigabytes": patched(patched(good, last + 24, "<I", 2**32 - 2), last + 20, "<I", 2**32 - 2),
        "sizes of gigabytes of the pickle": patched(
            patched(good, first + 24, "<I", 2**32 - 2), first + 20, "<I", 2**32 - 2
        ),
        "sizes in a part that is missing": patched(patched(good, last + 24, "<I", 2**32 - 1), last + 20, "<I", 2**32 - 1),
        "position outside": patched(good, last + 42, "<I", 2**31),
        "position in a part that is missing": patched(good, last + 42, "<I", 2**32 - 1),
        "position of no member": patched(good, last + 42, "<I", 3),
        "position before the beginning": patched(good, end + 16, "<I", first + 100),
        "name of terabytes": patched(good, good.index(b"archive/data/0") - 4, "<H", 2**16 - 1),
        "method that is unknown": patched(good, last + 10, "<H", 99),
        "version that is unknown": patched(good, last + 6, "<H", 999),
        "folder of members of gigabytes": patched(good, end + 12, "<I", 2**32 - 2),
        "folder of members below zero": patched(good, end + 16, "<I", 2**32 - 2),
        "name in a folder that is no text": good.replace(b"archive/data.pkl", b"\xff\xfe\xff\xfe\xff\xfe\xff/data.pkl").replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x08"
        ),
        "false size in a folder of lines": patched(named, places_of_entries(named)[-1] + 42, "<I", 3),
    }  # fmt: skip

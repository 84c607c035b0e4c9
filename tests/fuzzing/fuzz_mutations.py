"""Bytes -> other bytes: what a fuzzer tries, and what the tests beside this file try a few times of every reader."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# What formats are made of: brackets, quotes, counts at the edges of their types, the opcodes and magic of what we read.
TOKENS = [
    *[b"\x00", b"\xff", b"\x7f", b"\x80", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00" * 8, b"\xff" * 8],
    *[b"[", b"]", b"{", b"}", b'"', b",", b":", b"\n", b"\r", b"[" * 3000, b'{"a":' * 3000, b"]" * 50, b"(" * 3000],
    *[b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1", b"0", b"true", b"null", b"1" * 400, b"9" * 5000, b"1.5", b'"\\ud800"', b"\\u0000"],
    *[b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"\x80\x02", b"\x89PNG", b"\xff\xd8", b"II*\x00", b"GIF89a"],
    *[b"cos\nsystem\n", b"R", b".", b"(", b"t", b"b", b"\x8a\x10", b"../../x", b"/etc/passwd", b"json:[", b"tuner/trial_id", b"Lambda", b"__lambda__"],
    *[b"'", b"<script>", b"\x1b[31m", b"\xe2\x80\xa8", b"=1+1", b"10000000", b"1000000000000", b"<f8", b"|O", b"'shape': (10000000000,)"],
]  # fmt: skip


def changed(content: bytes, others: Sequence[bytes], numbers: random.Random) -> bytes:
    """A damaged copy: one to four changes, each of a kind that is drawn."""
    damaged = bytearray(content)
    for _ in range(numbers.choice((1, 1, 1, 2, 4))):
        numbers.choice(_CHANGES)(damaged, others, numbers)
    return bytes(damaged)


Change = Callable[[bytearray, Sequence[bytes], random.Random], None]


def _place(damaged: bytearray, numbers: random.Random) -> int:
    """Headers come first and matter most; the end has the directory of a ZIP."""
    size = len(damaged)
    near = numbers.random()
    if near < 0.3:
        return numbers.randrange(min(size, 200) + 1)
    return size - numbers.randrange(min(size, 200) + 1) if near < 0.5 else numbers.randrange(size + 1)


def _piece(damaged: bytearray, numbers: random.Random) -> tuple[int, int]:
    start = _place(damaged, numbers)
    return start, min(len(damaged), start + numbers.choice((1, 1, 2, 4, 8, 30, 200, 5000)))


def _flip(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    if damaged:
        damaged[min(_place(damaged, numbers), len(damaged) - 1)] ^= 1 << numbers.randrange(8)


def _set(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    if damaged:
        damaged[min(_place(damaged, numbers), len(damaged) - 1)] = numbers.randrange(256)


def _insert(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    start = _place(damaged, numbers)
    damaged[start:start] = numbers.choice(TOKENS)


def _overwrite(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    start, token = _place(damaged, numbers), numbers.choice(TOKENS)
    damaged[start : start + len(token)] = token


def _delete(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    start, stop = _piece(damaged, numbers)
    del damaged[start:stop]


def _cut(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    del damaged[_place(damaged, numbers) :]


def _double(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    (start, stop), target = _piece(damaged, numbers), _place(damaged, numbers)
    damaged[target:target] = damaged[start:stop]


def _splice(damaged: bytearray, others: Sequence[bytes], numbers: random.Random) -> None:
    other = bytearray(numbers.choice(others))
    start, stop = _piece(other, numbers)
    target = _place(damaged, numbers)
    damaged[target : target + numbers.choice((0, stop - start))] = other[start:stop]


_CHANGES: tuple[Change, ...] = (_flip, _flip, _set, _insert, _overwrite, _delete, _cut, _double, _splice)

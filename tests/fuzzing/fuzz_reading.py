"""What a reader of files is to the fuzzer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader to be tried.

    Attributes:
        read: what reads bytes as a file in a folder; a file that is none gives a `ZooError` and nothing else.
        samples: makes files that are as they should be.
        modules: beginnings of the names of modules whose lines guide the search.
        heavy: whether TensorFlow is imported for it.
    """

    read: Callable[[Path, bytes], Any]
    samples: Callable[[], list[bytes]]
    modules: tuple[str, ...]
    heavy: bool = False


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.unlink(missing_ok=True)  # the old one may be mapped into memory
    path.write_bytes(content)
    return path

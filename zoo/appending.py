"""Files that grow record by record: journals and logs, which cannot be written anew each time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zoo.refusals import refusals_told


class AppendedFile:
    """A file that grows by whole records; a record that the disk refuses leaves it as it was.

    Args:
        path: the file. It is made when missing.
        size: bytes of it that are kept; what stands behind them goes. `None` keeps all.

    Raises:
        SaveError: the disk does not take the file or a record.
    """

    def __init__(self, path: str | os.PathLike[str], *, size: int | None = None) -> None:
        self._path = Path(path)
        with refusals_told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115  (closed by `close`)
            self._size = self._file.seek(0, os.SEEK_END) if size is None else size
            self._file.truncate(self._size)
        self._flushed = self._size

    def write(self, record: bytes) -> None:
        """Adds a record."""
        with refusals_told(self._path):
            try:
                rest = memoryview(record)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self._cut(self._size)
                raise
        self._size += len(record)

    def flush(self) -> None:
        """Waits until all records are on the disk; where it refuses, those since the last flush go."""
        with refusals_told(self._path):
            try:
                os.fsync(self._file.fileno())
            except OSError:
                self._cut(self._flushed)
                raise
        self._flushed = self._size

    def close(self) -> None:
        """Ends the writing."""
        self._file.close()

    def _cut(self, size: int) -> None:
        with contextlib.suppress(OSError):
            self._file.truncate(size)
            self._size = size

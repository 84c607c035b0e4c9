"""Writing so that a crash leaves the old file or the new one, and locking so that two processes never share a folder.

Everything that the zoo and the tuner write goes through here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from zoo.errors import LockedError, UsageError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux, renameat2(2)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it replaces `path` in one step, on failure it goes.

    The temporary name keeps the suffixes of `path`, because Keras chooses its format by them (".weights.h5").

    Args:
        path: the file to write. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{time.monotonic_ns()}{''.join(path.suffixes)[-40:]}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Writes UTF-8 text atomically and returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Writes a JSON document atomically: two-space indent, keys in their given order, NaN refused."""
    return write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`; on success it becomes `path`, on failure it goes.

    An existing `path` is exchanged with the new one in one step where the system can (Linux), so that at every
    moment either the whole old folder or the whole new one is there.

    Raises:
        UsageError: `path` is a file.
    """
    path = Path(path).resolve()  # behind a symbolic link, the folder is exchanged and not the link
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; choose another directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        for entry in temporary.rglob("*"):
            if entry.is_file() or entry.is_dir():
                _sync(entry)
        _sync(temporary)
        if path.exists():
            _exchange(temporary, path)
        else:
            os.rename(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # by now empty-handed, or holding the replaced folder


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Relative path -> SHA-256 of every file below a folder, in the order of the paths."""
    root = Path(directory)
    return {f.relative_to(root).as_posix(): sha256_of_file(f) for f in sorted(root.rglob("*")) if f.is_file()}


class DirectoryLock:
    """Holds a folder for this process; another one that asks is told who holds it.

    The lock belongs to the operating system and ends with the process, so a dead holder never blocks the next one.

    Args:
        directory: the folder to hold. It is made when missing.

    Raises:
        LockedError: on entering, when a live process holds the folder.

    Example:
        >>> with DirectoryLock("runs/search"):
        ...     pass
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._lock = filelock.FileLock(self.directory / ".lock", timeout=0, thread_local=False)
        self._holder = self.directory / ".lock-holder.json"

    def __enter__(self) -> DirectoryLock:
        if self.directory.exists() and not self.directory.is_dir():
            raise UsageError(f"{self.directory} is a file; choose another directory")
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise LockedError(
                f"{self.directory} is in use by {self._describe_holder()}; wait for it or choose another directory"
            ) from None
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(sys.argv)[:500],
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        try:
            write_json(self._holder, holder)
        except BaseException:  # a full disk: whoever keeps the exception would keep the lock
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder.read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} ({holder['command']}) since {holder['since']}"
        except (OSError, ValueError, KeyError):
            return "another process"  # it has the lock but has not yet written who it is


def _sync(path: Path) -> None:
    """Flushes a file or a folder's entries to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Swaps two folders; afterwards `old` names the new content and `new` the old."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        arguments = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
        if hasattr(libc, "renameat2") and libc.renameat2(*arguments) == 0:
            return
        if ctypes.get_errno() not in (0, errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(old))
    parked = old.with_name(
        f"{new.name}.old"
    )  # where a process that is killed between the next two lines leaves the old one
    os.rename(old, parked)
    try:
        os.rename(new, old)
    except OSError:
        os.rename(parked, old)
        raise
    os.rename(parked, new)

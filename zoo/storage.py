"""Writing so that a crash leaves the old file or the new one, and locking so that two processes never share a folder.

Everything that the zoo and the tuner write goes through here. What a disk refuses is a `SaveError` that names the file, and
nothing is deleted that was not made here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from zoo.errors import LockedError, UsageError
from zoo.paths import make_parents, remove_empty, temporary_file, temporary_folder, torn_files
from zoo.refusals import FULL, refusals_told
from zoo.replacing import Owned, check_replaceable, remove_torn_folders, replace_folder

_MOST_BYTES = 16 * 2**20  # of a document
_DEEPEST = 60  # lists and dictionaries in one another
_CONTAINERS = (dict, list, tuple)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it replaces `path` in one step, on failure it goes.

    The temporary name keeps the suffixes of `path`, because Keras chooses its format by them (".weights.h5"). What a process that
    is dead now has left of the same file goes too. The block should only write: every `OSError` in it is taken for the disk's.

    Args:
        path: the file to write. Missing parent folders are made.

    Raises:
        SaveError: the disk does not take it.
    """
    path = Path(path)
    temporary = temporary_file(path)
    with refusals_told(path):
        made = make_parents(path)
        remove_torn(path.parent, path.name)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            with contextlib.suppress(OSError):  # what went wrong before is what is told
                temporary.unlink(missing_ok=True)
            remove_empty(made)


def remove_torn(directory: str | os.PathLike[str], target: str | None = None) -> None:
    """Deletes the temporary files that killed processes have left in a folder, those for one file or all; nothing else."""
    for file in torn_files(Path(directory), target):
        with contextlib.suppress(OSError):  # another process was faster, or the folder may not be written to
            file.unlink()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Writes a file atomically and returns its path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Writes UTF-8 text atomically and returns the path."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Writes a JSON document atomically: two-space indent, keys in their given order, NaN refused."""
    return write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a document that nobody vouches for.

    Raises:
        OSError: the file cannot be read, or is a pipe or a device, of which reading might never end.
        ValueError: it is larger than any that we write.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
    with open(path, "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES:,} bytes")
    return content


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file that nobody vouches for, of finite numbers and of text that can be written again.

    Raises:
        OSError: as of `read_bytes`.
        ValueError: it holds no such object, is larger than any that we write, or nested deeper.
    """
    content = read_bytes(path)
    try:
        value = json.loads(content.decode("utf-8"))
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict) or is_deep(value):
        raise ValueError("no object of plain values")
    return value


def is_deep(value: Any) -> bool:
    """Whether lists and dictionaries are in one another deeper than in anything that we write."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(_DEEPEST):
        if not level:
            return False
        level = [
            member
            for parent in level
            for member in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(member, _CONTAINERS)
        ]
    return True


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str], *, owned: Owned = lambda directory: ()) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`; on success it becomes `path`, on failure it goes.

    An existing `path` is exchanged with the new one in one step where the system can (Linux), so that at every
    moment either the whole old folder or the whole new one is there. What a process that is dead now has left goes too.

    Args:
        path: the folder to write. Missing parent folders are made.
        owned: what of an existing folder may go. By default nothing, so that only an empty folder is replaced.

    Raises:
        UsageError: `path` is a file, or a folder that holds a file which is not `owned`.
        SaveError: the disk does not take it.
    """
    path = Path(path).resolve()  # behind a symbolic link, the folder is exchanged and not the link
    check_replaceable(path, owned)
    with refusals_told(path):
        made = make_parents(path)
        remove_torn_folders(path, owned)
        temporary = temporary_folder(path)
        temporary.mkdir()
    try:
        with refusals_told(path, FULL):
            yield temporary
        with refusals_told(path):
            for entry in temporary.rglob("*"):
                if entry.is_file() or entry.is_dir():
                    _sync(entry)
            _sync(temporary)
            if path.exists():
                replace_folder(path, temporary, owned)
            else:
                os.rename(temporary, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # never written to by others, or found to be all ours
        remove_empty(made)


def remove_files(directory: str | os.PathLike[str], names: Collection[str]) -> None:
    """Deletes the files of these names in a folder, and the folder if it is empty then; what cannot be deleted stays."""
    with contextlib.suppress(OSError):
        for file in list(Path(directory).iterdir()):  # names are compared, never joined to a path
            if file.name in names and file.is_file():
                with contextlib.suppress(OSError):
                    file.unlink()
        Path(directory).rmdir()


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

    Examples:
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
        with refusals_told(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._acquire()
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
        with contextlib.suppress(OSError):  # the disk has become read-only; whoever asks finds the lock free
            self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise LockedError(
                f"{self.directory} is in use by {self._describe_holder()}; wait for it or choose another directory"
            ) from None

    def _describe_holder(self) -> str:
        try:
            holder = read_json(self._holder)
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

"""Paths as callers give them, the folders above what is written, and the temporary names beside it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from zoo.errors import UsageError

_OF_A_FILE = ".zoo-"  # what the name of a temporary file begins with; that of a folder with the folder's own
_REST = re.compile(r"([0-9]{1,9})-([0-9a-f]{8})[0-9a-f]{8}.*", re.DOTALL)  # process, target, what is the only one


def checked_path(path: Any) -> Path:
    """A path that some file may have.

    Raises:
        UsageError: it is no text, empty, holds a NUL, or has a name that is longer than the file system takes.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise UsageError(f"a path is text that names a file or folder. Received: {path!r:.80}")
    try:
        os.lstat(path)
    except ValueError:
        raise UsageError(f"{os.fspath(path)!r:.200} is no path: a NUL is in it; leave that out") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{os.fspath(path)!s:.80}...: the name is too long; choose a shorter one") from None
    return Path(path)


def make_parents(path: Path) -> list[Path]:
    """Makes the missing folders above a path, and tells which: the nearest first."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, the nearest first, as far as nothing is in them: what was to be written below them failed."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def temporary_file(path: Path) -> Path:
    """A name beside a file that is to be written, with its suffixes, which no other process or thread has."""
    return _temporary(path, _OF_A_FILE, "".join(path.suffixes)[-40:])


def temporary_folder(path: Path) -> Path:
    """A name beside a folder that is to be written: `.NAME.*.tmp`."""
    return _temporary(path, _of_a_folder(path), ".tmp")


def torn_files(folder: Path, target: str | None = None) -> list[Path]:
    """The temporary files of processes that are dead now: those for one file of the folder, or all."""
    return [file for file in _left(folder, _OF_A_FILE, target) if file.is_file()]


def torn_folders(path: Path) -> list[Path]:
    """The temporary folders of processes that are dead now, beside the folder that they were for."""
    return [folder for folder in _left(path.parent, _of_a_folder(path), path.name) if folder.is_dir()]


def _of_a_folder(path: Path) -> str:
    """What the name of its temporary folder begins with; a long name leaves room for what follows."""
    return f".{path.name[:100]}."


def _temporary(path: Path, lead: str, suffix: str) -> Path:
    return path.with_name(f"{lead}{os.getpid()}-{_digest(path.name)}{secrets.token_hex(4)}{suffix}")


def _left(folder: Path, lead: str, target: str | None) -> list[Path]:
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  (before every write: a tenth of the time of paths)
            rest = _REST.fullmatch(name[len(lead) :]) if name.startswith(lead) else None
            if rest is None or (target is not None and rest[2] != _digest(target)):
                continue
            if not psutil.pid_exists(int(rest[1])) and not (folder / name).is_symlink():
                found.append(folder / name)
    return found


def _digest(target: str) -> str:
    """Of a target on this machine: of others that share the folder, and of other containers, no process is known to be dead."""
    processes = ""
    with contextlib.suppress(OSError):
        processes = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(os.fsencode(f"{socket.gethostname()}/{processes}/{target}")).hexdigest()[:8]

"""Folders that take the place of others, in which nothing is lost that we have not made."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from zoo.errors import UsageError
from zoo.paths import torn_folders

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux, renameat2(2)
_ASIDE = ".old.tmp"  # the end of the name of a folder that another one takes the place of

Owned = Callable[[Path], Collection[str]]  # a folder -> the files below it, relative to it, that we made and may delete


def check_replaceable(directory: str | os.PathLike[str], owned: Owned) -> None:
    """Raises a UsageError unless a folder is missing, empty, or holds nothing but what is `owned`."""
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; choose another directory")
    if foreign := _foreign_files(directory, owned):
        raise _would_be_lost(directory, foreign[0])


def replace_folder(path: Path, new: Path, owned: Owned) -> None:
    """Puts a folder in the place of another one, which is called `new` afterwards and holds nothing but what is `owned`."""
    check_replaceable(path, owned)  # once more: the work may have taken hours
    aside = new.with_suffix(_ASIDE)
    _exchange(path, new, aside)
    if foreign := _foreign_files(aside, owned):  # nobody finds the folder any more: this is certain
        _exchange(path, aside, new)
        raise _would_be_lost(path, foreign[0])
    os.rename(aside, new)


def remove_torn_folders(path: Path, owned: Owned) -> None:
    """Deletes what processes that were killed have left of a folder; what was put aside only if it is all ours and not the last."""
    for folder in torn_folders(path):
        if not folder.name.endswith(_ASIDE) or (path.exists() and not _foreign_files(folder, owned)):
            shutil.rmtree(folder, ignore_errors=True)


def _foreign_files(directory: Path, owned: Owned) -> list[str]:
    """The files below a folder, relative to it, that are not `owned`. Links never are: we make none."""
    if not directory.is_dir():
        return []
    files, closed = set(), []  # folders that cannot be listed may hold anything
    for folder, folders, names in os.walk(directory, onerror=lambda error: closed.append(Path(error.filename))):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        files |= {Path(folder) / name for name in (*names, *links)}
    ours = {directory / name for name in owned(directory)}
    foreign = [*closed, *(file for file in files if file.is_symlink() or file not in ours)]
    return sorted(file.relative_to(directory).as_posix() for file in foreign)


def _would_be_lost(directory: Path, name: str) -> UsageError:
    return UsageError(f"{directory} holds {name}, which would be lost; move it elsewhere, or choose another directory")


def _exchange(path: Path, new: Path, aside: Path) -> None:
    """Puts the folder `new` at `path`, and the one that was there at `aside`."""
    if sys.platform == "linux":
        os.rename(new, aside)
        libc = ctypes.CDLL(None, use_errno=True)
        arguments = (_AT_FDCWD, os.fsencode(aside), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE)
        if hasattr(libc, "renameat2") and libc.renameat2(*arguments) == 0:
            return
        os.rename(aside, new)
        if ctypes.get_errno() not in (0, errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    try:
        os.rename(path, aside)  # a process that is killed between the two has put the old one there
        os.rename(new, path)
    except BaseException:  # an interruption too
        if not path.exists():
            os.rename(aside, path)
        raise

"""Disks that are full, or not to be written to."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Lets no file of this process grow beyond so many bytes: to a program, a disk that is full at any moment we like."""
    resource = pytest.importorskip("resource", reason="limits are those of POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own; where it cannot be mounted the test is skipped."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            try:
                yield folder
            finally:
                subprocess.run(["umount", "-l", str(folder)], check=True)
            return
    pytest.skip("mounting a small disk needs root, and Linux")


def make_read_only(disk: Path) -> None:
    """Lets nothing be written to a disk of `small_disk` any more, not even by root."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def everything(folder: Path) -> dict[str, bytes]:
    """The files below a folder, but for logs, locks and what tells how far a run is."""
    found = {f.relative_to(folder).as_posix(): f for f in sorted(folder.rglob("*")) if f.is_file()}
    return {name: file.read_bytes() for name, file in found.items() if not file.name.startswith(".")}

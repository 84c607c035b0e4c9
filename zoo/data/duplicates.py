"""Files that hold the same bytes, found without reading more of them than is needed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from zoo.storage import sha256_of_file

_SAMPLE = 4096  # bytes in the middle of a file; the beginning may be the same header in all


def identical_files(files: Sequence[Path]) -> list[list[int]]:
    """Groups of two or more files with the same bytes, as places in `files`.

    Sizes are compared first, then a few bytes in the middle, and only what still agrees is read whole. Photographs that all
    differ therefore cost one small read each.

    Args:
        files: paths that can be read, none of them twice.

    Returns:
        The groups by their first members, each in the order of `files`.

    Example:
        >>> identical_files([Path("a.png"), Path("b.png"), Path("copy of a.png")])  # doctest: +SKIP
        [[0, 2]]
    """
    groups = [list(range(len(files)))]
    for criterion in (_size, _middle, sha256_of_file):
        groups = [alike for group in groups for alike in _divided(group, files, criterion)]
    return sorted(groups)


def _divided(group: list[int], files: Sequence[Path], criterion: Callable[[Path], Hashable]) -> list[list[int]]:
    """The parts of a group that agree in a criterion; files that stand alone are dropped."""
    parts: dict[Hashable, list[int]] = {}
    for i in group:
        parts.setdefault(criterion(files[i]), []).append(i)
    return [part for part in parts.values() if len(part) > 1]


def _size(file: Path) -> int:
    return file.stat().st_size


def _middle(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(0, _size(file) - _SAMPLE) // 2)
        return opened.read(_SAMPLE)

"""Examples that are there twice: files with the same bytes, and inputs with the same values in a data set."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.images import naming_file
from zoo.data.split import Split, as_split
from zoo.data.splits import DataSplits
from zoo.storage import sha256_of_file

_SAMPLE = 4096  # bytes in the middle of a file; the beginning may be the same header in all


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Examples whose stored inputs are the same, bit by bit.

    Attributes:
        groups: each two or more examples as (split, place in it), in the order train, validation, test; groups by their
            first members.
        labels: of each group the class indices of its members.
        searched: the names of the splits that were searched; a stream cannot be.
    """

    groups: tuple[tuple[tuple[str, int], ...], ...]
    labels: tuple[tuple[int, ...], ...]
    searched: tuple[str, ...]

    @property
    def leaks(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        """The groups that stand in more than one split: what is measured there was partly learned by heart."""
        return tuple(group for group in self.groups if len({split for split, _ in group}) > 1)

    @property
    def contradictions(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        """The groups whose members have different classes: at least one label is wrong."""
        return tuple(g for g, labels in zip(self.groups, self.labels, strict=True) if len(set(labels)) > 1)


def find_duplicates(data: Any) -> Duplicates:
    """Looks for equal examples within and across the splits of a data set.

    Examples in memory are compared by their stored values, image files by their bytes: a photograph that was saved anew is
    not found. The validation split is left out where it is the test split.

    Args:
        data: `DataSplits`, in memory or decoded from files, of which a stream is passed over; or a `Split` or an (inputs,
            labels) pair, which is searched as "train".

    Raises:
        UsageError: `data` is nothing of these.
        DataError: a file cannot be read.

    Examples:
        >>> images = np.zeros((3, 8, 8, 1), np.uint8)
        >>> data = DataSplits.from_arrays((images, [0, 1, 1]), validation=None, test=(images[:1] + 1, [0]))
        >>> find_duplicates(data).groups
        ((('train', 0), ('train', 1), ('train', 2)),)
    """
    data = data if isinstance(data, DataSplits) else DataSplits(as_split(data), None, None)
    named: dict[str, Split | None] = {"train": data.train, "validation": data.validation, "test": data.test}
    if data.validation is data.test:
        del named["validation"]
    splits = {name: split for name, split in named.items() if split is not None and split.stream is None}
    members: dict[Hashable, list[tuple[str, int]]] = {}
    for name, split in splits.items():
        if split.store is not None and split.rows is not None:
            for i, row in enumerate(split.rows):
                members.setdefault(_digest(split.store.array[row]), []).append((name, i))
    members |= _files_twice({name: split for name, split in splits.items() if split.store is None and split.files})
    groups = tuple(tuple(group) for group in members.values() if len(group) > 1)
    labels = tuple(tuple(int(_labels(splits[name])[i]) for name, i in group) for group in groups)
    return Duplicates(groups, labels, tuple(splits))


def _digest(example: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(example).data, digest_size=16).digest()


def _labels(split: Split) -> np.ndarray:
    assert split.labels is not None
    return split.labels


def _files_twice(splits: dict[str, Split]) -> dict[Hashable, list[tuple[str, int]]]:
    places = [(name, i) for name, split in splits.items() for i in range(len(split))]
    files = [Path(file) for split in splits.values() for file in split.files or ()]
    return {places[group[0]]: [places[i] for i in group] for group in identical_files(files)}


def identical_files(files: Sequence[Path]) -> list[list[int]]:
    """Groups of two or more files with the same bytes, as places in `files`.

    Sizes are compared first, then a few bytes in the middle, and only what still agrees is read whole. Photographs that all
    differ therefore cost one small read each.

    Args:
        files: paths that can be read, none of them twice.

    Returns:
        The groups by their first members, each in the order of `files`.

    Raises:
        DataError: a file cannot be read.

    Examples:
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
        with naming_file(files[i]):
            parts.setdefault(criterion(files[i]), []).append(i)
    return [part for part in parts.values() if len(part) > 1]


def _size(file: Path) -> int:
    return file.stat().st_size


def _middle(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(max(0, _size(file) - _SAMPLE) // 2)
        return opened.read(_SAMPLE)

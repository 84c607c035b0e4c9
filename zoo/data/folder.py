"""Image folders: one folder a class, scanned and checked before anything is decoded."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.duplicates import identical_files
from zoo.data.images import ImageOptions, image_header, read_image
from zoo.data.split import Split
from zoo.data.store import Store
from zoo.errors import DataError, DataWarning, UsageError, visible

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_TEST_FRACTION = 0.2


def read_folder(root: Path, options: ImageOptions) -> tuple[Split, Split]:
    """Training and test images of a folder.

    `root` holds one folder a class, or the two folders `train` and `test` that do. Without `test`, a fifth of each class
    is the test split: those with the smallest hashes of their names, whatever the seed.

    Of files with the same bytes in one class only the first is used (`DataWarning`), before anything is split, so that no
    copy of a training image is among the validation or test images. Folders without an image, images in folders
    within a class's folder, and links that lead out of the folder, are told of (`DataWarning`).

    Raises:
        DataError: fewer than two classes, an unreadable image, a broken link, a name that is no text, sizes that differ without
            `image_size`, or the same file in two classes or in both `train` and `test`.
    """
    has_parts = (root / "train").is_dir() and (root / "test").is_dir()
    scans = [scan_folder(part) for part in ((root / "train", root / "test") if has_parts else (root,))]
    _check_same_classes(root, scans)
    class_names, files = scans[0].class_names, [file for scan in scans for file in scan.files]
    labels = np.concatenate([scan.labels for scan in scans])
    in_test = np.repeat([False, True], [len(scan.files) for scan in scans]) if has_parts else None
    for oddity in _oddities(root, scans):
        warnings.warn(visible(oddity), DataWarning, stacklevel=3)  # who called load_dataset
    shape = _common_shape(root, files, options)
    kept = _without_copies(root, files, labels, in_test)
    files, labels = [files[i] for i in kept], labels[kept]
    is_test = _choose_test(root, files, labels) if in_test is None else in_test[kept]
    train_files = [f for f, chosen in zip(files, is_test, strict=True) if not chosen]
    test_files = [f for f, chosen in zip(files, is_test, strict=True) if chosen]
    return (
        _split(train_files, labels[~is_test], class_names, shape, options),
        _split(test_files, labels[is_test], class_names, shape, options),
    )


class Scan(NamedTuple):
    """What `scan_folder` finds: names and labels of classes, files in the order of their names, and what is odd."""

    class_names: list[str]
    files: list[Path]
    labels: np.ndarray
    links: list[Path]  # files and folders that are links
    empty: list[Path]  # folders without an image
    deeper: list[Path]  # images in folders within a class's folder


def scan_folder(root: Path) -> Scan:
    """Looks through a folder with one folder a class. On a network each question about a file is a journey, so none is asked.

    Folders without an image are no classes; hidden folders and files of other kinds are passed over.

    Raises:
        DataError: fewer than two classes, a link to an image that is not there, or a name that is not UTF-8.
    """
    class_names, counts = [], []
    files: list[Path] = []
    links: list[Path] = []
    empty: list[Path] = []
    deeper: list[Path] = []
    for directory in sorted(d for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")):
        with os.scandir(directory) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        members = [entry for entry in entries if _is_image_file(entry)]
        if not members:
            empty.append(directory)
            continue
        class_names.append(directory.name)
        counts.append(len(members))
        for folder in (Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith(".")):
            deeper += sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        files += map(Path, members)
        links += [Path(entry) for entry in members if entry.is_symlink()] + [directory] * directory.is_symlink()
    if len(counts) < 2:
        found = f"only images of {class_names[0]!r}" if counts else "no images"
        raise DataError(
            f"{root}: {found} in its folders; a classifier needs two or more folders of images, one a class"
        )
    return Scan(class_names, files, np.repeat(np.arange(len(counts), dtype=np.int32), counts), links, empty, deeper)


def _is_image_file(entry: os.DirEntry[str]) -> bool:
    """Whether something has an image's name and is a file, as opposed to a folder, a pipe or a device."""
    stem, dot, suffix = entry.name.rpartition(".")
    if not stem or dot + suffix.lower() not in SUFFIXES:
        return False
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        raise DataError(f"{entry.path}: its name is not UTF-8, and tables cannot name it; rename it") from None
    if entry.is_symlink() and not Path(entry).exists():
        raise DataError(f"{entry.path}: a link to a file that is not there; mend or remove it")
    return entry.is_file()


def _oddities(root: Path, scans: list[Scan]) -> Iterator[str]:
    """What a folder has that its owner may not have meant."""
    empty = [folder for scan in scans for folder in scan.empty]
    if empty:
        others = f" (and {len(empty) - 1:,} more)" if len(empty) > 1 else ""
        yield f"{empty[0]}{others}: no images in it, so it is no class; they end in {', '.join(sorted(SUFFIXES))}"
    deeper = [file for scan in scans for file in scan.deeper]
    if deeper:
        others = f" and {len(deeper) - 1:,} more" if len(deeper) > 1 else ""
        yield f"{deeper[0]}{others}: left out, in a folder within a class's folder; move it into the class's folder itself"
    real_root = root.resolve()
    links = [link for scan in scans for link in scan.links if not link.resolve().is_relative_to(real_root)]
    if links:
        others = f" and {len(links) - 1:,} more" if len(links) > 1 else ""
        yield f"{min(links)}{others}: a link out of the folder, which is followed; remove it if that is not meant"


def _check_same_classes(root: Path, scans: list[Scan]) -> None:
    odd = sorted(set(scans[0].class_names) ^ set(scans[-1].class_names))
    if odd:
        raise DataError(f"{root}: train and test must have the same classes; only one of them has {', '.join(odd[:5])}")


def image_files(path: Path) -> list[Path]:
    """The images of a folder and of the folders in it, in the order of their names; a file as it is.

    Raises:
        UsageError: nothing is there.
        DataError: no image is in the folder.
    """
    if not _holds(path.exists):
        raise UsageError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    found = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and not f.is_dir())
    if not found:
        raise DataError(f"{path}: no images in this folder")
    return found


def is_folder(path: Path) -> bool:
    """Whether a folder is there; whatever the name."""
    return _holds(path.is_dir)


def _holds(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a name that is too long
        return False


def _without_copies(root: Path, files: list[Path], labels: np.ndarray, in_test: np.ndarray | None) -> np.ndarray:
    """The places of the files that are used: of identical ones the first."""
    pairs = [(group[0], other) for group in identical_files(files) for other in group[1:]]
    contradictions = [(i, j) for i, j in pairs if labels[i] != labels[j]]
    _refuse(files, contradictions, "in two classes; a classifier cannot learn both")
    if in_test is not None:
        leaks = [(i, j) for i, j in pairs if in_test[i] != in_test[j]]
        _refuse(files, leaks, "in train and in test; a test must not show what was trained on")
    if pairs:
        original, copy = (files[i] for i in pairs[0])
        what = "1 copy is" if len(pairs) == 1 else f"{len(pairs):,} copies are"
        warnings.warn(
            visible(f"{root}: {what} left out; {copy} is the same file as {original}"),
            DataWarning,
            stacklevel=4,  # who called load_dataset
        )
    return np.setdiff1d(np.arange(len(files)), [copy for _, copy in pairs])


def _refuse(files: list[Path], pairs: list[tuple[int, int]], reason: str) -> None:
    """Raises the error for pairs of identical files, if there are any."""
    if pairs:
        first, second = (files[i] for i in pairs[0])
        others = f" (and {len(pairs) - 1:,} more such pair{'s' if len(pairs) > 2 else ''})" if len(pairs) > 1 else ""
        raise DataError(f"{first} and {second}{others} are the same picture {reason}; remove one")


def _choose_test(root: Path, files: list[Path], labels: np.ndarray) -> np.ndarray:
    keys = np.array([hashlib.sha256(f.relative_to(root).as_posix().encode()).hexdigest() for f in files])
    chosen = np.zeros(len(files), bool)
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        if len(members) < 3:
            number = "1 image is" if len(members) == 1 else f"{len(members)} images are"
            raise DataError(
                f"{files[members[0]].parent}: {number} too few to train, validate and test; add some, or remove the folder"
            )
        share = max(1, round(_TEST_FRACTION * len(members)))
        chosen[members[np.argsort(keys[members])[:share]]] = True
    return chosen


def _common_shape(root: Path, files: list[Path], options: ImageOptions) -> tuple[int, int, int]:
    headers = _headers(files)
    channels = options.channels(max(c for _, c in headers))
    if options.size is not None:
        return (*options.size, channels)
    sizes = {size for size, _ in headers}
    if len(sizes) > 1:
        (h1, w1), (h2, w2) = min(sizes), max(sizes)
        raise DataError(
            f"{root}: the images differ in size ({w1}x{h1} to {w2}x{h2}); choose one for all with image_size, "
            "e.g. image_size=64 (--image-size 64)"
        )
    return (*sizes.pop(), channels)


def _headers(files: list[Path]) -> list[tuple[tuple[int, int], int]]:
    """What `image_header` gives of each file; one error for all that cannot be read."""
    headers, faults = [], []
    for file in files:
        try:
            headers.append(image_header(file))
        except DataError as error:
            faults.append(error)
    if faults:
        others = f" ({len(faults) - 1:,} more cannot be read either)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{others}") from faults[0]
    return headers


def _split(
    files: list[Path], labels: np.ndarray, class_names: list[str], shape: tuple[int, int, int], options: ImageOptions
) -> Split:
    size, channels = (shape[0], shape[1]), shape[2]
    store = None
    if options.holds_in_memory(len(files), shape):
        store = Store.empty((len(files), *shape), np.uint8)
        for i, file in enumerate(files):
            store.array[i] = read_image(file, size, channels)
    return Split(
        size=len(files),
        class_names=class_names,
        input_shape=shape,
        dtype=np.uint8,
        scaling=options.scaling,
        store=store,
        labels=labels,
        files=[str(f) for f in files],
    )

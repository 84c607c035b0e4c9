"""Image folders: one folder a class, scanned and checked before anything is decoded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from zoo.data.images import ImageOptions, image_header, read_image
from zoo.data.split import Split
from zoo.data.store import Store
from zoo.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_TEST_FRACTION = 0.2


def read_folder(root: Path, options: ImageOptions) -> tuple[Split, Split]:
    """Training and test images of a folder.

    `root` holds one folder a class, or the two folders `train` and `test` that do. Without `test`, a fifth of each class
    is the test split: those with the smallest hashes of their names, whatever the seed.

    Raises:
        DataError: fewer than two classes, an unreadable image, or sizes that differ without `image_size`.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        class_names, train_files, train_labels = scan_folder(root / "train")
        test_names, test_files, test_labels = scan_folder(root / "test")
        if test_names != class_names:
            raise DataError(
                f"{root}: train has the classes {class_names}, test has {test_names}; they must be the same"
            )
    else:
        class_names, files, labels = scan_folder(root)
        is_test = _choose_test(root, files, labels)
        train_files = [f for f, chosen in zip(files, is_test, strict=True) if not chosen]
        test_files = [f for f, chosen in zip(files, is_test, strict=True) if chosen]
        train_labels, test_labels = labels[~is_test], labels[is_test]
    shape = _common_shape(root, [*train_files, *test_files], options)
    return (
        _split(train_files, train_labels, class_names, shape, options),
        _split(test_files, test_labels, class_names, shape, options),
    )


def scan_folder(root: Path) -> tuple[list[str], list[Path], np.ndarray]:
    """(class names, files, labels) of a folder with one folder a class, in the order of the names.

    Folders without an image are no classes; hidden files and files of other kinds are passed over.
    """
    class_names: list[str] = []
    files: list[Path] = []
    labels: list[int] = []
    for directory in sorted(d for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")):
        members = sorted(f for f in directory.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file())
        if members:
            labels += [len(class_names)] * len(members)
            class_names.append(directory.name)
            files += members
    if len(class_names) < 2:
        found = f"only images of {class_names[0]!r}" if class_names else "no images"
        raise DataError(
            f"{root}: {found} in its folders; a classifier needs two or more folders of images, one a class"
        )
    return class_names, files, np.array(labels, np.int32)


def _choose_test(root: Path, files: list[Path], labels: np.ndarray) -> np.ndarray:
    keys = np.array([hashlib.sha256(f.relative_to(root).as_posix().encode()).hexdigest() for f in files])
    chosen = np.zeros(len(files), bool)
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        if len(members) < 3:
            raise DataError(
                f"{files[members[0]].parent}: {len(members)} images are too few to train, validate and test"
            )
        share = max(1, round(_TEST_FRACTION * len(members)))
        chosen[members[np.argsort(keys[members])[:share]]] = True
    return chosen


def _common_shape(root: Path, files: list[Path], options: ImageOptions) -> tuple[int, int, int]:
    headers = [image_header(f) for f in files]
    channels = {"grayscale": 1, "rgb": 3, None: max(c for _, c in headers)}[options.color_mode]
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

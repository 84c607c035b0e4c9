"""The table of data sets, and `load_dataset`: a name or an image folder -> `DataSplits`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data import folder, tfds_source
from zoo.data.images import COLOR_MODES, ImageOptions, checked_size
from zoo.data.labels import class_indices
from zoo.data.split import Scaling, Split
from zoo.data.splits import DataSplits, split_validation
from zoo.errors import DataError, DataWarning, UsageError, check_count, check_seed, unknown_name, visible
from zoo.plain import plain, plain_list

# name -> (where from, what it is). Any other TFDS image-classification name works too.
DATASETS = {
    "blobs": ("embedded", "400 points in the plane, two overlapping Gaussian classes, 100 of each for training"),
    "blobs3": ("embedded", "600 points in the plane, three overlapping Gaussian classes"),
    "digits": ("embedded", "1,797 scanned 8x8 digits of scikit-learn, 10 classes"),
    "mnist": ("tfds", "70,000 28x28 digits, 10 classes"),
    "fashion_mnist": ("tfds", "70,000 28x28 garments, 10 classes"),
    "cifar10": ("tfds", "60,000 32x32 colour photographs, 10 classes"),
    "cifar100": ("tfds", "60,000 32x32 colour photographs, 100 classes"),
    "cats_vs_dogs": ("tfds", "23,262 photographs of cats and dogs; give image_size"),
}


def list_datasets() -> list[str]:
    """The names of the table, sorted. `load_dataset` takes any TFDS image-classification name and folders as well."""
    return sorted(DATASETS)


def load_dataset(
    name_or_path: str | os.PathLike[str],
    *,
    seed: int = 0,
    limit: int | None = None,
    classes: Sequence[int | str] | None = None,
    validation: float | int | str | None = 0.1,
    image_size: int | tuple[int, int] | None = None,
    input_range: tuple[float, float] = (0, 1),
    color_mode: str | None = None,
    in_memory: bool | None = None,
) -> DataSplits:
    """Loads a data set by its name, or an image folder with one folder a class.

    The test split is fixed: the source's own; or, where there is none, a fifth of each class chosen by file name (folders)
    or the last fifth in file order (TFDS). Neither `seed` nor `limit` touches it. Of the files of a folder with the same bytes
    in one class only the first is used, with a `DataWarning`.

    Args:
        name_or_path: a name of `list_datasets()`, another TFDS name, or the path of an image folder.
        seed: decides which examples a validation fraction takes. It does not decide training: that is `Recipe.seed`.
        limit: keeps the first N training examples in file order, before `classes` and `validation`; of a folder, whose
            files are read class by class, that may leave classes without any (`DataWarning`).
        classes: keeps these classes (indices or names) and renumbers them in the order given: `classes=(3, 2)` makes
            "2" class 1.
        validation: what is held out of the training examples: a stratified fraction (of a stream: the last fraction in
            file order), an int (the last N in file order), "test" (the test split; some textbooks do that), or
            `None`.
        image_size: (height, width) or one number for both; images are resized to it. Needed where sizes differ.
            Images that do not have this shape are stretched.
        input_range: what pixels 0..255 are scaled to.
        color_mode: "grayscale" or "rgb" to convert; `None` leaves images as they are.
        in_memory: whether images are held as one uint8 array; by default if they take less than 1 GiB.

    Returns:
        Training, validation and test data. The inputs of images are (height, width, 1 or 3), uint8; those of points are
        floats. `config` has the arguments.

    Raises:
        UsageError: an unknown name (the nearest ones are named) or an option out of range.
        DataError: images that cannot be read, one class only, or a picture of a folder in two classes or in two splits.
        ZooError: the data set has to be downloaded and there is no network.

    Examples:
        >>> data = load_dataset("digits")
        >>> data.input_shape, data.num_classes, len(data.test)
        ((8, 8, 1), 10, 355)
    """
    seed, limit, validation = plain(seed), plain(limit), plain(validation)
    name, size, classes = _checked(name_or_path, seed, limit, classes, image_size, color_mode)
    options = ImageOptions(size, color_mode, Scaling.to_range(input_range), in_memory)

    config = {
        "name": name,
        "seed": seed,
        "limit": limit,
        "classes": classes,
        "validation": validation,
        "image_size": None if size is None else list(size),
        "input_range": plain_list(input_range),
        "color_mode": color_mode,
        "in_memory": in_memory,
    }
    if name in DATASETS and DATASETS[name][0] == "embedded":
        train, test = _embedded(name, options)
    elif name not in DATASETS and folder.is_folder(Path(name)):
        train, test = folder.read_folder(Path(name), options)
        config["name"] = str(Path(name).resolve())
    elif name in DATASETS or tfds_source.knows(name):
        source = tfds_source.Source(name, options)
        if not source.in_memory:
            return tfds_source.streamed(source, config)
        train, test = source.read_train(), source.read_test()
    elif "/" in name or "\\" in name or name.startswith("."):
        raise UsageError(f"{name}: no such folder; give an image folder with one folder a class, or a data set's name")
    else:
        raise UsageError(f"{unknown_name('data set', name, DATASETS)}; and there is no folder of that name here")
    return _finished(train, test, config)


def _checked(
    name_or_path: Any, seed: Any, limit: Any, classes: Any, image_size: Any, color_mode: Any
) -> tuple[str, tuple[int, int] | None, list[Any] | None]:
    """The name, the size of images as (height, width) and the classes, once all options are known to be possible."""
    if not isinstance(name_or_path, str | os.PathLike) or not os.fspath(name_or_path):
        raise UsageError(f"a data set is given by its name or a folder's path. Received: {name_or_path!r:.80}")
    check_seed(seed)
    if limit is not None:
        check_count("limit", limit)
    wanted = plain_list(classes)
    if classes is not None and wanted is None:
        raise UsageError(f"classes must be a list of names or indices, e.g. [3, 2]. Received: classes={classes!r:.80}")
    if color_mode not in (None, *COLOR_MODES):
        raise unknown_name("color_mode", color_mode, COLOR_MODES)
    return os.fspath(name_or_path), None if image_size is None else checked_size(image_size), wanted


def _finished(train: Split, test: Split, config: dict[str, Any]) -> DataSplits:
    """Applies limit, classes and validation, in that order."""
    if config["limit"] is not None:
        train = train.subset(np.arange(min(config["limit"], len(train))))
    if config["classes"] is not None:
        train, test = pick_classes(train, config["classes"]), pick_classes(test, config["classes"])
    if config["limit"] is not None:
        _warn_of_lost_classes(train, config["limit"])
    train.compact()  # what limit and classes left out is freed
    test.compact()
    train, validation = split_validation(train, config["validation"], test, config["seed"])
    return DataSplits(train, validation, test, config)


def _warn_of_lost_classes(train: Split, limit: int) -> None:
    """Folders are read class by class, so that few examples in file order may all be of one class."""
    assert train.labels is not None
    there = np.bincount(train.labels, minlength=train.num_classes) > 0
    lost = [name for name, is_there in zip(train.class_names, there, strict=True) if not is_there]
    if lost:
        named = ", ".join(lost[:5]) + (", ..." if len(lost) > 5 else "")
        warnings.warn(visible(f"limit={limit} leaves no training examples of {named}"), DataWarning, stacklevel=4)


def pick_classes(split: Split, classes: Sequence[int | str]) -> Split:
    """The examples of `classes` (indices or names), renumbered in the order given; for a split in memory."""
    indices = class_indices(split.class_names, classes)
    assert split.labels is not None
    picked = split.subset(np.flatnonzero(np.isin(split.labels, indices)))
    renumber = np.full(split.num_classes, -1, np.int32)
    renumber[indices] = np.arange(len(indices))
    assert picked.labels is not None
    picked.labels = renumber[picked.labels]
    picked.class_names = tuple(split.class_names[k] for k in indices)
    if not len(picked):
        raise DataError(f"no examples of the classes {list(classes)} are left")
    return picked


def _embedded(name: str, options: ImageOptions) -> tuple[Split, Split]:
    if name == "digits":
        return _digits(options)
    if options.size is not None or options.color_mode is not None:
        raise UsageError(f"{name} holds points, not images: image_size and color_mode have no meaning for it")
    return _blobs(num_classes=3 if name == "blobs3" else 2)


def _digits(options: ImageOptions) -> tuple[Split, Split]:
    """scikit-learn's digits (UCI optical recognition test set); every fifth image of a class is a test image."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]  # stored as 0..16
    if options.size is not None or options.color_mode == "rgb":
        images = np.stack([options.convert(image) for image in images])
    whole = Split.from_arrays(images, bunch.target)
    whole.scaling = options.scaling
    assert whole.labels is not None
    rank = np.zeros(len(whole), np.int64)  # how many of the same class came before
    for k in range(10):
        members = whole.labels == k
        rank[members] = np.arange(members.sum())
    is_test = rank % 5 == 4
    return whole.subset(np.flatnonzero(~is_test)), whole.subset(np.flatnonzero(is_test))


def _blobs(num_classes: int) -> tuple[Split, Split]:
    """Unit Gaussians whose centres stand on a circle of radius 1.5; always the same points."""
    random = np.random.default_rng(20260101)
    angles = np.pi / 4 + 2 * np.pi * np.arange(num_classes) / num_classes
    centres = 1.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    splits = []
    for _ in ("train", "test"):
        labels = np.tile(np.arange(num_classes), 100)
        points = centres[labels] + random.standard_normal((len(labels), 2))
        splits.append(
            Split.from_arrays(points.astype(np.float32), labels, class_names=[f"blob {k}" for k in range(num_classes)])
        )
    return splits[0], splits[1]

"""TensorFlow Datasets: any of its image-classification data sets as `DataSplits`.

`TFDS_DATA_DIR` says where prepared data sets lie (TFDS's own rule; by default ~/tensorflow_datasets).
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from typing import Any

import numpy as np

from zoo.data.images import ImageOptions
from zoo.data.labels import check_validation, holds_out
from zoo.data.split import Split
from zoo.data.splits import DataSplits
from zoo.data.store import Store
from zoo.errors import DataError, DataWarning, UsageError, ZooError, one_line

# data sets whose TFDS key is the place in the source's training file, and its first labels, by which that is verified
_SOURCE_ORDER = {
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    "fashion_mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
}


def knows(name: str) -> bool:
    """Whether TFDS has a data set of this name. Importing TFDS takes a second; only names outside our table pay it."""
    if not re.fullmatch(r"[a-z0-9_]+([/:][\w.\-/]+)?", name):
        return False
    import tensorflow_datasets as tfds

    return re.split("[/:]", name)[0] in tfds.list_builders(with_community_datasets=False)


def streamed(source: Source, config: dict[str, Any]) -> DataSplits:
    """The splits of a data set that is not held in memory; see `zoo.load_dataset` for the options in `config`."""
    if config["classes"] is not None:
        raise UsageError(
            f"{source.name} is streamed, which has no classes=; load it with in_memory=True and an image_size"
        )
    count = source.num_train if config["limit"] is None else min(config["limit"], source.num_train)
    validation, test = config["validation"], source.read_test()
    if isinstance(validation, str) and validation == "test":
        return DataSplits(source.read_train(0, count), test, test, config)
    held = _held_out(validation, count)
    start = count - held  # files of TFDS are shuffled when they are prepared, so the last part is a fair sample
    train = source.read_train(0, start)
    return DataSplits(train, source.read_train(start, count) if held else None, test, config)


def _held_out(validation: Any, count: int) -> int:
    """How many of the last training examples of a stream are for validation."""
    if not holds_out(validation):
        return 0
    check_validation(validation, count)
    held = validation if isinstance(validation, int) else round(validation * count)
    if not 0 < held < count:
        raise UsageError(f"{count} examples are too few to hold out validation={validation}; give another one")
    return held


class Source:
    """One prepared TFDS data set: its splits, its classes, and whether it is held in memory."""

    def __init__(self, name: str, options: ImageOptions) -> None:
        import zoo.startup  # noqa: F401  (before TensorFlow)

        import tensorflow_datasets as tfds

        self.name, self.options, self.tfds = name, options, tfds
        try:
            self.builder = tfds.builder(name)
        except Exception as error:
            raise ZooError(f"{name}: TFDS cannot open it ({one_line(error, 150)})") from error
        self._prepare()
        features = self.builder.info.features
        keys = self.builder.info.supervised_keys
        image, label = (features[k] for k in keys) if keys and len(keys) == 2 else (None, None)
        if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
            raise DataError(
                f"{name} is not an image-classification data set (one image and one class label an example); "
                "choose another, or give an image folder"
            )
        self.class_names = list(label.names)
        self.shape = self._shape(image.shape)
        splits = self.builder.info.splits
        self.test_split = next((s for s in ("test", "validation") if s in splits), None)
        total = splits["train"].num_examples
        self.num_train = total if self.test_split else int(total * 0.8)
        self.in_memory = options.holds_in_memory(total, self.shape)

    def read_test(self) -> Split:
        """The source's own test split, or the last fifth of the training examples in file order."""
        if self.test_split:
            return self._read(self.test_split)
        return self._read(f"train[{self.num_train}:]")

    def read_train(self, start: int = 0, end: int | None = None) -> Split:
        """The training examples in file order; of a stream also those from `start` up to `end`."""
        if self.in_memory:
            return self._read("train").subset(np.arange(self.num_train))
        return self._read(f"train[{start}:{self.num_train if end is None else end}]")

    def _read(self, instruction: str) -> Split:
        store, rows, labels, stream = None, None, None, None
        count = self.builder.info.splits[instruction].num_examples
        if self.in_memory:
            store, labels = Store.empty((count, *self.shape), np.uint8), np.empty(count, np.int32)
            start = 0
            for x, y in self._examples(instruction).batch(2048).as_numpy_iterator():
                store.array[start : start + len(x)], labels[start : start + len(x)] = x, y
                start += len(x)
            if start != count:
                raise DataError(f"{self.name}: {start} examples where its metadata say {count}; prepare it again")
            rows = self._source_order(instruction, labels)
            labels = labels[rows]
        else:
            from zoo.data.streaming import RepeatableStream

            stream = RepeatableStream(lambda: self._examples(instruction))
        return Split(
            size=count,
            class_names=self.class_names,
            input_shape=self.shape,
            dtype=np.uint8,
            scaling=self.options.scaling,
            store=store,
            rows=rows,
            labels=labels,
            stream=stream,
        )

    def _examples(self, instruction: str):  # type: ignore[no-untyped-def]  # a tf.data.Dataset
        import tensorflow as tf

        config = self.tfds.ReadConfig(try_autocache=False)  # a stream takes turns at 16 shards, always in one order
        if self.in_memory:
            config.interleave_cycle_length = 1  # file order
        examples = self.builder.as_dataset(
            split=instruction, as_supervised=True, shuffle_files=False, read_config=config
        )
        height, width, channels = self.shape

        def convert(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if image.shape[-1] != channels:
                image = tf.image.rgb_to_grayscale(image) if channels == 1 else tf.image.grayscale_to_rgb(image)
            if image.shape[:2] != (height, width):
                resized = tf.image.resize(image, (height, width), antialias=True)
                image = tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)
            return tf.ensure_shape(image, self.shape), tf.cast(label, tf.int32)

        return examples.map(convert, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _source_order(self, instruction: str, labels: np.ndarray) -> np.ndarray:
        """Positions of the training examples in the order of the source's own file, where that can be restored.

        TFDS stores examples by a hash of their key. Where the key is the place in the source's file, hashing the places
        tells where each went. "The first 20,000 images of MNIST" then means what it means everywhere else.
        """
        first = _SOURCE_ORDER.get(self.builder.name)
        if first is None or instruction != "train":
            return np.arange(len(labels))
        from tensorflow_datasets.core import hashing

        hasher = hashing.Hasher(instruction)
        hashes = [hasher.hash_key(place) for place in range(len(labels))]
        order = np.empty(len(labels), np.int64)
        order[sorted(range(len(labels)), key=hashes.__getitem__)] = np.arange(len(labels))
        if tuple(labels[order[: len(first)]]) != first:
            warnings.warn(
                f"{self.name}: the source's file order cannot be restored; it is TFDS's order",
                DataWarning,
                stacklevel=5,
            )
            return np.arange(len(labels))
        return order

    def _shape(self, stored: tuple[int | None, ...]) -> tuple[int, int, int]:
        size = self.options.size or stored[:2]
        if None in size:
            raise UsageError(f"the images of {self.name} differ in size; give image_size, e.g. image_size=128")
        return int(size[0] or 0), int(size[1] or 0), self.options.channels(stored[2] or 3)

    def _prepare(self) -> None:
        if self.builder.is_prepared():
            return
        if not _network_answers():
            raise ZooError(
                f"{self.name} is not on this machine and there is no network to download it; "
                "'digits' needs none, and TFDS_DATA_DIR says where prepared data sets lie"
            )
        try:
            self.builder.download_and_prepare()
        except Exception as error:
            reason = one_line(error, 150)
            raise ZooError(f"{self.name}: the download failed ({reason}); try again, or use 'digits'") from error


def _network_answers() -> bool:
    """Whether a host name resolves: asked first, because TFDS tries a dead network for minutes."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")):
        return True  # a proxy resolves names itself
    try:
        socket.getaddrinfo("www.tensorflow.org", 443)
    except OSError:
        return False
    return True

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
from zoo.data.split import Split
from zoo.data.splits import DataSplits, split_validation
from zoo.data.store import Store
from zoo.errors import DataError, UsageError, ZooError, one_line

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


def load(name: str, options: ImageOptions, config: dict[str, Any]) -> DataSplits:
    """Loads a TFDS data set; see `zoo.load_dataset` for the options in `config`."""
    from zoo.data.datasets import pick_classes

    source = _Source(name, options)
    count, limit = source.num_train, config["limit"]
    train_end = count if limit is None else min(limit, count)
    if source.in_memory:
        train, test = source.read("").subset(np.arange(train_end)), source.read_test()
        if config["classes"] is not None:
            train, test = pick_classes(train, config["classes"]), pick_classes(test, config["classes"])
        train.compact()  # what limit and classes left out is freed
        test.compact()
        train, held_out = split_validation(train, config["validation"], test, config["seed"])
        return DataSplits(train, held_out, test, config)
    if config["classes"] is not None:
        raise UsageError(f"{name} is streamed, which has no classes=; load it with in_memory=True and an image_size")
    return _streamed(source, train_end, config)


def _streamed(source: _Source, train_end: int, config: dict[str, Any]) -> DataSplits:
    validation, test = config["validation"], source.read_test()
    if validation == "test":
        return DataSplits(source.read(f"[:{train_end}]"), test, test, config)
    if isinstance(validation, str | bool):
        raise UsageError(f"validation must be a fraction, a count, 'test' or None. Received: {validation!r}")
    held = round((validation or 0) * train_end) if isinstance(validation, float) else (validation or 0)
    if not 0 <= held < train_end or (validation and not held):
        raise UsageError(f"validation must leave training examples of {train_end}. Received: {validation}")
    start = train_end - held  # files of TFDS are shuffled when they are prepared, so the last part is a fair sample
    train = source.read(f"[:{start}]")
    return DataSplits(train, source.read(f"[{start}:{train_end}]") if held else None, test, config)


class _Source:
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
                f"{name} is not an image-classification data set (one image and one class label an example)"
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

    def read(self, part: str) -> Split:
        """A slice of the training examples, e.g. "[:1000]", in file order."""
        return self._read(f"train{part}")

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
            warnings.warn(f"{self.name}: the source's file order cannot be restored; it is TFDS's order", stacklevel=2)
            return np.arange(len(labels))
        return order

    def _shape(self, stored: tuple[int | None, ...]) -> tuple[int, int, int]:
        size = self.options.size or stored[:2]
        if None in size:
            raise UsageError(f"the images of {self.name} differ in size; give image_size, e.g. image_size=128")
        channels = {"grayscale": 1, "rgb": 3, None: stored[2] or 3}[self.options.color_mode]
        return int(size[0] or 0), int(size[1] or 0), channels

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
            reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
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

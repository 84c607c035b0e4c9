"""Splits that are not held in memory: decoded in parallel, kept as pixels where they fit, in an order that the seed decides.

What was decoded once is kept in a `PixelCache` with random access, so a later pass costs a copy. Whether and where it is
kept never changes what a batch holds, only how fast it comes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import zoo.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from zoo.cores import num_cores
from zoo.data import augment as augmentation
from zoo.data.images import read_image
from zoo.data.split import Split
from zoo.errors import DataError

_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_SHUFFLE_BUFFER = 4096  # examples of a stream
_CHUNK = 64  # examples of a stream that are put into the cache in one call


@dataclasses.dataclass(frozen=True)
class RepeatableStream:
    """A stream for `Split` that gives the same examples in the same order whenever it is read.

    Only such a stream is cached: a plain callable, as of a user's own dataset, may augment.
    """

    read: Callable[[], tf.data.Dataset]  # gives single (uint8 image, int32 label)

    def __call__(self) -> tf.data.Dataset:
        """The examples from the beginning."""
        return self.read()


def place_for(needed: int, available_memory: int, free_disk: int) -> Literal["memory", "disk"] | None:
    """Where a cache of `needed` bytes goes: memory while it takes a quarter or less, else half the free disk or less.

    A quarter, because training, validation and test data may each have a cache beside the model.
    """
    if needed <= available_memory // 4:
        return "memory"
    return "disk" if needed <= free_disk // 2 else None


def available_memory() -> int:
    """Bytes of memory that can be had now without swapping; 0 where no system call tells."""
    available = _system_memory()
    with contextlib.suppress(OSError, ValueError):  # a container's limit; "max", no number, where there is none
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        available = min(available, max(0, limit - used))
    return available


def _system_memory() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    for name, share in (("SC_AVPHYS_PAGES", 1), ("SC_PHYS_PAGES", 2)):  # macOS tells only how much is built in
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") // share
    return 0


class PixelCache:
    """Decoded examples by index, each stored once and given out only when it is complete. Safe for several threads."""

    def __init__(self, pixels: np.ndarray, place: str) -> None:
        self.place = place  # "memory" or "disk"
        self._pixels, self._labels = pixels, np.zeros(len(pixels), np.int32)
        self._stored, self._lock = np.zeros(len(pixels), bool), threading.Lock()

    @classmethod
    def fitting(cls, count: int, shape: Sequence[int]) -> PixelCache | None:
        """An empty cache for `count` uint8 images of `shape`, or `None` where neither memory nor disk has room for it."""
        needed = count * int(np.prod(shape))
        with contextlib.suppress(OSError, MemoryError):  # slower is better than not at all
            place = place_for(needed, available_memory(), shutil.disk_usage(tempfile.gettempdir()).free)
            if place == "memory":
                return cls(np.empty((count, *shape), np.uint8), place)  # takes memory only as it is filled
            if place == "disk":
                with tempfile.TemporaryFile() as file:  # has no name: nothing is left behind
                    if hasattr(os, "posix_fallocate"):  # a disk that fills up later would kill the process at a write
                        os.posix_fallocate(file.fileno(), 0, needed)
                    return cls(np.asarray(np.memmap(file, np.uint8, "w+", shape=(count, *shape))), place)
        return None

    def __len__(self) -> int:
        return len(self._stored)

    def __reduce__(self) -> tuple[Callable[..., PixelCache | None], tuple[int, tuple[int, ...]]]:
        return PixelCache.fitting, (len(self), self._pixels.shape[1:])  # a copy of a split starts with an empty one

    def missing(self, indices: np.ndarray) -> np.ndarray:
        """Those of `indices` whose examples are not stored yet."""
        with self._lock:
            missing: np.ndarray = indices[~self._stored[indices]]
            return missing

    def store(self, indices: np.ndarray, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Stores (n, ...) images and returns `indices`."""
        with self._lock:
            new = ~self._stored[indices]  # what is stored stays as it is: another thread may be reading it
            self._pixels[indices[new]] = images[new]
            if labels is not None:
                self._labels[indices[new]] = labels[new]
            self._stored[indices] = True
        return indices

    def examples(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, ...) uint8 and (n,) int32: the stored images and labels at `indices`."""
        assert not len(self.missing(indices))
        return np.take(self._pixels, indices, axis=0), self._labels[indices]

    def unread(self) -> np.ndarray:
        """How many examples a pass has to read from their source, int64: all of them until every one is stored."""
        with self._lock:
            return np.array(0 if self._stored.all() else len(self._stored), np.int64)


def cache_of(split: Split) -> PixelCache | None:
    """The one cache of a split, made when it is first asked for; `None` where there is no room for it."""
    attributes = vars(split)
    if "_pixel_cache" not in attributes:
        attributes.setdefault("_pixel_cache", PixelCache.fitting(len(split), split.input_shape))
    cache: PixelCache | None = attributes["_pixel_cache"]
    return cache


class _FileReader:
    """Images of a split's files by index: out of the cache, or decoded by several threads and put into it."""

    def __init__(self, split: Split) -> None:
        assert split.files is not None
        self.files, self.shape, self.cache = split.files, split.input_shape, cache_of(split)

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """(n, height, width, channels) uint8 of (n,) indices."""
        if self.cache is None:
            return np.stack(list(_workers().map(self._decode, indices)))
        for _ in _workers().map(self._keep, self.cache.missing(indices)):
            pass  # the loop hands on the error of a file that cannot be read
        return self.cache.examples(indices)[0]

    def _decode(self, index: int) -> np.ndarray:
        height, width, channels = self.shape
        return read_image(Path(self.files[index]), (height, width), channels)

    def _keep(self, index: int) -> None:
        assert self.cache is not None
        self.cache.store(np.array([index]), self._decode(index)[np.newaxis])


def decoded(split: Split, batch_size: int, drop_remainder: bool) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """For a split of files: a function that makes batches of (stored images, labels) from an order of indices."""
    reader, labels = _FileReader(split), tf.constant(split.labels)
    steps = split.num_batches(batch_size, drop_remainder=drop_remainder)

    def example_batch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = _call(reader.fetch, [indices], tf.uint8)
        return tf.ensure_shape(images, (None, *split.input_shape)), tf.gather(labels, indices)

    def examples(order: tf.Tensor) -> tf.data.Dataset:
        batches = tf.data.Dataset.range(steps).map(lambda step: order[step * batch_size : (step + 1) * batch_size])
        return batches.map(example_batch, num_parallel_calls=2, deterministic=True)

    return examples


def streamed(
    split: Split, batch_size: int, *, shuffle: bool, drop_remainder: bool, seed: int, first_pass: int
) -> tf.data.Dataset:
    """Batches of (stored inputs, int32 labels) of a stream, which is mixed through a buffer of 4,096 examples.

    The order is a function of (seed, pass) and of nothing else. A `RepeatableStream` that fits is read from its source
    once; after that its indices go through the buffer instead of its images. A pass that was broken off leaves what it
    has read, and the next pass reads from the source again. Any other stream, as of a user's dataset, is never cached.
    """
    assert split.stream is not None
    examples = split.stream().map(lambda x, y: (x, tf.cast(y, tf.int32)), num_parallel_calls=2, deterministic=True)
    cache = cache_of(split) if isinstance(split.stream, RepeatableStream) else None

    def gathered(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        assert cache is not None
        images, labels = _call(cache.examples, [indices], [tf.uint8, tf.int32])
        return tf.ensure_shape(images, (None, *split.input_shape)), tf.ensure_shape(labels, (None,))

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        elements = examples if cache is None else _kept(examples, cache)
        if shuffle:
            tf.compat.v1.set_random_seed(1)  # of this function's graph: the buffer would heed the global seed else
            draw = tf.random.fold_in([seed, 0], number)
            buffer_seed = tf.random.stateless_uniform([], draw, maxval=2**31 - 1, dtype=tf.int64)
            buffer = min(len(split), _SHUFFLE_BUFFER)
            elements = elements.shuffle(buffer, seed=buffer_seed, reshuffle_each_iteration=False)
        batches = elements.batch(batch_size, drop_remainder=drop_remainder)
        return batches if cache is None else batches.map(gathered, num_parallel_calls=2, deterministic=True)

    steps = split.num_batches(batch_size, drop_remainder=drop_remainder)
    return augmentation.passes(first_pass).flat_map(one_pass).apply(tf.data.experimental.assert_cardinality(steps))


def _kept(examples: tf.data.Dataset, cache: PixelCache) -> tf.data.Dataset:
    """The indices of a stream's examples, each given when its example is stored; the source is opened only if one is not.

    `Dataset.cache` is not used: it forgets a pass that was broken off, its file admits one reader at a time, and it
    would hand out images one by one where indices can be mixed and whole batches gathered.
    """

    def keep(step: tf.Tensor, chunk: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        images, labels = chunk
        indices = step * _CHUNK + tf.range(tf.size(labels, tf.int64))
        return tf.ensure_shape(_call(cache.store, [indices, images, labels], tf.int64), (None,))

    unread = _call(cache.unread, [], tf.int64)
    read = examples.take(unread).batch(_CHUNK).enumerate().map(keep, num_parallel_calls=2, deterministic=True).unbatch()
    return read.concatenate(tf.data.Dataset.range(unread, len(cache)))


@contextlib.contextmanager
def naming_files() -> Iterator[None]:
    """Raises the `DataError` that names a file which could not be read, in place of the page that TensorFlow makes of it."""
    try:
        yield
    except tf.errors.OpError as error:
        told = re.search(r"\bDataError: (.*)", str(error))
        if told is None:
            raise
        raise DataError(told.group(1)) from error


def _call(method: Callable[..., object], inputs: list[tf.Tensor], types: object) -> tf.Tensor:
    """`tf.numpy_function` of a bound method, whose object must be kept by the closure that calls this."""
    weak = weakref.WeakMethod(method)  # TensorFlow keeps such functions for ever, and a whole cache with them

    @tf.autograph.experimental.do_not_convert  # it would translate this in every call
    def call(*arrays: np.ndarray) -> object:
        bound = weak()
        assert bound is not None
        return bound(*arrays)

    return tf.numpy_function(call, inputs, types)


@functools.cache
def _workers() -> ThreadPoolExecutor:
    """Threads that decode: Pillow works without Python's lock, so as many as there are cores."""
    return ThreadPoolExecutor(num_cores(), thread_name_prefix="zoo-decode")

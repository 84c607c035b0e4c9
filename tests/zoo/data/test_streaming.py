from __future__ import annotations

import copy
import gc
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass, save_classes
from hypothesis import given
from hypothesis import strategies as st

import zoo

# isort: split
import tensorflow as tf

from zoo.data import streaming
from zoo.data.split import Scaling, Split, as_split
from zoo.data.streaming import PixelCache, RepeatableStream, cache_of, place_for

tfds = pytest.importorskip("tensorflow_datasets")

COUNT = 50
PLACES = pytest.mark.parametrize("place", ["memory", "disk", None])


@pytest.fixture
def put_in(monkeypatch, tmp_path):
    """Makes caches go to memory, to disk (in the empty folder that is returned) or nowhere."""

    def put_in(place):
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr(streaming, "available_memory", lambda: 2**40 if place == "memory" else 1000)
        if place is None:
            monkeypatch.setattr(streaming, "place_for", lambda *sizes: None)
        return folder

    return put_in


@pytest.fixture
def pictures(tmp_path):
    return save_classes(tmp_path / "pictures", {"cat": 20, "dog": 30})


def load(root, **options):
    """All examples of the folder but the test split, decoded when they are needed."""
    return zoo.load_dataset(root, **({"in_memory": False, "validation": None} | options)).train


def remove_files(root):
    for file in root.rglob("*.png"):
        file.unlink()


def left_in(folder):
    """What is in a temporary folder, but for the sources that TensorFlow's AutoGraph keeps there until it ends."""
    autograph = ("__autograph_generated_file", "__pycache__")  # TensorFlow's, and Python's beside them
    return [file for file in folder.iterdir() if not file.name.startswith(autograph)]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def digest(pair):
    return hashlib.sha256(pair[0].tobytes() + pair[1].tobytes()).hexdigest()


class Source:
    """Images that know their number, as a stream that counts how often it was opened and how much was read."""

    def __init__(self, count=COUNT, stream=RepeatableStream):
        self.opened, self.read, self.count = 0, 0, count
        self.split = Split(
            size=count,
            class_names=("a", "b", "c"),
            input_shape=(2, 2, 1),
            dtype=np.uint8,
            scaling=Scaling(),
            stream=stream(self.dataset),
        )

    def dataset(self):
        signature = (tf.TensorSpec((2, 2, 1), tf.uint8), tf.TensorSpec((), tf.int64))
        return tf.data.Dataset.from_generator(self.generate, output_signature=signature)

    def generate(self):
        self.opened += 1
        for number in range(self.count):
            self.read += 1
            yield np.full((2, 2, 1), number, np.uint8), number % 3


def order(batches):
    """One pass over a `Source`: the numbers of its examples, after checking that each has kept its label."""
    images, labels = one_pass(batches)
    numbers = images[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(labels, numbers % 3)
    assert (images == images[:, :1, :1, :1]).all()
    return numbers.tolist()


# where a cache goes


@pytest.mark.parametrize(
    ("needed", "memory", "disk", "place"),
    [
        (100, 400, 0, "memory"),
        (101, 400, 202, "disk"),
        (101, 400, 201, None),
        (100, 400, 10**9, "memory"),
        (1, 0, 2, "disk"),
        (1, 0, 0, None),
    ],
)
def test_a_quarter_of_the_memory_or_else_half_of_the_disk(needed, memory, disk, place):
    assert place_for(needed, memory, disk) == place


@given(needed=st.integers(1, 2**50), memory=st.integers(0, 2**50), disk=st.integers(0, 2**50))
def test_a_cache_leaves_room_for_others(needed, memory, disk):
    place = place_for(needed, memory, disk)
    if place == "memory":
        assert 4 * needed <= memory
    elif place == "disk":
        assert 4 * needed > memory
        assert 2 * needed <= disk
    else:
        assert 4 * needed > memory
        assert 2 * needed > disk


def test_the_memory_that_linux_calls_available(monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "_CGROUP", tmp_path)
    monkeypatch.setattr(streaming, "_MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:    4000 kB\n")
    assert streaming.available_memory() == 4000 * 1024
    for limit, used, available in (("1000000", "400000", 600_000), ("max", "400000", 4_096_000), ("10", "20", 0)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text(used + "\n")
        assert streaming.available_memory() == available


@pytest.mark.parametrize("content", [None, "", "MemTotal: 9000 kB\n", "MemAvailable:\n"])
def test_memory_where_proc_does_not_tell(monkeypatch, tmp_path, content):
    monkeypatch.setattr(streaming, "_CGROUP", tmp_path)
    monkeypatch.setattr(streaming, "_MEMINFO", tmp_path / "meminfo")
    if content is not None:
        (tmp_path / "meminfo").write_text(content)
    assert 2**20 < streaming.available_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.delattr(os, "sysconf")
    assert streaming.available_memory() == 0


def test_this_machine_has_memory():
    assert streaming.available_memory() > 2**20


# the cache itself


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_what_is_stored_comes_back_and_stays(put_in, place):
    folder = put_in(place)
    cache = PixelCache.fitting(2000, (3, 2, 1))
    assert cache.place == place
    assert left_in(folder) == []  # not even while it is used
    images = np.random.default_rng(0).integers(0, 256, (2000, 3, 2, 1), np.uint8)
    indices = np.random.default_rng(1).permutation(2000)
    assert cache.unread() == 2000
    cache.store(indices[:1500], images[indices[:1500]], indices[:1500])
    np.testing.assert_array_equal(cache.missing(np.arange(2000)), np.sort(indices[1500:]))
    cache.store(indices, images[indices], indices)
    assert cache.unread() == 0
    cache.store(indices, 0 * images, 0 * indices)  # another thread may be reading: nothing is written twice
    assert_same(cache.examples(np.arange(2000)), (images, np.arange(2000)))


def test_an_index_is_never_read_before_it_is_complete():
    cache = PixelCache.fitting(8, (500, 500, 3))
    with pytest.raises(AssertionError):
        cache.examples(np.array([0]))
    wrong = []

    def write(number):
        for index in np.random.default_rng(number).permutation(8):
            cache.store(np.array([index]), np.full((1, 500, 500, 3), index, np.uint8))

    def read():
        deadline = time.monotonic() + 20
        while cache.unread() and time.monotonic() < deadline:
            there = np.setdiff1d(np.arange(8), cache.missing(np.arange(8)))
            images, _ = cache.examples(there)
            wrong.extend(k for k, image in zip(there, images, strict=True) if (image != k).any())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    for reader in readers:
        reader.join()
    assert not wrong
    assert cache.unread() == 0


def test_a_full_disk_is_no_cache(put_in, monkeypatch):
    put_in("disk")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    assert PixelCache.fitting(100, (8, 8, 3)) is None


def test_no_temporary_folder_and_no_memory_after_all_are_no_cache(put_in, monkeypatch):
    put_in("memory")
    assert PixelCache.fitting(2**20, (1000, 1000, 1000)) is None  # 2**50 bytes: the system refuses them
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert PixelCache.fitting(100, (8, 8, 3)) is None


# image folders


@PLACES
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_pass_equals_that_of_the_images_in_memory(pictures, put_in, place, shuffle):
    folder = put_in(place)
    held, split = load(pictures, in_memory=True), load(pictures)
    expected, batches = (s.batches(7, shuffle=shuffle, seed=3) for s in (held, split))
    for _ in range(3):
        assert_same(one_pass(batches), one_pass(expected))
    assert (place and cache_of(split).place) == place
    assert left_in(folder) == []


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_files_are_read_once_for_all_passes_and_pipelines(pictures, put_in, place):
    put_in(place)
    split = load(pictures)
    batches, stored = split.batches(7), split.stored_batches(16)
    first, pixels = one_pass(batches), one_pass(stored)
    remove_files(pictures)
    assert_same(one_pass(batches), first)
    assert_same(one_pass(stored), pixels)
    shuffled = split.batches(5, shuffle=True, augment=["flip"], drop_remainder=True)
    assert one_pass(shuffled)[0].shape == (40, 8, 8, 3)
    assert cache_of(split) is cache_of(split)


def test_without_a_cache_files_are_read_in_every_pass(pictures, put_in):
    put_in(None)
    batches = load(pictures).batches(7)
    one_pass(batches)
    remove_files(pictures)
    with pytest.raises(tf.errors.OpError, match=r"\d\.png: no such file"):
        one_pass(batches)


def test_a_pass_that_was_broken_off_keeps_what_it_decoded(pictures, monkeypatch):
    read = []
    decode = streaming.read_image
    monkeypatch.setattr(streaming, "read_image", lambda file, *options: read.append(file) or decode(file, *options))
    split = load(pictures)
    expected = one_pass(load(pictures, in_memory=True).batches(4))
    next(iter(split.batches(4)))
    one_pass(split.batches(4).take(3))
    for shuffle in (True, False, True):
        assert len(one_pass(split.batches(4, shuffle=shuffle))[1]) == len(split)
    assert_same(one_pass(split.batches(4)), expected)
    assert len(set(read)) == len(split)
    assert len(read) <= len(split) + 3 * 4  # two pipelines may have decoded the same image at once, never later


@PLACES
def test_a_corrupt_image_is_named(pictures, put_in, place):
    put_in(place)
    split = load(pictures)
    broken = Path(split.files[17])
    broken.write_bytes(broken.read_bytes()[:60])
    for _ in range(2):  # it is not taken for decoded the second time
        with pytest.raises(tf.errors.OpError, match=rf"dog/{broken.name}: not a readable image|cat/{broken.name}"):
            one_pass(split.batches(4, shuffle=True))


def test_several_threads_may_read_one_split(pictures):
    split = load(pictures)
    expected = load(pictures, in_memory=True)

    def passes(seed):
        return one_pass(split.batches(3, shuffle=True, seed=seed))

    with ThreadPoolExecutor(4) as threads:
        for seed, found in enumerate(threads.map(passes, range(4))):
            assert_same(found, one_pass(expected.batches(3, shuffle=True, seed=seed)))


def test_a_copy_of_a_split_has_a_cache_of_its_own(pictures):
    split = load(pictures)
    first = one_pass(split.batches(4))
    for other in (pickle.loads(pickle.dumps(split)), copy.deepcopy(split), split.subset(np.arange(len(split)))):
        assert cache_of(other) is not cache_of(split)
        assert_same(one_pass(other.batches(4)), first)


# lifetime


@pytest.mark.parametrize("kind", ["files", "stream"])
def test_batches_keep_their_cache_and_nothing_else_does(pictures, kind):
    split = load(pictures)
    if kind == "stream":
        pixels, labels = one_pass(split.stored_batches(4))
        split.labels, split.files = None, None
        split.stream = RepeatableStream(lambda: tf.data.Dataset.from_tensor_slices((pixels, labels)))
    cache = weakref.ref(cache_of(split))
    batches = split.batches(4, shuffle=True, augment=["noise"]).map(lambda x, y: (x, y)).take(5)
    del split
    gc.collect()
    assert len(one_pass(batches)[1]) == len(one_pass(batches)[1]) == 20
    iterator = iter(batches)
    del batches
    gc.collect()
    assert sum(len(y) for _, y in iterator) == 20
    del iterator
    gc.collect()
    assert cache() is None


# streams


@PLACES
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_repeatable_stream_that_fits_is_read_once(put_in, place, shuffle):
    folder = put_in(place)
    source = Source()
    batches = source.split.batches(7, shuffle=shuffle, seed=1)
    passes = [order(batches) for _ in range(3)]
    assert order(source.split.stored_batches(4)) == list(range(COUNT))
    assert all(sorted(numbers) == list(range(COUNT)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) == (3 if shuffle else 1)
    assert source.opened == (1 if place else 4)
    assert left_in(folder) == []


def test_a_pass_over_a_stream_that_was_broken_off_spoils_nothing():
    source = Source(count=200)
    batches = source.split.batches(8, shuffle=True)
    order(source.split.batches(8).take(1))
    next(iter(batches))
    both = iter(batches), iter(source.split.stored_batches(4))  # two passes at once fill one cache
    assert [len(next(iterator)[1]) for iterator in both] == [8, 4]
    del both
    assert sorted(order(batches)) == list(range(200))
    opened = source.opened
    for _ in range(2):
        assert sorted(order(batches)) == list(range(200))
        assert order(source.split.batches(8)) == list(range(200))
    assert source.opened == opened


@pytest.mark.parametrize("drop", [False, True])
def test_the_number_of_batches_is_known(drop):
    for stream in (RepeatableStream, lambda read: read):
        split = Source(stream=stream).split
        for batches in (
            split.batches(8, drop_remainder=drop),
            split.batches(8, drop_remainder=drop, augment=["noise"]),
        ):
            assert batches.cardinality() == len(list(batches)) == (6 if drop else 7)
        assert split.stored_batches(8).cardinality() == 7
        assert split.stored_batches(8).element_spec[0].shape == (None, 2, 2, 1)


def test_a_stream_that_is_shorter_than_its_split_is_an_error():
    source = Source()
    source.split.size = COUNT + 20
    for _ in range(2):
        with pytest.raises(tf.errors.OpError, match="expected to contain 18 elements"):
            order(source.split.batches(4))


def test_the_order_of_a_stream_is_a_function_of_seed_and_pass(monkeypatch):
    monkeypatch.setattr(streaming, "_SHUFFLE_BUFFER", 10)
    orders = []
    for global_seed in (None, 1):
        if global_seed is not None:
            tf.random.set_seed(global_seed)
        for stream in (RepeatableStream, lambda read: read):
            batches = Source(stream=stream).split.batches(6, shuffle=True, seed=5)
            orders.append([order(batches) for _ in range(3)])
    assert all(passes == orders[0] for passes in orders)  # cached or not, whatever the global seed
    assert len({tuple(numbers) for numbers in orders[0]}) == 3
    assert max(abs(place - number) for place, number in enumerate(orders[0][0])) > 5
    others = {tuple(order(Source().split.batches(6, shuffle=True, seed=seed))) for seed in range(3)}
    assert len(others) == 3


def test_a_users_dataset_is_read_anew_in_every_pass():
    calls = []

    def augmented(x, y):
        return tf.numpy_function(lambda x: calls.append(1) or x + np.float32(len(calls)), [x], tf.float32), y

    values = np.zeros((12, 1), np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((values, np.arange(12) % 2)).batch(4)
    split = as_split(dataset.map(lambda x, y: (tf.ensure_shape(augmented(x, y)[0], (None, 1)), y)))
    batches = split.batches(4)
    first, second = one_pass(batches), one_pass(batches)
    assert (second[0] > first[0]).all()
    np.testing.assert_array_equal(first[1], second[1])
    assert not hasattr(split, "_pixel_cache")


# TFDS


class ZooTestShards(tfds.core.GeneratorBasedBuilder):
    """A hundred pictures in four files."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 1)),
            "label": tfds.features.ClassLabel(names=["dark", "bright"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in ("train", "test")}

    def _generate_examples(self, name):
        random = np.random.default_rng(len(name))
        for i in range(100):
            pixels = random.integers(0, 100, (*random.integers(5, 12, 2), 1)) + 100 * (i % 2)
            yield i, {"image": pixels.astype(np.uint8), "label": i % 2}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    four = tfds.download.DownloadConfig(num_shards=4)
    ZooTestShards(data_dir=folder).download_and_prepare(download_config=four)
    assert len(list(folder.rglob("*train*"))) == 4
    return folder


@pytest.fixture
def load_shards(shards, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(shards))
    options = {"image_size": (8, 6), "validation": 20, "limit": 95}
    return lambda **more: zoo.load_dataset("zoo_test_shards", **options, **more)


def as_set(images):
    return sorted(image.tobytes() for image in images)


@pytest.mark.parametrize("place", ["disk", None])
def test_a_stream_takes_turns_at_the_shards_in_an_order_of_its_own(load_shards, put_in, place):
    put_in(place)
    held, data, again = (load_shards(in_memory=where) for where in (True, False, False))
    for name, size in (("train", 75), ("validation", 20), ("test", 100)):
        split, expected = getattr(data, name), one_pass(getattr(held, name).batches(8))
        batches = split.batches(8)
        first = one_pass(batches)
        assert len(split) == len(first[0]) == size
        assert_same(one_pass(batches), first)
        assert_same(one_pass(getattr(again, name).batches(5)), first)
        assert as_set(first[0]) == as_set(expected[0])
        np.testing.assert_array_equal(first[1], first[0].mean(axis=(1, 2, 3)) > 100 / 255)
        if name == "test":  # 16 of every file in turn, where memory has file after file
            np.testing.assert_array_equal(first[0][:16], expected[0][:16])
            np.testing.assert_array_equal(first[0][16:32], expected[0][25:41])


def test_a_cached_stream_does_not_need_its_files_again(load_shards, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(shutil.copytree(shards, tmp_path / "copy")))
    batches = load_shards(in_memory=False).train.batches(8)
    first = one_pass(batches)
    for file in (tmp_path / "copy").rglob("*tfrecord*"):
        file.unlink()
    assert_same(one_pass(batches), first)


def test_streamed_mnist_has_the_digits_of_mnist_in_memory(put_in):
    if not tfds.builder("mnist").is_prepared():
        pytest.skip("mnist is not prepared under TFDS_DATA_DIR")
    put_in("disk")
    options = {"limit": 500, "validation": None}
    held, split = (zoo.load_dataset("mnist", in_memory=where, **options).test for where in (True, False))
    expected = one_pass(held.batches(256))
    assert_same(one_pass(split.batches(256)), expected)
    assert cache_of(split).place == "disk"
    assert cache_of(split).unread() == 0
    shuffled = one_pass(split.batches(256, shuffle=True))
    assert as_set(shuffled[0]) == as_set(expected[0])


# another process


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
import tensorflow as tf
import test_streaming as t
tf.random.set_seed(7)
batches = t.load({root!r}).batches(4, shuffle=True, seed=9)
print(*[t.digest(t.one_pass(batches)) for _ in range(2)])
print(t.order(t.Source().split.batches(4, shuffle=True, seed=9)))
next(iter(t.load({root!r}).batches(2, shuffle=True)))  # leaves while images are being decoded
"""


def test_another_process_sees_the_same_batches_and_leaves_nothing_behind(pictures, tmp_path):
    batches = load(pictures).batches(4, shuffle=True, seed=9)
    expected = [digest(one_pass(batches)) for _ in range(2)]
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(tests=str(Path(__file__).parent), root=str(pictures))],
        env=os.environ | {"TMPDIR": str(tmp_path / "empty")},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == expected
    assert lines[1] == str(order(Source().split.batches(4, shuffle=True, seed=9)))
    assert "Traceback" not in done.stderr
    assert left_in(tmp_path / "empty") == []

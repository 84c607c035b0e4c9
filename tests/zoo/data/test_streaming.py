"""Image folders whose files are decoded when they are needed: what is kept, and what that changes (nothing)."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zoo.startup  # noqa: F401  (before Keras)

import numpy as np
import pytest
from data_examples import one_pass

# isort: split
import tensorflow as tf
from streaming_examples import PLACES, Source, assert_same, digest, left_in, load, order, remove_files

from zoo.data import streaming
from zoo.data.streaming import RepeatableStream, cache_of


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


# another process


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
import tensorflow as tf
import streaming_examples as t
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

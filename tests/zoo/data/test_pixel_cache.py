"""Where decoded pixels are kept, and what is read of them."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming_examples import assert_same, left_in

from zoo.data import streaming
from zoo.data.streaming import PixelCache, place_for


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

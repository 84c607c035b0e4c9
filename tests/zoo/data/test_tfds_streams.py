"""Streams of TFDS's files."""

from __future__ import annotations

import shutil

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass

import zoo

# isort: split

from streaming_examples import assert_same

from zoo.data.streaming import cache_of

tfds = pytest.importorskip("tensorflow_datasets")


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

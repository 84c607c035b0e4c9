from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from data_examples import save_classes
from PIL import Image

import zoo
from zoo.data.duplicates import find_duplicates
from zoo.data.split import Split
from zoo.data.splits import DataSplits, as_splits, inputs_sha256


def test_no_copies_in_random_images():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    found = find_duplicates(DataSplits.from_arrays((images, np.arange(60) % 3), test=(images[:9] ^ 1, [0] * 9)))
    assert found.groups == found.leaks == found.contradictions == ()
    assert found.searched == ("train", "validation", "test")


def test_copies_leaks_and_contradictions_are_told_apart():
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    train = np.concatenate([images[:6], images[:1], images[1:2]])  # 6 equals 0, and 7 equals 1 with another label
    labels = [0, 1, 0, 1, 0, 1, 0, 0]
    found = find_duplicates(
        DataSplits.from_arrays((train, labels), validation=(images[6:8], [0, 1]), test=(images[[8, 2]], [1, 0]))
    )
    assert found.groups == (
        (("train", 0), ("train", 6)),
        (("train", 1), ("train", 7)),
        (("train", 2), ("test", 1)),
    )
    assert found.leaks == (found.groups[2],)
    assert found.contradictions == (found.groups[1],)
    assert found.labels == ((0, 0), (1, 0), (0, 0))


def test_a_subset_is_searched_by_its_own_rows():
    data = zoo.load_dataset("digits", limit=200)
    assert find_duplicates(data).groups == ()
    twice = data.train.subset(np.array([0, 1, 0]))
    assert find_duplicates(DataSplits(twice, None, None)).groups == ((("train", 0), ("train", 2)),)


def test_validation_on_the_test_split_is_no_leak():
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), dtype=np.uint8)
    data = DataSplits.from_arrays((images[:6], [0, 1] * 3), validation="test", test=(images[6:], [0, 1] * 2))
    assert find_duplicates(data).leaks == ()


def test_files_are_compared_by_their_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    data = zoo.load_dataset(str(tmp_path), image_size=8, in_memory=False)
    assert data.train.store is None
    assert find_duplicates(data).groups == ()
    train = data.train
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(train.files[0]).read_bytes())
    train.files = [*train.files[:-1], str(copy)]
    assert find_duplicates(data).groups == ((("train", 0), ("train", len(train) - 1)),)


def test_a_file_that_is_gone_is_named(tmp_path):
    data = zoo.load_dataset(save_classes(tmp_path / "pictures", {"cat": 5, "dog": 5}), in_memory=False)
    gone = Path(data.train.files[0])
    gone.unlink()
    message = f"{gone}: cannot be read (No such file or directory); put it back or load the data again"
    for look in (find_duplicates, lambda data: inputs_sha256(data.train)):
        with pytest.raises(zoo.DataError) as refusal:
            look(data)
        assert str(refusal.value) == message


def test_a_split_and_a_pair_are_searched_as_training_data():
    images = np.zeros((3, 4, 4, 1), np.uint8)
    images[1] = 1
    for data in ((images, [0, 1, 1]), Split.from_arrays(images, [0, 1, 1])):
        found = find_duplicates(data)
        assert found.groups == found.contradictions == ((("train", 0), ("train", 2)),)
    with pytest.raises(zoo.UsageError, match="expected a Split"):
        find_duplicates("digits")


def test_a_stream_is_passed_over():
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros((8, 4), np.float32), np.arange(8) % 2)).batch(4)
    data = as_splits(dataset)
    assert data.train.stream is not None
    assert data.train.labels is not None  # which are known, unlike what they belong to
    assert find_duplicates(data).searched == find_duplicates(data).groups == ()

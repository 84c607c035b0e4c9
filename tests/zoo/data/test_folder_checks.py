"""Folders with copies of pictures, and with files that cannot be read."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from data_examples import one_pass, save_classes, save_image

import zoo

BOTH = pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "streamed"])


@pytest.fixture
def pictures(tmp_path):
    return save_classes(tmp_path / "pictures", {"cat": 15, "dog": 20})


@pytest.fixture
def parts(tmp_path):
    """The folders `train` and `test`, which share no picture."""
    save_classes(tmp_path / "parts" / "train", {"cat": 5, "dog": 6})
    for seed, file in enumerate(("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png")):
        save_image(tmp_path / "parts" / "test" / file, seed=5000 + seed)
    return tmp_path / "parts"


def names(split):
    return {"/".join(Path(f).parts[-2:]) for f in split.files}


# copies


def copy(root, source, target):
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / source, root / target)


def message_of(error, root, **options):
    """The one line of the error that loading a folder raises, with paths below the folder."""
    with pytest.raises(error) as refusal:
        zoo.load_dataset(root, **options)
    assert "\n" not in str(refusal.value)
    return str(refusal.value).replace(f"{root}/", "")


def test_copies_within_a_class_are_left_out_with_a_warning_that_names_the_first(pictures):
    before = zoo.load_dataset(pictures)
    copy(pictures, "cat/003.png", "cat/copy of 3.png")
    copy(pictures, "cat/003.png", "cat/003 again.png")
    copy(pictures, "dog/000.png", "dog/zero.png")
    with pytest.warns(zoo.DataWarning) as caught:
        after = zoo.load_dataset(pictures)
    (warning,) = caught
    assert warning.filename == __file__  # the caller's line, not one of ours
    text = str(warning.message)
    assert "\n" not in text
    assert "3 copies are left out" in text
    # a space sorts before a full stop, so "003 again.png" is the first of the three
    assert f"{pictures / 'cat' / '003.png'} is the same file as {pictures / 'cat' / '003 again.png'}" in text
    used = [set(names(split)) for split in (after.train, after.validation, after.test)]
    everything = set().union(*(names(split) for split in (before.train, before.validation, before.test)))
    assert set().union(*used) == everything - {"cat/003.png"} | {"cat/003 again.png"}
    assert sum(map(len, used)) == len(everything)


@BOTH
def test_left_out_copies_change_neither_order_nor_split_of_the_others(pictures, in_memory):
    before = zoo.load_dataset(pictures, in_memory=in_memory)
    for i in range(8):  # enough to change a fifth of the class, were they counted
        copy(pictures, f"dog/{i:03d}.png", f"dog/{i:03d}b.png")
    with pytest.warns(zoo.DataWarning, match="8 copies"):
        after = zoo.load_dataset(pictures, in_memory=in_memory)
    for split in ("train", "validation", "test"):
        a, b = getattr(before, split), getattr(after, split)
        assert a.files == b.files
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(one_pass(a.stored_batches(50))[0], one_pass(b.stored_batches(50))[0])


def test_a_class_of_copies_is_too_small(tmp_path):
    root = save_classes(tmp_path / "few", {"cat": 9, "dog": 2})
    copy(root, "dog/000.png", "dog/b.png")
    with pytest.warns(zoo.DataWarning, match="1 copy is left out"):
        assert "dog: 2 images are too few" in message_of(zoo.DataError, root)


def test_different_images_of_one_size_give_no_warning(tmp_path):
    for name in ("a", "b"):
        for i in range(6):
            save_image(tmp_path / name / f"{i}.bmp", seed=i + 10 * (name == "b"))
    assert len({f.stat().st_size for f in tmp_path.rglob("*.bmp")}) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(zoo.load_dataset(tmp_path, validation=None).train) == 10


@BOTH
@pytest.mark.parametrize(("extra", "more"), [(0, ""), (1, " (and 1 more such pair)"), (2, " (and 2 more such pairs)")])
def test_the_same_picture_in_two_classes_is_refused(pictures, extra, more, in_memory):
    for i in range(extra + 1):
        copy(pictures, f"cat/{i:03d}.png", f"dog/x{i}.png")
    copy(pictures, "cat/009.png", "cat/copy.png")  # harmless, and not counted
    message = message_of(zoo.DataError, pictures, in_memory=in_memory)
    assert message.startswith(f"cat/000.png and dog/x0.png{more} are the same picture in two classes")
    assert message.endswith("remove one")


@pytest.mark.parametrize(("extra", "more"), [(0, ""), (2, " (and 2 more such pairs)")])
def test_a_training_picture_among_the_test_pictures_is_refused(parts, extra, more):
    assert len(zoo.load_dataset(parts).test) == 5
    for i in range(extra + 1):
        copy(parts, f"train/dog/{i:03d}.png", f"test/dog/x{i}.png")
    message = message_of(zoo.DataError, parts)
    assert message.startswith(f"train/dog/000.png and test/dog/x0.png{more} are the same picture in train and in test")
    assert message.endswith("remove one")


def test_the_same_picture_in_two_classes_is_refused_across_train_and_test(parts):
    copy(parts, "train/dog/000.png", "test/cat/x.png")
    message = message_of(zoo.DataError, parts)
    assert message.startswith("train/dog/000.png and test/cat/x.png are the same picture in two classes")


def test_copies_within_train_or_test_are_left_out_there(parts):
    copy(parts, "train/dog/000.png", "train/dog/x.png")
    copy(parts, "test/cat/0.png", "test/cat/x.png")
    with pytest.warns(zoo.DataWarning, match="2 copies are left out"):
        data = zoo.load_dataset(parts, validation=None)
    assert (len(data.train), len(data.test)) == (11, 5)
    assert list(data.test.labels) == [0, 0, 0, 1, 1]
    assert not {"dog/x.png", "cat/x.png"} & (names(data.train) | names(data.test))


# broken files


@BOTH
@pytest.mark.parametrize("content", [b"", b"this is text\n" * 50], ids=["empty", "text"])
def test_a_file_that_is_no_image_is_named(pictures, content, in_memory):
    (pictures / "dog" / "broken.jpg").write_bytes(content)
    with pytest.raises(zoo.DataError) as refusal:
        zoo.load_dataset(pictures, in_memory=in_memory)
    assert str(pictures / "dog" / "broken.jpg") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_of_several_broken_files_the_first_is_named_and_the_others_are_counted(pictures):
    for name in ("cat/x.jpg", "cat/y.png", "dog/z.jpg"):
        (pictures / name).write_bytes(b"")  # also copies of each other, in two classes: that is not the point here
    message = message_of(zoo.DataError, pictures)
    assert message.startswith("cat/x.jpg: not a readable image")
    assert message.endswith("repair or remove it (2 more cannot be read either)")
    (pictures / "cat" / "x.jpg").unlink()
    (pictures / "cat" / "y.png").unlink()
    assert "more" not in message_of(zoo.DataError, pictures)


def truncate(path):
    save_image(path, (64, 64, 3), seed=77)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_image_is_named(pictures):
    truncate(pictures / "dog" / "half.jpg")
    with pytest.raises(zoo.DataError, match=r"dog/half\.jpg: not a readable image"):
        zoo.load_dataset(pictures, image_size=8)


def test_a_truncated_image_in_a_stream_is_named(parts):
    truncate(parts / "train" / "dog" / "half.jpg")
    data = zoo.load_dataset(parts, image_size=8, in_memory=False, validation=None)
    with pytest.raises(Exception, match=r"dog/half\.jpg: not a readable image"):
        one_pass(data.train.batches(4))


@BOTH
@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "webp", "tif"])
def test_a_truncated_image_of_every_kind_is_named(parts, suffix, in_memory):
    truncate(parts / "train" / "dog" / f"half.{suffix}")
    with pytest.raises(
        Exception, match=rf"dog/half\.{suffix}: not a readable image"
    ):  # at the latest when it is decoded
        one_pass(zoo.load_dataset(parts, image_size=8, in_memory=in_memory, validation=None).train.batches(4))


@BOTH
def test_a_png_whose_middle_was_overwritten_is_named(parts, in_memory):
    file = parts / "train" / "dog" / "damaged.png"
    save_image(file, (64, 64, 3), seed=78)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    file.write_bytes(content)
    with pytest.raises(Exception, match=r"dog/damaged\.png: not a readable image"):
        one_pass(zoo.load_dataset(parts, image_size=8, in_memory=in_memory, validation=None).train.batches(4))


# limit


def test_a_limit_that_loses_a_class_says_so(pictures):
    with pytest.warns(zoo.DataWarning, match="limit=8 leaves no training examples of dog") as caught:
        data = zoo.load_dataset(pictures, limit=8, validation=None)
    assert caught[0].filename == __file__
    assert len(data.train) == 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoo.load_dataset(pictures, limit=20)
        zoo.load_dataset("digits", limit=100, classes=(3, 2))

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_examples import one_pass, save_classes, save_image
from PIL import Image

import zoo
from zoo.data.folder import image_files

BOTH = pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "streamed"])


@pytest.fixture
def pictures(tmp_path):
    return save_classes(tmp_path / "pictures", {"cat": 15, "dog": 20})


def names(split):
    return {"/".join(Path(f).parts[-2:]) for f in split.files}


# classes and splits


@pytest.mark.parametrize("as_text", [True, False])
def test_a_folder_of_folders_is_a_data_set(pictures, as_text):
    data = zoo.load_dataset(str(pictures) if as_text else pictures)
    assert data.class_names == ("cat", "dog")
    assert data.input_shape == (8, 8, 3)
    assert len(data.test) == 3 + 4  # a fifth of each class
    assert len(data.train) + len(data.validation) + len(data.test) == 35
    assert data.config["name"] == str(pictures)


def test_images_labels_and_files_belong_together(pictures):
    data = zoo.load_dataset(pictures)
    assert len(names(data.train) | names(data.validation) | names(data.test)) == 35
    for split in (data.train, data.validation, data.test):
        for image, label, file in zip(split.inputs, split.labels, split.files, strict=True):
            assert Path(file).parent.name == data.class_names[label]
            np.testing.assert_array_equal(image, np.asarray(Image.open(file)))


def test_files_that_are_no_images_and_empty_folders_are_passed_over(pictures):
    before = zoo.load_dataset(pictures)
    (pictures / "bird").mkdir()
    (pictures / "notes").mkdir()
    (pictures / "notes" / "a.txt").write_text("x")
    (pictures / "cat" / "Thumbs.db").write_bytes(b"x")
    save_image(pictures / ".cache" / "a.png")
    save_image(pictures / "beside.png")
    (pictures / "dog" / "folder.png").mkdir()
    with pytest.warns(zoo.DataWarning, match="no images in it"):
        after = zoo.load_dataset(pictures)
    assert after.class_names == ("cat", "dog")
    for split in ("train", "validation", "test"):
        assert getattr(after, split).files == getattr(before, split).files


@pytest.mark.parametrize("suffix", [".PNG", ".webp", ".bmp", ".gif", ".tif", ".jpeg"])
def test_images_of_every_kind_are_seen(tmp_path, suffix):
    for name in ("a", "b"):
        for i in range(5):
            save_image(tmp_path / name / f"{i}{suffix}", seed=ord(name) * 10 + i)
    data = zoo.load_dataset(tmp_path, validation=None)
    assert len(data.train) + len(data.test) == 10


@pytest.mark.parametrize(("counts", "message"), [({"cat": 9, "dog": 0}, "only images of 'cat'"), ({}, "no images")])
def test_fewer_than_two_classes_are_refused(tmp_path, counts, message):
    root = save_classes(tmp_path / "one", counts)
    root.mkdir(exist_ok=True)
    with pytest.raises(zoo.DataError, match=message) as refusal:
        zoo.load_dataset(root)
    assert str(root) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_class_too_small_to_be_split_is_named(tmp_path):
    root = save_classes(tmp_path / "few", {"cat": 9, "dog": 2})
    with pytest.raises(zoo.DataError, match=r"dog: 2 images are too few"):
        zoo.load_dataset(root)


def test_train_and_test_folders_are_kept_apart(tmp_path):
    save_classes(tmp_path / "train", {"cat": 12, "dog": 13})
    for seed, file in enumerate(("cat/0.png", "cat/1.png", "dog/0.png")):
        save_image(tmp_path / "test" / file, seed=5000 + seed)
    data = zoo.load_dataset(tmp_path)
    assert len(data.train) + len(data.validation) == 25
    assert {Path(f).parent.parent.name for f in data.test.files} == {"test"}
    assert {Path(f).parent.parent.name for f in data.train.files + data.validation.files} == {"train"}
    assert list(data.test.labels) == [0, 0, 1]


def test_train_and_test_folders_with_other_classes_are_refused(tmp_path):
    save_classes(tmp_path / "train", {"cat": 5, "dog": 5})
    save_classes(tmp_path / "test", {"cat": 5, "fox": 5})
    with pytest.raises(zoo.DataError, match="fox"):
        zoo.load_dataset(tmp_path)


def test_the_test_split_depends_on_neither_seed_nor_limit(pictures):
    tests = [zoo.load_dataset(pictures, seed=s, limit=n).test.files for s, n in ((0, None), (1, None), (2, 20))]
    assert tests[0] == tests[1] == tests[2]


def test_the_test_split_does_not_depend_on_where_the_folder_lies(tmp_path):
    here = save_classes(tmp_path / "here", {"cat": 15, "dog": 20})
    there = save_classes(tmp_path / "there", {"cat": 15, "dog": 20})
    assert names(zoo.load_dataset(here).test) == names(zoo.load_dataset(there).test)


@pytest.mark.filterwarnings("ignore::zoo.DataWarning")
def test_limit_and_classes_pick_from_a_folder(tmp_path):
    root = save_classes(tmp_path / "three", {"ant": 10, "bee": 10, "cow": 10})
    data = zoo.load_dataset(root, classes=("cow", "ant"))
    assert data.class_names == ("cow", "ant")
    assert {Path(f).parent.name for f, k in zip(data.train.files, data.train.labels, strict=True) if k == 0} == {"cow"}
    assert len(zoo.load_dataset(root, limit=9, validation=None).train) == 9


# sizes and colours


def test_sizes_that_differ_are_refused_with_the_remedy(pictures):
    save_image(pictures / "cat" / "wide.png", (8, 30, 3))
    with pytest.raises(zoo.DataError, match="image_size=") as refusal:
        zoo.load_dataset(pictures)
    assert "8x8" in str(refusal.value)
    assert "30x8" in str(refusal.value)
    assert zoo.load_dataset(pictures, image_size=6).input_shape == (6, 6, 3)
    assert zoo.load_dataset(pictures, image_size=(6, 9)).input_shape == (6, 9, 3)


@BOTH
def test_grey_and_colour_may_be_mixed(pictures, in_memory):
    save_image(pictures / "cat" / "grey.png", (8, 8, 1))
    save_image(pictures / "dog" / "alpha.png", (8, 8, 4))
    options = {"in_memory": in_memory, "validation": None}
    data = zoo.load_dataset(pictures, **options)
    assert data.input_shape == (8, 8, 3)
    assert one_pass(data.train.batches(9))[0].shape[1:] == (8, 8, 3)
    grey = zoo.load_dataset(pictures, color_mode="grayscale", **options)
    assert one_pass(grey.train.batches(9))[0].shape[1:] == (8, 8, 1)


def test_grey_images_have_one_channel_unless_rgb_is_asked_for(tmp_path):
    root = save_classes(tmp_path / "grey", {"a": 5, "b": 5}, (8, 8, 1))
    assert zoo.load_dataset(root).input_shape == (8, 8, 1)
    rgb = zoo.load_dataset(root, color_mode="rgb").train.inputs
    assert rgb.shape[1:] == (8, 8, 3)
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])


def test_a_photograph_turned_by_exif_has_the_size_that_is_shown(pictures):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("cat", "dog"):
        for i in range(5):
            save_image(pictures.parent / "turned" / name / f"{i}.png", (4, 8, 3), seed=10 * ord(name[0]) + i)
            with Image.open(pictures.parent / "turned" / name / f"{i}.png") as stored:
                stored.save(pictures.parent / "turned" / name / f"{i}.png", exif=exif)
    assert zoo.load_dataset(pictures.parent / "turned").input_shape == (8, 4, 3)


# streaming


@pytest.mark.parametrize("validation", [None, "test", 0.25, 4])
def test_streamed_batches_equal_those_in_memory(pictures, validation):
    options = {"image_size": (6, 5), "input_range": (-1, 1), "validation": validation}
    held = zoo.load_dataset(pictures, **options)
    streamed = zoo.load_dataset(pictures, in_memory=False, **options)
    for name in ("train", "validation", "test"):
        a, b = getattr(held, name), getattr(streamed, name)
        if a is None:
            assert b is None
            continue
        assert b.inputs is None
        assert (len(a), a.files, a.class_names, a.input_shape) == (len(b), b.files, b.class_names, b.input_shape)
        for x, y in ((a.batches(4), b.batches(4)), (a.stored_batches(4), b.stored_batches(4))):
            np.testing.assert_array_equal(one_pass(x)[0], one_pass(y)[0])
            np.testing.assert_array_equal(one_pass(x)[1], one_pass(y)[1])


@pytest.mark.filterwarnings("ignore::zoo.DataWarning")
def test_limit_and_classes_hold_for_streamed_folders_or_are_refused_by_name(pictures):
    for option in ({"limit": 5}, {"classes": ("dog", "cat")}):
        try:
            streamed = zoo.load_dataset(pictures, in_memory=False, validation=None, **option).train
        except zoo.UsageError as refusal:
            assert next(iter(option)) in str(refusal)  # noqa: PT017
            continue
        held = zoo.load_dataset(pictures, validation=None, **option).train
        np.testing.assert_array_equal(one_pass(streamed.batches(4))[1], held.labels)


def test_a_streamed_folder_is_shuffled_over_all_classes(pictures):
    data = zoo.load_dataset(pictures, in_memory=False, validation=None)
    batches = data.train.batches(4, shuffle=True)
    first, second = one_pass(batches), one_pass(batches)
    assert sorted(first[1]) == sorted(second[1]) == sorted(data.train.labels)
    assert not np.array_equal(first[0], second[0])
    assert len(set(first[1][:12])) == 2


def test_image_files_of_a_folder_are_those_below_it_and_a_file_is_itself(pictures, tmp_path):
    (pictures / "notes.txt").write_text("no image")
    found = image_files(pictures)
    assert len(found) == 35
    assert found == sorted(found)
    assert image_files(found[0]) == [found[0]]
    (tmp_path / "empty").mkdir()
    for path, kind, message in (
        (tmp_path / "empty", zoo.DataError, "no images"),
        (tmp_path / "absent", zoo.UsageError, "no such file"),
    ):
        with pytest.raises(kind, match=message):
            image_files(path)

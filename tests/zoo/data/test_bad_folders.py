"""Links, pipes, empty classes and strange names in image folders, and files that turn out to be bad while they are streamed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from data_examples import save_classes, save_image
from PIL import Image

import zoo
from zoo.data.folder import image_files, scan_folder
from zoo.data.images import image_header, read_image
from zoo.errors import DataError, DataWarning, UsageError


@pytest.fixture
def pictures(tmp_path):
    return save_classes(tmp_path / "pictures", {"cat": 6, "dog": 6})


def test_a_class_without_images_is_told_of(pictures):
    (pictures / "fish").mkdir()
    (pictures / "fox").mkdir()
    (pictures / "fox" / "a.heic").write_bytes(b"x")
    with pytest.warns(
        DataWarning, match=r"fish \(and 1 more\): no images in it, so it is no class; they end in .bmp"
    ) as caught:
        assert zoo.load_dataset(pictures).class_names == ("cat", "dog")
    assert caught[0].filename == __file__


def test_images_in_a_folder_within_a_class_are_told_of(pictures):
    before = zoo.load_dataset(pictures)
    for name in ("old/a.png", "old/older/b.JPG", ".hidden/c.png"):
        save_image(pictures / "dog" / name)
    (pictures / "dog" / "old" / "notes.txt").write_text("x")
    first = re.escape(str(pictures / "dog" / "old" / "a.png"))
    with pytest.warns(
        DataWarning, match=f"^{first} and 1 more: left out, in a folder within a class's folder; move"
    ) as caught:
        after = zoo.load_dataset(pictures)
    assert [warning.filename for warning in caught] == [__file__]
    assert after.train.files == before.train.files


@pytest.mark.parametrize("parts", [(), ("train", "test")])
def test_links_out_of_the_folder_are_followed_and_told_of(tmp_path, parts):
    root = tmp_path / "root"
    for place, part in enumerate(parts or ("",)):
        for name in ("cat", "dog"):
            for i in range(5):
                save_image(root / part / name / f"{i}.png", seed=100 * place + 10 * (name == "dog") + i)
    save_image(tmp_path / "outside" / "secret.png", seed=1000)
    first = root / (parts[0] if parts else "") / "cat"
    (first / "a.png").symlink_to("../" * (2 + len(parts[:1])) + "outside/secret.png")
    (first / "inner.png").symlink_to("0.png")  # a copy, which is left out
    with pytest.warns(DataWarning) as caught:
        data = zoo.load_dataset(root, validation=None)
    texts = [str(warning.message) for warning in caught]
    assert f"{first / 'a.png'}: a link out of the folder, which is followed; remove it if that is not meant" in texts
    assert sum("out of the folder" in text for text in texts) == 1
    assert str(first / "a.png") in [*data.train.files, *data.test.files]


def test_a_linked_class_is_told_of_and_a_linked_root_is_not(pictures, tmp_path):
    outside = save_classes(tmp_path / "outside", {"fox": 5, "owl": 5}, (8, 8, 1))
    (tmp_path / "link").symlink_to(outside)
    assert zoo.load_dataset(tmp_path / "link").class_names == ("fox", "owl")
    (pictures / "fox").symlink_to(outside / "fox")
    with pytest.warns(DataWarning, match="pictures/fox: a link out of the folder"):
        assert zoo.load_dataset(pictures).class_names == ("cat", "dog", "fox")


@pytest.mark.parametrize("target", ["nowhere.png", "x.png"], ids=["dangling", "to itself"])
def test_a_link_to_nothing_is_refused(pictures, target):
    (pictures / "dog" / "x.png").symlink_to(target)
    with pytest.raises(DataError, match=r"dog/x\.png: a link to a file that is not there; mend or remove it"):
        zoo.load_dataset(pictures)


@pytest.mark.parametrize(
    "name", ["a\nb.png", "a'b\"c.png", "a\u202eb.png", "a\x1b[31m.png", f"{'n' * 240}.png", "-x.png"]
)
def test_names_of_files_may_be_strange(pictures, name):
    save_image(pictures / "dog" / name, seed=99)
    data = zoo.load_dataset(pictures)
    assert str(pictures / "dog" / name) in [*data.train.files, *data.validation.files, *data.test.files]


def test_a_name_that_is_no_text_is_refused(pictures):
    try:
        save_image(pictures / "dog" / "\udcff.png", seed=99)
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(
        DataError, match=r"dog/\\udcff\.png: its name is not UTF-8, and tables cannot name it; rename it"
    ):
        zoo.load_dataset(pictures)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_image_and_is_never_opened(pictures):
    os.mkfifo(pictures / "dog" / "x.jpg")
    assert len(zoo.load_dataset(pictures, validation=None).train) == 10  # passed over, as a folder of that name is
    for read in (lambda file: read_image(file, None, 3), image_header, lambda file: zoo.load_images([file], 8)):
        with pytest.raises(DataError, match=r"x\.jpg: a pipe or device, and no image file; give another one"):
            read(pictures / "dog" / "x.jpg")
    assert pictures / "dog" / "x.jpg" in image_files(pictures)  # which predict.py tells of


def test_a_folder_and_an_impossible_name_are_no_image_files(tmp_path):
    with pytest.raises(DataError, match="a folder, and no image file"):
        read_image(tmp_path, None, 3)
    with pytest.raises(UsageError, match="no such file or folder"):
        image_files(tmp_path / ("n" * 300))
    for name in ("n" * 300, "a\0b"):
        with pytest.raises(DataError) as refusal:
            zoo.load_images([name], 8)
        assert str(refusal.value).isprintable()


def test_classes_that_train_and_test_do_not_share_are_named(tmp_path):
    save_classes(tmp_path / "train", {"cat": 5, "dog": 5})
    save_classes(tmp_path / "test", {"cat": 5, "fox": 5})
    with pytest.raises(DataError, match="must have the same classes; only one of them has dog, fox"):
        zoo.load_dataset(tmp_path)


def test_a_file_that_is_bad_only_when_it_is_decoded_is_named_by_all_that_read_it(tmp_path):
    root = save_classes(tmp_path / "pictures", {"cat": 6, "dog": 6})
    Image.fromarray(np.ones((8, 8), np.float32)).save(root / "cat" / "zz.tif")  # its header is a fine one
    data = zoo.load_dataset(root, in_memory=False, validation=None)
    split = next(s for s in (data.train, data.test) if str(root / "cat" / "zz.tif") in s.files)
    model = zoo.build("softmax", data.input_shape, 2)
    for use in (
        lambda: zoo.train(model, zoo.DataSplits(split, None, None), zoo.Recipe(epochs=1), verbose=False),
        lambda: zoo.evaluate(model, split),
        lambda: zoo.measure_robustness(model, split, "noise", verbose=False),
        lambda: zoo.export(model, tmp_path / "new" / "export", check_with=split, formats="keras"),
    ):
        with pytest.raises(DataError) as refusal:
            use()
        assert str(refusal.value).startswith(f"{root / 'cat' / 'zz.tif'}: floating-point pixels")
        assert len(str(refusal.value)) < 300
    assert not (tmp_path / "new").exists()


def test_a_folder_with_the_name_of_an_image_is_passed_over(pictures):
    before = zoo.load_dataset(pictures)
    (pictures / "cat" / "x.jpg").mkdir()
    save_image(pictures / "cat" / "x.jpg" / "inner.png", seed=99)
    with pytest.warns(DataWarning, match=r"inner\.png: left out, in a folder within a class's folder"):
        after = zoo.load_dataset(pictures)
    assert (after.train.files, after.test.files) == (before.train.files, before.test.files)


def test_a_part_without_images_is_named(tmp_path):
    save_classes(tmp_path / "train", {"cat": 5, "dog": 5})
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="test: no images in its folders"):
        zoo.load_dataset(tmp_path)


def test_only_links_are_asked_about_while_a_folder_is_scanned(pictures, monkeypatch):
    """On a network each question about a file is a journey; the entries of a folder tell what is a file."""
    (pictures / "cat" / "x.png").symlink_to("000.png")
    (pictures / "dog" / "y.png").symlink_to(pictures / "dog" / "001.png")
    asked = []
    stat, lstat = os.stat, os.lstat
    monkeypatch.setattr(os, "stat", lambda file, **how: (asked.append(os.fspath(file)), stat(file, **how))[1])
    monkeypatch.setattr(os, "lstat", lambda file, **how: (asked.append(os.fspath(file)), lstat(file, **how))[1])
    scan = scan_folder(pictures)
    assert [link.name for link in scan.links] == ["x.png", "y.png"]
    assert {Path(file).name for file in asked if Path(file).suffix} <= {"x.png", "y.png"}
    assert scan.files == sorted(pictures.glob("*/*.png"))
    assert scan.labels.tolist() == [0] * 7 + [1] * 7

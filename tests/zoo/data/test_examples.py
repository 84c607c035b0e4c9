from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from data_examples import save_classes

import zoo
from zoo.data import examples


def titles(figure):
    return [axes.get_title().split("\n") for axes in figure.axes]


def shown(figure):
    """The images of each class, (number, height, width, channels)."""
    return [[np.atleast_3d(image.get_array()) for image in axes.images] for axes in figure.axes]


def coloured(labels, num_classes, shape=(6, 4, 3)):
    """A split whose image i has the value i everywhere."""
    images = np.stack([np.full(shape, i, np.uint8) for i in range(len(labels))])
    return zoo.Split.from_arrays(images, np.array(labels), class_names=[f"k{k}" for k in range(num_classes)])


def values(figure):
    return [[int(image.flat[0]) for image in images] for images in shown(figure)]


@pytest.mark.parametrize(
    ("per_class", "expected"), [(1, [[1], [0], []]), (2, [[1, 3], [0, 2], []]), (3, [[1, 3], [0, 2, 4], []])]
)
def test_the_first_images_of_each_class_are_shown_in_file_order(per_class, expected):
    figure = zoo.plot_examples(coloured([1, 0, 1, 0, 1], 3), per_class=per_class)
    assert values(figure) == expected
    assert titles(figure) == [["k0", "2 images"], ["k1", "3 images"], ["k2", "0 images"]]


def test_one_image_is_no_plural():
    assert titles(zoo.plot_examples(coloured([0, 1, 1], 2)))[0] == ["k0", "1 image"]


def test_of_data_splits_the_training_split_is_shown():
    data = zoo.load_dataset("digits")
    figure = zoo.plot_examples(data)
    counts = np.bincount(data.train.labels)
    assert titles(figure) == [[str(k), f"{counts[k]} images"] for k in range(10)]
    for k, (image,) in enumerate(shown(figure)):
        np.testing.assert_array_equal(image, data.train.inputs[np.argmax(data.train.labels == k)])
    assert titles(zoo.plot_examples(data.test))[0][1] == f"{(data.test.labels == 0).sum()} images"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "from files"])
def test_grey_and_colour_in_memory_and_from_files(tmp_path, channels, in_memory):
    root = save_classes(tmp_path / "pictures", {"cat": 6, "dog": 7}, (8, 10, channels))
    held = zoo.load_dataset(root).train
    data = zoo.load_dataset(root, in_memory=in_memory)
    for k, images in enumerate(shown(zoo.plot_examples(data, per_class=2))):
        np.testing.assert_array_equal(images, held.inputs[held.labels == k][:2])


def test_only_what_is_shown_is_decoded(tmp_path, monkeypatch):
    root = save_classes(tmp_path / "pictures", {"cat": 30, "dog": 30})
    data = zoo.load_dataset(root, in_memory=False)
    decoded = []
    read = examples.read_image
    monkeypatch.setattr(examples, "read_image", lambda file, *rest: (decoded.append(str(file)), read(file, *rest))[1])
    zoo.plot_examples(data, per_class=2)
    first = [[f for f, k in zip(data.train.files, data.train.labels, strict=True) if k == n][:2] for n in (0, 1)]
    assert decoded == first[0] + first[1]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    data = zoo.load_dataset(save_classes(tmp_path / "pictures", {"cat": 6, "dog": 6}), in_memory=False)
    (broken,) = [f for f, k in zip(data.train.files, data.train.labels, strict=True) if k == 1][:1]
    with open(broken, "r+b") as file:
        file.truncate(60)
    with pytest.raises(zoo.DataError) as refusal:
        zoo.plot_examples(data)
    assert str(refusal.value).startswith(f"{broken}: not a readable image")


@pytest.mark.parametrize("num_classes", [2, 3, 5, 10, 37, 100])
@pytest.mark.parametrize("per_class", [1, 4, 10])
def test_the_grid_is_readable(num_classes, per_class):
    split = coloured(list(range(num_classes)) * 2, num_classes, (8, 8, 1))
    figure = zoo.plot_examples(split, per_class=per_class)
    inches = figure.get_size_inches()
    boxes = np.array([axes.get_position(original=True).extents for axes in figure.axes])
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert inches[0] <= 15
    assert ((boxes[:, 2] - boxes[:, 0]) * inches[0] >= 1.199 * per_class).all()
    in_rows = boxes[np.lexsort((boxes[:, 0], -boxes[:, 1].round(6)))]
    np.testing.assert_array_equal(boxes, in_rows)  # left to right, top to bottom
    for left, right in itertools.pairwise(boxes):
        beside = right[0] >= left[2]
        below = right[3] * inches[1] + 0.4 <= left[1] * inches[1]  # with room for two lines of title
        assert beside or below


def test_titles_stay_within_their_columns():
    names = [f"{k} Chesapeake Bay retriever, of which there are many" for k in range(20)]
    split = zoo.Split.from_arrays(np.zeros((20, 8, 8), np.uint8), np.arange(20), class_names=names)
    figure = zoo.plot_examples(split)
    assert [title for title, _ in titles(figure)] != names
    figure.savefig(io.BytesIO(), format="png")
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(a.x1 <= b.x0 or b.y1 <= a.y0 for a, b in itertools.pairwise(boxes))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_a_name_is_no_formula():
    split = zoo.Split.from_arrays(np.zeros((2, 8, 8), np.uint8), np.arange(2), class_names=["$\\broken$", "a_b"])
    figure = zoo.plot_examples(split)
    figure.savefig(io.BytesIO(), format="png")
    assert titles(figure)[0][0] == "$\\broken$"


def test_of_very_many_classes_the_first_hundred_are_shown_and_it_says_so():
    assert len(zoo.plot_examples(coloured(range(100), 100)).axes) == 100
    assert not zoo.plot_examples(coloured(range(100), 100)).texts
    figure = zoo.plot_examples(coloured(range(130), 130))
    assert len(figure.axes) == 100
    assert [text.get_text() for text in figure.texts] == ["the first 100 of 130 classes"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: zoo.load_dataset("blobs"), "only uint8 images.*float32"),
        (lambda: (np.zeros((4, 8, 8, 1)), [0, 1, 0, 1]), "only uint8 images.*float64"),
        (lambda: (np.zeros((4, 8, 8, 2), np.uint8), [0, 1, 0, 1]), r"only uint8 images.*\(8, 8, 2\)"),
        (lambda: coloured([0, 1], 2).batches(2), "only uint8 images"),
        (lambda: coloured([0, 1], 2).stored_batches(2), "a stream .* in_memory=True"),
        (lambda: "digits", "expected a Split"),
    ],
    ids=["points", "float images", "two channels", "scaled", "stream", "a name"],
)
def test_what_holds_no_images_that_can_be_shown_is_refused(make, message):
    with pytest.raises(zoo.UsageError, match=message):
        zoo.plot_examples(make())


@pytest.mark.parametrize("per_class", [0, -1, 11, 1.5, True, "2"])
def test_per_class_out_of_range_is_refused(per_class):
    with pytest.raises(
        zoo.UsageError, match=r"per_class must be a whole number of at least 1 and below 11\. Received: per_class="
    ):
        zoo.plot_examples(coloured([0, 1], 2), per_class=per_class)

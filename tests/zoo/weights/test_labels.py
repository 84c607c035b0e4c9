from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from weight_files import SHARED_DATASETS

import zoo
from zoo.weights.labels import ClassName, Prediction, decode_predictions, list_classes

LENGTHS = {"imagenet": 1000, "cifar10": 10, "cifar100": 100}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_list_has_as_many_classes_as_it_should_and_each_once(name):
    classes = list_classes(name)
    assert len(classes) == LENGTHS[name]
    assert len({c.name for c in classes}) == len({c.class_id for c in classes}) == LENGTHS[name]
    for one in classes:
        assert isinstance(one, ClassName)
        assert one.name == one.name.strip() != ""
        assert one.name.isprintable()
        assert "\t" not in one.class_id + one.name


def test_imagenet_is_in_the_order_of_its_wordnet_ids():
    ids = [c.class_id for c in list_classes("imagenet")]
    assert ids == sorted(ids)
    assert all(len(i) == 9 and i[0] == "n" and i[1:].isdigit() for i in ids)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_numbered(name):
    classes = list_classes(name)
    assert [c.class_id for c in classes] == [str(i) for i in range(len(classes))]
    assert [c.name for c in classes] == sorted(c.name for c in classes)


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("imagenet", 0, ("n01440764", "tench")),
        ("imagenet", 1, ("n01443537", "goldfish")),
        ("imagenet", 134, ("n02012849", "crane")),
        ("imagenet", 207, ("n02099601", "golden retriever")),
        ("imagenet", 281, ("n02123045", "tabby")),
        ("imagenet", 517, ("n03126707", "crane")),
        ("imagenet", 638, ("n03710637", "maillot")),
        ("imagenet", 639, ("n03710721", "maillot")),
        ("imagenet", 999, ("n15075141", "toilet tissue")),
        ("cifar10", 0, ("0", "airplane")),
        ("cifar10", 3, ("3", "cat")),
        ("cifar10", 9, ("9", "truck")),
        ("cifar100", 0, ("0", "apple")),
        ("cifar100", 99, ("99", "worm")),
    ],
)
def test_classes_that_everybody_knows_are_where_they_belong(name, index, expected):
    found = list_classes(name)[index]
    assert found.class_id == expected[0]
    assert (
        found.name == expected[1] or found.name.startswith(f"{expected[1]} ") or found.name.endswith(f" {expected[1]}")
    )


def test_imagenet_agrees_with_the_names_of_the_sample_images():
    folder = SHARED_DATASETS / "imagenet_samples"
    samples = sorted(folder.glob("n*.JPEG"))
    if not samples:
        pytest.skip(f"{folder} holds no sample images")
    names = {c.class_id: c.name for c in list_classes("imagenet")}
    given_names = {s.stem.partition("_")[0]: s.stem.partition("_")[2].replace("_", " ") for s in samples}
    assert {i: names[i] for i in given_names} == given_names


def test_an_unknown_list_is_refused_with_the_nearest():
    with pytest.raises(zoo.UsageError, match="did you mean 'cifar10'"):
        list_classes("cifar-10")
    for name in ("", "../labels", "classes"):
        with pytest.raises(zoo.UsageError, match="Known: cifar10, cifar100, imagenet"):
            list_classes(name)


def test_the_most_probable_classes_come_first():
    scores = np.zeros((2, 10))
    scores[0, [3, 5, 0]] = [0.6, 0.3, 0.1]
    scores[1, [9, 1]] = [0.75, 0.25]
    first, second = decode_predictions(scores, top=3)
    assert first == [("3", "cat", 0.6), ("5", "dog", 0.3), ("0", "airplane", 0.1)]
    assert [p.name for p in second] == ["truck", "automobile", "airplane"]
    assert isinstance(first[0], Prediction)
    assert (first[0].class_id, first[0].name, first[0].probability) == ("3", "cat", 0.6)


def test_probabilities_are_plain_numbers():
    probability = decode_predictions(np.full((1, 10), 0.1, np.float32))[0][0].probability
    assert type(probability) is float
    assert probability == np.float32(0.1)


def test_equal_probabilities_keep_the_order_of_the_classes():
    scores = np.full((1, 100), 0.25, np.float32)
    scores[0, [70, 20]] = 0.5
    assert [int(p.class_id) for p in decode_predictions(scores, top=5)[0]] == [20, 70, 0, 1, 2]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    arrays.arrays(np.float32, (3, 10), elements=st.floats(0, 1, width=32)),
    st.integers(1, 12),
)
def test_predictions_are_the_sorted_scores(scores, top):
    for row, predictions in zip(scores, decode_predictions(scores, top=top), strict=True):
        assert len(predictions) == min(top, 10)
        order = sorted(range(10), key=lambda k: (-row[k], k))[:top]
        assert [(int(p.class_id), p.probability) for p in predictions] == [(k, float(row[k])) for k in order]


@pytest.mark.parametrize("top", [10, 11, 1000])
def test_more_than_all_classes_are_all_classes(top):
    (predictions,) = decode_predictions(np.eye(10)[[4]], top=top)
    assert sorted(int(p.class_id) for p in predictions) == list(range(10))


@pytest.mark.parametrize("top", [0, -1])
def test_fewer_than_one_class_is_refused(top):
    with pytest.raises(zoo.UsageError, match=f"top={top}"):
        decode_predictions(np.eye(10), top=top)


@pytest.mark.parametrize("classes", [5, {"a"}, np.array(3)], ids=str)
def test_classes_that_are_no_list_are_refused(classes):
    with pytest.raises(zoo.UsageError, match="classes must be a list of names, or one of cifar10, cifar100, imagenet"):
        decode_predictions(np.eye(5), classes=classes)


@pytest.mark.parametrize("shape", [(), (10,), (1, 10, 1), (1, 2, 3, 10)], ids=str)
def test_other_shapes_are_refused(shape):
    with pytest.raises(zoo.UsageError) as refusal:
        decode_predictions(np.zeros(shape))
    assert str(shape) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_five_are_given_by_default_and_no_images_give_nothing():
    assert len(decode_predictions(np.eye(1000)[[1]])[0]) == 5
    assert decode_predictions(np.zeros((0, 10))) == []


@pytest.mark.parametrize("name", LENGTHS)
def test_the_list_is_found_by_the_number_of_classes(name):
    scores = np.eye(LENGTHS[name])[[0, -1]]
    found = decode_predictions(scores, top=1)
    assert [p[0][:2] for p in found] == [tuple(list_classes(name)[i]) for i in (0, -1)]
    assert decode_predictions(scores, top=1, classes=name) == found


def test_lists_of_numbers_and_tensors_are_taken_too():
    assert decode_predictions([[0.0] * 9 + [1.0]], top=1)[0][0].name == "truck"
    assert decode_predictions(keras.ops.eye(10)[:1], top=1)[0][0].name == "airplane"


def test_names_of_ones_own_are_taken():
    scores = np.array([[0.2, 0.5, 0.3]])
    expected = [[("1", "dog", 0.5), ("2", "7", 0.3)]]
    assert decode_predictions(scores, top=2, classes=["cat", "dog", 7]) == expected
    assert decode_predictions(scores, top=2, classes=("cat", "dog", 7)) == expected


def test_names_of_ones_own_go_before_a_list_of_the_same_length():
    names = [f"mine {i}" for i in range(10)]
    assert decode_predictions(np.eye(10)[[2]], top=1, classes=names)[0][0].name == "mine 2"


@pytest.mark.parametrize("classes", [["cat", "dog"], ["cat"] * 4, [], "cifar10", "imagenet"], ids=str)
def test_another_number_of_names_is_refused(classes):
    with pytest.raises(zoo.UsageError, match="the model has 3 outputs"):
        decode_predictions(np.eye(3), classes=classes)


def test_outputs_that_no_list_has_need_names():
    with pytest.raises(zoo.UsageError, match="no class list has 3 classes; give classes="):
        decode_predictions(np.eye(3))


def test_an_unknown_list_of_predictions_is_refused():
    with pytest.raises(zoo.UsageError, match="did you mean 'imagenet'"):
        decode_predictions(np.eye(3), classes="imagnet")

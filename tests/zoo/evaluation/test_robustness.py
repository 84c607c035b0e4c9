from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

import zoo
from zoo.errors import UsageError
from zoo.evaluation.corruptions import CORRUPTIONS, SHARE_OF_RANGE, corrupt
from zoo.evaluation.intervals import wilson_interval
from zoo.evaluation.robustness import USUAL, measure_robustness

COUNT, HEIGHT, WIDTH = 5, 9, 12
IMAGES = np.random.default_rng(0).random((COUNT, HEIGHT, WIDTH, 3)).astype(np.float32)
STRENGTH = {"noise": 0.3, "blur": 1.2, "crop": 0.4, "rotation": 33, "brightness": 0.3, "shift_x": 2, "shift_y": -3}
every_name = pytest.mark.parametrize("name", CORRUPTIONS)


def smooth(height=24, width=20):
    """Three photographs without edges that a bilinear kernel would treat by its own taste."""
    noise = np.random.default_rng(1).random((3, height, width, 1))
    return np.stack([ndimage.gaussian_filter(image, (2, 2, 0)) for image in noise]).astype(np.float32)


# What is done


@every_name
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_range_stay_and_zero_changes_nothing(name, dtype, channels):
    images = (IMAGES * 255).astype(np.uint8) if dtype == np.uint8 else IMAGES.astype(dtype)
    images = images[..., :channels]
    changed = corrupt(images, name, STRENGTH[name])
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert (changed != images).any()
    assert changed.min() >= 0
    assert changed.max() <= (255 if dtype == np.uint8 else 1)
    np.testing.assert_array_equal(corrupt(images, name, 0), images)


@every_name
def test_an_image_is_changed_alike_in_every_batch_and_range(name):
    strengths = np.array([0, 1, 2, 3, 2]) * (0.1 if CORRUPTIONS[name].unit != "pixels" else 1)
    together = corrupt(IMAGES, name, strengths)
    for i in range(COUNT if name != "noise" else 1):  # noise is by the place among the images
        np.testing.assert_array_equal(corrupt(IMAGES[i : i + 1], name, strengths[i])[0], together[i])
    wide = corrupt(IMAGES * 8 - 4, name, strengths, input_range=(-4, 4))
    np.testing.assert_allclose(wide, together * 8 - 4, atol=2e-5)


def test_noise_is_gaussian_of_that_standard_deviation_and_decided_by_the_seed():
    grey = np.full((40, 32, 32, 1), 0.5)
    noise = corrupt(grey, "noise", 0.1, input_range=(-9, 10)) - 0.5
    assert noise.std() == pytest.approx(1.9, rel=0.02)  # a tenth of 19
    assert noise.mean() == pytest.approx(0, abs=0.03)
    assert len(np.unique(noise[:, 0, 0, 0])) == 40
    np.testing.assert_array_equal(corrupt(grey, "noise", 0.1), corrupt(grey, "noise", 0.1, seed=0))
    assert (corrupt(grey, "noise", 0.1, seed=1) != corrupt(grey, "noise", 0.1)).any()
    half = corrupt(grey, "noise", 0.05, input_range=(-9, 10)) - 0.5
    np.testing.assert_allclose(half, noise / 2, atol=1e-5)  # the direction stays


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.0, 1.5, 2.0, 3.0])
def test_blur_is_scipys(sigma):
    expected = [ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), truncate=6) for image in IMAGES]
    np.testing.assert_allclose(corrupt(IMAGES, "blur", sigma), expected, atol=0.01)


def test_blur_is_to_one_percent_of_the_standard_deviation():
    point = np.zeros((1, 61, 61, 1))
    point[0, 30, 30, 0] = 1
    places = np.arange(61) - 30
    for sigma in (0.8, 0.86, 1.3, 2.7, 6):
        line = corrupt(point, "blur", sigma)[0, :, :, 0].sum(axis=0)
        assert line.sum() == pytest.approx(1, abs=1e-5)
        assert np.sqrt((line * places**2).sum()) == pytest.approx(sigma, rel=0.0125)


@pytest.mark.parametrize("degrees", [-30, 12.5, 90])
def test_rotation_is_scipys(degrees):
    images = smooth()
    expected = ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1, mode="reflect")
    np.testing.assert_allclose(corrupt(images, "rotation", degrees), expected, atol=2e-3)


def test_brightness_is_added_and_clipped():
    np.testing.assert_array_equal(corrupt(IMAGES, "brightness", -0.25), np.clip(IMAGES - np.float32(0.25), 0, 1))
    pixels = np.array([0, 100, 250], np.uint8).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(corrupt(pixels, "brightness", 0.1).ravel(), [26, 126, 255])  # 25.5 to even


def test_crop_enlarges_the_middle():
    ramp = np.tile(np.linspace(0, 1, 13, dtype=np.float32), (1, 7, 1))[..., None]
    np.testing.assert_allclose(corrupt(ramp, "crop", 0.5)[0, 0, :, 0], np.linspace(0.25, 0.75, 13), atol=1e-6)
    expected = [
        ndimage.map_coordinates(
            smooth(9, 9)[0, ..., 0], np.meshgrid(*2 * [np.linspace(2, 6, 9)], indexing="ij"), order=1
        )
    ]
    np.testing.assert_allclose(corrupt(smooth(9, 9)[:1], "crop", 0.5)[..., 0], expected, atol=1e-6)


def test_shifts_go_right_and_down():
    np.testing.assert_array_equal(corrupt(IMAGES, "shift_x", 2)[:, :, 2:], IMAGES[:, :, :-2])
    np.testing.assert_array_equal(corrupt(IMAGES, "shift_x", -3)[:, :, :-3], IMAGES[:, :, 3:])
    np.testing.assert_array_equal(corrupt(IMAGES, "shift_y", 1)[:, 1:], IMAGES[:, :-1])


def test_noise_is_for_inputs_of_any_shape():
    points = np.zeros((4, 2), np.float32)
    assert corrupt(points, "noise", 0.5, input_range=(-5, 5)).std() > 1
    with pytest.raises(UsageError, match="blur is for images"):
        corrupt(points, "blur", 1)


@pytest.mark.parametrize(
    ("name", "strength", "words"),
    [
        ("noize", 1, "unknown corruption 'noize'; did you mean 'noise'"),
        ("noise", -0.1, r"0 or more \(share of the range\). Received: -0.1"),
        ("noise", np.nan, "Received: .*nan"),
        ("rotation", np.inf, "finite"),
        ("crop", 1, r"0 to 0.95 \(share of the side\). Received: .*1"),
        ("shift_x", 12, "-11 to 11"),
        ("shift_y", 1.5, "whole pixels"),
        ("blur", "much", "Received: .*much"),
        ("blur", [1, 2], "5 images need one strength or as many. Received: 2"),
    ],
)
def test_what_cannot_be_is_refused(name, strength, words):
    with pytest.raises(UsageError, match=words):
        corrupt(IMAGES, name, strength)


def test_other_arrays_and_ranges_are_refused():
    with pytest.raises(UsageError, match=r"uint8 or floats\. Received: int64"):
        corrupt(np.zeros((1, 2, 2, 1), np.int64), "noise", 1)
    with pytest.raises(UsageError, match="low < high"):
        corrupt(IMAGES, "noise", 1, input_range=(1, 1))


# What it does to accuracy


def test_the_table_counts_what_the_model_has_right(trained, digits):
    grades = {"noise": [0.3], "rotation": [40, -20]}
    found = measure_robustness(trained, digits.test, grades, seed=3, verbose=False)
    table = found.table
    assert list(table) == ["corruption", "strength", "unit", "n", "correct", "accuracy", "low", "high"]
    assert list(table["corruption"]) == ["noise"] * 2 + ["rotation"] * 3
    assert list(table["strength"]) == [0, 0.3, -20, 0, 40]
    assert set(table["unit"]) == {SHARE_OF_RANGE, "degrees"}
    images, labels = digits.test.inputs.astype(np.float32) / 255, digits.test.labels
    for row in table.itertuples():
        changed = corrupt(images, row.corruption, row.strength, seed=3)
        right = int((trained.predict(changed, verbose=0).argmax(axis=1) == labels).sum())
        assert abs(row.correct - right) <= 1  # rounding
        assert row.n == len(labels)
        assert row.accuracy == row.correct / row.n
        assert (row.low, row.high) == wilson_interval(row.correct, row.n)


def test_strength_zero_is_the_clean_accuracy_and_the_usual_five_are_there(trained, digits):
    clean = zoo.evaluate(trained, digits.test)
    found = measure_robustness(trained, digits.test, verbose=False)
    assert found.clean_accuracy == clean.accuracy
    assert tuple(found.table["corruption"].unique()) == USUAL
    zero = found.table[found.table["strength"] == 0]
    assert len(zero) == 5
    assert set(zero["accuracy"]) == {clean.accuracy}
    assert set(zip(zero["low"], zero["high"], strict=True)) == {clean.accuracy_interval}
    hardest = found.table.groupby("corruption")["accuracy"].min()
    assert (hardest < clean.accuracy - 0.1).all()


def test_the_seed_decides_and_batches_do_not(trained, digits):
    def accuracies(**options):
        grades = {"noise": [0.2, 0.4], "blur": 1 * [1.0]}
        return measure_robustness(trained, digits.test, grades, verbose=False, **options).table

    first = accuracies(seed=1)
    assert first.equals(accuracies(seed=1))
    assert not first.equals(accuracies(seed=2))
    np.testing.assert_allclose(accuracies(seed=1, batch_size=50)["correct"], first["correct"], atol=1)


def test_nothing_changes_the_model(trained, digits):
    before, compiled = trained.get_weights(), trained.optimizer.iterations.numpy()
    measure_robustness(trained, digits.test, "noise", verbose=False)
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert trained.optimizer.iterations.numpy() == compiled


def threshold_model(activation, bias=-0.5) -> keras.Model:
    """Class 1 where the mean of the values is above -bias; with two columns, or one."""
    columns = 1 if activation in ("sigmoid", None) else 2
    inputs = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(inputs)
    layer = keras.layers.Dense(columns, activation=activation)
    model = keras.Model(inputs, layer(flat))
    kernel, offset = np.full((16, 1), 1 / 16), np.array([bias])
    layer.set_weights(
        [kernel, offset] if columns == 1 else [np.hstack([-kernel, kernel]), np.hstack([-offset, offset])]
    )
    return model


@pytest.mark.parametrize("activation", ["sigmoid", None, "softmax", "linear"])
def test_every_output_and_both_ways_to_store_are_understood(activation):
    grey = np.repeat([51, 102, 153, 204], 16).astype(np.uint8).reshape(4, 4, 4, 1)  # 0.2 ... 0.8 in [0, 1]
    labels = [0, 0, 1, 1]
    stored = zoo.Split.from_arrays(grey, labels, input_range=(-1, 1))
    for data, model in (
        (stored, threshold_model(activation, bias=0)),
        ((grey, labels), threshold_model(activation)),
        ((grey.astype(np.float32) / 255, labels), threshold_model(activation)),
        (tf.data.Dataset.from_tensor_slices((grey, labels)).batch(3), threshold_model(activation)),
    ):
        table = measure_robustness(model, data, {"brightness": [-0.2, 0.2, 0.4]}, verbose=False).table
        assert list(table["accuracy"]) == [0.75, 1, 0.75, 0.5]


def test_float_inputs_keep_the_range_they_have_or_are_given():
    values = np.array([-2.0, -1, 1, 2]).repeat(16).reshape(4, 4, 4, 1)
    model = threshold_model("sigmoid", bias=0)
    by_data = measure_robustness(model, (values, [0, 0, 1, 1]), {"brightness": [0.3]}, verbose=False)  # of 4
    assert list(by_data.table["accuracy"]) == [1, 0.75]
    given = measure_robustness(model, (values, [0, 0, 1, 1]), {"brightness": [0.3]}, input_range=(-5, 5), verbose=False)
    assert list(given.table["accuracy"]) == [1, 0.5]


def test_points_can_be_noisy():
    data = zoo.load_dataset("blobs")
    table = measure_robustness(zoo.build("logistic", (2,), 2), data.test, {"noise": [0.1]}, verbose=False).table
    assert list(table["strength"]) == [0, 0.1]


def test_requests_that_do_not_fit_are_refused(trained, digits):
    for arguments, words in (
        ((trained, digits.test, "blurr"), "did you mean 'blur'"),
        ((trained, digits.test, {"blur": [-1]}), "strength of blur"),
        ((trained, digits.test, []), "one or more corruptions"),
        ((zoo.build("softmax", (8, 8, 3), 10), digits.test), "inputs of shape"),
        ((zoo.build("softmax", (8, 8, 1), 4), digits.test), "4 classes, the data have 10"),
        ((zoo.build("softmax", (8, 8, 1), 10, classifier_activation="tanh"), digits.test), "neither a softmax"),
    ):
        with pytest.raises(UsageError, match=words):
            measure_robustness(*arguments, verbose=False)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"batch_size": 2.5}, {"seed": 0.5}, {"seed": -1}, {"corruptions": 5}], ids=str
)
def test_numbers_that_are_none_are_refused(trained, digits, options):
    with pytest.raises(UsageError, match=str(next(iter(options.values())))):
        measure_robustness(trained, digits.test, verbose=False, **options)


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_no_image_stays_none(name):
    assert corrupt(np.zeros((0, 8, 8, 1), np.float32), name, 0).shape == (0, 8, 8, 1)


def test_strengths_are_several_and_ranges_finite(trained, digits):
    with pytest.raises(UsageError, match=r"strengths of noise must be several numbers. Received: 0.1"):
        measure_robustness(trained, digits.test, {"noise": 0.1})
    with pytest.raises(UsageError, match="finite low < high"):
        corrupt(np.zeros((1, 8, 8, 1), np.float32), "noise", 0.1, input_range=(0, np.inf))

"""What holds for every augmentation: draws, passes, seeds, shapes."""

from __future__ import annotations

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import zoo

# isort: split
import tensorflow as tf
from augmented_images import (
    CHANNELS,
    COUNT,
    HEIGHT,
    IMAGES,
    LABELS,
    SAME,
    WIDTH,
    augmented,
    drawn,
    few_examples,
    random_images,
    split,
)

from zoo.data import augment
from zoo.data.augment import AUGMENTATIONS
from zoo.data.split import Split, as_split


def streamed(images=IMAGES):
    return as_split(tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(8))


every_name = pytest.mark.parametrize("name", AUGMENTATIONS)


@every_name
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 7, 5, 1), (3, 9, 12, 3), (2, 1, 1, 2)], ids=str)
def test_shape_and_type_stay_and_the_draw_is_a_function_of_the_seed(name, dtype, shape):
    images = random_images(*shape, dtype=dtype)
    first = drawn(name, images)
    assert (first.shape, first.dtype) == (images.shape, dtype)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, drawn(name, images, dtype=tf.int32))


@every_name
def test_every_image_and_every_seed_has_its_own_draw(name):
    first, second = (drawn(name, SAME, seed).reshape(COUNT, -1) for seed in (0, 1))
    assert (first != second).any()
    assert len(np.unique(first, axis=0)) > (1 if name == "flip" else COUNT / 4)


@every_name
def test_it_works_in_every_graph_with_a_batch_of_unknown_size(name):
    dtype = np.float32
    images, seed = tf.constant(IMAGES, dtype), tf.constant([0, 1], tf.int64)
    function = AUGMENTATIONS[name]

    @tf.function(input_signature=[tf.TensorSpec((None, HEIGHT, WIDTH, CHANNELS), dtype)])
    def graph(images):
        out = function(images, seed)
        assert out.shape.as_list() == [None, HEIGHT, WIDTH, CHANNELS]
        return out

    @tf.function(input_signature=[tf.TensorSpec((None, HEIGHT, WIDTH, CHANNELS), dtype)])
    def loop(images):
        def body(step, images):
            return step + 1, function(images, seed + tf.cast(step, tf.int64))

        return tf.while_loop(lambda step, _: step < 2, body, [0, images])[1]

    once = function(images, seed)
    mapped = next(iter(tf.data.Dataset.from_tensors(images).map(lambda x: function(x, seed))))
    np.testing.assert_allclose(graph(images), once, rtol=0, atol=1e-6)
    np.testing.assert_allclose(mapped, once, rtol=0, atol=1e-6)
    np.testing.assert_allclose(loop(images), function(once, seed + 1), rtol=0, atol=1e-6)


@every_name
def test_an_image_decides_nothing_about_the_others(name):
    changed = IMAGES.copy()
    changed[5] = 1 - changed[5]
    differs = (drawn(name, IMAGES) != drawn(name, changed)).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(differs, np.arange(COUNT) == 5)


@every_name
def test_the_mean_stays_near(name):
    images = ndimage.gaussian_filter(random_images(64, 15, 17, 2), 2, axes=(1, 2))
    assert np.abs(drawn(name, images).mean(axis=(1, 2)) - images.mean(axis=(1, 2))).max() < 0.03


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "noise"])
def test_the_type_of_the_images_does_not_change_the_draw(name):
    np.testing.assert_allclose(drawn(name, IMAGES), drawn(name, IMAGES.astype(np.float64)), rtol=0, atol=1e-5)


@few_examples
@given(
    name=st.sampled_from([name for name in AUGMENTATIONS if name != "noise"]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(-(2**63), 2**63 - 1),
    low=st.floats(-100, 100, width=32),
    width=st.sampled_from([0.0, 1.0, 255.0]),
)
def test_values_stay_within_each_image_s_own_and_so_a_constant_image_stays(name, size, seed, low, width):
    images = (low + width * random_images(3, *size, 2)).astype(np.float32)
    out, error = drawn(name, images, seed), 1e-5 * (np.abs(low) + width)
    assert (out.min(axis=(1, 2)) >= images.min(axis=(1, 2)) - error).all()
    assert (out.max(axis=(1, 2)) <= images.max(axis=(1, 2)) + error).all()


@pytest.mark.parametrize("make", [split, streamed])
@every_name
def test_shapes_labels_and_their_order_stay(name, make):
    batches = make().batches(10, augment=[name])
    images, labels = one_pass(batches)
    assert (images.shape, images.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert not np.array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert batches.cardinality() == 5
    assert batches.element_spec[0].shape[1:] == IMAGES.shape[1:]


@pytest.mark.parametrize(
    ("name", "make"),
    # A pipeline gives its seeds to whatever augmentation it has, which draws as is tested above.
    [("crop", split), ("noise", split), ("flip", streamed)],
)
def test_every_pass_draws_anew_and_equal_seeds_draw_alike(name, make):
    def passes(seed, global_seed, count=3):
        tf.random.set_seed(global_seed)
        batches = make(SAME).batches(8, augment=[name], seed=seed)
        return [one_pass(batches)[0] for _ in range(count)]

    first, second, other = passes(1, 10), passes(1, 20), passes(2, 10, count=1)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])


@every_name
def test_every_batch_draws_anew(name):
    batches = augmented([name], SAME).reshape(6, 8, HEIGHT, WIDTH, CHANNELS)
    assert len({batch.tobytes() for batch in batches}) > 1


def test_several_are_applied_one_after_the_other():
    both = augmented(["flip", "noise"])
    distance = np.minimum(
        np.abs(both - IMAGES).max(axis=(1, 2, 3)), np.abs(both - IMAGES[:, :, ::-1]).max(axis=(1, 2, 3))
    )
    assert (distance > 0.01).all()
    assert (distance < 0.5).all()
    assert (np.abs(both - IMAGES).max(axis=(1, 2, 3)) > 0.5).any()  # some were flipped too


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_a_loop_of_its_own_draws_what_batches_draw(dtype):
    names = list(AUGMENTATIONS)
    batches = split().batches(20, augment=names, seed=7)

    @tf.function
    def batch(images, number, step):
        return augment.augmented(images, names, 7, number, step)

    for number in range(2):
        for step, (images, _) in enumerate(batches):
            own = batch(IMAGES[20 * step : 20 * (step + 1)], tf.constant(number, dtype), tf.constant(step, dtype))
            np.testing.assert_allclose(own, images, rtol=0, atol=1e-6)


def test_seeds_are_folded_from_the_seed_the_pass_and_the_batch():
    number, step = tf.constant(3, tf.int64), tf.constant(5, tf.int64)
    seeds = tf.random.split(tf.random.fold_in(tf.random.fold_in([7, 1], number), step), 2)
    expected = AUGMENTATIONS["noise"](AUGMENTATIONS["flip"](tf.constant(IMAGES), seeds[0]), seeds[1])
    np.testing.assert_array_equal(augment.augmented(tf.constant(IMAGES), ("flip", "noise"), 7, 3, 5), expected)


def test_one_name_needs_no_list():
    np.testing.assert_array_equal(augmented("flip"), augmented(["flip"]))


@pytest.mark.parametrize("nothing", [None, (), []])
def test_without_augmentation_images_pass(nothing):
    np.testing.assert_array_equal(augmented(nothing), IMAGES)


def test_a_function_may_change_images_and_labels():
    batches = split().batches(8, augment=lambda x, y: (1 - x, y + 1), drop_remainder=True)
    images, labels = one_pass(batches)
    np.testing.assert_allclose(images, 1 - IMAGES)
    np.testing.assert_array_equal(labels, LABELS + 1)
    assert batches.cardinality() == 6


def test_augmented_batches_are_still_shuffled():
    split_of_numbers = Split.from_arrays(IMAGES, np.arange(COUNT))
    batches = split_of_numbers.batches(8, shuffle=True, augment=["noise"])
    orders = [tuple(one_pass(batches)[1]) for _ in range(3)]
    assert all(sorted(numbers) == list(range(COUNT)) for numbers in orders)
    assert len(set(orders)) == 3


def test_augmentation_works_in_the_data_s_range():
    raw = Split.from_arrays((IMAGES * 255).astype(np.uint8), LABELS, input_range=(-1, 1))
    images = one_pass(raw.batches(8, augment=["crop", "flip"]))[0]
    assert images.min() >= -1 - 1e-6
    assert images.max() <= 1 + 1e-6
    assert images.min() < -0.9


def test_an_unknown_augmentation_is_answered_with_the_nearest():
    with pytest.raises(zoo.UsageError, match="did you mean 'flip'"):
        split().batches(8, augment=["crop", "flipp"])


@every_name
def test_an_augmentation_of_images_is_refused_for_points(name):
    with pytest.raises(zoo.ZooError):
        zoo.load_dataset("blobs").train.batches(8, augment=[name])

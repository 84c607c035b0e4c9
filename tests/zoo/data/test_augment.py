from __future__ import annotations

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass

import zoo

# isort: split
import tensorflow as tf

from zoo.data.augment import AUGMENTATIONS
from zoo.data.splits import Split, as_split

COUNT, HEIGHT, WIDTH, CHANNELS = 48, 8, 16, 3
IMAGES = np.random.default_rng(0).random((COUNT, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
LABELS = np.arange(COUNT) % 5
SAME = np.tile(IMAGES[:1], (COUNT, 1, 1, 1))  # so that only the draws differ


def split(images=IMAGES):
    return Split.from_arrays(images, LABELS)


def streamed(images=IMAGES):
    return as_split(tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(8))


def augmented(augment, images=IMAGES, **options):
    return one_pass(split(images).batches(8, augment=augment, **options))[0]


@pytest.mark.parametrize("make", [split, streamed])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shapes_labels_and_their_order_stay(name, make):
    batches = make().batches(10, augment=[name])
    images, labels = one_pass(batches)
    assert (images.shape, images.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert not np.array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert batches.cardinality() == 5
    assert batches.element_spec[0].shape[1:] == IMAGES.shape[1:]


@pytest.mark.parametrize("make", [split, streamed])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_pass_draws_anew_and_equal_seeds_draw_alike(name, make):
    def passes(seed, global_seed):
        tf.random.set_seed(global_seed)
        batches = make(SAME).batches(8, augment=[name], seed=seed)
        return [one_pass(batches)[0] for _ in range(3)]

    first, second, other = passes(1, 10), passes(1, 20), passes(2, 10)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_batch_draws_anew(name):
    batches = augmented([name], SAME).reshape(6, 8, HEIGHT, WIDTH, CHANNELS)
    assert len({batch.tobytes() for batch in batches}) > 1


def test_a_flip_mirrors_about_half_of_the_images():
    images = augmented(["flip"])
    kept = [np.array_equal(a, b) for a, b in zip(images, IMAGES, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(images, IMAGES, strict=True)]
    assert all(k or m for k, m in zip(kept, mirrored, strict=True))
    assert COUNT / 4 < sum(mirrored) < 3 * COUNT / 4


def test_a_crop_shifts_by_up_to_an_eighth_and_mirrors_at_the_edge():
    pad_y, pad_x = HEIGHT // 8, WIDTH // 8
    shifts = set()
    for image, original in zip(augmented(["crop"]), IMAGES, strict=True):
        padded = np.pad(original, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode="reflect")
        found = [
            (y, x)
            for y in range(2 * pad_y + 1)
            for x in range(2 * pad_x + 1)
            if np.array_equal(image, padded[y : y + HEIGHT, x : x + WIDTH])
        ]
        assert len(found) == 1
        shifts.update(found)
    assert {y for y, _ in shifts} == {0, 1, 2}
    assert {x for _, x in shifts} == {0, 1, 2, 3, 4}


def test_noise_is_gaussian_with_a_standard_deviation_of_a_twentieth():
    noise = augmented(["noise"]) - IMAGES
    assert abs(noise.mean()) < 0.002
    assert abs(noise.std() - 0.05) < 0.002
    assert abs((np.abs(noise) < 0.05).mean() - 0.683) < 0.02


def test_several_are_applied_one_after_the_other():
    both = augmented(["flip", "noise"])
    distance = np.minimum(
        np.abs(both - IMAGES).max(axis=(1, 2, 3)), np.abs(both - IMAGES[:, :, ::-1]).max(axis=(1, 2, 3))
    )
    assert (distance > 0.01).all()
    assert (distance < 0.5).all()
    assert (np.abs(both - IMAGES).max(axis=(1, 2, 3)) > 0.5).any()  # some were flipped too


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


@pytest.mark.parametrize("name", ["flip", "crop"])
def test_an_augmentation_of_images_is_refused_for_points(name):
    with pytest.raises(zoo.ZooError):
        zoo.load_dataset("blobs").train.batches(8, augment=[name])

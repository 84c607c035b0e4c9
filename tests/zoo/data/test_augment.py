from __future__ import annotations

import zoo.startup

import numpy as np
import pytest
from data_examples import one_pass
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import zoo

# isort: split
import tensorflow as tf

from zoo.data import augment
from zoo.data.augment import AUGMENTATIONS
from zoo.data.split import Split, as_split

COUNT, HEIGHT, WIDTH, CHANNELS = 48, 8, 16, 3
IMAGES = np.random.default_rng(0).random((COUNT, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
LABELS = np.arange(COUNT) % 5
SAME = np.tile(IMAGES[:1], (COUNT, 1, 1, 1))  # so that only the draws differ


def split(images=IMAGES):
    return Split.from_arrays(images, LABELS)


def streamed(images=IMAGES):
    return as_split(tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(8))


def augmented(names, images=IMAGES, **options):
    return one_pass(split(images).batches(8, augment=names, **options))[0]


def drawn(name, images, seed=0, dtype=tf.int64):
    return AUGMENTATIONS[name](tf.constant(images), tf.constant([seed, 1], dtype)).numpy()


def random_images(*shape, dtype=np.float32):
    return np.random.default_rng(1).random(shape).astype(dtype)


every_name = pytest.mark.parametrize("name", AUGMENTATIONS)
few_examples = settings(max_examples=30, deadline=None)


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


@few_examples
@given(height=st.integers(1, 9), width=st.integers(1, 9), data=st.data())
def test_a_shift_slices_the_mirrored_image(height, width, data):
    top, left = (data.draw(st.integers(1 - size, size - 1)) for size in (height, width))
    images = random_images(2, height, width, 2)
    pads = ((0, 0), (height - 1,) * 2, (width - 1,) * 2, (0, 0))
    y, x = top + height - 1, left + width - 1
    expected = np.pad(images, pads, mode="reflect")[:, y : y + height, x : x + width]
    expected[1] = images[1]  # which is not shifted
    np.testing.assert_array_equal(augment.shift(tf.constant(images), *tf.constant([[top, 0], [left, 0]])), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("degrees", [-15, -4, 0, 1, 10, 90, 200])
@pytest.mark.parametrize("shape", [(9, 14, 1), (11, 8, 3)], ids=str)
def test_a_rotation_is_scipy_s(shape, degrees, dtype):
    images = random_images(2, *shape, dtype=dtype)
    expected = ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1, mode="reflect")
    rotated = augment.rotate(tf.constant(images), tf.constant(np.radians([degrees, 0]), tf.float32))
    np.testing.assert_allclose(rotated[0], expected[0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(rotated[1], images[1], rtol=0, atol=1e-7)


def test_a_quarter_turn_is_counter_clockwise():
    images = random_images(1, 6, 6, 3)
    turned = augment.rotate(tf.constant(images), tf.constant([np.pi / 2], tf.float32))
    np.testing.assert_allclose(turned[0], np.rot90(images[0]), rtol=0, atol=1e-5)


def test_angles_are_uniform_to_both_sides():
    x = np.tile(np.arange(9, dtype=np.float32)[:, None], (400, 9, 1, 1))  # the value is the column it comes from
    middle = drawn("rotation", x)[:, 3:6, 3:6, 0]
    right, down = middle[:, 1, 2] - middle[:, 1, 1], middle[:, 2, 1] - middle[:, 1, 1]
    angles = np.degrees(np.arctan2(-down, right))
    np.testing.assert_allclose(np.quantile(angles, [0, 0.25, 0.5, 0.75, 1]), [-15, -7.5, 0, 7.5, 15], atol=1.5)
    assert np.abs(angles).max() < 15.001


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(9, 14, 1), (7, 5, 3), (2, 1, 3)], ids=str)
def test_a_blur_is_scipy_s(shape, dtype):
    sigmas = [0.2, 0.5, 1.0, 3.0]
    images = random_images(len(sigmas), *shape, dtype=dtype)
    blurred = augment.blur(tf.constant(images), tf.constant(sigmas))
    for image, sigma, found in zip(images, sigmas, blurred, strict=True):
        expected = ndimage.gaussian_filter(image, sigma, mode="reflect", radius=2, axes=(0, 1))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 1e-38, 1e-20, 1e-3])
def test_a_blur_of_no_width_changes_nothing(sigma):
    np.testing.assert_array_equal(augment.blur(tf.constant(IMAGES), tf.fill([COUNT], sigma)), IMAGES)


@few_examples
@given(sigma=st.floats(0, 1e9, width=32), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_blur_keeps_the_mean_and_brings_values_together(sigma, height, width):
    images = random_images(2, height, width, 2)
    blurred = augment.blur(tf.constant(images), tf.fill([2], sigma)).numpy()
    np.testing.assert_allclose(blurred.mean(axis=(1, 2)), images.mean(axis=(1, 2)), rtol=1e-5)
    assert (blurred.std(axis=(1, 2)) <= images.std(axis=(1, 2)) + 1e-6).all()


def test_widths_of_blurs_are_uniform_up_to_a_pixel():
    point = np.zeros((400, 7, 7, 1))
    point[:, 3, 3] = 1
    blurred = drawn("blur", point)
    sigmas = np.sqrt(-0.5 / np.log(np.maximum(blurred[:, 3, 4, 0] / blurred[:, 3, 3, 0], 1e-300)))
    np.testing.assert_allclose(np.quantile(sigmas, [0.25, 0.5, 0.75, 1]), [0.25, 0.5, 0.75, 1], atol=0.08)
    assert sigmas.max() < 1.001


@pytest.mark.parametrize(("top", "left", "side"), [(2, 3, 4), (-2, 5, 3), (7, -1, 5), (0, 0, 1), (9, 9, 2)])
def test_a_cutout_covers_its_square_with_each_image_s_mean(top, left, side):
    images = random_images(3, 9, 11, 2)
    expected = images.copy()
    expected[1:, max(0, top) : top + side, max(0, left) : left + side] = images[1:].mean(axis=(1, 2))[:, None, None]
    corners = [tf.constant([99, place, place]) for place in (top, left)]  # the first square lies outside
    np.testing.assert_allclose(augment._cut_out(tf.constant(images), *corners, side), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "side"), [(16, 20, 4), (15, 13, 3), (3, 2, 1)])
def test_cutouts_are_centred_on_every_pixel(height, width, side):
    count = 40 * height * width
    covered = drawn("cutout", np.tile(random_images(1, height, width, 1), (count, 1, 1, 1)))[..., 0]
    covered = covered != random_images(1, height, width, 1)[..., 0]
    squares = set()
    for rows, columns in zip(covered.any(axis=2), covered.any(axis=1), strict=True):
        (y,), (x,) = (np.split(np.flatnonzero(line), []) for line in (rows, columns))
        squares.add((y[0], y[-1] + 1, x[0], x[-1] + 1))
    spans = [
        {(max(0, c - side // 2), min(size, c - side // 2 + side)) for c in range(size)} for size in (height, width)
    ]
    assert squares == {(*rows, *columns) for rows in spans[0] for columns in spans[1]}
    assert abs(covered.mean() * height * width / side**2 - 1) < 0.5


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

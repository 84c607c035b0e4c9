from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import DataError, UsageError
from zoo.evaluation.corruptions import CORRUPTIONS, corrupt
from zoo.evaluation.fooling import fool
from zoo.evaluation.gradient_sign import gradient_sign_step

RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(0.4, 0.6, (40, 4, 4, 1)).astype(np.float32)  # far from where values are clipped
FLAT = INPUTS.reshape(40, 16).astype(np.float64)
KERNEL, BIAS = RNG.normal(size=(16, 3)) * 3, np.array([0.1, 0.0, -0.2])
LOGITS = FLAT @ KERNEL + BIAS
ANSWERS = LOGITS.argmax(axis=1)


def linear(kernel=KERNEL, bias=BIAS, activation="softmax", scale=1.0) -> keras.Model:
    inputs = keras.Input((4, 4, 1))
    layer = keras.layers.Dense(kernel.shape[1], activation=activation)
    model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
    layer.set_weights([kernel * scale, bias * scale])
    return model


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sign_of_gradient(labels, scale=1.0):
    """Sign of ∇ₓ of -log p_y of a softmax regression: W (p - e_y)."""
    return np.sign((softmax(LOGITS * scale) - np.eye(3)[labels]) @ KERNEL.T)


def thresholds(direction, kernel=KERNEL, bias=BIAS):
    """Smallest t > 0 at which x + t·direction has another answer; infinite where none."""
    z, slope = FLAT @ kernel + bias, direction @ kernel
    rows, y = np.arange(len(z)), z.argmax(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (z[rows, y][:, None] - z) / (slope - slope[rows, y][:, None])
    t[rows, y] = np.inf
    return np.where(t > 0, t, np.inf).min(axis=1)


def assert_thresholds(found, expected, largest):
    strength = found.table["strength"].to_numpy()
    reachable = expected <= largest
    np.testing.assert_array_equal(np.isnan(strength), ~reachable)
    np.testing.assert_allclose(strength[reachable], expected[reachable], atol=largest / 32 / 2**12 + 1e-6)
    assert reachable.sum() > 5


# The step


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_the_step_of_a_linear_model_is_the_closed_form(activation):
    labels = RNG.integers(0, 3, 40)
    step = gradient_sign_step(linear(activation=activation), INPUTS, labels, 0.05)
    expected = FLAT + 0.05 * sign_of_gradient(labels)
    np.testing.assert_allclose(step.reshape(40, 16), expected, atol=1e-7)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_the_step_of_one_unit_goes_along_its_weights(activation):
    kernel, labels = KERNEL[:, :1], RNG.integers(0, 2, 40)
    step = gradient_sign_step(linear(kernel, BIAS[:1], activation), INPUTS, labels, 0.05)
    away = np.where(labels == 1, -1, 1)[:, None] * np.sign(kernel[:, 0])
    np.testing.assert_allclose(step.reshape(40, 16), FLAT + 0.05 * away, atol=1e-7)


def test_a_sure_model_has_a_gradient_too():
    """Of probabilities 1 and 0 the loss's own gradient would be 0 in float32, or rounding."""
    sure = linear(scale=1e4)
    assert (sure.predict(INPUTS, verbose=0).max(axis=1) == 1).mean() > 0.9
    step = gradient_sign_step(sure, INPUTS, ANSWERS, 0.05).reshape(40, 16)
    second = np.argsort(LOGITS, axis=1)[:, -2]  # all of the other classes' share is the second one's
    clear = np.diff(np.sort(LOGITS, axis=1), axis=1)[:, 0] > 0.1
    expected = FLAT + 0.05 * np.sign(KERNEL.T[second] - KERNEL.T[ANSWERS])
    np.testing.assert_allclose(step[clear], expected[clear], atol=1e-7)


def test_the_step_stays_in_the_range_and_may_differ_by_image():
    wide, steps = INPUTS * 510 - 255, np.linspace(0, 1, 40)
    changed = gradient_sign_step(linear(), wide, ANSWERS, steps, input_range=(-255, 255))
    assert changed.min() == -255
    assert changed.max() == 255
    np.testing.assert_array_equal(changed[0], wide[0])
    moved = np.abs(changed - wide).reshape(40, -1).max(axis=1)
    np.testing.assert_allclose(moved[:8], 510 * steps[:8], rtol=1e-5)


def test_what_has_no_gradient_is_refused():
    inputs = keras.Input((4, 4, 1))
    whole = keras.ops.cast(keras.ops.cast(inputs, "int32"), "float32")
    blind = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(whole)))
    with pytest.raises(UsageError, match="no gradient"):
        gradient_sign_step(blind, INPUTS, ANSWERS, 0.1)
    with pytest.raises(UsageError, match=r"float inputs\. Received: uint8"):
        gradient_sign_step(linear(), INPUTS.astype(np.uint8), ANSWERS, 0.1)


@pytest.mark.parametrize("epsilon", [float("nan"), float("inf"), "a", None])
def test_a_step_is_a_finite_number(epsilon):
    with pytest.raises(UsageError, match="epsilon must be finite numbers"):
        gradient_sign_step(linear(), INPUTS, ANSWERS, epsilon)


# The search


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_of_a_linear_model_the_smallest_step_is_the_threshold(activation):
    found = fool(linear(activation=activation), (INPUTS, ANSWERS), largest=0.2, verbose=False)
    assert_thresholds(found, thresholds(sign_of_gradient(ANSWERS)), 0.2)
    np.testing.assert_allclose(found.table["linf"], found.table["strength"].fillna(0.2), atol=1e-6)
    np.testing.assert_allclose(found.table["l2"], 4 * found.table["linf"], atol=1e-5)  # of 16 values


def test_of_one_unit_it_is_the_margin_over_the_sum_of_the_weights():
    kernel = KERNEL[:, :1]
    margin = FLAT @ kernel - np.median(FLAT @ kernel)
    for activation in ("sigmoid", None):
        model = linear(kernel, -np.median(FLAT @ kernel, axis=0), activation)
        found = fool(model, (INPUTS, (margin > 0)[:, 0].astype(int)), largest=0.2, verbose=False)
        expected = (np.abs(margin) / np.abs(kernel).sum())[:, 0]
        np.testing.assert_allclose(found.table["strength"], expected, atol=1e-5)


def test_the_smallest_noise_is_the_threshold_along_its_direction():
    wide = (-100, 100)
    direction = corrupt(np.zeros_like(INPUTS), "noise", 0.005, seed=5, input_range=wide).reshape(40, 16)
    found = fool(linear(), (INPUTS, ANSWERS), "noise", seed=5, largest=0.02, input_range=wide, verbose=False)
    assert_thresholds(found, thresholds(direction.astype(float) * 200), 0.02)


def test_brightness_is_searched_in_both_directions():
    kernel = np.hstack([np.full((16, 1), -1 / 16), np.full((16, 1), 1 / 16)])
    inputs = np.broadcast_to(np.float32([0.1, 0.45, 0.5625, 0.9])[:, None, None, None], (4, 4, 4, 1))
    found = fool(
        linear(kernel, np.array([0.5, -0.5])), (inputs, [0, 0, 1, 1]), "brightness", largest=0.3, verbose=False
    )
    np.testing.assert_allclose(found.table["strength"], [np.nan, 0.05, -0.0625, np.nan], atol=1e-4)
    assert list(found.table["after"]) == ["0", "1", "0", "1"]
    np.testing.assert_allclose(found.table["below"].iloc[[0, 3]], 0.3)
    assert found.median == pytest.approx(0.0625, abs=1e-4)


@pytest.mark.parametrize("by", ["gradient_sign", *CORRUPTIONS])
def test_what_is_returned_fools_and_what_is_below_does_not(trained, digits, by):
    some = digits.test.subset(np.arange(40))
    weights = trained.get_weights()
    found = fool(trained, some, by, batch_size=25, num_steps=8, num_halvings=6, verbose=False)
    table, fooled = found.table, found.table["strength"].notna()
    assert fooled.mean() > 0.2
    assert (table["before"] != table["after"])[fooled].all()
    assert (table["before"] == table["after"])[~fooled].all()
    gap = found.largest / 8 / 2**6 if not by.startswith("shift") else 1
    assert np.allclose((table["strength"] - table["below"]).abs()[fooled], gap)

    def again(strengths):
        images = found.originals
        if by == "gradient_sign":
            classes = [some.class_names.index(name) for name in table["before"]]
            changed = gradient_sign_step(trained, images, classes, strengths)
        else:
            changed = corrupt(images, by, strengths)
        return changed, trained.predict(changed, verbose=0).argmax(axis=1)

    before = found.scores_before.argmax(axis=1)
    at, answers = again(table["strength"].fillna(found.largest).to_numpy())
    assert ((answers != before) == fooled).mean() > 0.98  # predict rounds otherwise
    np.testing.assert_allclose(at[fooled], found.perturbed[fooled], atol=1e-6)
    _, below = again(table["below"].to_numpy())
    assert (below == before).mean() > 0.98
    for old, new in zip(weights, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_no_point_of_the_grid_below_fools():
    """Fooled within [0.2, 0.3] and from 0.7 on: the first interval that the grid hits is taken, and its lower end."""
    inputs = keras.Input((1, 1, 1))
    x = keras.layers.Flatten()(inputs)
    inside = keras.ops.logical_or(keras.ops.logical_and(x >= 0.2, x <= 0.3), x >= 0.7)
    score = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(inputs, score(keras.ops.cast(inside, "float32")))
    score.set_weights([np.array([[2.0]]), np.array([-1.0])])
    black = np.zeros((1, 1, 1, 1), np.float32)
    for num_steps, expected in ((10, 0.2), (4, 0.2), (3, 0.7)):  # 1/4 lies inside, 1/3 and 2/3 do not
        found = fool(model, (black, [0]), "brightness", num_steps=num_steps, verbose=False)
        assert found.table["strength"][0] == pytest.approx(expected, abs=1e-3)


def test_the_goal_wrong_counts_from_the_true_class():
    labels = (ANSWERS + np.tile([0, 1], 20)) % 3  # every other answer is wrong
    found = fool(linear(), (INPUTS, labels), goal="wrong", verbose=False)
    right = found.table["correct"]
    assert list(right) == [True, False] * 20
    assert (found.table["strength"][~right] == 0).all()
    np.testing.assert_array_equal(found.perturbed[~right], found.originals[~right])
    different = fool(linear(), (INPUTS, labels), verbose=False)
    assert (different.table["strength"].fillna(1) > 0).all()
    np.testing.assert_array_equal(different.table["strength"][right], found.table["strength"][right])


def test_the_seed_decides_and_batches_do_not():
    def strengths(**options):
        return (
            fool(linear(), (INPUTS, ANSWERS), "noise", num_steps=8, verbose=False, **options)
            .table["strength"]
            .to_numpy()
        )

    first = strengths(seed=1)
    np.testing.assert_array_equal(strengths(seed=1), first)
    np.testing.assert_allclose(strengths(seed=1, batch_size=15), first, atol=1e-4)
    assert not np.array_equal(strengths(seed=2), first, equal_nan=True)


def test_stored_pixels_streams_and_points_can_fool():
    pixels = (INPUTS * 255).astype(np.uint8)
    split = zoo.Split.from_arrays(pixels, ANSWERS, class_names=list("abc"), input_range=(0, 1))
    found = fool(linear(), split, verbose=False)
    assert found.originals.max() <= 1
    assert set(found.table["true"]) <= set("abc")
    stream = tf.data.Dataset.from_tensor_slices((pixels, ANSWERS)).batch(9)
    streamed = fool(linear(), stream, verbose=False)
    np.testing.assert_array_equal(streamed.table["strength"], found.table["strength"])
    blobs = zoo.load_dataset("blobs")
    by_points = fool(zoo.build("logistic", (2,), 2), blobs.test, "noise", largest=5.0, verbose=False)
    assert by_points.table["strength"].notna().any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "gradient"}, "unknown way to fool 'gradient'; did you mean 'gradient_sign'"),
        ({"goal": "wrongg"}, "did you mean 'wrong'"),
        ({"largest": 0}, "largest must be positive and finite. Received: largest=0"),
        ({"largest": float("inf")}, "largest must be positive and finite. Received: largest=inf"),
        ({"by": "crop", "largest": 2}, "strength of crop"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1. Received: num_steps=0"),
        ({"num_halvings": -1}, "num_halvings must be a whole number of at least 0"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"seed": 0.5}, "seed must be a whole number of at least 0"),
        ({"by": []}, "unknown way to fool"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        fool(linear(), (INPUTS, ANSWERS), **options)


def test_a_step_away_from_no_class_is_refused():
    model, pixels = zoo.build("softmax", (3,), 3), np.zeros((2, 3), np.float32)
    for labels, words in (([0, 3], "0 to 2, .* Received: 3"), ([0], "2 inputs but 1 labels"), ([0, -1], "from 0")):
        with pytest.raises(DataError, match=words):
            gradient_sign_step(model, pixels, labels, 0.1)
    with pytest.raises(UsageError, match=r"inputs of shape \(3,\). Received: \(2, 2\)"):
        gradient_sign_step(model, pixels[:, :2], [0, 1], 0.1)
    with pytest.raises(UsageError, match=r"2 images need one epsilon or as many. Received: 3"):
        gradient_sign_step(model, pixels, [0, 1], [0.1, 0.2, 0.3])

from __future__ import annotations

import os
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import reference
from zoo.reference import (
    Configuration,
    Stage,
    convolution_configurations,
    convolution_parameters,
    convolution_stack,
    convolve,
    cross_correlate,
    output_size,
    same_padding,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is first imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

QUICK = settings(deadline=None, max_examples=40)
MODES = st.sampled_from(["full", "valid", "same"])


def keras_conv1d(kernel: int, **options: object):
    keras = pytest.importorskip("keras")
    return keras.layers.Conv1D(1, kernel, use_bias=False, dtype="float64", **options)


# One dimension


@pytest.mark.parametrize(
    ("mode", "expected"), [("full", [1, 2, 5, 8, 6, 8]), ("valid", [5, 8]), ("same", [2, 5, 8, 6])]
)
def test_the_convolution_of_the_textbook(mode, expected):
    np.testing.assert_array_equal(convolve([1, 2, 3, 4], [1, 0, 2], mode=mode), expected)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), MODES)
def test_convolutions_equal_those_of_numpy(seed, length, kernel_length, mode):
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=length), rng.normal(size=kernel_length)
    np.testing.assert_allclose(convolve(x, k, mode=mode), np.convolve(x, k, mode), atol=1e-14)
    np.testing.assert_allclose(convolve(x, k, mode=mode), convolve(k, x, mode=mode), atol=1e-14)
    if kernel_length <= length:  # numpy reverses the result when it has exchanged the two
        np.testing.assert_allclose(cross_correlate(x, k, mode=mode), np.correlate(x, k, mode), atol=1e-14)


@pytest.mark.parametrize(("kernel", "padding"), product((1, 3, 4, 5), ("valid", "same")))
def test_keras_does_not_flip_the_kernel(kernel, padding):
    rng = np.random.default_rng(kernel)
    x, k = rng.normal(size=9), rng.normal(size=kernel)
    layer = keras_conv1d(kernel, padding=padding)
    layer.build((1, 9, 1))
    layer.set_weights([k[:, None, None]])
    theirs = np.asarray(layer(x[None, :, None]))[0, :, 0]
    if padding == "same":
        x = np.pad(x, same_padding(9, kernel))
    np.testing.assert_allclose(cross_correlate(x, k), theirs, atol=1e-14)


@pytest.mark.parametrize(
    ("signal", "kernel", "mode"),
    [([], [1.0], "full"), ([[1.0]], [1.0], "full"), ([1.0], [], "full"), ([1.0], [1.0], "causal")],
)
def test_convolutions_refuse_what_they_cannot_slide(signal, kernel, mode):
    with pytest.raises(ValueError, match="Received: "):
        convolve(signal, kernel, mode=mode)


# Sizes


def test_output_sizes_equal_those_of_keras_layers():
    for n, k, s, d, p in product((7, 8, 13), (1, 2, 3, 5), (1, 2, 3), (1, 2), ("valid", "same")):
        if s > 1 and d > 1:
            continue  # TensorFlow has no layer with both
        if output_size(n, k, stride=s, padding=p, dilation=d):
            layer = keras_conv1d(k, strides=s, dilation_rate=d, padding=p)
            assert layer.compute_output_shape((1, n, 1))[1] == output_size(n, k, stride=s, padding=p, dilation=d)


@QUICK
@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 5), st.integers(0, 4), st.integers(1, 3))
def test_the_output_size_counts_the_windows(n, k, s, p, d):
    starts = [start for start in range(0, n + 2 * p, s) if start + d * (k - 1) < n + 2 * p]
    assert output_size(n, k, stride=s, padding=p, dilation=d) == len(starts)


@QUICK
@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 5), st.integers(1, 3))
def test_same_padding_gives_the_windows_that_same_promises(n, k, s, d):
    before, behind = same_padding(n, k, stride=s, dilation=d)
    assert 0 <= behind - before <= 1
    assert (
        output_size(n + before + behind, k, stride=s, dilation=d)
        == output_size(n, k, stride=s, padding="same")
        == -(-n // s)
    )


def test_sizes_are_broadcast():
    np.testing.assert_array_equal(output_size([32, 28], 5, stride=[[1], [2]]), [[28, 24], [14, 12]])


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"input_size": 0}, "input_size=0"),
        ({"kernel": 2.5}, "kernel=2.5"),
        ({"stride": 0}, "stride=0"),
        ({"padding": -1}, "padding=-1"),
        ({"padding": "causal"}, "padding='causal'"),
        ({"dilation": 0}, "dilation=0"),
    ],
)
def test_sizes_out_of_range_are_refused(options, received):
    arguments = {"input_size": 8, "kernel": 3, **options}
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        output_size(**arguments)


# Parameters


def test_the_stack_of_the_textbook():
    # 256x256x3, 64 filters of 8x8 at stride 2, 5x5 pooling, 128 filters of 4x4 with padding 1
    stages = [Stage(8, 64, stride=2), Stage(5, stride=5), Stage(4, 128, padding=1)]
    first, pooled, last = convolution_stack((256, 256, 3), stages)
    assert (first.shape, pooled.shape, last.shape) == ((125, 125, 64), (25, 25, 64), (24, 24, 128))
    assert (last.outputs, last.weights, last.biases) == (73_728, 131_072, 128)
    assert (pooled.outputs, pooled.weights, pooled.biases, pooled.multiplications) == (40_000, 0, 0, 0)
    assert first.multiplications == 125 * 125 * 8 * 8 * 3 * 64


def test_stacks_equal_those_of_keras():
    keras = pytest.importorskip("keras")
    stages = [Stage(5, 6, padding="same"), Stage(3, stride=2), Stage(3, 7, stride=2), Stage(2, stride=2)]
    layers = [
        keras.layers.Conv2D(6, 5, padding="same"),
        keras.layers.MaxPooling2D(3, 2),
        keras.layers.Conv2D(7, 3, strides=2),
        keras.layers.AveragePooling2D(2),
    ]
    shape = (None, 29, 20, 3)
    for found, layer in zip(convolution_stack(shape[1:], stages), layers, strict=True):
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
        assert (found.shape, found.weights + found.biases) == (shape[1:], layer.count_params())


def test_a_stack_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="No window of layer 1 fits"):
        convolution_stack((8, 8, 1), [Stage(2, stride=2), Stage(5, 3)])


def test_parameter_counts_equal_those_of_keras_layers():
    keras = pytest.importorskip("keras")
    layers = [
        (keras.layers.Dense(7), (None, 5), reference.dense_parameters(5, 7)),
        (keras.layers.Dense(7, use_bias=False), (None, 5), reference.dense_parameters(5, 7, bias=False)),
        (keras.layers.Conv2D(8, 3), (None, 9, 9, 4), convolution_parameters(3, 4, 8)),
        (keras.layers.Conv2D(8, (3, 5), groups=2), (None, 9, 9, 4), convolution_parameters((3, 5), 4, 8, groups=2)),
        (keras.layers.Conv1D(8, 3), (None, 9, 4), convolution_parameters((3,), 4, 8)),
        (keras.layers.BatchNormalization(), (None, 9, 9, 4), reference.batch_normalization_parameters(4)),
    ]
    for layer, shape, expected in layers:
        layer.build(shape)
        assert layer.count_params() == expected
    trained = sum(int(np.prod(w.shape)) for w in layers[-1][0].trainable_weights)
    assert trained == reference.batch_normalization_parameters(4, trainable_only=True) == 8


def test_groups_must_divide():
    with pytest.raises(ValueError, match="Received: groups=3, channels=4, filters=6"):
        convolution_parameters(3, 4, 6, groups=3)


# The solver


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12))
def test_the_solver_finds_what_trying_everything_finds(n, sought):
    found = convolution_configurations(n, sought)
    tried = {
        Configuration(k, s, p, d)
        for k, s, p, d in product(range(1, n + 1), range(1, n + 1), range(n), range(1, n + 1))
        if (span := d * (k - 1) + 1) <= n and p < span and (k > 1 or d == 1) and (n + 2 * p - span) // s + 1 == sought
    }
    assert set(found) == tried
    assert list(found) == sorted(tried)


@QUICK
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 9), st.integers(0, 5))
def test_answers_satisfy_the_formula_and_what_was_given(n, sought, kernel, padding):
    for found in convolution_configurations(n, sought, kernel=kernel, padding=padding, dilation=range(1, 4)):
        assert (found.kernel, found.padding) == (kernel, padding)
        size = output_size(n, found.kernel, stride=found.stride, padding=found.padding, dilation=found.dilation)
        assert size == sought


def test_answers_agree_with_keras_layers():
    keras = pytest.importorskip("keras")
    checked = []
    for sought in (7, 8, 14):
        answers = convolution_configurations(14, sought, kernel=range(1, 6), stride=range(1, 4), dilation=[1, 2])
        for answer in answers:
            if answer.stride > 1 and answer.dilation > 1:
                continue  # TensorFlow has no layer with both
            padded = keras.layers.ZeroPadding2D(answer.padding)(np.zeros((1, 14, 14, 1), np.float32))
            layer = keras.layers.Conv2D(1, answer.kernel, strides=answer.stride, dilation_rate=answer.dilation)
            assert layer(padded).shape == (1, sought, sought, 1)
            checked.append(answer)
    assert {Configuration(3, 2, 1, 1), Configuration(4, 1, 0, 2), Configuration(5, 1, 2, 1)} <= set(checked)


def test_a_large_image_is_solved_at_once():
    assert Configuration(11, 4, 0, 1) in convolution_configurations(227, 55, dilation=1)
    assert Configuration(7, 2, 3, 1) in convolution_configurations(224, 112, dilation=1)


def test_settings_may_come_from_a_generator_or_from_numpy():
    options = {
        "kernel": (k for k in (3, 5)),
        "stride": np.int64(2),
        "padding": iter([0, 1, 2]),
        "dilation": np.array([1]),
    }
    assert convolution_configurations(32, 16, **options) == (Configuration(3, 2, 1, 1), Configuration(5, 2, 2, 1))


def test_the_solver_says_when_nothing_fits():
    assert convolution_configurations(8, 20, kernel=3, padding=0) == ()


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"sought_size": 0}, "sought_size=0"),
        ({"kernel": [3, 0]}, r"kernel=\[3 0\]"),
        ({"dilation": 0}, "dilation=0"),
    ],
)
def test_the_solver_refuses_numbers_out_of_range(options, received):
    arguments = {"input_size": 8, "sought_size": 4, **options}
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        convolution_configurations(**arguments)

from __future__ import annotations

import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning.parameters import Choices, Range, declare, decode, parameter
from zoo.errors import UsageError


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ([0, 1e-4], (0.0, 1e-4)),
        ([1, 2], (1, 2)),
        (["sgd", "adam"], ("sgd", "adam")),
        ([None, 5], ("json:null", "json:5")),
        ([True, False], ("json:true", "json:false")),
        ([64, (64, 32)], ("json:64", "json:[64, 32]")),
        (["json:null"], ('json:"json:null"',)),
        ([np.float32(0.5), np.int64(2)], (0.5, 2.0)),
    ],
)
def test_lists(given, held):
    assert parameter("x", given) == Choices(held)


def test_a_list_that_choice_cannot_hold_comes_back_as_it_was():
    values = [None, True, 1, 0.5, "same", (64, (32, 16))]
    held = parameter("x", values)
    for text, value in zip(held.values, values, strict=True):
        hp = keras_tuner.HyperParameters()
        hp.values["x"] = text
        assert declare(hp, "x", held) == value
        assert type(declare(hp, "x", held)) is type(value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers()), min_size=1))
def test_encoding_loses_nothing(values):
    distinct = [v for i, v in enumerate(values) if (type(v), v) not in {(type(w), w) for w in values[:i]}]
    assert [decode(v) for v in parameter("x", distinct).values] == distinct


def test_ranges():
    assert parameter("x", (1, 3)) == Range(1, 3)
    assert parameter("x", (1e-3, 1, "log")) == Range(1e-3, 1, log=True)
    hp = keras_tuner.HyperParameters()
    assert declare(hp, "units", parameter("units", (1, 3))) == 1
    assert declare(hp, "rate", parameter("rate", (1e-3, 1, "log"))) == 1e-3
    assert [type(p).__name__ for p in hp.space] == ["Int", "Float"]


def test_ranges_of_numbers_of_numpy():
    given = parameter("x", Range(np.int64(1), np.int64(9), step=np.int64(2)))
    assert given == Range(1, 9, step=2)
    assert {type(value) for value in (given.low, given.high, given.step)} == {int}
    assert parameter("x", Range(np.float32(0.5), 1, step=np.float32(0.25))) == Range(0.5, 1, step=0.25)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "empty"),
        ([1, 1.0], "more than once"),
        ([None, None], "None more than once"),
        ([float("nan")], "finite"),
        ([print], "plain"),
        ((3, 1), "low < high"),
        ((1, 1), "low < high"),
        ((0, 1, "log"), "low > 0"),
        ((True, 2), "finite numbers"),
        ((0, float("inf")), "finite numbers"),
        (("a", "b"), "finite numbers"),
        ((1, 2, "linear"), "must be a list"),
        (3, "must be a list"),
        ("sgd", "must be a list"),
    ],
)
def test_refused(given, message):
    with pytest.raises(UsageError, match=message) as error:
        parameter("l2", given)
    assert "l2" in str(error.value)

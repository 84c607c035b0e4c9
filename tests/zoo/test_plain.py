"""Plain values: what JSON holds, and how two descriptions differ."""

from __future__ import annotations

import json

import numpy as np
import pytest

import zoo
from zoo import plain


def test_what_json_cannot_hold_is_named():
    plain.check_json(data={"a": [1, None, "x"]}, recipes=[])
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(zoo.UsageError, match="data must be plain values that JSON holds"):
            plain.check_json(recipes=[], data={"a": value})


def test_numbers_of_numpy_become_plain_ones_and_all_else_stays():
    given = (np.float32(0.5), [np.int64(3), "x"], np.array(2), np.bool_(True), None)
    assert plain.plain(given) == (0.5, [3, "x"], 2, True, None)
    assert json.dumps(plain.plain(given)) == '[0.5, [3, "x"], 2, true, null]'
    array = np.arange(2)
    assert plain.plain(array) is array


def test_differences_are_named_by_their_path():
    old = {"data": {"seed": 0}, "recipes": [{"epochs": 9}, {"epochs": 1}], "same": [1, 2]}
    new = {"data": {"seed": 0, "limit": 5}, "recipes": [{"epochs": 8}], "same": [1, 2]}
    assert plain.changes(old, new) == [
        "recipes.0.epochs was 9 and is 8",
        "recipes.1.epochs was 1 and is nothing",
        "data.limit was nothing and is 5",
    ]

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.data.folds import stratified_folds
from zoo.errors import UsageError


@pytest.fixture(scope="module")
def data():
    return zoo.load_dataset("digits", limit=203, validation=0.2)


def rows(split):
    return sorted(map(bytes, np.ascontiguousarray(split.inputs)))


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 8), st.integers(0, 5))
def test_every_example_is_held_out_once(folds, seed):
    data = zoo.load_dataset("digits", limit=203, validation=0.2)
    parts = stratified_folds(data, folds, seed=seed)
    everything = sorted(rows(data.train) + rows(data.validation))
    assert sorted(row for part in parts for row in rows(part.validation)) == everything
    for part in parts:
        assert sorted(rows(part.train) + rows(part.validation)) == everything
        assert part.test is data.test
        assert part.train.store is data.train.store
    counts = np.array([np.bincount(part.validation.labels, minlength=10) for part in parts])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()


def test_the_seed_decides(data):
    first, again, other = (stratified_folds(data, 3, seed=seed)[0].validation for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)


def test_test_data_do_not_become_training_data(data):
    odd = dataclasses.replace(data, validation=data.test)
    parts = stratified_folds(odd, 3)
    assert sorted(rows(parts[0].train) + rows(parts[0].validation)) == rows(data.train)


def test_arrays_of_their_own(data):
    train = (data.train.inputs, data.train.labels)
    validation = (data.validation.inputs, data.validation.labels)
    given = zoo.DataSplits.from_arrays(train, validation=validation)
    parts = stratified_folds(given, 2)
    assert len(parts[0].train) + len(parts[0].validation) == len(data.train) + len(data.validation)
    assert parts[0].train.store is parts[1].validation.store


def test_pixels_and_floats_are_not_mixed(data):
    validation = (data.validation.inputs.astype("float32") / 255, data.validation.labels)
    mixed = zoo.DataSplits.from_arrays((data.train.inputs, data.train.labels), validation=validation)
    with pytest.raises(UsageError, match=r"stored differently .* uint8 and float32"):
        stratified_folds(mixed, 2)


def test_what_cannot_be_divided(data):
    with pytest.raises(UsageError, match="each class needs an example for each fold"):
        stratified_folds(zoo.load_dataset("digits", limit=40, validation=None), 8)
    with pytest.raises(UsageError, match="folds must be a whole number of at least 2"):
        stratified_folds(data, 1)

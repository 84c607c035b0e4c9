"""Searches over heads of `transfer`: on features that are computed once, with the model that plain training gives."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import tuning
import zoo
from tuning.head_spaces import HeadSpace, find_heads
from tuning.task import Setting
from tuning.vectorized import grouping

pytestmark = pytest.mark.usefixtures("traced_once")
FIXED = {"backbone": ["resnet20"], "weights": [None], "image_size": [8]}
VALUES = {**FIXED, "units": [(), (4,)], "l2": (1e-6, 1e-2, "log"), "learning_rate": [0.01, 0.03], "dropout": [0.2, 0.4]}
RECIPE = zoo.Recipe(epochs=6, batch_size=16)


@pytest.fixture(scope="module")
def data() -> zoo.DataSplits:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = random.integers(0, 90, (60, 8, 8, 3)) + 80 * (np.arange(3) == labels[:, None])[:, None, None]
    return zoo.DataSplits.from_arrays((images.astype(np.uint8), labels), validation=0.2)


@pytest.fixture(scope="module")
def result(data, tmp_path_factory):
    return search(data, tmp_path_factory.mktemp("heads"))


def search(data, directory, **options) -> tuning.SearchResult:
    options = {"method": "random", "values": VALUES, "recipe": RECIPE, "max_trials": 12, "verbose": False, **options}
    return tuning.search("transfer", data, directory=directory, **options)


def test_the_best_model_takes_images_and_scores_what_the_table_says(data, result):
    model = result.best_model()
    assert model.input_shape == (None, 8, 8, 3)
    assert zoo.evaluate(model, data.validation).accuracy == pytest.approx(result.best_score)


def test_a_trial_is_what_plain_training_gives(data, result):
    assert result.best_recipe.trainable == "head"
    model = zoo.build("transfer", data.input_shape, data.num_classes, **result.best_options)
    zoo.train(model, data, result.best_recipe, verbose=False)
    for a, b in zip(model.get_weights(), result.best_model().get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_heads_of_one_structure_train_together(data):
    space = tuning.space("transfer", data.input_shape, data.num_classes, values=VALUES, recipe=RECIPE)
    heads = find_heads(space, data, repeats=1, verbose=False)
    assert isinstance(heads.space, HeadSpace)
    assert heads.data.input_shape == (64,)
    assert heads.data.test is None
    setting = Setting(heads.space, heads.data, heads.space.recipe, "val_accuracy", "max", stacked=True)
    assert grouping.stacks(setting, {"units": (4,), "dropout": 0.2}, heads.space.recipe)
    assert not grouping.stacks(setting, {"units": (4,), "batch_normalization": True}, heads.space.recipe)
    assert not grouping.stacks(setting, {"units": (4096,)}, heads.space.recipe)


def test_a_search_resumes(data, result, tmp_path):
    search(data, tmp_path, max_trials=5)
    again = search(data, tmp_path)
    assert again.table["l2"].tolist() == result.table["l2"].tolist()
    np.testing.assert_allclose(again.table["val_loss"], result.table["val_loss"], rtol=1e-4)


def test_folds_divide_features(data, tmp_path):
    found = search(data, tmp_path, folds=3, max_trials=4)
    assert found.runs.groupby("trial").size().tolist() == [3] * 4
    assert found.compare().sentences()


NOT_ON_FEATURES = {
    "two backbones": ({"backbone": ["resnet20", "resnet32"]}, {}),
    "two sizes": ({"image_size": [8, 12]}, {}),
    "all learns": ({}, {"trainable": "all"}),
    "who learns is searched": ({"trainable": ["head", "all"]}, {}),
    "augmented": ({}, {"augment": "flip"}),
    "random backbones": ({"seed": [0, 1]}, {}),
    "named sets with backbones": ({"kind": {"a": {"image_size": 8}, "b": {"image_size": 12}}}, {}),
}


@pytest.mark.parametrize("case", NOT_ON_FEATURES)
def test_trials_that_differ_before_the_head_are_trained_whole(data, case):
    values, recipe = NOT_ON_FEATURES[case]
    kept = {name: what for name, what in FIXED.items() if name != "image_size" or "kind" not in values}
    fields = {"epochs": 1, **recipe}
    space = tuning.space("transfer", (8, 8, 3), 3, values={**kept, **values}, recipe=zoo.Recipe(**fields))
    assert find_heads(space, data, repeats=1, verbose=False) is None


def test_repeats_have_random_backbones_of_their_own(data):
    space = tuning.space("transfer", (8, 8, 3), 3, values=VALUES, recipe=RECIPE)
    assert find_heads(space, data, repeats=2, verbose=False) is None


# what a backbone ends in -> shape of the features; `None` where the heads would lack a dropout of the backbone
ENDS = {
    "features": ([], (3,)),
    "dropout": ([keras.layers.Dropout(0.5)], None),
    "dropout and dense": ([keras.layers.Dropout(0.5), keras.layers.Dense(6, activation="relu")], (6,)),
}


@pytest.mark.parametrize("case", ENDS)
def test_bare_heads_are_searched_where_nothing_of_the_backbone_is_behind_the_cut(data, monkeypatch, case):
    layers, expected = ENDS[case]
    own = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3), keras.layers.GlobalAveragePooling2D()])
    for layer in layers:
        own.add(layer)
    space = tuning.space("transfer", (8, 8, 3), 3, values={"l2": [0.0, 0.1]}, recipe=RECIPE)
    build = functools.partial(zoo.build, "transfer", (8, 8, 3), 3, backbone=own)
    monkeypatch.setattr(space, "build_model", lambda options, seed: build(seed=seed, **options))
    heads = find_heads(space, data, repeats=1, verbose=False)
    assert (None if heads is None else heads.data.input_shape) == expected


def test_other_models_have_no_heads(data):
    assert find_heads(tuning.space("softmax", (8, 8, 3), 3), data, repeats=1, verbose=False) is None
    assert find_heads(object(), data, repeats=1, verbose=False) is None


def test_the_space_says_what_learns():
    assert tuning.space("transfer", (8, 8, 3), 3).recipe.trainable == "head"
    assert tuning.space("transfer", (8, 8, 3), 3, recipe=zoo.Recipe(trainable="all")).recipe.trainable == "all"
    assert tuning.space("softmax", (8, 8, 3), 3).recipe.trainable is None


def test_processes_find_the_same(data, tmp_path, monkeypatch):
    """Each has a part of those that train together, and the table is that of one process, to the last bit."""
    monkeypatch.setattr(grouping, "LEAST_EPOCHS", 1)
    options = {"values": {**VALUES, "units": [(4,)]}, "max_trials": 8}
    here = search(data, tmp_path / "here", **options)
    there = search(data, tmp_path / "there", executor="processes", workers=2, **options)
    here_table, table = (result.table.drop(columns="seconds").sort_values("trial") for result in (here, there))
    assert table.reset_index(drop=True).equals(here_table.reset_index(drop=True))
    assert there.best_values == here.best_values


def test_fixed_augmentation_is_refused_before_the_search(data, tmp_path):
    recipe = zoo.Recipe(augment="flip", augment_draws=2)
    with pytest.raises(zoo.UsageError, match=r"augment_draws is of zoo\.train"):
        search(data, tmp_path, recipe=recipe)
    with pytest.raises(zoo.UsageError, match=r"augment_draws is of zoo\.train"):
        search(data, tmp_path, fine_tune=recipe)
    assert not list(tmp_path.iterdir())

from __future__ import annotations

import os
from pathlib import Path

import keras
import keras_tuner
import pytest

import tuning
import zoo
from tuning.spaces import SPACES
from zoo.errors import UsageError
from zoo.models import catalog


@pytest.mark.parametrize("name", sorted(SPACES))
def test_default_spaces_build_compiled_models(name):
    classes = 2 if name == "logistic" else 3
    sizes = {"alexnet": 67, "alexnet_v2": 63, "resnet18": 32, "resnet34": 32, "resnet50": 32}
    size = sizes.get(name, 8)
    if name == "transfer" and not (Path(os.environ.get("ZOO_WEIGHTS_DIR", "")) / "resnet20-12fca82f.th").is_file():
        pytest.skip("ZOO_WEIGHTS_DIR has no resnet20-12fca82f.th")
    space = tuning.space(name, (size, size, 1), classes)
    hp = keras_tuner.HyperParameters()
    model = space.build(hp)
    assert isinstance(model, keras.Model)
    assert model.compiled
    options, recipe = space.choose(hp)
    catalog.check_options(name, options)
    assert {"learning_rate", "l2"} <= set(hp.values)
    assert recipe.learning_rate == hp.values["learning_rate"]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_stock_random_search_runs_on_our_space(digits, tmp_path):
    tuner = keras_tuner.RandomSearch(
        tuning.space("cnn", digits.input_shape, digits.num_classes),
        objective="val_accuracy",
        max_trials=2,
        directory=tmp_path,
        seed=1,
    )
    tuner.search(digits.train.batches(64), validation_data=digits.validation.batches(64), epochs=1, verbose=0)
    assert len(tuner.oracle.trials) == 2
    assert all(trial.status == "COMPLETED" for trial in tuner.oracle.trials.values())


@pytest.mark.parametrize(("side", "stages"), [(2, [1]), (3, [1]), (4, [1, 2]), (28, [1, 2])])
def test_stages_fit_into_the_image(side, stages):
    space = tuning.space("cnn", (side, side, 1), 2)
    assert list(space.parameters["num_stages"].values) == stages


def test_the_learning_rate_range_follows_the_optimizer():
    adam = tuning.space("softmax", (4,), 2, recipe=zoo.Recipe(optimizer="adam"))
    sgd = tuning.space("softmax", (4,), 2, recipe=zoo.Recipe(optimizer="sgd"))
    assert adam.parameters["learning_rate"].high < sgd.parameters["learning_rate"].high


def test_values_are_options_and_recipe_fields():
    values = {"units": [64, (64, 32)], "learning_rate": (1e-3, 1e-1, "log"), "patience": [None, 2], "dropout": [0.5]}
    space = tuning.space("mlp", (4,), 3, values=values, recipe=zoo.Recipe(optimizer="sgd", momentum=0.9))
    hp = keras_tuner.HyperParameters()
    hp.values = {"units": "json:[64, 32]", "learning_rate": 0.01, "patience": "json:2", "dropout": 0.5}
    options, recipe = space.choose(hp)
    assert options == {"units": (64, 32), "dropout": 0.5}
    assert (recipe.learning_rate, recipe.patience, recipe.momentum) == (0.01, 2, 0.9)
    assert space.recipe_fields == ("learning_rate", "patience")
    assert [p.name for p in hp.space] == list(values)


def test_unknown_names():
    with pytest.raises(UsageError, match="did you mean 'learning_rate'"):
        tuning.space("softmax", (4,), 3, values={"learning_rat": [0.1]})
    with pytest.raises(UsageError, match="did you mean 'cnn'"):
        tuning.space("cnnn", (8, 8, 1), 3)


def test_a_schedule_does_not_run_in_a_stock_tuner():
    space = tuning.space("softmax", (4,), 3, recipe=zoo.Recipe(schedule="cosine"))
    with pytest.raises(UsageError, match="schedule"):
        space.build(keras_tuner.HyperParameters())

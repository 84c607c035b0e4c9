from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo.errors import UsageError
from zoo.training.recipe import LOSSES, MONITORS, OPTIMIZERS, SCHEDULES, as_recipes

quick = settings(deadline=None, max_examples=30, derandomize=True)
recipes = st.builds(
    zoo.Recipe,
    optimizer=st.sampled_from(["sgd", "nesterov", "rmsprop"]),
    learning_rate=st.floats(1e-6, 10),
    schedule=st.sampled_from([None, *SCHEDULES]),
    momentum=st.floats(0, 0.999),
    weight_decay=st.none() | st.floats(0, 1),
    loss=st.sampled_from([None, *LOSSES]),
    batch_size=st.integers(1, 4096),
    epochs=st.integers(1, 500),
    shuffle=st.booleans(),
    drop_remainder=st.booleans(),
    augment=st.lists(st.sampled_from(["flip", "crop", "noise"]), unique=True),
    validate_every_steps=st.none() | st.integers(1, 1000),
    patience=st.none() | st.integers(1, 20),
    monitor=st.sampled_from(sorted(MONITORS)),
    trainable=st.sampled_from([None, "head", "all", "stage*"]) | st.lists(st.sampled_from(["a", "b*"]), min_size=1),
    seed=st.integers(0, 2**31),
)


@quick
@given(recipes)
def test_a_recipe_survives_json(recipe):
    assert zoo.Recipe(**json.loads(json.dumps(recipe.as_config()))) == recipe


@pytest.mark.parametrize("values", [{}, {"augment": ("flip", "crop")}, {"trainable": ("stage*", "pred*")}], ids=str)
def test_a_recipe_with_tuples_survives_json(values):
    recipe = zoo.Recipe(**values)
    again = zoo.Recipe(**json.loads(json.dumps(recipe.as_config())))
    assert again == recipe
    assert hash(again) == hash(recipe)


def test_every_value_is_in_the_config():
    assert set(zoo.Recipe().as_config()) == {field.name for field in dataclasses.fields(zoo.Recipe)}


def test_a_recipe_is_frozen_and_takes_only_keywords():
    with pytest.raises(dataclasses.FrozenInstanceError):
        zoo.Recipe().epochs = 3
    with pytest.raises(TypeError):
        zoo.Recipe("sgd")


REFUSED = [
    {"optimizer": "sdg"},
    {"optimizer": "lion"},
    {"schedule": "cosin"},
    {"loss": "mse"},
    {"monitor": "val_acc"},
    {"learning_rate": 0},
    {"learning_rate": -0.1},
    {"learning_rate": float("nan")},
    {"learning_rate": float("inf")},
    {"learning_rate": True},
    {"learning_rate": "0.1"},
    {"momentum": 1.0, "optimizer": "sgd"},
    {"momentum": -0.1, "optimizer": "sgd"},
    {"momentum": float("nan"), "optimizer": "sgd"},
    {"weight_decay": -1e-4},
    {"weight_decay": float("nan")},
    *({name: value} for name in ("batch_size", "epochs", "validation_freq") for value in (0, -1, 1.5, True)),
    *({name: value} for name in ("validate_every_steps", "patience") for value in (0, -1, 1.5, True)),
    *({"momentum": 0.9, "optimizer": name} for name in ("adam", "adamw", "adagrad")),
]


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_values_out_of_range_are_refused_by_their_name(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        zoo.Recipe(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"batch_size": None},
        {"epochs": None},
        {"validation_freq": None},
        {"batch_size": "16"},
        {"epochs": float("inf")},
        {"seed": "a"},
        {"seed": 1.5},
        {"augment": ("flop",)},
        {"trainable": 3},
    ],
    ids=str,
)
def test_values_of_a_wrong_kind_are_refused(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        zoo.Recipe(**values)


def test_numbers_of_numpy_become_plain_ones_that_json_holds():
    values = {"shuffle": np.bool_(False), "learning_rate": np.float32(0.25), "epochs": np.int64(3), "seed": np.array(5)}
    recipe = zoo.Recipe(**values)
    assert json.loads(json.dumps(recipe.as_config())) == recipe.as_config()
    assert recipe == zoo.Recipe(shuffle=False, learning_rate=0.25, epochs=3, seed=5)
    for wrong in (np.int64(1), np.array([True, False]), 1, "yes"):
        with pytest.raises(UsageError, match="shuffle must be True or False"):
            zoo.Recipe(shuffle=wrong)


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(UsageError, match="did you mean 'adam'"):
        zoo.Recipe(optimizer="adm")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_momentum_zero_is_allowed_everywhere(optimizer):
    assert zoo.Recipe(optimizer=optimizer, momentum=0.0).momentum == 0


def test_one_recipe_is_one_phase():
    one, two = zoo.Recipe(), zoo.Recipe(epochs=2)
    assert as_recipes(one) == (one,)
    assert as_recipes([one, two]) == (one, two)


@pytest.mark.parametrize("wrong", [[], [zoo.Recipe(), {"epochs": 1}], None, 5, "sgd"], ids=str)
def test_phases_are_recipes(wrong):
    with pytest.raises(UsageError, match="recipe must be"):
        as_recipes(wrong)


def test_a_recipe_needs_no_tensorflow():
    program = "import sys, zoo; zoo.Recipe(epochs=3); print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_validation_goes_by_epochs_or_by_steps_not_by_both():
    with pytest.raises(UsageError, match="not both"):
        zoo.Recipe(validation_freq=3, validate_every_steps=4)


def test_the_recipe_knows_every_augmentation():
    from zoo.data import augment
    from zoo.training import recipe

    assert tuple(augment.AUGMENTATIONS) == recipe.AUGMENTATIONS

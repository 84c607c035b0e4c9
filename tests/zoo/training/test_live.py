"""A model that is compiled once and reset equals one that is built for each training."""

from __future__ import annotations

import dataclasses

import zoo.startup

# isort: split
import numpy as np
import pytest

import zoo
from zoo.errors import UsageError
from zoo.training.live import OPTIONS, LiveValues, placeholders, structure
from zoo.training.phase import PhaseRun
from zoo.training.program import Program
from zoo.training.records import EpochRecords

EPOCHS = 3
CHANGES = [  # what trials of one structure differ in: options, then fields of the recipe
    ({"dropout": 0.3, "l1": 1e-4, "l2": 1e-3}, {}),
    ({"dropout": 0.5, "l1": 0.0, "l2": 0.0}, {"learning_rate": 0.005, "seed": 1}),
    ({"dropout": 0.1, "l1": 0.0, "l2": 1e-2}, {"learning_rate": 0.02}),
    ({"dropout": 0.3, "l1": 1e-4, "l2": 1e-3}, {}),
]
RECIPES = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "nesterov": {"optimizer": "nesterov", "learning_rate": 0.03, "momentum": 0.8, "weight_decay": 1e-3},
    "adam": {"optimizer": "adam", "learning_rate": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
    "adagrad": {"optimizer": "adagrad", "learning_rate": 0.05},
    "rmsprop": {"optimizer": "rmsprop", "learning_rate": 0.002, "momentum": 0.5},
    "cosine": {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine"},
    "step": {"optimizer": "adam", "learning_rate": 0.01, "schedule": "step"},
}


@pytest.fixture(scope="module")
def data():
    return zoo.load_dataset("digits", limit=400, validation=0.2)


def build(data, options, seed, **more):
    fixed = {"units": 12, "num_layers": 1, "batch_normalization": True, **more}
    return zoo.build("mlp", data.input_shape, data.num_classes, seed=seed, **fixed, **options)


def train_live(program, data, options, recipe, weights):
    program.reset(weights, options, recipe)
    records = EpochRecords()
    run = PhaseRun(program, data, recipe, records)
    run.fit([], until=recipe.epochs)
    return program.model.get_weights(), run.summary(recipe)["metrics"]


@pytest.mark.parametrize("name", RECIPES)
def test_compiled_once_equals_built_anew(data, name):
    """With one optimizer two hidden layers and all changes; with the others those that change a value to zero and back."""
    num_layers, changes = (2, CHANGES) if name == "adam" else (1, [CHANGES[0], CHANGES[1], CHANGES[3]])
    recipe = zoo.Recipe(epochs=EPOCHS, batch_size=32, **RECIPES[name])
    model = build(data, placeholders(CHANGES[0][0], live=OPTIONS), 0, num_layers=num_layers)
    anew = {}  # the last of the changes is the first one again
    with Program(model, data, recipe, live=LiveValues(OPTIONS)) as program:
        for options, fields in changes:
            changed = dataclasses.replace(recipe, **fields)
            assert structure(options, changed, live=OPTIONS) == structure(CHANGES[0][0], recipe, live=OPTIONS)
            fresh = build(data, options, changed.seed, num_layers=num_layers)
            weights, metrics = train_live(program, data, options, changed, fresh.get_weights())
            key = repr((options, fields))
            expected = anew[key] = anew.get(key) or zoo.train(fresh, data, changed, verbose=False)
            for one, other in zip(weights, expected.model.get_weights(), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
            assert metrics == pytest.approx(expected.metrics, abs=1e-5)
        assert program.traces == 1


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_other_types(data, dtype):
    recipe = zoo.Recipe(epochs=2, batch_size=32, optimizer="sgd", momentum=0.9, learning_rate=0.05)
    options = {"dropout": 0.3, "l2": 1e-3}
    model = build(data, placeholders(options, live=list(options)), 0, dtype=dtype)
    fresh = build(data, options, 0, dtype=dtype)
    with Program(model, data, recipe, live=LiveValues(list(options))) as program:
        weights, _ = train_live(program, data, options, recipe, fresh.get_weights())
    zoo.train(fresh, data, recipe, verbose=False)
    for one, other in zip(weights, fresh.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"dropout": 0.0}, {}),
        ({"units": 7}, {}),
        ({}, {"optimizer": "nesterov"}),
        ({}, {"momentum": 0.0}),
        ({}, {"weight_decay": 0.1}),
        ({}, {"schedule": "cosine"}),
        ({}, {"batch_size": 7}),
        ({}, {"augment": ("flip",)}),
        ({}, {"trainable": "head"}),
        ({}, {"drop_remainder": True}),
    ],
)
def test_what_is_another_structure(options, fields):
    base = {"dropout": 0.3, "units": 3}
    recipe = zoo.Recipe(optimizer="sgd", momentum=0.9)
    changed = structure({**base, **options}, dataclasses.replace(recipe, **fields), live=["dropout"])
    assert changed != structure(base, recipe, live=["dropout"])


def test_a_schedule_belongs_to_its_epochs():
    one, other = (zoo.Recipe(schedule="cosine", epochs=n) for n in (3, 4))
    assert structure({}, one, live=[]) != structure({}, other, live=[])
    one, other = (zoo.Recipe(epochs=n) for n in (3, 4))
    assert structure({}, one, live=[]) == structure({}, other, live=[])


@pytest.mark.parametrize("options", [{"dropout": 1.0}, {"dropout": -0.1}, {"l2": -1.0}, {"l1": float("nan")}])
def test_values_out_of_range(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        LiveValues(list(options)).set(options, zoo.Recipe())


def test_a_rate_of_zero_computes_nothing():
    assert placeholders({"dropout": 0.0, "l2": 0.0}, live=["dropout", "l2"])["dropout"] == 0.0

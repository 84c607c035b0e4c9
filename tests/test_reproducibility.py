"""The same seeds give the same bits, whatever ran before; other seeds do not."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo

PROGRAM = """
import hashlib, json, sys
import zoo
settings = json.loads(sys.argv[1])
data = zoo.load_dataset(**settings["data"])
model = zoo.build(settings["name"], data.input_shape, data.num_classes, **settings["options"])
zoo.train(model, data, zoo.Recipe(**settings["recipe"]), verbose=False)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest())
"""

SETTINGS = {
    "softmax": {
        "data": {"name_or_path": "blobs3"},
        "name": "softmax",
        "options": {},
        "recipe": {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 16, "epochs": 2},
    },
    "mlp-dropout": {
        "data": {"name_or_path": "digits", "limit": 150},
        "name": "mlp",
        "options": {"units": 16, "dropout": 0.5, "batch_normalization": True},
        "recipe": {"batch_size": 32, "epochs": 2, "validate_every_steps": 3},
    },
    "cnn-augmented": {
        "data": {"name_or_path": "digits", "limit": 150},
        "name": "cnn",
        "options": {"filters": 4, "units": 8, "dropout": 0.25, "l2": 1e-4},
        "recipe": {"batch_size": 32, "epochs": 2, "augment": ["crop", "flip", "noise"], "patience": 2},
    },
}
every_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def trained(settings, *, build_seed=0, **recipe) -> list[np.ndarray]:
    data = zoo.load_dataset(**settings["data"])
    model = zoo.build(settings["name"], data.input_shape, data.num_classes, seed=build_seed, **settings["options"])
    zoo.train(model, data, zoo.Recipe(**{**settings["recipe"], **recipe}), verbose=False)
    return [w for w, v in zip(model.get_weights(), model.weights, strict=True) if "seed_generator" not in v.path]


def digest(weights: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()


def disturb(seed: int) -> None:
    """What a notebook may have done before."""
    tf.random.set_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    keras.utils.set_random_seed(seed)
    tf.random.normal([seed % 7 + 1])
    keras.layers.Dropout(0.5)(np.ones((2, 2), np.float32), training=True)


@every_setting
def test_a_seed_gives_the_same_bits_twice_whatever_ran_before(settings):
    disturb(1)
    first = trained(settings)
    disturb(22)
    assert digest(trained(settings)) == digest(first)


@pytest.mark.parametrize(
    ("name", "options", "recipe"),
    [
        ("softmax", {}, {"shuffle": True}),
        ("mlp", {"units": 8, "num_layers": 1, "dropout": 0.5}, {"shuffle": False}),
        ("softmax", {}, {"shuffle": False, "augment": ("crop",)}),
    ],
    ids=["order", "dropout", "augmentation"],
)
def test_the_seed_decides_each_of_order_dropout_and_augmentation(name, options, recipe):
    data = {"name_or_path": "digits", "limit": 60}
    settings = {"data": data, "name": name, "options": options, "recipe": {"batch_size": 16, "epochs": 1, **recipe}}
    a, again, b = (trained(settings, seed=seed) for seed in (0, 0, 1))
    assert digest(a) == digest(again)
    assert digest(a) != digest(b)


def test_without_randomness_the_seed_decides_nothing():
    settings = SETTINGS["softmax"]
    assert digest(trained(settings, seed=0, shuffle=False)) == digest(trained(settings, seed=1, shuffle=False))


def test_the_seed_of_the_model_is_not_that_of_the_training():
    settings = SETTINGS["softmax"]
    assert digest(trained(settings, build_seed=1)) != digest(trained(settings))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_every_epoch_has_another_order_and_other_masks(dropout):
    data = zoo.load_dataset("blobs")
    model = zoo.build("mlp", (2,), 2, units=4, dropout=dropout)
    recipe = zoo.Recipe(
        optimizer="sgd", learning_rate=1e-30, batch_size=16, epochs=2, shuffle=not dropout
    )  # the weights stay where they are, so only order or masks can make epochs differ
    losses = zoo.train(model, data, recipe, verbose=False).steps["loss"].to_numpy().reshape(2, -1)
    assert not np.array_equal(losses[0], losses[1])


def test_another_process_computes_the_same_bits():
    settings = SETTINGS["cnn-augmented"]
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    data = zoo.load_dataset(**settings["data"])
    model = zoo.build(settings["name"], data.input_shape, data.num_classes, **settings["options"])
    disturb(3)
    zoo.train(model, data, zoo.Recipe(**settings["recipe"]), verbose=False)
    found, errors = other.communicate()
    assert other.returncode == 0, errors
    assert found.strip() == digest(model.get_weights())

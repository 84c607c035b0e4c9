"""What every model takes and refuses."""

from __future__ import annotations

import inspect
import json

import zoo.startup

# isort: split
import numpy as np
import pytest
from model_cases import REFUSED, REFUSED_BY_ALL, TABLE, every_model

import zoo
from zoo.errors import UsageError
from zoo.models import layers
from zoo.models.catalog import builder


@every_model
def test_wrong_values_are_refused(name):
    first = TABLE[name][0]
    without_files = {"weights": None} if name == "transfer" else {}
    for shape, num_classes, options in [*REFUSED_BY_ALL, *REFUSED[name]]:
        shape = first.input_shape if shape is None else shape
        num_classes = first.num_classes if num_classes is None else num_classes
        try:
            zoo.build(name, shape, num_classes, **{**without_files, **options})
        except UsageError:
            continue
        pytest.fail(f"{name} accepted {shape}, {num_classes}, {options}")


@every_model
def test_an_unknown_option_names_the_nearest(name):
    first = TABLE[name][0]
    with pytest.raises(UsageError, match="did you mean 'kernel_initializer'"):
        zoo.build(name, first.input_shape, first.num_classes, kernel_initialiser="zeros")


@pytest.mark.parametrize("name", ["alexnet", "alexnet_v2", "resnet20", "resnet18"])
@pytest.mark.parametrize("option", [{"dtype": "float16"}, {"l1": -1.0}, {"l2": -1.0}], ids=str)
def test_what_is_quick_to_check_is_checked_before_weights_are_looked_for(name, option, monkeypatch):
    monkeypatch.setattr(layers, "find_weights", lambda *_: pytest.fail("the file was asked for"))
    size = {"alexnet": 227, "resnet20": 32}.get(name, 224)
    weights = "cifar10" if name == "resnet20" else "imagenet"
    with pytest.raises(UsageError, match=next(iter(option))):
        zoo.build(name, (size, size, 3), 10, weights=weights, **option)


def test_options_may_be_numbers_of_numpy():
    model = zoo.build("mlp", (4,), 3, seed=np.int64(3), l2=np.float32(0.5), units=[np.int64(5)])
    assert model.zoo_build["seed"] == 3
    assert model.zoo_build["options"] == {"l2": 0.5, "units": [5]}
    assert json.loads(json.dumps(model.zoo_build)) == model.zoo_build


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'softmax'"):
        zoo.build("sofmax", (2,), 3)


@every_model
def test_takes_the_same_two_positionals_and_keyword_only_options(name):
    function = builder(name)
    positional, options = [], []
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        (options if parameter.kind is parameter.KEYWORD_ONLY else positional).append(parameter)
    assert [p.name for p in positional] == ["input_shape", "num_classes"]
    assert all(p.default is not p.empty for p in options)
    assert {"dtype", "classifier_activation", "l1", "l2"} <= {p.name for p in options}
    undocumented = [p.name for p in options if f"        {p.name}: " not in (function.func.__doc__ or "")]
    assert undocumented == []

"""One search space a model: plain `keras_tuner.HyperModel` objects, which run in stock tuners as well as in ours."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import zoo.startup  # before Keras

import keras_tuner

import zoo
from tuning.parameters import Choices, Range, declare, decode, expanded, named_sets, parameter
from zoo.errors import UsageError, unknown_name
from zoo.models import catalog
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras

DEFAULT_RECIPE = Recipe()
_TAKES_ANY_FIELD = Recipe(optimizer="sgd", augment=("flip",))  # the fields that others must go with are there

# Learning rates worth trying, by optimizer, where the optimizer itself is not searched.
LEARNING_RATES = {
    "sgd": Range(1e-3, 1.0, log=True),
    "nesterov": Range(1e-3, 1.0, log=True),
    "adagrad": Range(1e-3, 1.0, log=True),
    "rmsprop": Range(1e-4, 1e-2, log=True),
    "adam": Range(1e-4, 3e-2, log=True),
    "adamw": Range(1e-4, 3e-2, log=True),
}

_LINEAR = {"l2": Range(1e-6, 1e-2, log=True)}

SPACES: dict[str, dict[str, Any]] = {
    "logistic": _LINEAR,
    "softmax": _LINEAR,
    "mlp": {
        "num_layers": Range(1, 3),
        "units": Range(32, 512, step=32),
        "dropout": Range(0.0, 0.5),
        "l2": Range(1e-6, 1e-2, log=True),
    },
    "cnn": {
        "num_stages": Range(1, 2),
        "filters": Range(8, 32, step=8),
        "units": Range(32, 256, step=32),
        "dropout": Range(0.0, 0.5),
        "l2": Range(1e-6, 1e-2, log=True),
    },
    **{name: {"dropout": Range(0.0, 0.7), "l2": Range(1e-6, 1e-3, log=True)} for name in ("alexnet", "alexnet_v2")},
    "transfer": {"dropout": Range(0.0, 0.7), "l2": Range(1e-6, 1e-1, log=True)},
    **{f"resnet{depth}": {"l2": Range(1e-6, 1e-3, log=True)} for depth in (18, 20, 32, 34, 44, 50, 56)},
}


class ModelSpace(keras_tuner.HyperModel):
    """The models that a catalog entry builds from chosen options, compiled by a chosen recipe; see `space`.

    Attributes:
        model_name: name of the catalog.
        input_shape: shape of one example.
        num_classes: number of classes.
        values: what the caller gave for the hyper-parameters, or `None` for the default space.
        recipe: how to train; fields that are hyper-parameters are replaced.
        parameters: name -> what is searched, in the order in which they are declared.
        named: hyper-parameter -> label -> the options and fields that it stands for.
        recipe_fields: the names of what is chosen that are fields of the recipe.
    """

    def __init__(
        self,
        model_name: str,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        values: Mapping[str, Any] | None,
        recipe: Recipe,
    ) -> None:
        super().__init__(name=model_name)
        if values is not None and not (isinstance(values, Mapping) and all(isinstance(name, str) for name in values)):
            raise UsageError(f"values must be a dictionary, name -> list or range. Received: values={values!r:.80}")
        self.model_name = model_name
        self.input_shape = catalog.checked_shape(input_shape)
        self.num_classes = num_classes
        self.values = None if values is None else dict(values)
        self.recipe = recipe
        options = catalog.builder_options(model_name)
        given = default_values(model_name, self.input_shape, recipe) if values is None else values
        fields = [field.name for field in dataclasses.fields(Recipe)]
        self.named = {name: named_sets(name, what) for name, what in given.items() if isinstance(what, Mapping)}
        plain = [name for name in given if name not in self.named]
        chosen = [
            plain,
            *(dict.fromkeys(inner for one in sets.values() for inner in one) for sets in self.named.values()),
        ]
        names = [name for group in chosen for name in group]
        for name in names:
            if name not in options and name not in fields:
                raise unknown_name(f"hyper-parameter of {model_name}", name, [*options, *fields])
            if names.count(name) > 1:
                raise UsageError(f"{name} is in values more than once: by itself, or in several named sets")
        self.parameters: dict[str, Range | Choices] = {
            name: parameter(name, list(self.named[name]) if name in self.named else what)
            for name, what in given.items()
        }
        if model_name == "transfer" and recipe.trainable is None and "trainable" not in names:
            self.recipe = dataclasses.replace(recipe, trainable="head")  # what a search over heads means
        self.recipe_fields = tuple(name for name in names if name not in options)
        for name in plain:
            if name in self.recipe_fields:
                _check_field(name, self.parameters[name])

    def choose(self, hp: keras_tuner.HyperParameters) -> tuple[dict[str, Any], Recipe]:
        """The builder's options and the recipe that `hp` stands for; declares all hyper-parameters to it."""
        chosen = {name: declare(hp, name, what) for name, what in self.parameters.items()}
        chosen = expanded(chosen, self.named)
        fields = {name: chosen.pop(name) for name in self.recipe_fields if name in chosen}
        return chosen, dataclasses.replace(self.recipe, **fields)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model, ready for `fit` by a stock tuner; the recipe's loss, optimizer and metrics are in it.

        Raises:
            UsageError: the recipe has a schedule, which needs the steps of an epoch: a stock tuner does not tell them.
        """
        options, recipe = self.choose(hp)
        if recipe.schedule is not None:
            raise UsageError(f"a stock tuner cannot run a schedule ({recipe.schedule}); use tuning.search")
        model = self.build_model(options, recipe.seed)
        zoo.compile_model(model, recipe, steps_per_epoch=1)
        return model

    def build_model(self, options: Mapping[str, Any], seed: int) -> keras.Model:
        """What the trials train: the model of the catalog."""
        return zoo.build(self.model_name, self.input_shape, self.num_classes, seed=seed, **options)

    def finished_model(self, options: Mapping[str, Any], recipe: Recipe, weights: Sequence[Any]) -> keras.Model:
        """The compiled model of a trial, by the weights of what it trained."""
        model = self.build_model(options, recipe.seed)
        model.set_weights(weights)
        zoo.compile_model(model, recipe, steps_per_epoch=1)
        return model

    def with_epochs(self, epochs: int) -> ModelSpace:
        """This space with another number of epochs in its recipe."""
        changed = copy.copy(self)
        changed.recipe = dataclasses.replace(self.recipe, epochs=epochs)
        return changed


def _check_field(name: str, what: Range | Choices) -> None:
    """Refuses values that are out of range in any recipe; trials that begin with them would all fail."""
    values: list[Any] = [what.low, what.high] if isinstance(what, Range) else [decode(value) for value in what.values]
    for value in values:
        dataclasses.replace(_TAKES_ANY_FIELD, **{name: value})


def space(
    model_name: str,
    input_shape: Sequence[int],
    num_classes: int,
    *,
    values: Mapping[str, Any] | None = None,
    recipe: Recipe = DEFAULT_RECIPE,
) -> ModelSpace:
    """The search space of a model, as a `keras_tuner.HyperModel` whose `build(hp)` returns a compiled model.

    Args:
        model_name: name of the catalog, see `zoo.list_models()`.
        input_shape: shape of one example, e.g. `data.input_shape`.
        num_classes: number of classes.
        values: name -> list of values, `(low, high)` or `(low, high, "log")`, both bounds included. A name is an option
            of the builder or a field of `Recipe`. Replaces the default space; an option that is to have one value is a
            list of one. Lists may mix types and hold `None` and tuples. A dictionary label -> {name: value} is a choice
            of one of these sets, under any name: `{"optimizer": {"momentum": {"optimizer": "sgd", "momentum": 0.9}, ...}}`.
        recipe: how to train; its fields that `values` names are replaced. Of "transfer" the head learns, unless it says
            what else.

    Raises:
        UsageError: an unknown model or name, a model without a default space, or values that are no space.

    Examples:
        >>> tuner = keras_tuner.RandomSearch(
        ...     tuning.space("cnn", data.input_shape, data.num_classes), objective="val_accuracy", max_trials=3)
    """
    return ModelSpace(model_name, input_shape, num_classes, values=values, recipe=recipe)


def default_values(model_name: str, input_shape: Sequence[int], recipe: Recipe) -> dict[str, Any]:
    """A model's default space: `SPACES`, fitted to the size of the images and to the recipe's optimizer."""
    if model_name not in SPACES:
        known = ", ".join(sorted(SPACES))
        raise UsageError(f"{model_name} has no default space (those that have: {known}); give values={{name: [...]}}")
    values = dict(SPACES[model_name])
    if "num_stages" in values:
        halvings = max(1, min(input_shape[:2]).bit_length() - 1)  # each stage halves the image
        values["num_stages"] = [n for n in (1, 2) if n <= halvings]
    values["learning_rate"] = LEARNING_RATES[recipe.optimizer]
    return values

"""From the arguments of a search to what it is made of: its setting, its oracle, and the header that identifies it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner

from tuning import discovery, oracles
from tuning.spaces import ModelSpace
from tuning.trial import Setting
from zoo.data.splits import as_splits
from zoo.errors import UsageError, unknown_name
from zoo.training.recipe import Recipe


def make_setting(
    model: Any,
    data: Any,
    *,
    values: Mapping[str, Any] | None,
    recipe: Recipe,
    objective: str | keras_tuner.Objective,
    epochs: int | None,
) -> Setting:
    """What all trials of a search share, checked; `epochs` replaces the recipe's where it is given.

    Raises:
        UsageError: see `tuning.search`.
    """
    splits = as_splits(data)
    hypermodel = discovery.as_hypermodel(model, splits, values=values, recipe=recipe)
    if isinstance(hypermodel, ModelSpace):
        if epochs is not None:
            hypermodel = hypermodel.with_epochs(epochs)
        recipe = hypermodel.recipe
    elif epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    name = objective if isinstance(objective, str) else objective.name
    if isinstance(hypermodel, ModelSpace) and name not in oracles.DIRECTIONS:
        raise unknown_name("objective", name, oracles.DIRECTIONS)
    aim = oracles.resolve_objective(objective)
    if aim.name.startswith("val_") and splits.validation is None:
        raise UsageError(f"the objective {aim.name} needs validation data; load the data with validation=0.1")
    return Setting(hypermodel, splits, recipe, aim.name, aim.direction)


def make_plan(
    model: Any, setting: Setting, method: str, *, max_trials: int | None, max_epochs: int | None, seed: int
) -> tuple[keras_tuner.Oracle, dict[str, Any]]:
    """The oracle of a search, and the journal's header that identifies it.

    Raises:
        UsageError: there is nothing to search, or not by this method.
    """
    space = discovery.discover(setting.hypermodel)
    fields = list(getattr(setting.hypermodel, "recipe_fields", ()))
    if method == "hyperband" and "epochs" in fields:
        raise UsageError("hyperband decides the epochs of a trial: take epochs out of values, give max_epochs")
    aim = keras_tuner.Objective(setting.objective, direction=setting.direction)
    oracle = oracles.make_oracle(method, space, objective=aim, max_epochs=max_epochs, seed=seed)
    header = {
        "version": 1,
        "model": discovery.model_label(model),
        "space": discovery.describe(space),
        "recipe_fields": fields,
        "method": method,
        "objective": setting.objective,
        "direction": setting.direction,
        "seed": seed,
        "data": setting.data.config,
        "recipe": setting.recipe.as_config(),
        "max_trials": max_trials,
        "max_epochs": max_epochs if method == "hyperband" else None,  # else the recipe has it
    }
    return oracle, header

"""From the arguments of a search to what it is made of: its setting, its oracle, and the header that identifies it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner

from tuning import discovery, journal, oracles
from tuning.head_spaces import find_heads
from tuning.oracles.cells import count_cells
from tuning.oracles.cost import halving_cost, hyperband_cost
from tuning.spaces import ModelSpace
from tuning.task import Setting
from zoo.data.folds import check_folds
from zoo.data.splits import DataSplits, as_splits, content_sha256
from zoo.errors import UsageError, unknown_name
from zoo.models.backbones import DEFAULT_BACKBONE
from zoo.training.recipe import Recipe
from zoo.training.trainer import check_fit
from zoo.weights.fetch import find_weights
from zoo.weights.sources import SOURCES

MOST_CELLS = 10_000  # of a grid that is searched without asking
RUNGS = ("halving", "hyperband")  # the methods that decide the epochs of a trial


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a search is made of.

    Attributes:
        setting: what all trials share.
        oracle: what is asked for trials.
        header: what identifies the search in its journal.
        data: what the search was given; `setting.data` may be features of it.
        fine_tune: how the best trials are trained on, or `None`.
    """

    setting: Setting
    oracle: keras_tuner.Oracle
    header: dict[str, Any]
    data: DataSplits
    fine_tune: Recipe | None

    def announcement(self) -> tuple[str, int | None]:
        """What is to come, in one line, and the number of trials, where it is known."""
        header, cost = self.header, ""
        method, total = header["method"], header["max_trials"]
        if method == "grid":
            total = min(count_cells(self.oracle.hyperparameters), total or sys.maxsize)
        elif method in RUNGS:
            trials, epochs = (hyperband_cost if method == "hyperband" else halving_cost)(header["max_epochs"])
            cost = f", {epochs} epochs together" if total is None or total >= trials else ""
            total = min(trials, total or trials)
        runs = header["folds"] * header["repeats"]
        of = f" of {runs} runs each" if runs > 1 else ""
        aim = f"{method} search of {header['model']} for {header['objective']}"
        return f"{aim}: up to {total} trials{of}{cost}" if total else f"{aim}{of}", total


def make_plan(
    model: Any,
    data: Any,
    *,
    method: str | keras_tuner.Oracle,
    values: Mapping[str, Any] | None,
    recipe: Recipe,
    objective: str | keras_tuner.Objective,
    max_trials: int | None,
    max_epochs: int | None,
    folds: int,
    repeats: int,
    seed: int,
    verbose: bool,
    fine_tune: Recipe | None = None,
) -> Plan:
    """From the arguments of `tuning.search`, with their defaults filled in; see there for the errors."""
    by_rungs = method in RUNGS
    last_rung = max_epochs if by_rungs else getattr(method, "max_epochs", None)
    epochs = None if by_rungs else max_epochs
    aim = method.objective if isinstance(method, keras_tuner.Oracle) and method.objective is not None else objective
    setting = _setting(model, data, values=values, recipe=recipe, objective=aim, epochs=epochs)
    setting = dataclasses.replace(setting, folds=folds, repeats=repeats, max_epochs=last_rung)
    if folds > 1:
        check_folds(setting.data, folds)
    fine_tune = None if fine_tune is None else _fine_tune(fine_tune, setting)
    space = discovery.discover(setting.hypermodel)
    if method == "grid" and max_trials is None:
        _check_grid(count_cells(space))
    images, recipe = setting.data, setting.recipe
    weights = _weight_hashes(setting.hypermodel)
    heads = find_heads(setting.hypermodel, images, repeats=repeats, verbose=verbose)
    if heads is not None:
        setting = dataclasses.replace(setting, hypermodel=heads.space, data=heads.data, recipe=heads.space.recipe)
    fields = list(getattr(setting.hypermodel, "recipe_fields", ()))
    if by_rungs and "epochs" in fields:
        raise UsageError(f"{method} decides the epochs of a trial: take epochs out of values, give max_epochs")
    header = {
        "version": journal.VERSION,
        "model": discovery.model_label(model),
        "space": discovery.describe(space),
        "recipe_fields": fields,
        "named": getattr(setting.hypermodel, "named", {}),
        "method": method if isinstance(method, str) else type(method).__name__,
        "objective": setting.objective,
        "direction": setting.direction,
        "seed": seed if isinstance(method, str) else method.seed,
        "data": images.config,
        "data_sha256": content_sha256(images),
        "recipe": recipe.as_config(),
        "folds": folds,
        "repeats": repeats,
        "max_trials": max_trials,
        "max_epochs": last_rung,  # where there are rungs; else the recipe has it
        **({} if fine_tune is None else {"fine_tune": fine_tune.as_config()}),
        **weights,
    }
    oracle = _oracle(method, space, setting, max_epochs, seed)
    stacked = getattr(oracle, "asks_ahead", False) or folds * repeats > 1
    return Plan(dataclasses.replace(setting, stacked=stacked), oracle, header, images, fine_tune)


def _check_grid(cells: int) -> None:
    """Refuses a grid that nobody can have meant to search as a whole, unless they say so."""
    if cells > MOST_CELLS:
        raise UsageError(
            f"this grid has {cells:,} cells: give max_trials={cells} to train all of them, fewer to train the first, or "
            "shorter lists of values"
        )


def _fine_tune(recipe: Recipe, setting: Setting) -> Recipe:
    """The recipe of fine-tuning, checked now and not after hours of search; all of the model learns where it does not say."""
    space = setting.hypermodel
    if not isinstance(space, ModelSpace):
        raise UsageError("fine_tune is for models of the catalog; a model of your own can be fitted on by itself")
    recipe = dataclasses.replace(recipe, trainable="all") if recipe.trainable is None else recipe
    _check_draws(recipe, ())
    options, own = space.choose(keras_tuner.HyperParameters())
    check_fit(space.build_model(options, own.seed), setting.data, [own, recipe])
    return recipe


def _check_draws(recipe: Recipe, searched: Sequence[str]) -> None:
    if recipe.augment_draws is not None or "augment_draws" in searched:
        raise UsageError(
            "augment_draws is of zoo.train; a search trains heads on images as they are, or on new augmentation"
        )


def _weight_hashes(hypermodel: Any) -> dict[str, dict[str, str]]:
    """What the weight files hold that trials begin with, so that a search is not resumed on others; nothing without."""
    if not isinstance(hypermodel, ModelSpace):
        return {}
    sets = [one for labelled in hypermodel.named.values() for one in labelled.values()]
    given = [hypermodel.values or {}, *({name: [value] for name, value in one.items()} for one in sets)]

    def chosen(option: str) -> list[Any]:
        return [value for values in given for value in values.get(option, ())]

    networks, weights = [hypermodel.model_name], chosen("weights")
    if hypermodel.model_name == "transfer":
        networks, weights = chosen("backbone") or [DEFAULT_BACKBONE], weights or ["published"]
    hashes = {}
    for network in networks:
        for name in weights if network in SOURCES else ():
            wanted = next(iter(SOURCES[network])) if name == "published" else name
            file = None if wanted is None else find_weights(network, wanted)
            if file is not None:
                hashes[f"{network} {wanted}"] = file.sha256
    return {"weights_sha256": hashes} if hashes else {}


def _oracle(
    method: str | keras_tuner.Oracle,
    space: keras_tuner.HyperParameters,
    setting: Setting,
    max_epochs: int | None,
    seed: int,
) -> keras_tuner.Oracle:
    aim = keras_tuner.Objective(setting.objective, direction=setting.direction)
    if isinstance(method, str):
        return oracles.make_oracle(method, space, objective=aim, max_epochs=max_epochs, seed=seed)
    if method.trials:
        raise UsageError(
            "the oracle was asked before; give a new one, the search's folder has what became of its trials"
        )
    method.objective, method.verbose = aim, 0
    method.max_consecutive_failed_trials = sys.maxsize  # else three of them end the search
    method.update_space(space)
    return method


def _setting(
    model: Any,
    data: Any,
    *,
    values: Mapping[str, Any] | None,
    recipe: Recipe,
    objective: str | keras_tuner.Objective,
    epochs: int | None,
) -> Setting:
    """What all trials of a search share, checked; `epochs` replaces the recipe's where it is given."""
    splits = as_splits(data)
    hypermodel = discovery.as_hypermodel(model, splits, values=values, recipe=recipe)
    if isinstance(hypermodel, ModelSpace):
        if epochs is not None:
            hypermodel = hypermodel.with_epochs(epochs)
        recipe = hypermodel.recipe
    elif epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    _check_draws(recipe, getattr(hypermodel, "recipe_fields", ()))
    if not isinstance(objective, str | keras_tuner.Objective):
        raise UsageError(f"objective must be the name of a metric. Received: objective={objective!r:.80}")
    name = objective if isinstance(objective, str) else objective.name
    if isinstance(hypermodel, ModelSpace) and name not in oracles.DIRECTIONS:
        raise unknown_name("objective", name, oracles.DIRECTIONS)
    aim = oracles.resolve_objective(objective)
    if aim.name.startswith("val_") and splits.validation is None:
        raise UsageError(f"the objective {aim.name} needs validation data; load the data with validation=0.1")
    return Setting(hypermodel, splits, recipe, aim.name, aim.direction)

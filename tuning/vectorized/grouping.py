"""What is trained as one program, and how much at once: whether stacking pays, and the sizes of groups."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuning.task import epochs_of
from tuning.vectorized.updates import OPTIMIZERS
from zoo.models.mlp import layer_widths
from zoo.training.live import OPTIONS, live_numbers, structure
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from tuning.runs import Run
    from tuning.task import Setting, TrialTask
    from tuning.vectorized.program import StackedProgram

# Of the catalog; convolutions have work enough for all cores one at a time.
MODELS = ("logistic", "softmax", "mlp", "head")
MOST_PARAMETERS = 150_000  # of a member; beyond it one alone keeps the cores busy
MOST_MEMBERS = 64  # at once; more gained nothing, and a killed search would lose more
LEAST_MEMBERS = 4  # fewer are faster one by one
LEAST_EPOCHS = 40  # of all members together; with fewer the tracing of one more program is not earned back
_MEMORY_SHARE = 0.25  # of what is free
_ENOUGH = 8  # members of one order; fewer are put together with those of other orders


def stacks(setting: Setting, options: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether runs of a structure may train as members of one program: it is a small dense model, on data in memory."""
    return (
        can_stack(setting)
        and options.get("dtype", "float32") in ("float32", "float64")
        and not options.get("batch_normalization", False)
        and recipe.optimizer in OPTIMIZERS
        and recipe.validate_every_steps is None
        and recipe.trainable is None
        and recipe.class_weight is None
        and _num_weights(setting, options) <= MOST_PARAMETERS
    )


def can_stack(setting: Setting) -> bool:
    """Whether there may be structures in a search for which `stacks` holds."""
    name = getattr(setting.hypermodel, "model_name", None)
    data = setting.data
    in_memory = data.train.store is not None and (data.validation is None or data.validation.store is not None)
    return setting.stacked and name in MODELS and in_memory


def group_key(setting: Setting, task: TrialTask) -> str | None:
    """What trials that train as one program have in common: structure and first epoch; `None` for one that trains alone."""
    if not can_stack(setting):
        return None
    import keras_tuner

    hp = keras_tuner.HyperParameters.from_config(task.hyperparameters)
    try:
        options, recipe = setting.hypermodel.choose(hp)
        recipe = dataclasses.replace(recipe, epochs=setting.max_epochs or task.epochs or recipe.epochs)
        live_numbers(options, recipe)
        if not stacks(setting, options, recipe):
            return None
    except Exception:
        return None  # it will fail by itself, and say why
    live = [name for name in OPTIONS if name in options]
    return json.dumps([structure(options, recipe, live=live), task.initial_epoch], sort_keys=True, default=repr)


def keys_of_groups(setting: Setting, tasks: Sequence[TrialTask]) -> dict[int, str]:
    """Number -> `group_key` of those trials that are enough to train together; the others are faster one by one."""
    keys = {task.number: key for task in tasks if (key := group_key(setting, task)) is not None}
    runs = setting.folds * setting.repeats
    members, epochs = collections.Counter[str](), collections.Counter[str]()
    for task in tasks:
        if task.number in keys:
            members[keys[task.number]] += runs
            epochs[keys[task.number]] += runs * epochs_of(setting, task.hyperparameters["values"])
    pays = {key for key in members if members[key] >= LEAST_MEMBERS and epochs[key] >= LEAST_EPOCHS}
    return {number: key for number, key in keys.items() if key in pays}


def batches_of_runs(program: StackedProgram, recipes: Sequence[Recipe], runs: Sequence[Run]) -> list[list[int]]:
    """The places of runs that train at the same time: within the memory, with data of one size, in one order if they can.

    Runs with their own data or order cost a copy of each batch, which is less than what a small group wastes.
    """
    by_order: dict[tuple[Any, ...], list[int]] = {}
    for place, (recipe, run) in enumerate(zip(recipes, runs, strict=True)):
        by_order.setdefault((id(run.data), recipe.seed), []).append(place)
    groups = list(by_order.values())
    if max(map(len, groups)) < _ENOUGH and not recipes[0].augment:  # augmentation is drawn for one order
        by_size: dict[tuple[int, int], list[int]] = {}
        for place, run in enumerate(runs):
            size = len(run.data.train), len(run.data.validation or ())
            by_size.setdefault(size, []).append(place)
        groups = list(by_size.values())
    most = min(MOST_MEMBERS, max(1, int(_MEMORY_SHARE * _free_memory() / program.bytes_per_member)))
    return [group[first : first + most] for group in groups for first in range(0, len(group), most)]


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _num_weights(setting: Setting, options: Mapping[str, Any]) -> int:
    """Entries of the kernels of a dense model."""
    space = setting.hypermodel
    outputs = 1 if space.model_name == "logistic" else space.num_classes
    if space.model_name == "head":
        units = options.get("units", ())
        widths = list(units) if isinstance(units, Sequence) else [units]
    elif space.model_name != "mlp":
        widths = []
    elif options.get("parameter_budget") is not None:
        return int(options["parameter_budget"])
    else:
        widths = layer_widths(options.get("units", 128), options.get("num_layers"))
    sizes = [math.prod(space.input_shape), *widths, outputs]
    return sum(before * after for before, after in itertools.pairwise(sizes))

"""From what a caller calls a model to a `HyperModel`, and from that to its declared hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner

from tuning.parameters import check_steps, declare
from tuning.spaces import ModelSpace, space
from zoo.errors import UsageError
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from zoo.data.splits import DataSplits


def as_hypermodel(
    model: Any, data: DataSplits, *, values: Mapping[str, Any] | None, recipe: Recipe
) -> keras_tuner.HyperModel:
    """A `ModelSpace` for a catalog name, a `HyperModel` as it is, a build function as a `HyperModel`.

    Raises:
        UsageError: `model` is nothing of these, `values` are given for a model that declares its own, or a `ModelSpace`
            is for data of another shape.
    """
    if isinstance(model, str):
        return space(model, data.input_shape, data.num_classes, values=values, recipe=recipe)
    if values is not None:
        raise UsageError("values= goes with a model's name; a build function or HyperModel declares its own")
    if isinstance(model, ModelSpace):
        if (model.input_shape, model.num_classes) != (data.input_shape, data.num_classes):
            raise UsageError(
                f"the space is for {model.input_shape} and {model.num_classes} classes, "
                f"the data have {data.input_shape} and {data.num_classes}"
            )
        return model
    if isinstance(model, keras_tuner.HyperModel):
        return model
    if callable(model):
        from keras_tuner.src.engine import hypermodel

        return hypermodel.get_hypermodel(model)
    raise UsageError(f"model must be a name, a HyperModel or a build function. Received: {type(model).__name__}")


def model_label(model: Any) -> str:
    """The name under which a search records its model: the catalog's, or where the class or function is defined."""
    if isinstance(model, str):
        return model
    if isinstance(model, ModelSpace):
        return model.model_name
    where = model if hasattr(model, "__qualname__") else type(model)
    return f"{where.__module__}.{where.__qualname__}"


def discover(hypermodel: keras_tuner.HyperModel) -> keras_tuner.HyperParameters:
    """All hyper-parameters that a model declares, each with its default value.

    A `ModelSpace` only has to choose. Any other model is built once with its defaults, and once more for every
    conditional scope that these leave closed.

    Raises:
        UsageError: there are none, or the model cannot be built.
    """
    found = keras_tuner.HyperParameters()
    if isinstance(hypermodel, ModelSpace):
        for name, what in hypermodel.parameters.items():  # not chosen: the first of all values may be no recipe
            declare(found, name, what)
    else:
        try:
            hypermodel.declare_hyperparameters(found)
            _build_every_scope(hypermodel, found)
        except Exception as error:
            raise UsageError(f"the model cannot be built with its default values: {error}") from error
    if not found.space:
        raise UsageError("the model declares no hyper-parameters: there is nothing to search")
    for parameter in found.space:
        if isinstance(parameter, keras_tuner.engine.hyperparameters.Float) and parameter.step is not None:
            low, high, is_log = parameter.min_value, parameter.max_value, parameter.sampling != "linear"
            check_steps(parameter.name, low, high, parameter.step, is_log=is_log)
    return found


def describe(hyperparameters: keras_tuner.HyperParameters) -> dict[str, Any]:
    """Name -> type and limits; a name that is declared under several conditions is there once for each."""
    described: dict[str, Any] = {}
    for declared in hyperparameters.get_config()["space"]:
        config = dict(declared["config"])
        name = config.pop("name")
        while name in described:
            name += "'"
        described[name] = {"type": declared["class_name"], **config}
    return described


def _build_every_scope(hypermodel: keras_tuner.HyperModel, found: keras_tuner.HyperParameters) -> None:
    """Builds until every conditional scope has been open once; what is declared on the way goes to `found`."""
    seen: list[Any] = []
    pending: list[Any] = [[]]
    while pending:
        conditions = pending.pop(0)
        seen.append(conditions)
        hp = found.copy()
        hp.values = {}
        for condition in conditions:
            hp.values[condition.name] = condition.values[0]
        for parameter in hp.space:
            if hp.is_active(parameter):
                hp.values.setdefault(parameter.name, parameter.default)
        hypermodel.build(hp)
        found.merge(hp, overwrite=False)
        seen.extend(scope for scope in hp.active_scopes if scope not in seen)
        pending.extend(scope for scope in hp.inactive_scopes if scope not in seen and scope not in pending)
        pending = [scope for scope in pending if scope not in seen]

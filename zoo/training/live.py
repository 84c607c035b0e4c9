"""`LiveValues`: the numbers of a recipe and a penalty that a traced model reads at run time.

A model that another learning rate, dropout rate or penalty is tried on need not be built, compiled and traced again:
these are values, kept in variables. Everything else (widths, the optimizer's kind, the batch size) is structure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf
from keras.src.random.seed_generator import draw_seed

from zoo.models.layers import check_dropout, penalty
from zoo.training.recipe import Recipe

OPTIONS = ("dropout", "l1", "l2")  # of a builder
_PLACEHOLDERS = {"dropout": 0.5, "l1": 1e-3, "l2": 1e-3}  # not zero: the model is built with what they stand for
_MOMENTUM = ("sgd", "nesterov")  # whose momentum is a value; RMSprop's decides what is computed


class LiveValues:
    """The values of one model, set before each training.

    Args:
        options: the builder's options that are live, a choice of `OPTIONS`.
    """

    def __init__(self, options: Collection[str]) -> None:
        self._options = [name for name in OPTIONS if name in options]
        names = (*self._options, "scale", "learning_rate", "momentum", "weight_decay")
        # float64, so that rounding to the model's type is that of a Python number.
        self._values = {name: tf.Variable(0.0, dtype=tf.float64, trainable=False) for name in names}

    def set(self, options: Mapping[str, Any], recipe: Recipe) -> None:
        """Gives the model the values of a trial: options of its builder and a recipe of the same structure.

        Raises:
            UsageError: a rate or a strength out of range.
        """
        values = live_numbers(options, recipe)
        for name, variable in self._values.items():
            variable.assign(values[name])

    def read_by_model(self, model: keras.Model) -> None:
        """Lets all dropout layers and all penalties of a model read the live values; before it is traced."""
        for layer in model._flatten_layers():
            if "dropout" in self._options and type(layer) is keras.layers.Dropout:
                layer.call = self._dropout(layer)
        for variable in model.trainable_variables:
            if variable.regularizer is not None and {"l1", "l2"} & set(self._options):
                variable.regularizer = self._penalty

    def read_by_optimizer(self, optimizer: keras.Optimizer, recipe: Recipe) -> None:
        """Lets an optimizer read learning rate, momentum and weight decay; before it is traced."""
        stock, of_one = optimizer._get_current_learning_rate, recipe.schedule is not None

        def learning_rate() -> tf.Tensor:
            rate = tf.cast(self._values["learning_rate"], tf.float32)
            return rate * tf.cast(stock(), tf.float32) if of_one else rate  # a schedule is made for a rate of one

        optimizer._get_current_learning_rate = learning_rate
        if recipe.momentum and recipe.optimizer in _MOMENTUM:
            optimizer.momentum = self._values["momentum"]
        if optimizer.weight_decay is not None and recipe.weight_decay is not None:
            optimizer.weight_decay = self._values["weight_decay"]

    def _dropout(self, layer: keras.layers.Dropout) -> Any:
        """Keras's dropout (Srivastava et al., 2014) with a rate that is read when it runs; bitwise that of a float."""

        def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
            if not training:
                return inputs
            seed = tf.cast(tf.math.floormod(draw_seed(layer.seed_generator), tf.int32.max - 1), tf.int32)
            drawn = tf.random.stateless_uniform(tf.shape(inputs), seed, dtype=inputs.dtype)
            kept = drawn >= tf.cast(self._values["dropout"], inputs.dtype)
            return tf.where(kept, inputs * tf.cast(self._values["scale"], inputs.dtype), tf.zeros([], inputs.dtype))

        return call

    def _penalty(self, weights: Any) -> tf.Tensor:
        """l1·Σ|w| + l2·Σw², of which only what is live is computed."""
        weights = tf.convert_to_tensor(weights)
        total = tf.zeros([], weights.dtype)
        if "l1" in self._options:
            total += self._times("l1", tf.reduce_sum(tf.abs(weights)))
        if "l2" in self._options:
            total += self._times("l2", tf.reduce_sum(tf.square(weights)))
        return total

    def _times(self, name: str, norm: tf.Tensor) -> tf.Tensor:
        return tf.math.multiply_no_nan(norm, tf.cast(self._values[name], norm.dtype))  # none where the strength is 0


def live_numbers(options: Mapping[str, Any], recipe: Recipe) -> dict[str, float]:
    """The values of a trial: those of `OPTIONS`, learning rate, momentum and weight decay, and the scale of a dropout.

    Raises:
        UsageError: a rate or a strength out of range.
    """
    check_dropout(options.get("dropout", 0.0))
    penalty(options.get("l1", 0.0), options.get("l2", 0.0))  # raises for what is no strength
    values = {name: float(options.get(name, 0.0)) for name in OPTIONS}
    values |= {"learning_rate": float(recipe.learning_rate), "momentum": float(recipe.momentum)}
    return values | {"weight_decay": recipe.decay or 0.0, "scale": 1 / (1 - values["dropout"])}


def structure(options: Mapping[str, Any], recipe: Recipe, *, live: Collection[str]) -> dict[str, Any]:
    """What decides the graph of a trial: two trials with the same structure differ only in live values.

    A dropout rate, momentum or weight decay of zero is another structure than one above: nothing is computed for it.

    Args:
        options: of the builder.
        recipe: how to train.
        live: the names among `OPTIONS` that may differ.
    """
    kept: dict[str, Any] = {name: value for name, value in options.items() if name not in live}
    if "dropout" in live:
        kept["dropout"] = bool(options["dropout"])
    fields = (
        "optimizer",
        "schedule",
        "loss",
        "batch_size",
        "shuffle",
        "drop_remainder",
        "augment",
        "trainable",
        "class_weight",
    )
    of_recipe: dict[str, Any] = {name: getattr(recipe, name) for name in fields}
    of_recipe["momentum"] = bool(recipe.momentum) if recipe.optimizer in _MOMENTUM else recipe.momentum
    of_recipe["weight_decay"] = recipe.weight_decay is not None
    of_recipe["epochs"] = recipe.epochs if recipe.schedule is not None else None
    return {"options": kept, "recipe": of_recipe, "live": sorted(live)}


def placeholders(options: Mapping[str, Any], *, live: Collection[str]) -> dict[str, Any]:
    """The options to build a live model with: what is read at run time stands as any number but zero."""
    built = dict(options)
    for name in live:
        built[name] = _PLACEHOLDERS[name] if name != "dropout" or options[name] else 0.0
    return built


def unscaled(recipe: Recipe) -> Recipe:
    """The recipe to compile a live model by: a schedule for a learning rate of one."""
    return dataclasses.replace(recipe, learning_rate=1.0) if recipe.schedule is not None else recipe

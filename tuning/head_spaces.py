"""Heads of `transfer`, searched on features that the backbone made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import zoo.startup

import keras

import zoo
from tuning.parameters import Choices, decode
from tuning.spaces import ModelSpace
from zoo.data.splits import DataSplits
from zoo.features.cutting import split_frozen
from zoo.features.extraction import extract_features
from zoo.models import catalog, transfer
from zoo.training.compiling import set_trainable
from zoo.training.progress import computing_features
from zoo.training.recipe import Recipe

_OF_BACKBONE = ("backbone", "weights", "image_size", "dtype")  # what features depend on


class HeadSpace(ModelSpace):
    """The heads of a space of `transfer` whose backbone is one and frozen: what its trials train on features.

    Args:
        space: of `transfer`, which trains the head alone.
        input_shape: shape of one example's features.
    """

    def __init__(self, space: ModelSpace, input_shape: Sequence[int]) -> None:
        self.__dict__.update(vars(space))
        self.model_name, self.input_shape = "head", tuple(input_shape)
        self.recipe = dataclasses.replace(space.recipe, trainable=None)  # all of a head learns
        self.space = space

    def build_model(self, options: Mapping[str, Any], seed: int) -> keras.Model:
        """A head on features, with the initial weights that it has in `transfer`."""
        own = {name: value for name, value in options.items() if name not in _OF_BACKBONE or name == "dtype"}
        with catalog.seeded(seed):
            return transfer.head(self.input_shape, self.num_classes, **own)

    def finished_model(self, options: Mapping[str, Any], recipe: Recipe, weights: Sequence[Any]) -> keras.Model:
        """The compiled `transfer` model, backbone and all, with the head that a trial trained."""
        model = self.space.build_model(options, recipe.seed)
        recipe = dataclasses.replace(recipe, trainable="head")
        zoo.compile_model(model, recipe, steps_per_epoch=1)
        parts = split_frozen(model)
        assert parts is not None
        parts.learning.set_weights(weights)
        return model


@dataclasses.dataclass(frozen=True)
class Heads:
    """What a search of heads is made of.

    Attributes:
        space: the heads.
        data: features in place of images.
    """

    space: HeadSpace
    data: DataSplits


def find_heads(space: Any, data: DataSplits, *, repeats: int, verbose: bool) -> Heads | None:
    """A search of heads on features; `None` for other models, and where trials differ in what makes the features.

    Raises:
        ZooError: the backbone cannot be built.
    """
    fixed = _backbone_of(space)
    if fixed is None or (fixed.get("weights", "published") is None and (repeats > 1 or "seed" in space.recipe_fields)):
        return None  # a random backbone is another one with each seed
    model = space.build_model(fixed, space.recipe.seed)
    set_trainable(model, "head")
    parts = split_frozen(model)
    if parts is None or not _is_a_head(parts.learning):
        return None
    with computing_features(verbose) as on_features:
        features = extract_features(parts.frozen, data, on_progress=on_features)
    if features is None:
        return None
    return Heads(HeadSpace(space, features.input_shape), features)


def _is_a_head(learning: keras.Model) -> bool:
    """Whether nothing of the backbone, such as a dropout at its end, lies behind the cut."""
    own = [layer.name for layer in learning.layers if not isinstance(layer, keras.layers.InputLayer)]
    return all(name.startswith((transfer.HEAD, "predictions")) for name in own)


def _backbone_of(space: Any) -> dict[str, Any] | None:
    """The options of the one backbone that all trials of a space of heads have; `None` where it is no such space."""
    if not isinstance(space, ModelSpace) or space.model_name != "transfer":
        return None
    searched = {"trainable", "augment", "augment_draws"} & set(space.recipe_fields)
    if space.recipe.trainable != "head" or space.recipe.augment or searched:
        return None
    if any(name in values for sets in space.named.values() for values in sets.values() for name in _OF_BACKBONE):
        return None
    fixed = {}
    for name in _OF_BACKBONE:
        what = space.parameters.get(name)
        if what is not None and (not isinstance(what, Choices) or len(what.values) != 1):
            return None
        if isinstance(what, Choices):
            fixed[name] = decode(what.values[0])
    return fixed

"""Models that are kept from trial to trial: one for each structure, traced once."""

from __future__ import annotations

import collections
import dataclasses
import gc
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import zoo.startup

import numpy as np

import zoo
from zoo.training.live import OPTIONS, LiveValues, placeholders, structure
from zoo.training.program import Program, runs_in_graph
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from tuning.spaces import ModelSpace
    from zoo.data.splits import DataSplits

_MOST = 16  # structures that are kept; the one not used for longest goes
_MOST_WEIGHTS = 32  # initial weights that are kept for each, by seed


@dataclasses.dataclass
class _Kept:
    program: Program
    live: list[str]
    weights: collections.OrderedDict[int, list[np.ndarray]]


class Programs:
    """The programs of a space by structure.

    Attributes:
        signatures: structures that were met.
        traces: how often a gradient step was traced, over all programs.
    """

    def __init__(self, space: ModelSpace) -> None:
        self._space = space
        self._kept: collections.OrderedDict[str, _Kept] = collections.OrderedDict()
        self._seen: set[str] = set()
        self._earlier_traces = 0

    @property
    def signatures(self) -> int:  # noqa: D102
        return len(self._seen)

    @property
    def traces(self) -> int:  # noqa: D102
        return self._earlier_traces + sum(kept.program.traces for kept in self._kept.values())

    def ready(self, options: dict[str, Any], recipe: Recipe, data: DataSplits) -> Program:
        """A program for options and a recipe, its model with the initial weights that the recipe's seed decides."""
        live = [name for name in OPTIONS if name in options]
        signature = json.dumps(structure(options, recipe, live=live), sort_keys=True, default=_plain)
        kept = self._kept.get(signature)
        if kept is None:
            self._make_room()
            kept = self._kept[signature] = self._make(options, recipe, data, live)
            self._seen.add(signature)
        self._kept.move_to_end(signature)
        kept.program.reset(self._weights(kept, options, recipe.seed), options, recipe)
        return kept.program

    def close(self) -> None:
        """Lets all models go."""
        while self._kept:
            self._let_go()

    def _make(self, options: dict[str, Any], recipe: Recipe, data: DataSplits, live: list[str]) -> _Kept:
        model = self._build(placeholders(options, live=live), recipe.seed)
        assert runs_in_graph(model, data.train)
        weights = collections.OrderedDict({recipe.seed: model.get_weights()})
        return _Kept(Program(model, data, recipe, live=LiveValues(live)), live, weights)

    def _weights(self, kept: _Kept, options: dict[str, Any], seed: int) -> Sequence[np.ndarray]:
        if seed not in kept.weights:
            kept.weights[seed] = self._build(placeholders(options, live=kept.live), seed).get_weights()
            if len(kept.weights) > _MOST_WEIGHTS:
                kept.weights.popitem(last=False)
        kept.weights.move_to_end(seed)
        return kept.weights[seed]

    def _build(self, options: dict[str, Any], seed: int) -> Any:
        space = self._space
        return zoo.build(space.model_name, space.input_shape, space.num_classes, seed=seed, **options)

    def _make_room(self) -> None:
        if len(self._kept) >= _MOST:
            self._let_go()
            gc.collect()  # models are full of cycles

    def _let_go(self) -> None:
        _, kept = self._kept.popitem(last=False)
        self._earlier_traces += kept.program.traces
        kept.program.close()


def _plain(value: Any) -> Any:
    return repr(value)

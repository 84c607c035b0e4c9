"""Models that are kept from trial to trial: one for each structure, traced once."""

from __future__ import annotations

import collections
import dataclasses
import gc
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tuning.vectorized.program import StackedProgram
from zoo.data.splits import DataSplits
from zoo.training.live import OPTIONS, LiveValues, placeholders, structure
from zoo.training.program import Program, runs_in_graph
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from tuning.spaces import ModelSpace

_MOST = 16  # structures that are kept; the one not used for longest goes
_MOST_WEIGHTS = 64  # initial weights that are kept for each, by seed
_MOST_BYTES = 2**25  # of them together


_Make = Callable[[keras.Model, DataSplits, Recipe, list[str]], Program | StackedProgram]


@dataclasses.dataclass
class _Kept:
    program: Program | StackedProgram
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
        kept = self._structure(options, recipe, data, self._program)
        assert isinstance(kept.program, Program)
        kept.program.reset(self._weights(kept, options, recipe.seed), options, recipe)
        return kept.program

    def stacked(
        self, options: dict[str, Any], recipe: Recipe, data: DataSplits
    ) -> tuple[StackedProgram, Callable[[int], Sequence[np.ndarray]]]:
        """The program of all members of a structure, and the initial weights that a seed decides."""
        kept = self._structure(options, recipe, data, self._stacked_program)
        assert isinstance(kept.program, StackedProgram)
        return kept.program, lambda seed: self._weights(kept, options, seed)

    def close(self) -> None:
        """Lets all models go."""
        while self._kept:
            self._let_go()

    def _structure(self, options: dict[str, Any], recipe: Recipe, data: DataSplits, make: _Make) -> _Kept:
        """What is kept of a structure, made by `make` where it is new."""
        live = [name for name in OPTIONS if name in options]
        decides = structure(options, recipe, live=live)
        signature = json.dumps([make.__name__, decides], sort_keys=True, default=_plain)
        if signature not in self._kept:
            self._make_room()
            model = self._build(placeholders(options, live=live), recipe.seed)
            weights = collections.OrderedDict({recipe.seed: model.get_weights()})
            self._kept[signature] = _Kept(make(model, data, recipe, live), live, weights)
            self._seen.add(signature)
        self._kept.move_to_end(signature)
        return self._kept[signature]

    @staticmethod
    def _program(model: keras.Model, data: DataSplits, recipe: Recipe, live: list[str]) -> Program:
        assert runs_in_graph(model, data.train)
        return Program(model, data, recipe, live=LiveValues(live))

    @staticmethod
    def _stacked_program(model: keras.Model, data: DataSplits, recipe: Recipe, live: list[str]) -> StackedProgram:
        return StackedProgram(model, data, recipe, strengths=[name for name in ("l1", "l2") if name in live])

    def _weights(self, kept: _Kept, options: dict[str, Any], seed: int) -> Sequence[np.ndarray]:
        if seed not in kept.weights:
            kept.weights[seed] = self._build(placeholders(options, live=kept.live), seed).get_weights()
            size = sum(array.nbytes for array in kept.weights[seed])
            if len(kept.weights) > max(1, min(_MOST_WEIGHTS, _MOST_BYTES // max(1, size))):
                kept.weights.popitem(last=False)
        kept.weights.move_to_end(seed)
        return kept.weights[seed]

    def _build(self, options: dict[str, Any], seed: int) -> Any:
        return self._space.build_model(options, seed)

    def _make_room(self) -> None:
        if len(self._kept) >= _MOST:
            self._let_go()
            gc.collect()  # models are full of cycles

    def _let_go(self) -> None:
        _, kept = self._kept.popitem(last=False)
        self._earlier_traces += kept.program.traces
        if isinstance(kept.program, Program):
            kept.program.close()


def _plain(value: Any) -> Any:
    return repr(value)

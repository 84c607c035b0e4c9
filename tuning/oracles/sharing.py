"""A search space whose copies cost next to nothing."""

from __future__ import annotations

import collections
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner


class SharedSpace(keras_tuner.HyperParameters):
    """A space whose copies share its parameters, until one of them declares another.

    Keras Tuner makes all parameters anew for each trial, which takes most of the time in which a trial is asked for, and ten
    thousand times the memory.
    """

    _hps: dict[str, list[Any]]
    _space: list[Any]

    @classmethod
    def of(cls, hyperparameters: keras_tuner.HyperParameters) -> SharedSpace:
        """A space with the same parameters, and values of its own."""
        twin = cls()
        twin._hps, twin._space = hyperparameters._hps, hyperparameters._space
        twin.values = dict(hyperparameters.values)
        return twin

    def copy(self) -> SharedSpace:
        """A copy with values of its own."""
        return SharedSpace.of(self)

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        # Keras Tuner calls this for a parameter that is new; the others keep the space as it was.
        self._hps = collections.defaultdict(list, {name: list(entries) for name, entries in self._hps.items()})
        self._space = list(self._space)
        return super()._register(hyperparameter, overwrite)

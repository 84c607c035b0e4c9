"""What our oracles share: a seed that counts, cells that are known, failures that rank last."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping
from typing import Any, TypedDict

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner
import numpy as np

from tuning.oracles.cells import Key, cell_key, gene_of, is_active, is_finite, iterate_cells, value_at
from tuning.oracles.sharing import SharedSpace
from zoo.errors import UsageError

_DRAWS = 100  # random cells that may be known before the unknown ones are listed, or given up
_LISTED = 100_000  # cells among which an untried one is chosen fairly; beyond, random draws hardly ever collide
_ENDED = ("COMPLETED", "FAILED")


class OracleOptions(TypedDict, total=False):
    """The options of `CellOracle`, as its subclasses pass them on."""

    max_trials: int | None
    hyperparameters: keras_tuner.HyperParameters | None
    allow_new_entries: bool
    tune_new_entries: bool
    seed: int
    max_retries_per_trial: int
    max_consecutive_failed_trials: int


class CellOracle(keras_tuner.Oracle):
    """An oracle whose trials are a function of its seed and of the scores, in `tuning.search` and in stock tuners.

    It differs from Keras Tuner's base in that zero is a seed, an infinite score is a failure, and failures never end a
    search unless told so.

    Args:
        objective: as for every `keras_tuner.Oracle`.
        max_trials: trials at most; `None` is no limit.
        hyperparameters: the space; a stock tuner finds it by itself.
        allow_new_entries: whether a model may declare parameters that are not in `hyperparameters`.
        tune_new_entries: whether those are searched; else they keep their default.
        seed: 0 or more.
        max_retries_per_trial: how often a trial that broke is run again.
        max_consecutive_failed_trials: failures in a row that end a search; by default never.

    Attributes:
        asks_ahead: whether trials that run at the same time are those that would have been asked for one by one, so that
            many of them may train as one program.
    """

    asks_ahead = False
    hyperparameters: keras_tuner.HyperParameters

    def __init__(
        self,
        objective: Any = None,
        *,
        max_trials: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int = 0,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = sys.maxsize,
    ) -> None:
        if seed < 0:
            raise UsageError(f"seed must not be negative. Received: {seed}")
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = seed  # Keras Tuner has replaced a zero
        self.hyperparameters = SharedSpace.of(self.hyperparameters)
        self._known: dict[Key, str] = {}
        self._key_of: dict[str, Key] = {}
        self._indexed = -1  # size of the space for which these two were made
        self._left: dict[Key, dict[str, Any]] | None = None  # cells that were untried when they were listed

    def score_trial(self, trial: Any) -> None:
        """Scores a completed trial; an infinite score becomes NaN, which Keras Tuner takes for a failure."""
        told = trial.metrics.get_history(self.objective.name)
        if len(told) == 1 and len(told[0].value) == 1:  # as in our loop; Keras Tuner takes a third of a millisecond
            trial.score, trial.best_step = told[0].value[0], told[0].step
        else:
            super().score_trial(trial)
        if not math.isfinite(trial.score):
            trial.score = math.nan

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state; what is known about cells is read from the trials again."""
        super().set_state(state)
        self.hyperparameters = SharedSpace.of(self.hyperparameters)
        self._indexed = -1

    def generator(self, *stream: int) -> np.random.Generator:
        """Random numbers that depend on the seed and on `stream` alone."""
        return np.random.default_rng([self.seed, *stream])

    def loss(self, trial_id: str) -> float:
        """A trial's score, the smaller the better; infinite for one that failed or has not ended."""
        trial = self.trials[trial_id]
        if trial.status != "COMPLETED":
            return math.inf
        score: float = trial.score
        return -score if self.objective.direction == "max" else score

    def has_ended(self, trial_id: str) -> bool:
        """Whether a trial has ended for good; one that waits to be run again has not."""
        return self.trials[trial_id].status in _ENDED

    def known_trial(self, values: Mapping[str, Any]) -> str | None:
        """The first trial of this cell, ended or not."""
        self._index()
        return self._known.get(cell_key(values))

    def express(self, genes: Mapping[str, float]) -> dict[str, Any]:
        """The values that places in [0, 1) stand for; where a place is missing, the default. Inactive ones are left out."""
        values: dict[str, Any] = {}
        for parameter in self.hyperparameters.space:
            if parameter.name not in values and is_active(parameter, values):
                gene = genes.get(parameter.name)
                values[parameter.name] = parameter.default if gene is None else value_at(parameter, gene)
        return values

    def names(self) -> list[str]:
        """The names of the parameters, each once, as declared."""
        return list(dict.fromkeys(parameter.name for parameter in self.hyperparameters.space))

    def untried_values(self, rng: np.random.Generator, taken: frozenset[Key] = frozenset()) -> dict[str, Any] | None:
        """A random cell that no trial has; `None` when there is none.

        Args:
            rng: where chance comes from.
            taken: further cells that do not count as untried.
        """
        for _ in range(_DRAWS):
            values = self.express({name: rng.random() for name in self.names()})
            if self.known_trial(values) is None and cell_key(values) not in taken:
                return values
        if not is_finite(self.hyperparameters):
            return None  # what is continuous lies in a scope that is never open
        some = self._untried_cells(taken)
        return dict(some[rng.integers(len(some))]) if some else None

    def untried_genes(self, rng: np.random.Generator, taken: frozenset[Key] = frozenset()) -> dict[str, float] | None:
        """Places in [0, 1) that stand for a random cell that no trial has; inactive parameters get a random one.

        Args:
            rng: where chance comes from.
            taken: further cells that do not count as untried.
        """
        values = self.untried_values(rng, taken)
        if values is None:
            return None
        genes = {name: float(rng.random()) for name in self.names()}
        for parameter in self.hyperparameters.space:
            if is_active(parameter, values):
                genes[parameter.name] = gene_of(parameter, values[parameter.name])
        return genes

    def _untried_cells(self, taken: frozenset[Key]) -> list[dict[str, Any]]:
        """The cells of a finite space that no trial has, in their order, `_LISTED` at most."""
        left = self._left
        if left is None:
            most = _LISTED + len(taken)
            keyed = ((cell_key(values), values) for values in iterate_cells(self.hyperparameters))
            left = dict(itertools.islice((cell for cell in keyed if cell[0] not in self._known), most))
            is_whole = len(left) < most
        else:
            left, is_whole = {key: values for key, values in left.items() if key not in self._known}, True
        self._left = left if is_whole else None  # what is left of a nearly exhausted space is asked for every time
        return [values for key, values in left.items() if key not in taken][:_LISTED]

    def stopped_or_idle(self) -> dict[str, Any]:
        """What `populate_space` returns when there is nothing to try: it may be that the running trials change that."""
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}

    def _check_consecutive_failures(self) -> None:
        # Keras Tuner counts all trials from the first one, whenever one ends; here the last ones tell.
        limit = self.max_consecutive_failed_trials
        if len(self.end_order) >= limit and all(self.trials[i].status == "FAILED" for i in self.end_order[-limit:]):
            super()._check_consecutive_failures()  # raises its error

    def _record_values(self, trial: Any) -> None:
        # Keras Tuner calls this when a trial starts and when it ends, perhaps with parameters that were new to it.
        if any(
            parameter.conditions or parameter.name not in trial.hyperparameters.values
            for parameter in trial.hyperparameters.space
        ):
            trial.hyperparameters.ensure_active_values()
        self._index()
        self._remember(trial)

    def _index(self) -> None:
        """Makes the index of cells anew when the space has grown: trials from before have the defaults there."""
        if len(self.hyperparameters.space) == self._indexed:
            return
        self._indexed = len(self.hyperparameters.space)
        self._known, self._key_of, self._left = {}, {}, None
        for trial_id in self.start_order:
            self._remember(self.trials[trial_id])

    def _remember(self, trial: Any) -> None:
        given = trial.hyperparameters.values
        values: dict[str, Any] = {}
        for parameter in self.hyperparameters.space:
            if parameter.name not in values and is_active(parameter, values):
                values[parameter.name] = given.get(parameter.name, parameter.default)
        key = cell_key(values)
        old = self._key_of.get(trial.trial_id)
        if old is not None and old != key and self._known.get(old) == trial.trial_id:
            del self._known[old]
            self._left = None  # one more than before
        self._known.setdefault(key, trial.trial_id)
        self._key_of[trial.trial_id] = key

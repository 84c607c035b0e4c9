"""What to try next: `keras_tuner.Oracle` objects, for `tuning.search` and for stock tuners.

Importing this package loads no TensorFlow: `METHODS` imports an algorithm when it is asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tuning.oracles.cells import check_cells
from zoo.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import keras_tuner

    from tuning.oracles.base import OracleOptions

DIRECTIONS = {
    "accuracy": "max",
    "loss": "min",
    "data_loss": "min",
    "val_accuracy": "max",
    "val_loss": "min",
    "val_data_loss": "min",
}


@dataclasses.dataclass(frozen=True)
class _Options:
    """What a method is made from."""

    objective: keras_tuner.Objective
    common: OracleOptions
    max_epochs: int | None
    repeated: bool

    def epochs(self, method: str) -> int:
        if self.max_epochs is None:
            raise UsageError(f"{method} needs max_epochs, the epochs of a trial that reaches the last rung")
        return self.max_epochs


def make_oracle(
    method: str,
    hyperparameters: keras_tuner.HyperParameters,
    *,
    objective: str | keras_tuner.Objective,
    max_trials: int | None = None,
    max_epochs: int | None = None,
    seed: int = 0,
    repeated: bool = False,
) -> keras_tuner.Oracle:
    """An oracle that never gives up on failures and takes every seed seriously.

    Args:
        method: a name of `METHODS`: "grid", "random", "halving", "hyperband", "bayesian" (TPE), "gp", "genetic" or "swarm".
        hyperparameters: the space, declared.
        objective: name of a metric, with the direction that `resolve_objective` finds.
        max_trials: trials at most; `None` is no limit. A finite space always ends when every cell was tried.
        max_epochs: epochs of a trial that reaches the last rung; halving and Hyperband only.
        seed: 0 or more. Zero is a seed like any other (Keras Tuner alone takes it for none).
        repeated: whether halving and Hyperband start again, with new cells, when they are through.

    Raises:
        UsageError: an unknown method, a grid over a continuous range, a negative seed, no `max_epochs` where it is needed.
        ZooError: the method needs a package that is not installed.
    """
    check_method(method)
    aim = resolve_objective(objective)
    common: OracleOptions = {"hyperparameters": hyperparameters, "max_trials": max_trials, "seed": seed}
    return METHODS[method](_Options(aim, common, max_epochs, repeated))


@contextlib.contextmanager
def opened(oracle: keras_tuner.Oracle) -> Iterator[keras_tuner.Oracle]:
    """Keeps an oracle, also a stock one, from writing files and from printing: its owner records and reports."""
    import zoo.startup  # noqa: F401  (before Keras)

    # isort: split
    from keras_tuner.src.engine import oracle as engine

    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None
    try:
        yield oracle
    finally:
        del oracle.save, oracle._save_trial
        engine.LOCKS.pop(oracle, None)  # these tables would keep every oracle alive
        engine.THREADS.pop(oracle, None)


def check_method(method: str) -> None:
    """Raises a UsageError for a method that is not in `METHODS`."""
    if not isinstance(method, str) or method not in METHODS:
        raise unknown_name("method", method, METHODS)


def resolve_objective(objective: str | keras_tuner.Objective) -> keras_tuner.Objective:
    """The objective with its direction, "min" or "max".

    Raises:
        UsageError: nothing says whether more or less of it is better.
    """
    import zoo.startup  # noqa: F401  (before Keras)

    # isort: split
    import keras_tuner
    from keras_tuner.src.engine import metrics_tracking

    if isinstance(objective, keras_tuner.Objective):
        return objective
    direction = DIRECTIONS.get(objective) or metrics_tracking.infer_metric_direction(objective)
    if direction is None:
        raise UsageError(
            f"is more of {objective!r} better? Say so by keras_tuner.Objective({objective!r}, direction='max' or 'min')"
        )
    return keras_tuner.Objective(objective, direction=direction)


def _grid(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.grid import GridOracle

    check_cells(options.common["hyperparameters"])
    return GridOracle(options.objective, **options.common)


def _random(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.random import RandomOracle

    return RandomOracle(options.objective, **options.common)


def _halving(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.halving import SuccessiveHalvingOracle

    max_epochs, iterations = options.epochs("halving"), None if options.repeated else 1
    return SuccessiveHalvingOracle(options.objective, max_epochs=max_epochs, iterations=iterations, **options.common)


def _hyperband(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.hyperband import HyperbandOracle

    max_epochs, iterations = options.epochs("hyperband"), None if options.repeated else 1
    return HyperbandOracle(options.objective, max_epochs=max_epochs, iterations=iterations, **options.common)


def _bayesian(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.bayesian import BayesianOracle

    return BayesianOracle(options.objective, sampler="tpe", **options.common)


def _gp(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.bayesian import BayesianOracle

    return BayesianOracle(options.objective, sampler="gp", **options.common)


def _genetic(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.genetic import GeneticOracle

    return GeneticOracle(options.objective, **options.common)


def _swarm(options: _Options) -> keras_tuner.Oracle:
    from tuning.oracles.swarm import SwarmOracle

    return SwarmOracle(options.objective, **options.common)


METHODS: dict[str, Callable[[_Options], Any]] = {
    "bayesian": _bayesian,
    "genetic": _genetic,
    "gp": _gp,
    "grid": _grid,
    "halving": _halving,
    "hyperband": _hyperband,
    "random": _random,
    "swarm": _swarm,
}

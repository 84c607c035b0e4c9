"""What to try next: Keras Tuner's oracles, opened so that a search of ours can rely on them.

Keras Tuner's own persistence is not used: `opened` gives an oracle a private folder that goes with it.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tuning.oracles.cells import check_cells
from zoo.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import keras_tuner

DIRECTIONS = {
    "accuracy": "max",
    "loss": "min",
    "data_loss": "min",
    "val_accuracy": "max",
    "val_loss": "min",
    "val_data_loss": "min",
}
_NEVER = sys.maxsize  # failed trials in a row that would end a search
_SEED_STRIDE = 1_000_003  # Keras Tuner counts its seed up by one a sampled value: neighbours must not overlap


def make_oracle(
    method: str,
    hyperparameters: keras_tuner.HyperParameters,
    *,
    objective: str | keras_tuner.Objective,
    max_trials: int | None = None,
    max_epochs: int | None = None,
    seed: int = 0,
) -> keras_tuner.Oracle:
    """An oracle of Keras Tuner that never prints, never gives up on failures and takes every seed seriously.

    Args:
        method: "grid", "random" or "hyperband".
        hyperparameters: the space, declared.
        objective: name of a metric, with the direction that `resolve_objective` finds.
        max_trials: trials at most; `None` is no limit.
        max_epochs: epochs of a trial that reaches the last rung; Hyperband only.
        seed: 0 or more. Zero is a seed like any other (Keras Tuner alone takes it for none).

    Raises:
        UsageError: an unknown method, a grid over a continuous range, a negative seed.
    """
    check_method(method)
    if seed < 0:
        raise UsageError(f"seed must not be negative. Received: {seed}")
    common = {
        "objective": resolve_objective(objective),
        "hyperparameters": hyperparameters,
        "seed": seed * _SEED_STRIDE + 1,
        "max_consecutive_failed_trials": _NEVER,
    }
    oracle = METHODS[method](common, max_epochs)
    oracle.max_trials = max_trials
    oracle.verbose = 0
    return oracle


@contextlib.contextmanager
def opened(oracle: keras_tuner.Oracle) -> Iterator[keras_tuner.Oracle]:
    """Gives an oracle a private folder for its files, and removes both afterwards."""
    from keras_tuner.src.engine import oracle as engine

    with tempfile.TemporaryDirectory(prefix="tuning-oracle-") as directory:
        oracle._set_project_dir(directory, "oracle")
        try:
            yield oracle
        finally:
            engine.LOCKS.pop(oracle, None)  # these tables would keep every oracle alive
            engine.THREADS.pop(oracle, None)


def check_method(method: str) -> None:
    """Raises a UsageError for a method that is not in `METHODS`."""
    if method not in METHODS:
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


def _grid(common: dict[str, Any], max_epochs: int | None) -> keras_tuner.Oracle:
    from keras_tuner import oracles

    check_cells(common["hyperparameters"])
    return oracles.GridSearchOracle(**common)


def _random(common: dict[str, Any], max_epochs: int | None) -> keras_tuner.Oracle:
    from keras_tuner import oracles

    return oracles.RandomSearchOracle(**common)


def _hyperband(common: dict[str, Any], max_epochs: int | None) -> keras_tuner.Oracle:
    from keras_tuner import oracles

    if max_epochs is None:
        raise UsageError("hyperband needs max_epochs, the epochs of a trial that reaches the last rung")
    return oracles.HyperbandOracle(max_epochs=max_epochs, **common)


METHODS: dict[str, Callable[[dict[str, Any], int | None], Any]] = {
    "grid": _grid,
    "hyperband": _hyperband,
    "random": _random,
}

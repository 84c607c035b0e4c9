"""Which hyper-parameters mattered: the permutation importance of a random forest on the trials of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tuning.dimensions import completed_trials, dimensions, positions
from zoo.errors import ZooError

if TYPE_CHECKING:
    from tuning.results import SearchResult

MIN_TRIALS = 8
_TREES, _REPEATS, _SEED = 300, 30, 0
_MOST = 1000  # trials that are learned from
_INACTIVE = -1.0  # below every position, so that one split of a tree tells active from inactive


def permutation_importance(result: SearchResult) -> pd.DataFrame:
    """How much worse a random forest tells the order of the trials once one hyper-parameter is shuffled among them.

    Scores are replaced by their ranks, so that a diverged trial weighs no more than a bad one. A forest (scikit-learn's
    RandomForestRegressor, 300 trees, always the same seed) learns them from the values: ranges by their position, on a
    log scale where the space has one, names as one column each, inactive values as a value of their own. A trial is only
    ever predicted by the trees that did not learn from it (out of bag). The importance of a hyper-parameter is what R²
    loses when its values are shuffled, the mean and the standard deviation of 30 shuffles (Breiman, 2001, Random
    Forests, section 10). Where trials are promoted, each set of values counts once, by its first trial, ranked among
    those that were given the same epochs: the survivors of a rung are a selection and would be compared unfairly.
    Of more than 1,000 trials 1,000 are taken, evenly by number.

    What it is: a summary of these trials, good for seeing which hyper-parameters to look at first. What it is not: the
    effect of a hyper-parameter elsewhere, a test of significance, or the sign of an effect. It depends on the ranges that
    were searched (one that is wide enough to break the training matters most), it shares the effect of two that an
    oracle moved together in an arbitrary way, it shuffles a conditional one apart from what it depends on, and it says
    nothing when the forest explains nothing: look at `r2` first.

    Returns:
        One row a hyper-parameter, the greatest first: parameter, importance, spread. `frame.attrs["r2"]` is the share of
        the variance of the ranks that the forest explains out of bag, 1 at best, 0 or below where it explains nothing.

    Raises:
        ZooError: there are fewer than 8 different trials that completed, or nothing differs among them.
    """
    from sklearn.ensemble import RandomForestRegressor

    records = [record for record in completed_trials(result) if not _is_promoted(record)]
    if len(records) < MIN_TRIALS:
        raise ZooError(
            f"importance needs at least {MIN_TRIALS} completed trials, promoted ones counted once. Received: {len(records)}"
        )
    records = [records[i] for i in np.unique(np.linspace(0, len(records) - 1, _MOST).astype(int))]
    groups = _encoded(result, records)
    ranks = _ranks(records)
    if not groups or np.ptp(ranks) == 0:
        raise ZooError("importance needs trials that differ: all have the same values, or the same score")
    columns = np.concatenate(list(groups.values()), axis=1).astype(np.float32)
    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=_SEED).fit(columns, ranks)
    r2 = _out_of_bag_r2(forest, columns[None], ranks)[0]
    rng = np.random.default_rng(_SEED)
    rows, first = [], 0
    for name, group in groups.items():
        shuffled = np.repeat(columns[None], _REPEATS, axis=0)
        for copy in shuffled:
            copy[:, first : first + group.shape[1]] = group[rng.permutation(len(group))]
        losses = r2 - _out_of_bag_r2(forest, shuffled, ranks)
        rows.append({"parameter": name, "importance": losses.mean(), "spread": losses.std(ddof=1)})
        first += group.shape[1]
    table = pd.DataFrame(rows).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    table.attrs["r2"] = float(r2)
    return table


def _is_promoted(record: dict[str, Any]) -> bool:
    """Whether a trial has the values of an earlier one: the same values twice would tell the forest the answer."""
    return record["parent"] is not None


def _ranks(records: list[dict[str, Any]]) -> np.ndarray:
    """Each score's rank, from 0 to 1, among the trials that were given the same epochs."""
    scores = pd.Series([record["score"] for record in records])
    epochs = pd.Series([record["values"].get("tuner/epochs", 0) for record in records])
    groups = scores.groupby(epochs)
    return ((groups.rank() - 0.5) / groups.transform("size")).to_numpy()


def _encoded(result: SearchResult, records: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Name -> its columns, (trials, 1), or (trials, choices) where there is no order."""
    groups = {}
    for dimension in dimensions(result):
        at = positions(dimension, records)
        if dimension.is_ordered:
            group = np.where(np.isnan(at), _INACTIVE, at)[:, None]
        else:
            index = np.where(np.isnan(at), -1, np.floor(np.nan_to_num(at) * len(dimension.choices)))
            group = (index[:, None] == np.arange(len(dimension.choices))).astype(float)
        if (group != group[0]).any():
            groups[dimension.name] = group
    return groups


def _out_of_bag_r2(forest: Any, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """R² of each of (copies, trials, columns), every trial predicted by the trees that did not learn from it."""
    copies, trials, _ = inputs.shape
    total, count = np.zeros((copies, trials)), np.zeros(trials)
    for tree, learned in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        left_out = np.setdiff1d(np.arange(trials), learned)
        if len(left_out):
            predicted = tree.predict(inputs[:, left_out].reshape(copies * len(left_out), -1))
            total[:, left_out] += predicted.reshape(copies, -1)
            count[left_out] += 1
    known = count > 0
    errors = total[:, known] / count[known] - targets[known]
    r2: np.ndarray = 1 - (errors**2).mean(axis=1) / targets[known].var()
    return r2

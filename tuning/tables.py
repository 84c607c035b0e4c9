"""The tables of a search, by trial, by run and by epoch: rows from the records of its journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tuning.parameters import decode

_TUNER = "tuner/"  # how Keras Tuner's own entries among the values begin (rung, bracket, parent of a promotion)
_TRIAL_COLUMNS = ("trial", "status", "score", "score_std", "fine_tuned", "epochs", "seconds", "attempts")
_RUN_COLUMNS = ("trial", "fold", "repeat", "seed", "score", "fine_tuned", "epochs", "seconds")
_EPOCH_COLUMNS = ("trial", "fold", "repeat", "bracket", "rung", "epoch")


def trials_table(records: list[dict[str, Any]], fine_tuned: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """One row a trial, see `SearchResult.table`."""
    reserved = {*_TRIAL_COLUMNS, "reason"}
    metrics = [_renamed(record["metrics"], reserved, "metric/") for record in records]
    shown = list(dict.fromkeys(name for row in metrics for name in row))
    values = [_renamed(record["values"], {*reserved, *shown}, "value/") for record in records]
    names = sorted(dict.fromkeys(name for row in values for name in row), key=lambda name: name.startswith(_TUNER))
    rows = []
    for record, chosen, measured in zip(records, values, metrics, strict=True):
        first = {name: record.get(name) for name in _TRIAL_COLUMNS}
        first |= {"trial": record["number"] + 1, "score_std": _std(record)}
        first["fine_tuned"] = fine_tuned.get(record["number"], {}).get("score")
        decoded = {name: decode(value) for name, value in chosen.items()}
        rows.append({**first, **decoded, **measured, "reason": record["reason"]})
    table = pd.DataFrame(rows, columns=[*_TRIAL_COLUMNS, *names, *shown, "reason"])
    table = table.astype({"score": float, "fine_tuned": float})
    several = any(len(record["runs"]) > 1 for record in records)
    unused = {"fine_tuned": not fine_tuned, "score_std": not several, "attempts": not (table["attempts"] > 1).any()}
    return table.drop(columns=[name for name, absent in unused.items() if absent])


def runs_table(records: list[dict[str, Any]], fine_tuned: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """One row a trial, fold and repeat, see `SearchResult.runs`."""
    rows, names = [], {}
    for record in records:
        tuned = fine_tuned.get(record["number"], {"runs": ()})["runs"]
        scores = {(run["fold"], run["repeat"]): run["score"] for run in tuned}
        for run in record["runs"]:
            metrics = _renamed(run["metrics"], _RUN_COLUMNS, "metric/")
            names.update(metrics)
            first = {name: run.get(name) for name in _RUN_COLUMNS}
            first["fine_tuned"] = scores.get((run["fold"], run["repeat"]))
            rows.append({**first, "trial": record["number"] + 1, **metrics})
    table = pd.DataFrame(rows, columns=[*_RUN_COLUMNS, *names]).astype({"fine_tuned": float})
    return table if fine_tuned else table.drop(columns="fine_tuned")


def epochs_table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a trial, run and epoch, see `SearchResult.epochs`."""
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for record in records:
        stage = {"bracket": record["values"].get("tuner/bracket"), "rung": record["values"].get("tuner/round")}
        for run in record["runs"]:
            curve = {"epoch": [], **run["curve"]}
            measures = _renamed(curve, set(_EPOCH_COLUMNS) - {"epoch"}, "metric/")
            names.update(dict.fromkeys(measures))
            first = {"trial": record["number"] + 1, "fold": run["fold"], "repeat": run["repeat"], **stage}
            for i in range(max(map(len, measures.values()))):
                rows.append({**first, **{name: values[i] for name, values in measures.items() if i < len(values)}})
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*_EPOCH_COLUMNS, *names])))
    return table.drop(columns=[name for name in ("bracket", "rung") if table[name].isna().all()])


def _std(record: Mapping[str, Any]) -> float:
    """Standard deviation of the scores of a trial's runs; NaN for a single one."""
    scores = [run["score"] for run in record["runs"]]
    if len(scores) < 2:
        return math.nan  # without pandas, which takes longer for one trial than all the rest of its row
    return float(pd.Series(scores, dtype=float).std())


def _renamed(members: Mapping[str, Any], taken: Iterable[str], prefix: str) -> dict[str, Any]:
    """The members, those whose names are taken under a prefix."""
    taken = set(taken)
    return {prefix + name if name in taken else name: member for name, member in members.items()}

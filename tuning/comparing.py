"""The trials of a search, or the values of a hyper-parameter, compared over the runs that scored them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuning.dimensions import completed_trials, dimensions
from tuning.parameters import decode
from zoo.errors import UsageError, unknown_name
from zoo.evaluation.comparison import Comparison, compare
from zoo.reporting.formatting import format_value

if TYPE_CHECKING:
    from tuning.results import SearchResult

FINE_TUNE = "fine_tune"  # what `by` calls the stages of a search
_MAX_LABEL = 60  # characters


def compare_trials(result: SearchResult, by: str | Sequence[str] | None = None) -> Comparison:
    """See `SearchResult.compare`."""
    if result.num_models < 2:
        raise UsageError(
            "one run a trial does not tell trials apart; search with repeats= or folds= of 2 or more. "
            "Received: folds=1, repeats=1"
        )
    scores, folds = _unit_scores(result), int(result.header["folds"])
    notes: list[str] = []
    if by == FINE_TUNE:
        scores = _by_stage(result, scores)
    elif by is None:
        scores["group"] = scores["trial"].map(_trial_labels(result))
    else:
        scores, notes = _by_values(result, scores, [by] if isinstance(by, str) else list(by))
    found = compare(scores, groups="group", units="unit", direction=result.direction, folds=folds)
    if by == FINE_TUNE:
        notes = [_what_it_adds(found)]
    return dataclasses.replace(found, score=result.objective, notes=(*notes, *found.notes))


def _what_it_adds(found: Comparison) -> str:
    """What fine-tuning adds to the score, with its interval."""
    pair = found.pair("fine-tuned", "searched")
    level = f"{100 * found.confidence:g} % interval"
    return f"Fine-tuning adds {pair.difference:+.4f} ({level} {pair.low:+.4f} to {pair.high:+.4f})."


def _by_stage(result: SearchResult, scores: pd.DataFrame) -> pd.DataFrame:
    """One row a stage and unit: the mean over the trials that were fine-tuned, before and after."""
    numbers = [n + 1 for n, record in result.fine_tuned.items() if record["status"] == "completed"]
    if not numbers:
        failed = [str(record["reason"]) for record in result.fine_tuned.values()]
        why = f"fine-tuning failed: {failed[0]}" if failed else "search with fine_tune=Recipe(...)"
        raise UsageError(f"no trial was fine-tuned; {why}. Received: by={FINE_TUNE}")
    after = _unit_scores(result, "fine_tuned")
    stages = {"searched": scores, "fine-tuned": after}
    parts = [part[part["trial"].isin(numbers)].assign(group=name) for name, part in stages.items()]
    return _means(pd.concat(parts), ["group", "unit"])


def _unit_scores(result: SearchResult, column: str = "score") -> pd.DataFrame:
    """One row a completed trial and unit: trial, unit, score.

    A unit is a repeat, or with folds a fold: all repeats train and score on the same division, so that those of a fold
    are one draw of the data, and their mean is its score.
    """
    unit = "fold" if result.header["folds"] > 1 else "repeat"
    completed = [record["number"] + 1 for record in completed_trials(result)]
    runs = result.runs[result.runs["trial"].isin(completed)]
    return _means(runs.assign(unit=runs[unit], score=runs[column].astype(float)), ["trial", "unit"])


def _means(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The mean score of the rows that agree on the columns; a missing score leaves none."""
    scores = table.groupby(columns, sort=False)["score"]
    return scores.agg(lambda values: values.mean(skipna=False)).reset_index()


def _trial_labels(result: SearchResult) -> dict[int, str]:
    """Trial, from 1 -> its label: the number and the values that are not the same in all trials."""
    names, labels = [dimension.name for dimension in dimensions(result)], {}
    for record in completed_trials(result):
        values = {name: decode(record["values"][name]) for name in names if name in record["values"]}
        if "tuner/epochs" in record["values"]:  # trials at several rungs have the same values
            values["rung"] = record["values"]["tuner/epochs"]
        shown = ", ".join(f"{name}={format_value(value).replace(', ', '-')}" for name, value in values.items())
        label = f"trial {record['number'] + 1}" + (f" ({shown})" if shown else "")
        labels[record["number"] + 1] = label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 1] + "…"
    return labels


def _by_values(result: SearchResult, scores: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """One row a group and unit: the mean over the trials of those values, and a note on trials that were left out.

    Only trials whose other values were tried with every group count: else a group could be better for its other values.
    """
    values = {record["number"] + 1: record["values"] for record in completed_trials(result)}
    known = sorted({name for chosen in values.values() for name in chosen if not name.startswith("tuner/")})
    for name in names:
        if name not in known:
            raise unknown_name("hyper-parameter", name, known)
    if not names:
        raise UsageError("by needs the name of a hyper-parameter or several. Received: none")
    groups = {trial: _group_label(names, chosen) for trial, chosen in values.items()}
    others = {
        trial: repr(sorted((name, value) for name, value in chosen.items() if name not in names))
        for trial, chosen in values.items()
    }
    tried: dict[str, set[str]] = {}
    for trial, group in groups.items():
        tried.setdefault(group, set()).add(others[trial])
    common = set.intersection(*tried.values())
    kept = [trial for trial in values if others[trial] in common]
    if not kept:
        raise UsageError(
            "the groups were not tried with the same other values, so nothing tells what made the difference; search "
            f"with method='grid'. Received: by={', '.join(names)}"
        )
    table = scores[scores["trial"].isin(kept)]
    table = table.assign(group=table["trial"].map(groups), others=table["trial"].map(others))
    table = _means(_means(table, ["group", "others", "unit"]), ["group", "unit"])  # the same values twice count once
    lost = len(values) - len(kept)
    was = "trial was" if lost == 1 else "trials were"
    note = f"{lost} {was} left out, because their other values were not tried with every {', '.join(names)}."
    return table, [note] if lost else []


def _group_label(names: list[str], values: dict[str, Any]) -> str:
    """The value of one hyper-parameter, `name=value` of several; `–` where one was inactive."""
    texts = {name: str(decode(values[name])) if name in values else "–" for name in names}
    return texts[names[0]] if len(names) == 1 else ", ".join(f"{name}={text}" for name, text in texts.items())

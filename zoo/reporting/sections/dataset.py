"""The data: how many examples of each class, one of each to look at, and what is there twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.duplicates import Duplicates, find_duplicates
from zoo.data.examples import plot_examples
from zoo.data.splits import DataSplits
from zoo.errors import UsageError
from zoo.reporting.formatting import Table, below_common_folder, format_count, format_percent
from zoo.reporting.section import Picture, Section

if TYPE_CHECKING:
    from zoo.data.split import Split

_LISTED = 5  # groups of equal examples that are named


def dataset_section(data: DataSplits) -> Section:
    """Counts of each class in each split, the first image of each class, duplicates, leaks and contradicting labels."""
    splits = {name: split for name in ("train", "validation", "test") if (split := getattr(data, name)) is not None}
    found = find_duplicates(data)
    content = {
        "counts": _counts(splits, data.class_names),
        "imbalance": _imbalance(data.train),
        "duplicates": _statements(found, splits),
        "has_leaks": bool(found.leaks or found.contradictions),
        "groups": [_told(group, splits) for group in (*found.leaks, *found.contradictions)[:_LISTED]],
    }
    try:
        examples = plot_examples(data)
    except UsageError:  # points, other inputs that are no images, or a stream
        return Section("data", "Data", content)
    picture = Picture.of("examples", "The first training image of each class", examples)
    return Section("data", "Data", content, pictures=(picture,))


def _counts(splits: dict[str, Split], names: tuple[str, ...]) -> Table:
    columns = []
    for split in splits.values():
        known = split.labels is not None
        counts = np.bincount(split.labels, minlength=len(names)).tolist() if split.labels is not None else []
        columns.append([format_count(n) for n in counts] if known else ["?"] * len(names))
    rows = [[name, *(column[k] for column in columns)] for k, name in enumerate(names)]
    totals = ["all", *(format_count(len(split)) for split in splits.values())]
    return Table(["class", *splits], [*rows, totals], [False] + [True] * len(splits))


def _imbalance(train: Split) -> str:
    """A sentence where the classes differ much in size."""
    if train.labels is None:
        return ""
    counts = np.bincount(train.labels, minlength=train.num_classes)
    if counts.min() == 0:
        missing = train.class_names[int(counts.argmin())]
        return f"There is no training example of {missing}."
    ratio = counts.max() / counts.min()
    if ratio < 1.5:
        return ""
    most, least = train.class_names[int(counts.argmax())], train.class_names[int(counts.argmin())]
    return f"{most} has {ratio:.1f} times as many training examples as {least}: see precision and recall of each class."


def _statements(found: Duplicates, splits: dict[str, Split]) -> list[str]:
    if not found.searched:
        return ["The data are streamed, so nothing was compared."]
    copies = sum(len(group) - 1 for group in found.groups)
    told = [f"{format_count(copies) if copies else 'No'} exact copies were found ({', '.join(found.searched)})."]
    for groups, what in (
        (found.leaks, "stand in more than one split: accuracy there is partly memory"),
        (found.contradictions, "have more than one label: at least one is wrong"),
    ):
        if groups:
            share = format_percent(sum(map(len, groups)) / sum(len(splits[name]) for name in found.searched))
            told.append(f"{format_count(len(groups))} groups of equal examples ({share} of all) {what}.")
    return told


def _told(group: tuple[tuple[str, int], ...], splits: dict[str, Split]) -> str:
    places = []
    for name, i in group[:4]:
        split: Any = splits[name]
        places.append((name, i if split.files is None else split.files[i], split.class_names[split.labels[i]]))
    files = below_common_folder([place for _, place, _ in places])
    return " = ".join(f"{name} {file} ({label})" for (name, _, label), file in zip(places, files, strict=True))

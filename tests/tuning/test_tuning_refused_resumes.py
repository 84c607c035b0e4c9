"""Searches that are not gone on with: others, and those whose journal was changed."""

from __future__ import annotations

import json

import pytest
from resumed_searches import search

import zoo
from tuning.journal import FILE_NAME, Journal
from zoo.errors import UsageError, ZooError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"values": {"l2": [0.0, 1e-3], "units": [4, 8]}}, "space.units.values"),
        ({"recipe": zoo.Recipe(momentum=0.9, optimizer="sgd")}, "recipe.optimizer"),
        ({"objective": "val_loss"}, "objective was"),
        ({"max_epochs": 8}, "recipe.epochs was 9 and is 8"),
    ],
)
def test_a_changed_search_is_refused(blobs, tmp_path, fake, changes, message):
    fake()
    search(blobs, tmp_path, "grid")
    with pytest.raises(UsageError, match=message):
        search(blobs, tmp_path, "grid", **changes)


def test_other_data_are_refused(blobs, tmp_path, fake):
    fake()
    search(blobs, tmp_path, "grid")
    with pytest.raises(UsageError, match=r"data\.seed was 0 and is 1"):
        search(zoo.load_dataset("blobs", limit=60, validation=0.3, seed=1), tmp_path, "grid")


def rewritten(directory, change):
    """Writes the journal of a search again, with its records changed, and their checksums right."""
    journal = directory / FILE_NAME
    records = [json.loads(line)["record"] for line in journal.read_text().splitlines()]
    change(records)
    journal.unlink()
    with Journal(directory, records[0]) as written:
        for record in records[1:]:
            written.append(record)


def test_values_that_the_oracle_no_longer_asks_for(blobs, tmp_path, fake):
    def as_another_version_asked(records):
        records[1]["trials"][0]["values"]["units"] += 1

    fake()
    search(blobs, tmp_path, "random", max_trials=2, seed=3)
    rewritten(tmp_path, as_another_version_asked)
    with pytest.raises(ZooError, match="another version of a package, or of keras-zoo"):
        search(blobs, tmp_path, "random", max_trials=2, seed=3)


def parameters(kind, **config):
    space = [{"class_name": kind, "config": {"name": "x", "conditions": [], **config}}]
    return lambda records: records[-1].update(hyperparameters={"space": space, "values": {"x": 1}})


TAMPERED = {
    "ended twice": (lambda records: records.append(records[-1]), "ends trial 2, which was not running"),
    "never asked": (lambda records: records.append({**records[-1], "number": 7}), "ends trial 8, which was not"),
    "ended too early": (lambda records: records.insert(1, records.pop()), "which was not running"),
    "retried for ever": (lambda records: records.append({"kind": "retried", "number": 0}), "ends trial 1, which"),
    "asked twice": (lambda records: records.insert(2, records[1]), "the search now asks for"),
    "least above most": (parameters("Int", min_value=9, max_value=1), r"journal\.jsonl cannot be gone on with"),
    "no choice": (parameters("Choice", values=[]), r"journal\.jsonl cannot be gone on with"),
    "more than there is": (parameters("Fixed", value=1, other=2), r"journal\.jsonl cannot be gone on with"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_journal_is_not_gone_on_with(blobs, tmp_path, fake, case):
    change, words = TAMPERED[case]
    fake()
    search(blobs, tmp_path, "random", max_trials=2, seed=3)
    rewritten(tmp_path, change)
    executor = fake()
    with pytest.raises(ZooError, match=words):
        search(blobs, tmp_path, "random", max_trials=3, seed=3)
    assert executor.ran == []

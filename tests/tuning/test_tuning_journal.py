from __future__ import annotations

import json
import math
import zlib

import pytest
from search_records import header, record, run, written

import tuning
from tuning.journal import FILE_NAME, Journal, read_journal
from zoo.errors import UsageError, ZooError

HEADER = header(
    model="softmax",
    space={"l2": {"type": "Choice", "values": [0.0, 0.1]}, "units": {"type": "Int", "min_value": 1}},
    max_trials=10,
)


def trial(number, **more):
    return record(number, 0.5) | more


@pytest.fixture
def directory(tmp_path):
    with Journal(tmp_path, HEADER) as journal:
        journal.append(trial(0))
        journal.append(trial(1, metrics={"loss": math.nan, "val": -math.inf}, path=(1, 2), text="λ \u2028 \n"))
    return tmp_path


def test_what_was_written_is_read(directory):
    header, trials, fine_tuned = read_journal(directory)
    assert not fine_tuned
    assert header == {"kind": "header", **HEADER}
    assert list(trials) == [0, 1]
    assert math.isnan(trials[1]["metrics"]["loss"])
    assert trials[1]["metrics"]["val"] == -math.inf
    assert trials[1]["path"] == [1, 2]
    assert trials[1]["text"] == "λ \u2028 \n"


def test_every_torn_last_line_is_dropped(directory):
    path = directory / FILE_NAME
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for kept in range(0, len(last), 7):
        path.write_bytes(whole[: len(whole) - len(last) + kept])
        assert list(read_journal(directory)[1]) == [0]
        with Journal(directory, HEADER) as journal:
            assert list(journal.trials) == [0]
            journal.append(trial(1))
        assert list(read_journal(directory)[1]) == [0, 1]


def test_a_torn_header_starts_anew(directory):
    path = directory / FILE_NAME
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ZooError, match="holds no search"):
        read_journal(directory)
    with Journal(directory, HEADER) as journal:
        assert journal.trials == {}
    assert read_journal(directory)[0]["model"] == "softmax"


def test_damage_before_the_last_line_is_an_error(directory):
    path = directory / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"number":0', b'"number":7'))
    with pytest.raises(ZooError, match="damaged in line 2"):
        read_journal(directory)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"model": "mlp"}, 'model was "softmax" and is "mlp"'),
        (
            {"space": {"l2": {"type": "Choice", "values": [0.0, 0.2]}, "units": HEADER["space"]["units"]}},
            "space.l2.values",
        ),
        ({"space": {"l2": HEADER["space"]["l2"]}}, "space.units.type was .* and is nothing"),
        ({"space": dict(reversed(HEADER["space"].items()))}, "another order"),
        ({"max_trials": 9}, "max_trials was 10 and is 9"),
    ],
)
def test_another_search_is_refused(directory, changed, message):
    before = (directory / FILE_NAME).read_bytes()
    with pytest.raises(UsageError, match=message) as error:
        Journal(directory, {**HEADER, **changed})
    assert "\n" not in str(error.value)
    assert (directory / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("more", [11, None, 12])
def test_max_trials_may_grow(directory, more):
    with Journal(directory, {**HEADER, "max_trials": more}) as journal:
        assert list(journal.trials) == [0, 1]
    assert read_journal(directory)[0]["max_trials"] == more
    before = (directory / FILE_NAME).read_bytes()
    Journal(directory, {**HEADER, "max_trials": more}).__exit__(None, None, None)
    assert (directory / FILE_NAME).read_bytes() == before


def test_a_search_without_max_trials_may_be_given_them(directory):
    Journal(directory, {**HEADER, "max_trials": None}).__exit__(None, None, None)
    with Journal(directory, {**HEADER, "max_trials": 5}) as journal:
        assert list(journal.trials) == [0, 1]
    assert read_journal(directory)[0]["max_trials"] == 5


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_journal_of_another_version_is_refused_as_such(directory, version):
    path = directory / FILE_NAME
    path.write_bytes(line_of({"kind": "header", **HEADER, "version": version}))  # what else they have differs
    for read in (read_journal, tuning.load_result, lambda folder: Journal(folder, HEADER)):
        with pytest.raises(ZooError, match=rf"another version of keras-zoo \(format {version}, this one reads 3\)"):
            read(directory)


def without(one, name):
    return {key: value for key, value in one.items() if key != name}


def declared(kind, **config):
    """What a trial declared on the way, as Keras Tuner writes it."""
    return {"space": [{"class_name": kind, "config": {"name": "x", "conditions": [], **config}}], "values": {"x": 1}}


LINEAR = {"min_value": 0.0, "max_value": 1.0, "sampling": "linear"}
LOG = {"min_value": 1e-3, "max_value": 1.0, "sampling": "log"}
UNTRUE = {
    "another kind": lambda: {"kind": "model"},
    "no kind": lambda: {"number": 3},
    "a list": lambda: [1],
    "a kind that is a list": lambda: {"kind": []},
    "a path for a number": lambda: trial(2) | {"number": "../../x"},
    "a number below zero": lambda: trial(2) | {"number": -1},
    "a number that is true": lambda: trial(2) | {"number": True},
    "a status of its own": lambda: trial(2, status="<script>"),
    "a score that is a word": lambda: trial(2, score="0.9"),
    "a score that no float holds": lambda: trial(2, score=10**400),
    "a score that is no number": lambda: trial(2, score=math.nan),
    "seconds without end": lambda: trial(2, seconds=math.inf),
    "an end that never comes": lambda: trial(2, ended=math.inf),
    "completed without a score": lambda: trial(2, score=None),
    "no metrics": lambda: trial(2, metrics=None),
    "metrics of words": lambda: trial(2, metrics={"loss": "<b>"}),
    "values of a list": lambda: trial(2, values=[1]),
    "values in values": lambda: trial(2, values={"units": "json:" + "[" * 100_000}),
    "values in values, closed": lambda: trial(2, values={"units": "json:" + "[" * 100 + "]" * 100}),
    "values that are no JSON": lambda: trial(2, values={"units": "json:{"}),
    "a parent elsewhere": lambda: trial(2, asked={"tuner/trial_id": "../0"}),
    "epochs of a rung in words": lambda: trial(2, values={"tuner/epochs": "many"}),
    "a run of nothing": lambda: trial(2, runs=[{}]),
    "a run that is none": lambda: trial(2, runs=["run"]),
    "a run without a fold": lambda: trial(2, runs=[without(run(0.5), "fold")]),
    "a run without a curve": lambda: trial(2, runs=[without(run(0.5), "curve")]),
    "a curve of words": lambda: trial(2, runs=[run(0.5) | {"curve": {"loss": "abc"}}]),
    "a curve of lists": lambda: trial(2, runs=[run(0.5) | {"curve": {"loss": [[1]]}}]),
    "epochs without end": lambda: trial(2, epochs=10**400),
    "a reason of many": lambda: trial(2, reason=["a"]),
    "lists in lists": lambda: trial(2, more=json.loads("[" * 200 + "]" * 200)),
    "nobody asked for it": lambda: without(trial(2), "asked"),
    "no end": lambda: without(trial(2), "ended"),
    "no parameters": lambda: without(trial(2), "hyperparameters"),
    "no attempts": lambda: without(trial(2), "attempts"),
    "parameters that are none": lambda: trial(2, hyperparameters={"space": 5}),
    "parameters without values": lambda: trial(2, hyperparameters={"space": []}),
    "a parameter of its own kind": lambda: trial(2, hyperparameters=declared("Lambda", value=1)),
    "a parameter without a name": lambda: trial(2, hyperparameters=declared("Fixed", value=1, name=[1])),
    "steps without end": lambda: trial(2, hyperparameters=declared("Float", **LINEAR, step=1e-12)),
    "factors without end": lambda: trial(2, hyperparameters=declared("Float", **LOG, step=1 + 1e-12)),
    "steps of nothing": lambda: trial(2, hyperparameters=declared("Int", min_value=1, max_value=9, step=0)),
    "a condition of its own kind": lambda: trial(
        2, hyperparameters=declared("Fixed", value=1, conditions=[{"class_name": "Other", "config": {}}])
    ),
    "trials without a list": lambda: {"kind": "asked", "trials": {"number": 0}},
    "trials without values": lambda: {"kind": "asked", "trials": [{"number": 0}]},
    "a retry of nothing": lambda: {"kind": "retried", "number": None},
    "a direction of its own": lambda: {"kind": "header", **HEADER, "direction": "up"},
    "a recipe that is none": lambda: {"kind": "header", **HEADER, "recipe": {"epochs": -1}},
    "a recipe of more": lambda: {"kind": "header", **HEADER, "recipe": {"command": "rm"}},
    "no folds": lambda: {"kind": "header", **HEADER, "folds": 0},
    "a space of words": lambda: {"kind": "header", **HEADER, "space": {"l2": "Choice"}},
    "a range of words": lambda: {"kind": "header", **HEADER, "space": {"l2": {"min_value": "0"}}},
    "no model": lambda: {"kind": "header", **without(HEADER, "model")},
}


@pytest.mark.parametrize("what", UNTRUE)
def test_a_record_that_no_search_writes_is_refused_whatever_its_checksum(directory, what):
    untrue = UNTRUE[what]()
    path = directory / FILE_NAME
    with path.open("ab") as file:  # in the last line, where what is torn is passed over
        file.write(line_of(untrue))
    for read in (read_journal, tuning.load_result, lambda folder: Journal(folder, HEADER)):
        with pytest.raises(ZooError, match=r"journal\.jsonl holds what no search writes, in line 4: "):
            read(directory)


def test_fine_tuned_trials_need_a_recipe(tmp_path):
    records = [record(0, 0.4), record(0, 0.5) | {"kind": "fine_tuned"}]
    recipe = {"fine_tune": header()["recipe"]}
    assert written(tmp_path / "sound", records, **recipe).runs["fine_tuned"].tolist() == [0.5]
    with pytest.raises(ZooError, match=r"journal\.jsonl holds what no search writes: fine-tuned trials, and no recipe"):
        written(tmp_path / "untrue", records)


def line_of(one):
    """A line of a journal, its checksum that of what it says."""
    text = json.dumps(one, separators=(",", ":"))
    return f'{{"crc32": "{zlib.crc32(text.encode()):08x}", "record": {text}}}\n'.encode()


@pytest.mark.parametrize(
    "parameters",
    [
        {"space": [], "values": {}},
        declared("Float", **LINEAR, step=1e-3),
        declared("Float", **LOG, step=10),
        declared("Int", min_value=1, max_value=10**12, step=1),
        declared("Choice", values=[1, 2], conditions=[{"class_name": "Parent", "config": {"name": "l2"}}]),
    ],
)
def test_parameters_that_were_declared_on_the_way_are_read(directory, parameters):
    with (directory / FILE_NAME).open("ab") as file:
        file.write(line_of(trial(2, hyperparameters=parameters)))
    assert read_journal(directory)[1][2]["hyperparameters"] == parameters


def test_a_journal_without_a_header_is_none(directory):
    path = directory / FILE_NAME
    path.write_bytes(line_of(trial(0)))
    with pytest.raises(ZooError, match="in line 1: it is no record"):
        read_journal(directory)


def test_lines_that_are_nested_without_end_are_damaged(directory):
    path = directory / FILE_NAME
    path.write_bytes(b"[" * 200_000 + b"\n" + path.read_bytes())
    with pytest.raises(ZooError, match="damaged in line 1"):
        read_journal(directory)

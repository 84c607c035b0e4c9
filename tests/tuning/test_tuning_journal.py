from __future__ import annotations

import math

import pytest

from tuning.journal import FILE_NAME, Journal, read_journal
from zoo.errors import UsageError, ZooError

HEADER = {
    "model": "softmax",
    "space": {"l2": {"type": "Choice", "values": [0.0, 0.1]}, "units": {"type": "Int", "min_value": 1}},
    "seed": 0,
    "max_trials": 10,
}


def trial(number, **more):
    return {"kind": "trial", "number": number, "score": 0.5, "ended": 1.0 + number, **more}


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


@pytest.mark.parametrize("more", [11, None])
def test_max_trials_may_grow(directory, more):
    with Journal(directory, {**HEADER, "max_trials": more}) as journal:
        assert list(journal.trials) == [0, 1]
    assert read_journal(directory)[0]["max_trials"] == more
    before = (directory / FILE_NAME).read_bytes()
    Journal(directory, {**HEADER, "max_trials": more}).__exit__(None, None, None)
    assert (directory / FILE_NAME).read_bytes() == before

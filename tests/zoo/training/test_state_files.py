"""Files of states: plain numbers, and nothing that was made to harm."""

from __future__ import annotations

import zipfile

import zoo.startup

# isort: split
import numpy as np
import pytest

import zoo
from zoo.errors import SaveError, ZooError
from zoo.training.state import State
from zoo.training.validation import Validations

RECORDS = {
    "epochs": [{"epoch": 0, "loss": float("nan")}],
    "earlier_validations": [],
    "phase_start": 0,
    "phase_first_step": 0,
    "elapsed": 0.5,
}
FACTS = {"phase": 0, "epoch": 1, "step": 0, "seconds": 2.5, "records": RECORDS, "validations": None}
LOSSES = {"steps": np.zeros((3, 2)), "losses": np.zeros((0, 2))}


def test_a_state_is_plain(tmp_path):
    """No pickle is written, and none is read."""
    State(FACTS, {"model/0": np.ones(3), **LOSSES}).save(tmp_path / "x.npz")
    again = State.load(tmp_path / "x.npz")
    assert again.facts["epoch"] == 1
    assert np.isnan(again.facts["records"]["epochs"][0]["loss"])
    np.testing.assert_array_equal(again.group("model")[0], np.ones(3))
    np.savez(tmp_path / "evil.npz", facts=np.array([object()], dtype=object))
    with pytest.raises(ZooError, match="damaged"):
        State.load(tmp_path / "evil.npz")


def petabytes(path, facts):
    """A state of which one array is declared and not there."""
    State(facts, LOSSES).save(path)
    with zipfile.ZipFile(path, "a") as archive, archive.open("model/0.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})


TAMPERED = {
    "a bomb": lambda path, facts: np.savez_compressed(path, facts=np.zeros(10**7, np.uint8)),
    "petabytes": petabytes,
    "an array alone": lambda path, facts: path.write_bytes(b"\x93NUMPY\x01\x00"),
    "lists in lists": lambda path, facts: np.savez(path, facts=np.frombuffer(b"[" * 100_000, np.uint8), **LOSSES),
    "a list": lambda path, facts: State([], LOSSES).save(path),
    "nowhere": lambda path, facts: State(facts | {"epoch": -1}, LOSSES).save(path),
    "a word": lambda path, facts: State(facts | {"step": "1"}, LOSSES).save(path),
    "no records": lambda path, facts: State(facts | {"records": {}}, LOSSES).save(path),
    "never": lambda path, facts: State(facts | {"seconds": float("nan")}, LOSSES).save(path),
    "losses of a kind": lambda path, facts: State(facts, LOSSES | {"steps": np.zeros(3)}).save(path),
    "a gap": lambda path, facts: State(facts, LOSSES | {"model/1": np.zeros(3)}).save(path),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_state_that_was_made_to_harm_is_refused(tmp_path, how):
    path = tmp_path / "state.npz"
    TAMPERED[how](path, FACTS)
    with pytest.raises(ZooError, match=r"state\.npz is damaged .*; delete it to start again"):
        State.load(path)


def test_a_state_sets_nothing_but_what_it_is_of():
    validations = Validations(None, zoo.Recipe(), 0, 0, None)
    with pytest.raises(ZooError, match="another way to validate"):
        validations.restore({**validations.state(), "on_epoch_end": "anything"}, None)


def test_a_disk_that_does_not_take_the_state(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot be written"):
        State({}, {}).save(tmp_path / "file" / "x.npz")

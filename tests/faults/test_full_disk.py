"""A full disk during everything that is written: one line that names the file, the old file stays, and room is all that is needed."""

from __future__ import annotations

import errno
import importlib
import os
import sys

import numpy as np
import pandas as pd
import pytest
from full_disks import everything, files_of_at_most, small_disk

import tuning
import zoo
from zoo.errors import SaveError
from zoo.exporting import checking
from zoo.exporting.formats import installed_formats
from zoo.exporting.verifying import verify
from zoo.features import cache
from zoo.storage import atomic_path
from zoo.tables import write_table
from zoo.training import state

RECIPE = zoo.Recipe(epochs=2, batch_size=32)
SEARCH = {"method": "grid", "values": {"l2": [0.0, 1e-3]}, "recipe": zoo.Recipe(epochs=1), "verbose": False}


@pytest.fixture(scope="module")
def data():
    return zoo.load_dataset("blobs", limit=60)


@pytest.fixture(autouse=True)
def _write_at_every_chance(monkeypatch):
    monkeypatch.setattr(state, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(state, "_SHARE", 1e9)
    monkeypatch.setattr(checking, "_LATENCY_SECONDS", 0.0)
    monkeypatch.setattr(sys, "argv", ["pytest"])  # in the file that says who holds a folder, whose size is counted on


def refused(work, *, most=None):
    """What is said when nothing larger can be written."""
    with pytest.raises(SaveError) as caught, files_of_at_most(most):
        work()
    text = str(caught.value)
    assert "\n" not in text
    assert " cannot be written: " in text
    assert text.endswith("choose another place")
    return text


def train(data, folder):
    model = zoo.build("mlp", (2,), 2, units=1024, num_layers=1)
    return zoo.train(model, data, RECIPE, output_dir=folder, verbose=False)


# File size -> the file that does not fit; of HDF5 see tests/zoo/models/test_saving.py.
STAGES = {600: "config.json", 48_000: "state.npz"}


def test_training_stops_where_the_disk_is_full_and_goes_on_when_it_has_room(data, tmp_path):
    said = {}
    for most in STAGES:
        said[most] = refused(lambda: train(data, tmp_path / "run"), most=most)
        assert not (tmp_path / "run" / "result.json").exists()
        assert not list((tmp_path / "run").glob(".zoo-*"))
    assert {most: text.partition(" cannot be written")[0].rpartition("/")[2] for most, text in said.items()} == STAGES
    again = train(data, tmp_path / "run")
    assert len(again.history) == RECIPE.epochs
    assert zoo.load_run(tmp_path / "run").metrics == again.metrics


def test_a_disk_without_room_is_answered_like_a_limit(data, tmp_path):
    with small_disk(tmp_path / "disk", 120) as disk:
        (disk / "ballast").write_bytes(bytes(60_000))
        with pytest.raises(
            SaveError, match=f"^{disk}/run/.* cannot be written: No space left on device; free space there"
        ):
            train(data, disk / "run")
        with pytest.raises(SaveError, match=f"^{disk}/e cannot be written: No space left on device"):
            zoo.export(zoo.build("mlp", (2,), 2, units=64), disk / "e", check_with=data.test)
        assert not (disk / "e").exists()
        assert not list(disk.glob(".*"))
        assert not (disk / "run" / "result.json").exists()


WORKS = {
    "run/.lock-holder.json": lambda data, at: train(data, at / "run"),
    "search/.lock-holder.json": lambda data, at: tuning.search("mlp", data, directory=at / "search", **SEARCH),
    "e": lambda data, at: zoo.export(zoo.build("softmax", (2,), 2), at / "e", formats="keras", check_with=data.test),
    "report.html": lambda data, at: zoo.write_report(at / "report.html", data=data),
    "t.csv": lambda data, at: write_table(at / "t.csv", pd.DataFrame({"a": [1]})),
}


@pytest.mark.parametrize("name", WORKS)
def test_room_that_ends_only_when_a_file_is_to_reach_the_disk(data, tmp_path, monkeypatch, name):
    """Some file systems, and those of a network, find out so late."""

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SaveError) as caught:
        WORKS[name](data, tmp_path)
    reason = "No space left on device; free space there, or choose another place"
    assert str(caught.value) == f"{tmp_path / name} cannot be written: {reason}"
    assert not everything(tmp_path)
    assert not [left for left in tmp_path.rglob(".*") if not left.name.startswith(".lock")]


def test_search_stops_where_the_disk_is_full_and_goes_on_when_it_has_room(data, tmp_path):
    folder, said = tmp_path / "search", []
    for most in (20, 900, 3_000):
        said.append(refused(lambda: tuning.search("mlp", data, directory=folder, **SEARCH), most=most))
    named = [text.partition(" cannot be written")[0].rpartition("/")[2] for text in said]
    assert named == [".lock-holder.json", "journal.jsonl", "trial-0000-0.npz"]  # and no failed trial
    result = tuning.search("mlp", data, directory=folder, **SEARCH)
    assert list(result.table["status"]) == ["completed"] * 2
    assert not list(folder.rglob(".zoo-*"))


@pytest.fixture(scope="module")
def export(data, tmp_path_factory):
    """One that stays as it is, whatever is to take its place."""
    folder = tmp_path_factory.mktemp("exports") / "e"
    zoo.export(zoo.build("softmax", (2,), 2), folder, formats="keras", check_with=data.test)
    return folder


@pytest.mark.parametrize("name", installed_formats())
def test_an_export_that_does_not_fit_leaves_the_old_one(data, export, name):
    before = everything(export)
    model, options = zoo.build("mlp", (2,), 2, units=256, num_layers=1), {"check_with": data.test}
    said = refused(lambda: zoo.export(model, export, formats=name, calibrate_with=data.train, **options), most=1_500)
    assert said.startswith(f"{export} cannot be written: ")
    assert everything(export) == before
    assert [entry.name for entry in export.parent.iterdir()] == ["e"]
    assert [result.problem for result in verify(export)] == [None]


def test_features_without_room_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(tmp_path))

    def fill(array, first, on_rows):
        array[first:] = 7

    with files_of_at_most(1_000):
        store = cache.stored("a" * 64, (500, 3), np.dtype("float32"), fill, {})
    assert (store.array == 7).all()
    assert not list((tmp_path / "features").rglob("*.npy"))  # of which a part would only be in the way


def test_a_report_that_does_not_fit_leaves_the_old_one(data, tmp_path):
    zoo.write_report(tmp_path / "report.html", data=data, title="old", plots=tmp_path / "plots")
    before = everything(tmp_path)
    said = refused(lambda: zoo.write_report(tmp_path / "report.html", data=data, title="new"), most=5_000)
    assert said.startswith(f"{tmp_path / 'report.html'} cannot be written: ")
    assert everything(tmp_path) == before


def test_tables_and_single_files(tmp_path):
    table = pd.DataFrame({"a": range(1000)})
    write_table(tmp_path / "t.csv", table.head())
    before = everything(tmp_path)
    assert refused(lambda: write_table(tmp_path / "t.csv", table), most=100).startswith(f"{tmp_path / 't.csv'} ")
    assert everything(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
    with pytest.raises(KeyError), atomic_path(tmp_path / "t.csv"):
        raise KeyError("not the disk's fault")


def test_a_script_says_it_in_one_line_and_ends_with_1(tmp_path, capsys):
    options = ["--model", "softmax", "--dataset", "blobs", "--epochs", "1", "--output", str(tmp_path / "run")]
    with files_of_at_most(600):
        code = importlib.import_module("train").main(options)
    said = capsys.readouterr().err.splitlines()
    assert code == 1
    assert said[-1].startswith(
        f"error: {tmp_path / 'run'}/config.json cannot be written: File too large; raise the limit"
    )
    assert not any("Traceback" in line for line in said)

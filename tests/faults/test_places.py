"""Places that may not be written to, that are missing, or that somebody else has: found before the work begins."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from full_disks import everything, make_read_only, small_disk

import tuning
import zoo
from tuning.checkpoints import Checkpoints
from tuning.fine_tuning import remove_states
from zoo.errors import LockedError, SaveError, UsageError
from zoo.features import cache as features
from zoo.storage import DirectoryLock, atomic_directory
from zoo.training.run import files_of_run

SEARCH = {"method": "grid", "values": {"l2": [0.0]}, "recipe": zoo.Recipe(epochs=1), "verbose": False}


@pytest.fixture(scope="module")
def data():
    return zoo.load_dataset("blobs", limit=60)


@pytest.fixture(params=["read-only", "below a file", "no folder at all"])
def place(request, tmp_path):
    """Where nothing can be written, not even by root."""
    if request.param == "below a file":
        (tmp_path / "file").write_text("of somebody")
        yield tmp_path / "file" / "deeper"
    elif request.param == "no folder at all":
        if not Path("/proc/self").is_dir():
            pytest.skip("there is no /proc, in which nobody makes folders")
        yield Path("/proc/nowhere/deeper")
    elif os.name == "posix" and os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        yield tmp_path / "closed" / "deeper"
    else:
        with small_disk(tmp_path / "disk", 64) as disk:
            make_read_only(disk)
            yield disk / "deeper"


class Count(keras.callbacks.Callback):
    epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1


def test_nothing_is_computed_for_a_place_that_cannot_be_written(data, place, monkeypatch, capsys):
    model, count = zoo.build("softmax", (2,), 2), Count()
    before = model.get_weights()[0]
    monkeypatch.setattr("tuning.trial.TrialRunner.run", lambda *_: pytest.fail("a trial ran"))
    monkeypatch.setattr("zoo.exporting.exporter.write_format", lambda *_: pytest.fail("a format was written"))
    works = {
        "train": lambda: zoo.train(model, data, output_dir=place, callbacks=[count], verbose=False),
        "search": lambda: tuning.search("softmax", data, directory=place, **SEARCH),
        "export": lambda: zoo.export(model, place, check_with=data.test),
    }
    for name, work in works.items():
        with pytest.raises((SaveError, UsageError), match=f"{place}") as caught:
            work()
        assert "\n" not in str(caught.value), name
        assert "choose another" in str(caught.value), name
    assert count.epochs == 0
    np.testing.assert_array_equal(model.get_weights()[0], before)
    for script, option in (("train", "--output"), ("tune", "--directory")):
        code = importlib.import_module(script).main(
            ["--model", "softmax", "--dataset", "blobs", option, str(place), "--epochs", "1"]
        )
        error = capsys.readouterr().err.splitlines()[-1]
        assert code == 1
        assert error.startswith("error: ")
        assert str(place) in error
        assert error.endswith("choose another place")


def test_features_that_cannot_be_kept_are_computed(place, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_DIR", str(place))

    def fill(array, first, on_rows):
        array[first:] = 7

    assert (features.stored("a" * 64, (5, 3), np.dtype("float32"), fill, {}).array == 7).all()


def test_a_run_folder_that_cannot_be_begun_is_let_go(data, tmp_path):
    """In a notebook, which keeps the exception, the lock would else stay."""
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    (tmp_path / "run" / "tensorboard" / "train").write_text("of somebody")
    with pytest.raises(SaveError, match="tensorboard") as kept:
        zoo.train(zoo.build("softmax", (2,), 2), data, output_dir=tmp_path / "run", verbose=False)
    with DirectoryLock(tmp_path / "run"):
        assert kept.value is not None
    assert (tmp_path / "run" / "tensorboard" / "train").read_text() == "of somebody"


def test_two_processes_on_one_folder(data, tmp_path):
    """The second one is refused and changes nothing, whatever it was about to do."""
    with DirectoryLock(tmp_path):
        before = everything(tmp_path)
        for work in (
            lambda: zoo.train(zoo.build("softmax", (2,), 2), data, output_dir=tmp_path, verbose=False),
            lambda: tuning.search("softmax", data, directory=tmp_path, **SEARCH),
        ):
            with pytest.raises(LockedError, match=f"in use by process {os.getpid()} .*; wait for it or choose another"):
                work()
        assert everything(tmp_path) == before


def test_what_is_not_ours_is_never_deleted(data, tmp_path, monkeypatch):
    """Files of somebody's in every folder that we clear: of a search, of a cache, of seeds, of a run."""
    search, cache = tmp_path / "search", tmp_path / "cache"
    theirs = [
        search / "models" / "trial-notes.keras",
        search / "models" / ".keep",
        search / "states" / ".123-4.npz",
        search / "states" / "trial-0001.npz.old",
        search / "fine_tuned" / "states" / "mine.npz",
        tmp_path / "run" / "thesis.tex",
        tmp_path / "run" / ".zoo-notes",
        cache / "features" / "photographs" / "cat.png",
        cache / "features" / ("a" * 64) / "mine.txt",
    ]
    ours = [search / "models" / "trial-0007.keras", search / "states" / "trial-0007-0.npz"]
    ours += [search / "fine_tuned" / "states" / f"{name}trial-0007-0.npz" for name in ("", "searched-")]
    for file in (*theirs, *ours):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of somebody")
    checkpoints = Checkpoints(search, direction="max", keep_best=1)
    checkpoints.remove_torn()
    checkpoints.prune(running=(), resumable=())
    remove_states(search / "fine_tuned")
    zoo.train(zoo.build("softmax", (2,), 2), data, zoo.Recipe(epochs=1), output_dir=tmp_path / "run", verbose=False)
    with pytest.raises(UsageError, match=r"run holds \.zoo-notes, which"):
        with atomic_directory(tmp_path / "run", owned=files_of_run):
            pytest.fail("it was begun")
    monkeypatch.setenv("ZOO_CACHE_DIR", str(cache))
    monkeypatch.setattr(features, "MOST_BYTES", 100)
    for key in "abc":
        features.stored(key * 64, (5, 3), np.dtype("float32"), lambda array, first, on_rows: array.fill(0), {})
    assert all(file.read_text() == "of somebody" for file in theirs)
    assert not any(file.exists() for file in ours)
    for file in theirs[-4:-2]:  # then the run folder is all ours, as that of a seed is
        file.unlink()
    with atomic_directory(tmp_path / "run", owned=files_of_run) as temporary:
        (temporary / "new").touch()
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["new"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cache", "run", "search"]

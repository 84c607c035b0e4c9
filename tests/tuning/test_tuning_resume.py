from __future__ import annotations

import pytest

import tuning
import zoo
from tuning.checkpoints import BestModel
from tuning.executors import EXECUTORS, InlineExecutor
from tuning.journal import FILE_NAME
from zoo.errors import UsageError, ZooError

VALUES = {
    "random": {"l2": (1e-6, 1e-2, "log"), "units": (4, 64)},
    "hyperband": {"l2": (1e-6, 1e-2, "log"), "units": (4, 64)},
    "grid": {"l2": [0.0, 1e-3], "units": [4, 8, (4, 4)]},
}


def search(data, directory, method, **changes):
    options = {"values": VALUES[method], "executor": "fake", "verbose": False, "max_epochs": 9, **changes}
    return tuning.search("mlp", data, method=method, directory=directory, **options)


def best_file(directory):
    return (directory / "best" / "model.keras").read_text()


@pytest.mark.parametrize("method", sorted(VALUES))
@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_search_resumes(blobs, tmp_path, fake, method, torn):
    whole_run = fake(fail=lambda number: number == 2)
    whole = search(blobs, tmp_path / "whole", method)
    fake(fail=lambda number: number == 2, interrupt_at=4)
    with pytest.raises(KeyboardInterrupt):
        search(blobs, tmp_path / "cut", method)
    assert len(tuning.load_result(tmp_path / "cut").table) == 4
    if torn:
        journal = tmp_path / "cut" / FILE_NAME
        journal.write_bytes(journal.read_bytes()[:-30])
    rest = fake(fail=lambda number: number == 2)
    resumed = search(blobs, tmp_path / "cut", method)
    assert rest.ran == whole_run.ran[3 if torn else 4 :]
    assert resumed.table.equals(whole.table)
    assert resumed.best_values == whole.best_values
    assert best_file(tmp_path / "cut") == best_file(tmp_path / "whole") == f"trial {whole.best_trial['number']}"
    assert [f.name for f in (tmp_path / "cut" / "best").iterdir()] == ["model.keras"]


def test_a_real_search_resumes(blobs, tmp_path, monkeypatch):
    class Interrupting(InlineExecutor):
        def run(self, task):
            if task.number == 2:
                raise KeyboardInterrupt
            return super().run(task)

    monkeypatch.setitem(EXECUTORS, "interrupting", Interrupting)
    options = {
        "method": "random",
        "max_trials": 3,
        "recipe": zoo.Recipe(epochs=1),
        "values": {"l2": (1e-6, 1e-2, "log"), "dropout": [0.0, 0.5], "units": [8]},
        "verbose": False,
    }
    with pytest.raises(KeyboardInterrupt):
        tuning.search("mlp", blobs, directory=tmp_path / "cut", executor="interrupting", **options)
    cut = tuning.search("mlp", blobs, directory=tmp_path / "cut", **options)
    whole = tuning.search("mlp", blobs, directory=tmp_path / "whole", **options)
    assert cut.table.drop(columns="seconds").equals(whole.table.drop(columns="seconds"))


def test_a_finished_search_is_only_read(blobs, tmp_path, fake, capsys):
    fake()
    first = search(blobs, tmp_path, "grid")
    again = fake()
    assert search(blobs, tmp_path, "grid", verbose=True).table.equals(first.table)
    assert again.ran == []
    assert "6 done already" in capsys.readouterr().out


def test_max_trials_grows(blobs, tmp_path, fake):
    fake()
    search(blobs, tmp_path / "grown", "random", max_trials=3)
    more = fake()
    grown = search(blobs, tmp_path / "grown", "random", max_trials=12)
    assert more.ran == list(range(3, 12))
    fake()
    assert grown.table.equals(search(blobs, tmp_path / "whole", "random", max_trials=12).table)
    with pytest.raises(UsageError, match="max_trials was 12 and is 5"):
        search(blobs, tmp_path / "grown", "random", max_trials=5)


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


def test_max_seconds_counts_all_sessions(blobs, tmp_path, fake):
    fake()  # half a second a trial, it says
    assert len(search(blobs, tmp_path, "random", max_seconds=1.2).table) == 3
    assert len(search(blobs, tmp_path, "random", max_seconds=1.2).table) == 3
    assert len(search(blobs, tmp_path, "random", max_seconds=2).table) == 4
    assert len(search(blobs, tmp_path, "random").table) == 10


def test_values_that_the_oracle_no_longer_asks_for(blobs, tmp_path, fake, monkeypatch):
    fake()
    search(blobs, tmp_path, "random", max_trials=2, seed=3)
    monkeypatch.setattr("tuning.oracles._SEED_STRIDE", 1)
    with pytest.raises(ZooError, match="another version of keras-tuner"):
        search(blobs, tmp_path, "random", max_trials=2, seed=3)


@pytest.mark.parametrize("journaled", [True, False])
def test_a_crash_between_model_and_journal(blobs, tmp_path, fake, journaled):
    fake()
    result = search(blobs, tmp_path, "grid")
    best, keeper = result.best_trial, BestModel(tmp_path)
    if journaled:  # the crash came after the record, before the model took its place
        keeper.path.rename(keeper.candidate(best["number"]))
        keeper.path.write_text("an older model")
    else:  # the crash came before the record
        keeper.candidate(77).write_text("a model whose trial is not in the journal")
    half_written = keeper.folder / ".candidate-0009.1.2.tmp.keras"
    half_written.write_text("")
    assert keeper.file_of(best).read_text() == f"trial {best['number']}"
    keeper.recover(best)
    assert [f.name for f in keeper.folder.iterdir()] == ["model.keras"]
    assert best_file(tmp_path) == f"trial {best['number']}"

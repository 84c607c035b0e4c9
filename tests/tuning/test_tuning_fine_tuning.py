"""The best heads of a search, trained on with the backbone: what plain training gives, once, and whatever is interrupted."""

from __future__ import annotations

import dataclasses
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from keras_tuner import HyperParameters
from small_pictures import make_shallow, tinted_pictures

import tuning
import zoo
from tuning import runs
from tuning.fine_tuning import FineTuner
from tuning.space_runs import SpaceRunner
from tuning.task import Setting
from zoo.errors import UsageError
from zoo.training import state

pytestmark = pytest.mark.usefixtures("traced_once")
VALUES = {
    "backbone": ["resnet20"],
    "weights": [None],
    "image_size": [8],
    "learning_rate": [0.001, 0.003],
    "l2": [0, 0.1],
}
RECIPE = zoo.Recipe(epochs=2, batch_size=16)
FINE = zoo.Recipe(
    epochs=2,
    batch_size=16,
    learning_rate=0.003,
    trainable=("stage3_block1_conv1", "stage3_block1_conv2", "predictions"),
)


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        make_shallow(patch)
        yield


@pytest.fixture(scope="module")
def data() -> zoo.DataSplits:
    return tinted_pictures()


def search(data, directory, **options) -> tuning.SearchResult:
    options = {"method": "grid", "values": VALUES, "recipe": RECIPE, "objective": "val_loss", **options}
    options = {"fine_tune": FINE, "fine_tune_top": 2, "verbose": False, **options}
    return tuning.search("transfer", data, directory=directory, **options)


@pytest.fixture(scope="module")
def result(data, tmp_path_factory):
    return search(data, tmp_path_factory.mktemp("fine"))


def test_the_best_are_trained_on_and_stand_in_the_one_table(result):
    table = result.table
    tuned = table[table["fine_tuned"].notna()]
    assert set(tuned["trial"]) == set(table.nsmallest(2, "score")["trial"])
    assert len(table) == 4
    assert result.best_score == min(table["score"].min(), table["fine_tuned"].min())
    assert pd.read_csv(result.directory / "trials.csv")["fine_tuned"].notna().sum() == 2
    assert pd.read_csv(result.directory / "runs.csv")["fine_tuned"].notna().sum() == 2


def test_it_is_what_two_phases_of_plain_training_give(data, result):
    number, record = next(iter(result.fine_tuned.items()))
    trial = result.trials[number]
    model = zoo.build("transfer", data.input_shape, data.num_classes, **result.options_of(trial))
    zoo.train(model, data, result.recipe_of(trial), verbose=False)
    run = zoo.train(model, data, FINE, verbose=False)
    assert record["score"] == pytest.approx(run.metrics["val_loss"], rel=1e-4)
    kept = keras.saving.load_model(result.directory / "fine_tuned" / "models" / f"trial-{number:04d}.keras")
    for a, b in zip(model.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_best_model_and_its_phases(data, result):
    assert result.is_fine_tuned
    assert [recipe.trainable for recipe in result.best_recipes] == ["head", FINE.trainable]
    scored = result.fine_tuned[result.best_trial["number"]]
    loss = zoo.evaluate(result.best_model(), data.validation).loss
    assert loss == pytest.approx(scored["metrics"]["val_data_loss"], rel=1e-4)


def test_what_is_done_is_not_done_again(data, result, monkeypatch):
    monkeypatch.setattr(FineTuner, "run", lambda *_: pytest.fail("trained again"))
    again = search(data, result.directory)
    assert again.fine_tuned == result.fine_tuned
    assert search(data, result.directory, fine_tune=None).fine_tuned == result.fine_tuned
    with pytest.raises(UsageError, match=r"holds another search: .*learning_rate"):
        search(data, result.directory, fine_tune=dataclasses.replace(FINE, learning_rate=0.01))


def test_it_may_be_asked_for_later_and_of_more(data, result, tmp_path):
    shutil.copytree(result.directory, tmp_path / "search")
    more = search(data, tmp_path / "search", fine_tune_top=3)
    assert len(more.fine_tuned) == 3
    assert {n: more.fine_tuned[n] for n in result.fine_tuned} == result.fine_tuned


def test_a_killed_one_goes_on_from_its_state(data, result, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    begun = []
    weights = FineTuner._searched_weights
    on_epoch_end = runs.Watch.on_epoch_end

    def watched_weights(self, hp, run):
        found = weights(self, hp, run)
        begun.append(run)
        return found

    def end_of_epoch(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        if begun and epoch == 1:
            raise Killed

    monkeypatch.setattr(state, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(FineTuner, "_searched_weights", watched_weights)
    monkeypatch.setattr(runs.Watch, "on_epoch_end", end_of_epoch)
    with pytest.raises(Killed):
        search(data, tmp_path)
    assert begun[0].state.exists()
    monkeypatch.setattr(runs.Watch, "on_epoch_end", on_epoch_end)
    found = search(data, tmp_path)
    assert len(begun) == 2  # one for each trial: the one that was killed did not begin again
    scores = result.table["fine_tuned"].tolist()
    assert found.table["fine_tuned"].tolist() == pytest.approx(scores, nan_ok=True, rel=1e-5)
    assert not (tmp_path / "fine_tuned" / "states").exists()


@pytest.mark.parametrize("state", [None, b"PK damaged", b""], ids=["none", "damaged", "empty"])
def test_without_a_sound_state_it_begins_with_what_was_searched(data, tmp_path, state):
    if state is not None:
        (tmp_path / "state.npz").write_bytes(state)
    space = tuning.space("softmax", (8, 8, 3), 3, values={"learning_rate": [1e-9]}, recipe=RECIPE)
    searched = [np.ones((192, 3), np.float32), np.zeros(3, np.float32)]
    runner = SpaceRunner(Setting(space, data, RECIPE, "val_loss", "min"), initial_weights=lambda hp, run: searched)
    hp = HyperParameters()
    space.choose(hp)
    run = runs.Run(
        number=0,
        data=data,
        seed=0,
        epochs=1,
        state=tmp_path / "state.npz",
        parent_state=None,
        keep_state=False,
        on_epochs=lambda done, score: None,
    )
    kernel, _ = runner.run(hp, run, 0).make_model().get_weights()
    runner.close()
    np.testing.assert_allclose(kernel, 1, atol=1e-6)


def test_folds_tell_what_it_adds(data, tmp_path):
    found = search(data, tmp_path, folds=3, objective="val_accuracy", fine_tune_top=1, max_trials=2)
    assert found.runs["fine_tuned"].notna().sum() == 3
    trial = next(iter(found.fine_tuned))
    compared = found.compare("fine_tune")
    rows = found.runs[found.runs["trial"] == trial + 1]
    assert compared.scores["fine-tuned"].tolist() == rows["fine_tuned"].tolist()
    assert compared.scores["searched"].tolist() == rows["score"].tolist()
    added = rows["fine_tuned"].mean() - rows["score"].mean()
    assert any(text.startswith(f"Fine-tuning adds {added:+.4f} (95 % interval ") for text in compared.sentences())
    with pytest.raises(ValueError, match="no trial was fine-tuned"):
        dataclasses.replace(found, fine_tuned={}).compare("fine_tune")


def test_trials_that_ran_live_are_trained_on_too(data, tmp_path):
    found = search(data, tmp_path, recipe=dataclasses.replace(RECIPE, augment="flip"), max_trials=1, fine_tune_top=1)
    rows = found.retrain_best(seeds=1, data=data, verbose=False)  # plain training, in both phases
    assert rows["epochs"].tolist() == [4]
    assert found.fine_tuned[0]["metrics"]["val_data_loss"] == pytest.approx(rows["val_loss"][0], rel=1e-4)


def test_a_wrong_recipe_is_refused_before_the_search(data, tmp_path):
    with pytest.raises(UsageError, match=r"stage9_\*"):
        search(data, tmp_path, fine_tune=dataclasses.replace(FINE, trainable="stage9_*"))
    assert not (tmp_path / "journal.jsonl").exists()

    def build(hp):
        raise AssertionError

    with pytest.raises(UsageError, match="models of the catalog"):
        tuning.search(build, data, method="grid", directory=tmp_path, fine_tune=FINE)
    with pytest.raises(UsageError, match="fine_tune_top must be a whole number of at least 1"):
        search(data, tmp_path, fine_tune_top=0)


def test_a_failure_is_a_record_and_not_the_best(data, tmp_path):
    found = search(data, tmp_path, fine_tune=dataclasses.replace(FINE, learning_rate=1e30), fine_tune_top=1)
    (record,) = found.fine_tuned.values()
    assert record["status"] == "failed"
    assert not found.is_fine_tuned
    assert found.table["fine_tuned"].isna().all()

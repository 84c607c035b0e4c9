"""The best trials of a search, trained on with more of the model learning, and scored as the trials were."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner
import numpy as np

from tuning.checkpoints import best_of, ranked
from tuning.head_spaces import HeadSpace
from tuning.journal import Journal
from tuning.progress import SearchProgress
from tuning.runs import fold_data
from tuning.space_runs import SpaceRunner
from tuning.spaces import ModelSpace
from tuning.task import FINE_TUNED, TrialOutcome, TrialTask
from tuning.trial import TrialRunner
from zoo.storage import remove_files
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from tuning.plan import Plan
    from tuning.runs import Run


_STATE = re.compile(r"(searched-)?trial-\d+-\d+\.npz")


class FineTunedSpace(ModelSpace):
    """The models of a space as they are trained on: one recipe for all."""

    def __init__(self, space: ModelSpace, recipe: Recipe) -> None:
        self.__dict__.update(vars(space))
        self.space, self.recipe = space, recipe

    def choose(self, hp: keras_tuner.HyperParameters) -> tuple[dict[str, Any], Recipe]:
        """The builder's options that `hp` stands for, and the recipe of fine-tuning with the seed of the trial."""
        options, recipe = self.space.choose(hp)
        return options, dataclasses.replace(self.recipe, seed=recipe.seed)


class FineTuner:
    """Trains trials of a search on: again what the search did with them, unless a saved state goes on, then the recipe.

    Args:
        plan: what the search is made of.
        recipe: how to train on.
        folder: where models and states are.
    """

    def __init__(self, plan: Plan, recipe: Recipe, folder: Path) -> None:
        searched = plan.setting
        whole = searched.hypermodel.space if isinstance(searched.hypermodel, HeadSpace) else searched.hypermodel
        setting = dataclasses.replace(
            searched,
            hypermodel=FineTunedSpace(whole, recipe),
            data=plan.data,
            recipe=dataclasses.replace(recipe, seed=searched.recipe.seed),
            max_epochs=None,
        )
        self._searched = SpaceRunner(searched)
        self._inputs = fold_data(searched)
        self._runner = TrialRunner(setting, initial_weights=self._searched_weights)
        self._space, self._repeats, self._folder = plan.oracle.hyperparameters, searched.repeats, folder

    def run(self, trial: dict[str, Any], shown: SearchProgress) -> TrialOutcome:
        """Trains and scores all runs of a trial; with one run its model is kept."""
        config = {**self._space.get_config(), "values": trial["values"]}
        keep = int(len(self._inputs) * self._repeats == 1)
        task = TrialTask(trial["number"], config, str(self._folder), keep_models=keep, together=False)
        shown.started(task.number)
        (outcome,) = self._runner.run([task], shown.on_progress)
        return outcome

    def close(self) -> None:
        """Lets all models go."""
        self._searched.close()
        self._runner.close()

    def _searched_weights(self, hp: keras_tuner.HyperParameters, run: Run) -> Sequence[np.ndarray]:
        """What a run of the search ended with."""
        epochs = hp.values.get("tuner/epochs") or self._searched.epochs(hp)
        earlier = dataclasses.replace(
            run,
            data=self._inputs[run.number // self._repeats],
            epochs=epochs,
            state=run.state.with_stem(f"searched-{run.state.stem}"),
            keep_state=False,
            on_epochs=lambda done, score: None,
        )
        weights: Sequence[np.ndarray] = self._searched.run(hp, earlier, 0).make_model().get_weights()
        return weights


def fine_tune_best(plan: Plan, journal: Journal, *, top: int, directory: str | os.PathLike[str], verbose: bool) -> None:
    """Trains the best trials of an ended search on, those that were not before; nothing without `plan.fine_tune`.

    Raises:
        SaveError: the disk is full; the search can be resumed.
    """
    recipe, setting = plan.fine_tune, plan.setting
    if recipe is None:
        return
    chosen = _best_trials(journal.trials, setting.direction)[:top]
    chosen = [trial for trial in chosen if trial["number"] not in journal.fine_tuned]
    if not chosen:
        return
    if verbose:
        names = recipe.trainable if isinstance(recipe.trainable, str) else ", ".join(recipe.trainable or ())
        print(
            f"fine-tuning of the best trials ({names}): {len(chosen)} to do, {recipe.epochs} epochs a run", flush=True
        )
    progress = SearchProgress(objective=setting.objective, direction=setting.direction, verbose=verbose)
    folder = Path(directory) / FINE_TUNED
    with progress as shown, contextlib.closing(FineTuner(plan, recipe, folder)) as tuner:
        for trial in chosen:
            outcome = tuner.run(trial, shown)
            record = {"kind": "fine_tuned", "number": trial["number"], "values": trial["values"]}
            journal.append(record | dataclasses.asdict(outcome))
            remove_states(folder)
            best = best_of(journal.fine_tuned, setting.direction)
            shown.finished(journal.fine_tuned[trial["number"]], None if best is None else best["score"])


def remove_states(folder: Path) -> None:
    """Deletes what runs of fine-tuning went on from, once their record is written."""
    states = folder / "states"
    remove_files(states, [file.name for file in states.glob("*") if _STATE.fullmatch(file.name)])


def _best_trials(trials: dict[int, dict[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The records of the completed trials, best first; of those that differ in their rung alone the best."""
    distinct: dict[str, dict[str, Any]] = {}
    for trial in ranked(trials, direction):
        values = {name: value for name, value in trial["values"].items() if not name.startswith("tuner/")}
        distinct.setdefault(json.dumps(values, sort_keys=True), trial)
    return list(distinct.values())

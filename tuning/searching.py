"""`search`: a model, data, a space and a method -> the best values, and the models that scored best."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning import oracles
from tuning.checkpoints import Checkpoints, best_of
from tuning.executors import check_executor, make_executor
from tuning.journal import FILE_NAME, Journal
from tuning.progress import SearchProgress
from tuning.results import SearchResult, load_result
from zoo.errors import UsageError, check_count, check_seed
from zoo.paths import checked_path
from zoo.storage import DirectoryLock
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras_tuner

    from tuning.loop import Budget
    from tuning.plan import Plan

DEFAULT_RECIPE = Recipe()
DEFAULT_TRIALS = 10  # of a search that would not end by itself
DEFAULT_EPOCHS = 27  # of the last rung of halving and Hyperband
_ENDING = ("grid", "halving", "hyperband")  # the methods that end by themselves


def search(
    model: str | keras_tuner.HyperModel | Any,
    data: Any,
    *,
    method: str | keras_tuner.Oracle,
    values: Mapping[str, Any] | None = None,
    recipe: Recipe = DEFAULT_RECIPE,
    objective: str | keras_tuner.Objective = "val_accuracy",
    max_trials: int | None = None,
    max_epochs: int | None = None,
    max_total_epochs: int | None = None,
    max_seconds: float | None = None,
    folds: int = 1,
    repeats: int = 1,
    retries: int = 0,
    keep_best: int = 1,
    fine_tune: Recipe | None = None,
    fine_tune_top: int = 3,
    executor: str = "inline",
    workers: int = 1,
    address: str | None = None,
    directory: str | os.PathLike[str],
    seed: int = 0,
    verbose: bool = True,
) -> SearchResult:
    """Searches the hyper-parameters of a model, and keeps the best models.

    Called again with the same arguments it resumes, also after it was killed: recorded trials are told to a fresh oracle,
    trials that were running go on from their last saved state, and the result is that of an uninterrupted search. A trial
    is a function of its values and `recipe.seed`, wherever it runs.

    Args:
        model: a name of `zoo.list_models()`, a `tuning.space(...)` (which brings its own recipe), a build function
            `(hp) -> compiled keras.Model` or a `HyperModel`; these two are fitted on batches of (inputs, int labels).
        data: `zoo.DataSplits`, or what `zoo.train` takes for it. Its test split is never touched.
        method: "grid" (every cell once, the last parameter changing fastest), "random", "halving", "hyperband",
            "bayesian", "gp", "genetic" or "swarm" (see `tuning.oracles`), or an oracle of Keras Tuner that was not asked yet
            (with a `seed`, or the search cannot be resumed).
        values: the space of a named model, see `tuning.space`; `None` for its default space.
        recipe: how to train. A model of your own compiles itself: of the recipe it gets batch_size, epochs, shuffle,
            augment, drop_remainder and seed.
        objective: a metric of the trained model; with a `keras_tuner.Objective` where its direction is not obvious.
        max_trials: trials at most, resumed ones included. Defaults to 10 for methods that do not end by themselves. May
            grow when a search is resumed. A grid of more than 10,000 cells must be given it.
        max_epochs: epochs of a trial, by default `recipe.epochs`; for "halving" and "hyperband" of one in the last rung, by
            default 27.
        max_total_epochs: no trial starts once all of them together have taken so many epochs.
        max_seconds: no trial starts once the search has taken so long, its time before a resumption included.
        folds: scores a trial by its mean over a stratified cross-validation with so many parts of training and
            validation data together; 1 scores it on the validation data.
        repeats: scores a trial by its mean over so many seeds (recipe.seed, + 1, ...).
        retries: how often a trial that failed is run again.
        keep_best: of how many of the best trials the models are kept (with one fold and one repeat).
        fine_tune: how the best trials are trained on once all have ended, e.g. `Recipe(trainable="all", epochs=5,
            learning_rate=1e-4)` after a search over heads; without `trainable` all of the model learns. It is scored like
            a trial, in the same folds, in this process and whatever the budget; the table has it as `fine_tuned`.
        fine_tune_top: how many trials are trained on.
        executor: where trials run: "inline" (in this process), "processes" (local workers) or "ray" (a Ray cluster).
        workers: trials at once. Grid and random searches ask for the same trials with any number, as do halving, Hyperband,
            genetic and swarm; a Bayesian one knows less when it asks.
        address: of a Ray cluster, e.g. "host:6379"; `None` starts one on this machine.
        directory: the search's folder: `journal.jsonl`, `models/`, `trials.csv`, `runs.csv`, `epochs.csv`, `result.json`.
        seed: of the oracle, 0 or more; the training's is `recipe.seed`.
        verbose: whether to show progress.

    Raises:
        UsageError: unknown names, a space that is none, a very large grid without `max_trials`, or `directory` holds another
            search or a run.
        LockedError: another process searches in `directory`.
        SaveError: the disk is full; the search can be resumed.
        ZooError: every trial failed; the message has the first one's reason.

    Examples:
        >>> tuning.search("softmax", zoo.load_dataset("digits"), method="grid", directory="runs/grid",
        ...               values={"l2": [0.0, 1e-4], "learning_rate": [0.03, 0.1]}).best_values
    """
    if isinstance(method, str) or not hasattr(method, "populate_space"):
        oracles.check_method(method)
        max_trials = DEFAULT_TRIALS if max_trials is None and method not in _ENDING else max_trials
    directory = checked_path(directory)
    check_executor(executor, workers=workers, address=address)
    counts = {"max_trials": max_trials, "max_epochs": max_epochs, "max_total_epochs": max_total_epochs, "folds": folds}
    counts |= {"repeats": repeats, "keep_best": keep_best, "fine_tune_top": fine_tune_top}
    _check(counts, {"recipe": recipe, "fine_tune": fine_tune}, retries, seed, max_seconds)
    from tuning.fine_tuning import fine_tune_best  # loads TensorFlow
    from tuning.loop import Budget
    from tuning.plan import RUNGS, make_plan

    planned = make_plan(
        model,
        data,
        method=method,
        values=values,
        recipe=recipe,
        objective=objective,
        max_trials=max_trials,
        max_epochs=DEFAULT_EPOCHS if method in RUNGS and max_epochs is None else max_epochs,
        folds=folds,
        repeats=repeats,
        seed=seed,
        verbose=verbose,
        fine_tune=fine_tune,
    )
    with DirectoryLock(directory), _journal(directory, planned.header) as journal, oracles.opened(planned.oracle):
        checkpoints = Checkpoints(directory, direction=planned.setting.direction, keep_best=keep_best)
        _run(
            planned,
            journal,
            checkpoints,
            Budget(max_trials, max_total_epochs, max_seconds),
            retries=retries,
            verbose=verbose,
            executor=executor,
            workers=workers,
            address=address,
        )
        fine_tune_best(planned, journal, top=fine_tune_top, directory=directory, verbose=verbose)
        result = load_result(directory)
        result.write()
    _ = result.best_trial  # raises when there is none
    return result


def _journal(directory: Path, header: dict[str, Any]) -> Journal:
    """The search's journal; a UsageError for a folder whose `result.json` is not a search's, e.g. that of a run."""
    if (directory / "result.json").exists() and not (directory / FILE_NAME).exists():
        raise UsageError(
            f"{directory} holds result.json and no search, and a search would overwrite it; choose another directory"
        )
    return Journal(directory, header)


def _check(counts: Mapping[str, Any], recipes: Mapping[str, Any], retries: Any, seed: Any, max_seconds: Any) -> None:
    """Raises a UsageError for the first number that is out of its range, or recipe that is none."""
    for name, value in counts.items():
        if value is not None:
            check_count(name, value)
    check_count("retries", retries, least=0)
    check_seed(seed)
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe) and (name == "recipe" or recipe is not None):
            raise UsageError(f"{name} must be a Recipe. Received: {name}={recipe!r:.80}")
    if max_seconds is not None and not (isinstance(max_seconds, numbers.Real) and float(max_seconds) > 0):
        raise UsageError(f"max_seconds must be a positive number. Received: max_seconds={max_seconds!r:.80}")


def _run(
    plan: Plan,
    journal: Journal,
    checkpoints: Checkpoints,
    budget: Budget,
    *,
    retries: int,
    verbose: bool,
    executor: str,
    workers: int,
    address: str | None,
) -> None:
    """Replays the journal, and runs what is left to do."""
    from tuning.loop import SearchLoop

    announcement, total = plan.announcement()
    if verbose:
        done = f"; {len(journal.trials)} done already" if journal.trials else ""
        print(f"{announcement}{done}", flush=True)
    best = best_of(journal.trials, plan.setting.direction)
    shown = SearchProgress(
        objective=plan.setting.objective,
        direction=plan.setting.direction,
        total=total,
        done=len(journal.trials),
        failed=sum(record["status"] == "failed" for record in journal.trials.values()),
        best=None if best is None else best["score"],
        verbose=verbose,
    )
    with shown:
        loop = SearchLoop(plan, journal, checkpoints, shown, budget, retries=retries)
        loop.replay()
        if loop.has_work():  # else no worker need start
            with make_executor(
                executor, plan.setting, workers=workers, address=address, on_progress=shown.on_progress
            ) as running:
                loop.run(running)
        loop.say_if_short(total)

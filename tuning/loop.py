"""Ask the oracle, run the trial, write the journal, tell the oracle: `search`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuning import oracles, progress
from tuning.checkpoints import BestModel, best_of
from tuning.executors import Executor, check_executor, make_executor
from tuning.journal import Journal, as_plain
from tuning.oracles.cells import count_cells
from tuning.oracles.cost import hyperband_cost
from tuning.results import SearchResult, load_result
from tuning.trial import Setting, TrialTask
from zoo.errors import UsageError, ZooError
from zoo.storage import DirectoryLock
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras_tuner

DEFAULT_RECIPE = Recipe()
DEFAULT_TRIALS = 10  # of a random search
DEFAULT_EPOCHS = 27  # of Hyperband's last rung


def search(
    model: str | keras_tuner.HyperModel | Any,
    data: Any,
    *,
    method: str,
    values: Mapping[str, Any] | None = None,
    recipe: Recipe = DEFAULT_RECIPE,
    objective: str | keras_tuner.Objective = "val_accuracy",
    max_trials: int | None = None,
    max_epochs: int | None = None,
    max_seconds: float | None = None,
    executor: str = "inline",
    directory: str | os.PathLike[str],
    seed: int = 0,
    verbose: bool = True,
) -> SearchResult:
    """Searches the hyper-parameters of a model, and keeps the best model.

    Called again with the same arguments it resumes: recorded trials are told to a fresh oracle, only the others are
    run, and the result is that of an uninterrupted search. A trial is a function of its values and `recipe.seed`.

    Args:
        model: a name of `zoo.list_models()`, a `tuning.space(...)` (which brings its own recipe), a build function
            `(hp) -> compiled keras.Model` or a `HyperModel`; these two are fitted on batches of (inputs, int labels).
        data: `zoo.DataSplits`, or what `zoo.train` takes for it. Its test split is never touched.
        method: "grid" (every cell once, the last parameter changing fastest), "random" or "hyperband".
        values: the space of a named model, see `tuning.space`; `None` for its default space.
        recipe: how to train. A model of your own compiles itself: of the recipe it gets batch_size, epochs, shuffle,
            augment, drop_remainder and seed.
        objective: a metric of the trained model; with a `keras_tuner.Objective` where its direction is not obvious.
        max_trials: trials at most, resumed ones included. Defaults to 10 for "random", else to all of them. May grow
            when a search is resumed.
        max_epochs: epochs of a trial, by default `recipe.epochs`; for "hyperband" of one in the last rung, by default
            27.
        max_seconds: no trial starts once the trials have taken so long, those before a resumption included.
        executor: where trials run: "inline", in this process.
        directory: the search's folder: `journal.jsonl`, `best/model.keras`, `trials.csv`, `result.json`.
        seed: of the oracle, 0 or more; the training's is `recipe.seed`.
        verbose: whether to print one line a trial.

    Raises:
        UsageError: unknown names, a space that is none, or `directory` holds another search.
        LockedError: another process searches in `directory`.
        ZooError: every trial failed; the message has the first one's reason.

    Example:
        >>> tuning.search("softmax", zoo.load_dataset("digits"), method="grid", directory="runs/grid",
        ...               values={"l2": [0.0, 1e-4], "learning_rate": [0.03, 0.1]}).best_values
    """
    oracles.check_method(method)
    check_executor(executor)
    for name, limit in (("max_trials", max_trials), ("max_epochs", max_epochs), ("max_seconds", max_seconds)):
        if limit is not None and limit <= 0:
            raise UsageError(f"{name} must be positive. Received: {limit}")
    if method == "random" and max_trials is None:
        max_trials = DEFAULT_TRIALS
    if method == "hyperband" and max_epochs is None:
        max_epochs = DEFAULT_EPOCHS
    from tuning import plan  # loads TensorFlow

    epochs = None if method == "hyperband" else max_epochs
    setting = plan.make_setting(model, data, values=values, recipe=recipe, objective=objective, epochs=epochs)
    oracle, header = plan.make_plan(model, setting, method, max_trials=max_trials, max_epochs=max_epochs, seed=seed)
    with DirectoryLock(directory), Journal(directory, header) as journal, oracles.opened(oracle):
        loop = _Loop(oracle, make_executor(executor, setting), journal, BestModel(directory), setting, verbose=verbose)
        loop.run(max_trials=max_trials, max_seconds=max_seconds, total=_announce(oracle, header, journal, verbose))
        result = load_result(directory)
        result.write()
    _ = result.best_trial  # raises when there is none
    return result


def _announce(oracle: keras_tuner.Oracle, header: dict[str, Any], journal: Journal, verbose: bool) -> int | None:
    """Says what is to come; returns the number of trials where it is known."""
    method, total = header["method"], header["max_trials"]
    cost = ""
    if method == "grid":
        total = min(count_cells(oracle.hyperparameters), total or 10**9)
    elif method == "hyperband":
        trials, epochs = hyperband_cost(header["max_epochs"])
        cost = f", {epochs} epochs together" if total is None or total >= trials else ""
        total = min(trials, total or trials)
    if verbose:
        done = f"; {len(journal.trials)} done already" if journal.trials else ""
        print(f"{method} search of {header['model']} for {header['objective']}: up to {total} trials{cost}{done}")
    return total


class _Loop:
    """One search: an oracle, an executor and a journal, brought together."""

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        executor: Executor,
        journal: Journal,
        best_model: BestModel,
        setting: Setting,
        *,
        verbose: bool,
    ) -> None:
        self.oracle = oracle
        self.executor = executor
        self.journal = journal
        self.best_model = best_model
        self.setting = setting
        self.verbose = verbose

    def run(self, *, max_trials: int | None, max_seconds: float | None, total: int | None) -> None:
        """Runs trials until the oracle has no more or a budget is spent."""
        self.best_model.recover(best_of(self.journal.trials, self.setting.direction))
        told = 0
        while max_trials is None or told < max_trials:
            spent = sum(record["seconds"] for record in self.journal.trials.values())
            if max_seconds is not None and spent >= max_seconds:
                break
            trial = self.oracle.create_trial("search")
            if trial.status != "RUNNING":
                self._say_if_short(told, total)
                break
            record = self._recorded(trial)
            if record is None:
                record = self._run_trial(trial)
                self._report(record, total)
            self._tell(trial, record)
            told += 1

    def _say_if_short(self, told: int, total: int | None) -> None:
        if self.verbose and total is not None and told < total:
            print(f"ended after {told} of {total} trials: the oracle has no more (failed trials, or a small space)")

    def _recorded(self, trial: keras_tuner.engine.trial.Trial) -> dict[str, Any] | None:
        """The journal's record of a trial, if it is there."""
        record = self.journal.trials.get(int(trial.trial_id))
        asked = as_plain(trial.hyperparameters.values)
        if record is not None and record["asked"] != asked:
            raise ZooError(
                f"the journal's trial {record['number'] + 1} has the values {record['asked']}, the search now asks for "
                f"{asked}: was it made by another version of keras-tuner? Choose another directory"
            )
        return record

    def _run_trial(self, trial: keras_tuner.engine.trial.Trial) -> dict[str, Any]:
        """Runs a trial, writes it to the journal and, when it is the best, keeps its model."""
        number = int(trial.trial_id)
        best = best_of(self.journal.trials, self.setting.direction)
        config = trial.hyperparameters.get_config()
        task = TrialTask(
            number=number,
            hyperparameters=config,
            epochs=config["values"].get("tuner/epochs"),
            save_to=str(self.best_model.candidate(number)),
            better_than=None if best is None else best["score"],
        )
        outcome = self.executor.run(task)
        after = config if outcome.hyperparameters is None else outcome.hyperparameters
        record = {
            "kind": "trial",
            "number": number,
            "asked": config["values"],
            "values": after["values"],
            **dataclasses.asdict(outcome),
        }
        self.journal.append(record)
        if outcome.model_sha256 is not None:
            self.best_model.promote(number)
        return self.journal.trials[number]

    def _tell(self, trial: keras_tuner.engine.trial.Trial, record: dict[str, Any]) -> None:
        """Tells the oracle what became of a trial."""
        import keras_tuner

        if record["hyperparameters"] is not None:
            trial.hyperparameters = keras_tuner.HyperParameters.from_config(record["hyperparameters"])
        if record["status"] == "completed":
            self.oracle.update_trial(trial.trial_id, {self.setting.objective: record["score"]})
            trial.status = "COMPLETED"
        else:
            trial.status = "FAILED"
            trial.message = record["reason"]
        self.oracle.end_trial(trial)

    def _report(self, record: dict[str, Any], total: int | None) -> None:
        if not self.verbose:
            return
        best = best_of(self.journal.trials, self.setting.direction)
        score = None if best is None else best["score"]
        print(progress.trial_line(record, objective=self.setting.objective, best=score, total=total), flush=True)

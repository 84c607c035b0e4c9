"""Ask the oracle, run the trial, write the journal, tell the oracle: `search`."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tuning import oracles, progress
from tuning.checkpoints import Checkpoints, best_of
from tuning.executors import Executor, check_executor, make_executor
from tuning.journal import Journal, as_plain
from tuning.results import SearchResult, load_result
from tuning.task import TrialOutcome, TrialTask
from zoo.errors import UsageError, ZooError
from zoo.storage import DirectoryLock
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras_tuner

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
            "bayesian", "gp", "genetic" or "swarm" (see `tuning.oracles`), or an oracle of Keras Tuner that was not asked yet.
        values: the space of a named model, see `tuning.space`; `None` for its default space.
        recipe: how to train. A model of your own compiles itself: of the recipe it gets batch_size, epochs, shuffle,
            augment, drop_remainder and seed.
        objective: a metric of the trained model; with a `keras_tuner.Objective` where its direction is not obvious.
        max_trials: trials at most, resumed ones included. Defaults to 10 for methods that do not end by themselves. May
            grow when a search is resumed.
        max_epochs: epochs of a trial, by default `recipe.epochs`; for "halving" and "hyperband" of one in the last rung, by
            default 27.
        max_total_epochs: no trial starts once all of them together have taken so many epochs.
        max_seconds: no trial starts once the search has taken so long, its time before a resumption included.
        folds: scores a trial by its mean over a stratified cross-validation with so many parts of training and
            validation data together; 1 scores it on the validation data.
        repeats: scores a trial by its mean over so many seeds (recipe.seed, + 1, ...).
        retries: how often a trial that failed is run again.
        keep_best: of how many of the best trials the models are kept (with one fold and one repeat).
        executor: where trials run: "inline" (in this process), "processes" (local workers) or "ray" (a Ray cluster).
        workers: trials at once. Grid and random searches ask for the same trials with any number, as do halving, Hyperband,
            genetic and swarm; a Bayesian one knows less when it asks.
        address: of a Ray cluster, e.g. "ray://host:10001"; `None` starts one on this machine.
        directory: the search's folder: `journal.jsonl`, `models/`, `trials.csv`, `runs.csv`, `epochs.csv`, `result.json`.
        seed: of the oracle, 0 or more; the training's is `recipe.seed`.
        verbose: whether to show progress.

    Raises:
        UsageError: unknown names, a space that is none, or `directory` holds another search.
        LockedError: another process searches in `directory`.
        SaveError: the disk is full; the search can be resumed.
        ZooError: every trial failed; the message has the first one's reason.

    Example:
        >>> tuning.search("softmax", zoo.load_dataset("digits"), method="grid", directory="runs/grid",
        ...               values={"l2": [0.0, 1e-4], "learning_rate": [0.03, 0.1]}).best_values
    """
    if isinstance(method, str):
        oracles.check_method(method)
        max_trials = DEFAULT_TRIALS if max_trials is None and method not in _ENDING else max_trials
    check_executor(executor, workers=workers, address=address)
    budget = Budget(max_trials, max_total_epochs, max_seconds)
    _check_counts(max_epochs=max_epochs, folds=folds, repeats=repeats, keep_best=keep_best)
    from tuning import plan  # loads TensorFlow

    if method in plan.RUNGS and max_epochs is None:
        max_epochs = DEFAULT_EPOCHS
    planned = plan.make_plan(
        model,
        data,
        method=method,
        values=values,
        recipe=recipe,
        objective=objective,
        max_trials=max_trials,
        max_epochs=max_epochs,
        folds=folds,
        repeats=repeats,
        seed=seed,
    )
    with DirectoryLock(directory), Journal(directory, planned.header) as journal, oracles.opened(planned.oracle):
        checkpoints = Checkpoints(directory, direction=planned.setting.direction, keep_best=keep_best)
        announcement, total = planned.announcement()
        if verbose:
            done = f"; {len(journal.trials)} done already" if journal.trials else ""
            print(f"{announcement}{done}", flush=True)
        best = best_of(journal.trials, planned.setting.direction)
        with progress.SearchProgress(
            objective=planned.setting.objective,
            direction=planned.setting.direction,
            total=total,
            done=len(journal.trials),
            failed=sum(record["status"] == "failed" for record in journal.trials.values()),
            best=None if best is None else best["score"],
            verbose=verbose,
        ) as shown:
            loop = _Loop(planned, journal, checkpoints, shown, budget, folder=str(directory), retries=retries)
            loop.replay()
            if loop.has_work():
                with make_executor(
                    executor, planned.setting, workers=workers, address=address, on_progress=shown.on_progress
                ) as running:
                    loop.run(running)
            loop.say_if_short(total)
        result = load_result(directory)
        result.write()
    _ = result.best_trial  # raises when there is none
    return result


@dataclasses.dataclass(frozen=True)
class Budget:
    """When no further trial starts; `None` is no limit."""

    trials: int | None
    epochs: int | None
    seconds: float | None

    def __post_init__(self) -> None:
        _check_counts(max_trials=self.trials, max_total_epochs=self.epochs, max_seconds=self.seconds)


class _Loop:
    """One search: an oracle, an executor and a journal, brought together."""

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        checkpoints: Checkpoints,
        shown: progress.SearchProgress,
        budget: Budget,
        *,
        folder: str,
        retries: int,
    ) -> None:
        self.oracle, self.setting = plan.oracle, plan.setting
        self.journal, self.checkpoints, self.shown, self.budget = journal, checkpoints, shown, budget
        self.folder, self.retries = folder, retries
        self.asked: dict[int, Any] = {}  # number -> the oracle's trial, while it is not told
        self.attempts: dict[int, int] = {}
        self.started = time.monotonic()
        self._next: Any = None  # a trial that was asked and is not yet submitted

    @property
    def seconds(self) -> float:
        """Wall time of the search, before a resumption included."""
        return self.journal.seconds + time.monotonic() - self.started

    def replay(self) -> None:
        """Brings the oracle to where the journal ends."""
        for event in self.journal.events:
            number = event["number"]
            if event["kind"] == "asked":
                trial = self._ask()
                asked = None if trial is None else as_plain(trial.hyperparameters.values)
                if trial is None or int(trial.trial_id) != number or asked != event["values"]:
                    raise ZooError(
                        f"the journal's trial {number + 1} has the values {event['values']}, the search now asks for "
                        f"{asked}: was it made by another version of a package? Choose another directory"
                    )
                self.asked[number] = trial
            elif event["kind"] == "retried":
                self.attempts[number] = self.attempts.get(number, 0) + 1
            else:
                self._tell(event)
        self._prune()

    def has_work(self) -> bool:
        """Whether there is a trial to run: one that was running when the search was killed, or a new one."""
        if not self.asked and self._may_start(0):
            self._next = self._ask()
        return bool(self.asked) or self._next is not None

    def run(self, executor: Executor) -> None:
        """Runs trials until the oracle has no more or a budget is spent."""
        waiting = [self._task(number) for number in sorted(self.asked)]
        running: dict[int, TrialTask] = {}
        while True:
            while len(running) < executor.capacity:
                task = waiting.pop(0) if waiting else self._new_task(running)
                if task is None:
                    break
                running[task.number] = task
                executor.submit(task)
                self.shown.started(task.number)
            if not running:
                return
            task, outcome = executor.next_outcome()
            del running[task.number]
            if outcome.status == "failed" and self.attempts.get(task.number, 0) < self.retries:
                self.attempts[task.number] = self.attempts.get(task.number, 0) + 1
                self.journal.append({"kind": "retried", "number": task.number, "reason": outcome.reason})
                waiting.append(task)
                continue
            self._record(task, outcome)

    def say_if_short(self, total: int | None) -> None:
        """Says so when the oracle had fewer trials than was announced."""
        count = len(self.journal.trials)
        if total is not None and count < total and self._may_start(0):
            self.shown.note(
                f"ended after {count} of {total} trials: the oracle has no more (failed trials, or a small space)"
            )

    def _may_start(self, running_epochs: int) -> bool:
        """Whether the budget allows another trial."""
        budget, trials = self.budget, self.journal.trials
        if budget.trials is not None and len(trials) + len(self.asked) >= budget.trials:
            return False
        if budget.seconds is not None and self.seconds >= budget.seconds:
            return False
        spent = sum(record["epochs"] for record in trials.values()) + running_epochs
        return budget.epochs is None or spent < budget.epochs

    def _new_task(self, running: Mapping[int, TrialTask]) -> TrialTask | None:
        """A new trial, written to the journal before it starts; `None` when there is none now."""
        runs = self.setting.folds * self.setting.repeats
        planned = sum((task.epochs or self.setting.recipe.epochs) - task.initial_epoch for task in running.values())
        if self._next is None:
            if not self._may_start(planned * runs):
                return None
            self._next = self._ask()
        if self._next is None:
            return None
        trial, self._next = self._next, None
        number = int(trial.trial_id)
        self.journal.append({"kind": "asked", "number": number, "values": trial.hyperparameters.values})
        self.asked[number] = trial
        return self._task(number)

    def _ask(self) -> Any:
        """The oracle's next trial, or `None`: it has no more, or it waits for running ones."""
        trial = self.oracle.create_trial(f"trial-{len(self.oracle.trials)}")
        return trial if trial.status == "RUNNING" else None

    def _task(self, number: int) -> TrialTask:
        config = self.asked[number].hyperparameters.get_config()
        values = config["values"]
        parent = values.get("tuner/trial_id")
        return TrialTask(
            number=number,
            hyperparameters=config,
            folder=self.folder,
            epochs=values.get("tuner/epochs"),
            initial_epoch=values.get("tuner/initial_epoch", 0),
            parent=None if parent is None else int(parent),
            pause="tuner/epochs" in values,
            better_than=self.checkpoints.threshold(self.journal.trials),
            keep_model=self.setting.folds * self.setting.repeats == 1,
        )

    def _record(self, task: TrialTask, outcome: TrialOutcome) -> None:
        """Writes a trial's end to the journal, tells the oracle, deletes what nobody needs any more."""
        asked = task.hyperparameters["values"]
        after = asked if outcome.hyperparameters is None else outcome.hyperparameters["values"]
        attempts = outcome.attempts + self.attempts.get(task.number, 0)
        record = {
            "kind": "trial",
            "number": task.number,
            "asked": asked,
            "values": after,
            "parent": task.parent,
            "ended": self.seconds,
            **dataclasses.asdict(outcome),
            "attempts": attempts,
        }
        self.journal.append(record)
        self._tell(self.journal.trials[task.number])
        self._prune()
        best = best_of(self.journal.trials, self.setting.direction)
        self.shown.finished(self.journal.trials[task.number], None if best is None else best["score"])

    def _tell(self, record: dict[str, Any]) -> None:
        """Tells the oracle what became of a trial."""
        import keras_tuner

        trial = self.asked.pop(record["number"])
        if record["hyperparameters"] is not None:
            trial.hyperparameters = keras_tuner.HyperParameters.from_config(record["hyperparameters"])
        if record["status"] == "completed":
            self.oracle.update_trial(trial.trial_id, {self.setting.objective: record["score"]})
            trial.status = "COMPLETED"
        else:
            trial.status = "FAILED"
            trial.message = record["reason"]
        self.oracle.end_trial(trial)

    def _prune(self) -> None:
        """Keeps the best models, and the states of trials that run, of those they continue, and of paused ones."""
        running = set(self.asked)
        parents = {trial.hyperparameters.values.get("tuner/trial_id") for trial in self.asked.values()}
        paused = getattr(self.oracle, "resumable_trials", None)
        if paused is not None:
            kept = {int(name) for name in paused()}
        else:  # a stock oracle does not say
            kept = {n for n, record in self.journal.trials.items() if "tuner/epochs" in record["asked"]}
        self.checkpoints.prune(self.journal.trials, running | kept | {int(p) for p in parents if p is not None})


def _check_counts(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and value <= 0:
            raise UsageError(f"{name} must be positive. Received: {name}={value}")

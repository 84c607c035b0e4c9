"""Ask the oracle, run the trial, write the journal, tell the oracle: the loop of a search."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from tuning.checkpoints import Checkpoints
from tuning.executors import Executor
from tuning.journal import Journal, as_plain
from tuning.progress import SearchProgress
from tuning.task import TrialOutcome, TrialTask, epochs_of
from tuning.vectorized.grouping import MOST_MEMBERS, can_stack, group_key, keys_of_groups
from zoo.errors import ZooError, one_line

if TYPE_CHECKING:
    from tuning.plan import Plan


@dataclasses.dataclass(frozen=True)
class Budget:
    """When no further trial starts; `None` is no limit."""

    trials: int | None
    epochs: int | None
    seconds: float | None


class SearchLoop:
    """One search: an oracle, an executor and a journal, brought together.

    Args:
        plan: the oracle, and what all trials share.
        journal: what was recorded, and what is recorded from now on.
        checkpoints: the files of models and states.
        shown: what the user sees.
        budget: when no further trial starts.
        retries: how often a trial that failed is run again.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        checkpoints: Checkpoints,
        shown: SearchProgress,
        budget: Budget,
        *,
        retries: int,
    ) -> None:
        self.oracle, self.setting = plan.oracle, plan.setting
        self.journal, self.checkpoints, self.shown, self.budget = journal, checkpoints, shown, budget
        self.retries = retries
        self._asks_ahead = getattr(plan.oracle, "asks_ahead", False) and can_stack(plan.setting)
        self.asked: dict[int, Any] = {}  # number -> the oracle's trial, while it is not told
        self.attempts: dict[int, int] = {}
        self.started = time.monotonic()
        self._epochs = 0  # of all trials that have ended
        self._paused: set[int] = set()  # trials that ended at a rung
        self._keys: dict[int, str] = {}  # trials that train with others of the same key
        self._next: Any = None  # a trial that was asked and is not yet submitted

    @property
    def seconds(self) -> float:
        """Wall time of the search, before a resumption included."""
        return self.journal.seconds + time.monotonic() - self.started

    def replay(self) -> None:
        """Brings the oracle to where the journal ends.

        Raises:
            ZooError: the journal is not of this search; whoever wrote its values could write any.
        """
        together: set[int] = set()
        try:
            for event in self.journal.events:
                if event["kind"] == "asked":
                    self._replay_asked(event["trials"])
                    together |= {trial["number"] for trial in event["trials"] if trial["together"]}
                else:
                    self._replay_ended(event)
        except ZooError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise ZooError(
                f"{self.journal.path} cannot be gone on with ({one_line(error)}). Choose another directory"
            ) from error
        self.journal.events.clear()  # of thousands of trials the memory is wanted
        for number in together & self.asked.keys():
            self._keys[number] = group_key(self.setting, self._task(number)) or ""
        self.checkpoints.remove_torn()
        self._prune()

    def _replay_asked(self, trials: list[dict[str, Any]]) -> None:
        """Asks for trials again, in their order, and checks that they are those of the journal."""
        for expected in trials:
            number, trial = expected["number"], self._ask()
            asked = None if trial is None else trial.hyperparameters.values
            asked = asked if asked == expected["values"] else as_plain(asked)
            if trial is None or int(trial.trial_id) != number or asked != expected["values"]:
                raise ZooError(
                    f"{self.journal.path}: trial {number + 1} has the values {expected['values']}, the search now asks for "
                    f"{asked}: was it made by another version of a package, or of keras-zoo? Choose another directory"
                )
            self.asked[number] = trial

    def _replay_ended(self, event: dict[str, Any]) -> None:
        number = event["number"]
        if number not in self.asked:
            raise ZooError(
                f"{self.journal.path} ends trial {number + 1}, which was not running then: no search writes that. Choose another "
                "directory"
            )
        if event["kind"] == "retried":
            self.attempts[number] = self.attempts.get(number, 0) + 1
        else:
            self._tell(event)

    def has_work(self) -> bool:
        """Whether there is a trial to run: one that was running when the search was killed, or a new one."""
        if not self.asked and self._may_start():
            self._next = self._ask()
        return bool(self.asked) or self._next is not None

    def run(self, executor: Executor) -> None:
        """Runs trials until the oracle has no more or a budget is spent."""
        waiting = [self._task(number) for number in sorted(self.asked)]
        running: list[list[TrialTask]] = []
        while True:
            while len(running) < executor.capacity:
                waiting = waiting or self._ask_ahead()
                group = self._next_group(waiting, executor.capacity - len(running))
                if not group:
                    break
                running.append(group)
                executor.submit(group)
                for task in group:
                    self.shown.started(task.number, len(group))
            if not running:
                return
            group, outcomes = executor.next_outcomes()
            running.remove(group)
            for task, outcome in zip(group, outcomes, strict=True):
                if outcome.status == "failed" and self.attempts.get(task.number, 0) < self.retries:
                    self.attempts[task.number] = self.attempts.get(task.number, 0) + 1
                    self.checkpoints.forget(task.number)
                    self.journal.append({"kind": "retried", "number": task.number, "reason": outcome.reason})
                    waiting.append(task)
                else:
                    self._record(task, outcome)
            self._prune()

    def say_if_short(self, total: int | None) -> None:
        """Says so when the oracle had fewer trials than was announced."""
        count = len(self.journal.trials)
        if total is not None and count < total and self._may_start():
            self.shown.note(
                f"ended after {count} of {total} trials: the oracle has no more (failed trials, or a small space)"
            )

    def _may_start(self) -> bool:
        """Whether the budget allows another trial; those that were asked for and have not ended count as done."""
        budget = self.budget
        if budget.trials is not None and len(self.journal.trials) + len(self.asked) >= budget.trials:
            return False
        if self._is_late():
            return False
        return budget.epochs is None or self._epochs + self._planned_epochs() < budget.epochs

    def _is_late(self) -> bool:
        return self.budget.seconds is not None and self.seconds >= self.budget.seconds

    def _planned_epochs(self) -> int:
        """Epochs of the trials that were asked for and have not ended."""
        runs = self.setting.folds * self.setting.repeats
        return runs * sum(epochs_of(self.setting, trial.hyperparameters.values) for trial in self.asked.values())

    def _ask_ahead(self) -> list[TrialTask]:
        """The next trial, or as many as may train together where that changes nothing for the oracle; none if there is none.

        They are in the journal, in one record, before one of them starts. Which of them train together is decided now, once
        and for all, so that a search that is resumed, or has other workers, computes the same numbers.
        """
        numbers: list[int] = []
        most = MOST_MEMBERS if self._asks_ahead else 1
        while len(numbers) < most and (self._next is not None or self._may_start()):
            trial, self._next = self._next or self._ask(), None
            if trial is None:
                break
            numbers.append(int(trial.trial_id))
            self.asked[numbers[-1]] = trial
        tasks = [self._task(number) for number in numbers]
        self._keys |= keys_of_groups(self.setting, tasks)
        trials = [
            {"number": n, "values": self.asked[n].hyperparameters.values, "together": n in self._keys} for n in numbers
        ]
        if trials:
            self.journal.append({"kind": "asked", "trials": trials})
        return tasks

    def _next_group(self, waiting: list[TrialTask], workers: int) -> list[TrialTask]:
        """Takes the first waiting trial out, and those that train with it: a fair part for each free worker."""
        if not waiting or (self._is_late() and self._asks_ahead):
            return []
        key = self._keys.get(waiting[0].number)
        alike = [task for task in waiting if key is not None and self._keys.get(task.number) == key] or waiting[:1]
        most = max(1, MOST_MEMBERS // (self.setting.folds * self.setting.repeats))  # their results wait for each other
        group = alike[: min(most, -(-len(alike) // workers))]
        waiting[:] = [task for task in waiting if task not in group]
        threshold = self.checkpoints.threshold()
        return [dataclasses.replace(task, better_than=threshold, together=key is not None) for task in group]

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
            folder=str(self.checkpoints.directory),
            epochs=values.get("tuner/epochs"),
            initial_epoch=values.get("tuner/initial_epoch", 0),
            parent=None if parent is None else int(parent),
            pause="tuner/epochs" in values,
            keep_models=self.checkpoints.keep_best if self.setting.folds * self.setting.repeats == 1 else 0,
        )

    def _record(self, task: TrialTask, outcome: TrialOutcome) -> None:
        """Writes a trial's end to the journal, and tells the oracle."""
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
        self.shown.finished(self.journal.trials[task.number], self.checkpoints.best_score)

    def _tell(self, record: dict[str, Any]) -> None:
        """Tells the oracle what became of a trial, and counts it; its cost must not grow with the trials before it."""
        import keras_tuner

        self._epochs += record["epochs"]
        self.checkpoints.count(record)
        if "tuner/epochs" in record["asked"]:
            self._paused.add(record["number"])
        trial = self.asked.pop(record["number"])
        self._keys.pop(record["number"], None)
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
        parents = {trial.hyperparameters.values.get("tuner/trial_id") for trial in self.asked.values()}
        paused = getattr(self.oracle, "resumable_trials", None)
        kept = {int(name) for name in paused()} if paused is not None else set(self._paused)  # a stock one does not say
        kept |= {int(parent) for parent in parents if parent is not None}
        self.checkpoints.prune(running=self.asked, resumable=kept)

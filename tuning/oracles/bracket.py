"""What successive halving and Hyperband share: brackets of rungs, each promoted when all its trials have ended."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras_tuner

from tuning.oracles.base import CellOracle, OracleOptions
from tuning.oracles.cells import count_cells, is_finite
from tuning.oracles.schedules import Schedule
from zoo.errors import UsageError


class BracketOracle(CellOracle):
    """Runs brackets one after another; see the subclasses.

    A promotion is a new trial with the same values that continues another one. Keras Tuner's own entries say how:
    "tuner/epochs", "tuner/initial_epoch", "tuner/bracket", "tuner/round" and "tuner/trial_id", the trial continued.

    A rung is promoted only when all its trials have ended, so that which trials there are does not depend on how long they
    take or on how many run at once; meanwhile the oracle is idle. Failed trials rank last, ties go to the first asked.

    A finite space is exhausted: a bracket takes what is untried, and when nothing is, those that an earlier bracket stopped
    below this one's first rung, the best first; it is skipped when there are none.

    Args:
        objective: as for `CellOracle`, and so the rest.
        schedules: the rungs of each bracket.
        iterations: how often all brackets are run; `None`: until `max_trials`, or until the space has no more.
    """

    asks_ahead = True

    def __init__(
        self, objective: Any, *, schedules: list[Schedule], iterations: int | None, **options: Unpack[OracleOptions]
    ) -> None:
        if iterations is not None and iterations < 1:
            raise UsageError(f"iterations must be at least 1. Received: {iterations}")
        super().__init__(objective, **options)
        self.iterations = iterations
        self._schedules = schedules
        self._bracket = 0  # counts on over the iterations
        self._round = 0
        self._rung: list[str] = []  # trials asked in this round
        self._places: dict[str, int] = {}  # of these trials in the rung
        self._ranks: list[tuple[float, int, str]] = []  # (loss, place, trial) of those that were completed, best first
        self._parents: list[str] = []  # trials to continue in this round
        self._fresh = schedules[0][0].size  # new cells to ask in this round

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next trial of the rung, or of the rung that follows when all of this one's have ended."""
        skipped = 0
        while skipped < len(self._schedules) and self._brackets_left():
            values = self._next_values()
            if values is not None:
                self._places[trial_id] = len(self._rung)
                self._rung.append(trial_id)
                return {"status": "RUNNING", "values": values}
            if any(trial.trial_id in self._places for trial in self._unended()):
                return {"status": "IDLE"}
            skipped = 0 if self._rung else skipped + 1
            self._advance()
        return self.stopped_or_idle()

    def resumable_trials(self) -> set[str]:
        """Trials that a promotion may still continue: what they were paused in must be kept, and nothing else."""
        keep = set(self._parents)
        keep.update(trial.hyperparameters.values.get("tuner/trial_id") for trial in self._unended())
        keep.update(self._promoted())
        later = self._brackets_left(after=1)
        if later and self._may_run_out():
            keep.update(self._stopped_below(max(schedule[0].epochs for schedule in later)))
        return keep - {None}

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        """Ranks a trial among those of its rung, once for all, because the rung is looked at after each trial."""
        super().end_trial(trial)
        self._rank(trial.trial_id)

    def get_state(self) -> dict[str, Any]:
        """Keras Tuner's state, and the place in the bracket."""
        place = {"bracket": self._bracket, "round": self._round, "fresh": self._fresh}
        return {**super().get_state(), **place, "rung": list(self._rung), "parents": list(self._parents)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state."""
        super().set_state(state)
        self._bracket, self._round, self._fresh = state["bracket"], state["round"], state["fresh"]
        self._rung, self._parents = list(state["rung"]), list(state["parents"])
        self._places, self._ranks = {trial_id: place for place, trial_id in enumerate(self._rung)}, []
        for trial_id in self._rung:
            self._rank(trial_id)

    @property
    def _schedule(self) -> Schedule:
        return self._schedules[self._bracket % len(self._schedules)]

    def _brackets_left(self, *, after: int = 0) -> list[Schedule]:
        """The schedules of this bracket and of those that follow, `after` of them left out; endless ones for a round."""
        first = self._bracket + after
        end = first + len(self._schedules)
        if self.iterations is not None:
            end = min(end, self.iterations * len(self._schedules))
        return [self._schedules[bracket % len(self._schedules)] for bracket in range(first, end)]

    def _next_values(self) -> dict[str, Any] | None:
        """The values of this rung's next trial; `None` when all are asked."""
        if self._fresh:
            values = self.untried_values(self.generator(self._bracket, len(self._rung)))
            if values is not None:
                self._fresh -= 1
                return {**values, **self._entries(initial_epoch=0)}
            self._fresh = 0
            if not self._rung and is_finite(self.hyperparameters):
                first = self._schedule[0]
                self._parents = self._stopped_below(first.epochs)[: first.size]
        if not self._parents:
            return None
        parent = self._parents.pop(0)
        values = self.trials[parent].hyperparameters.values
        return {**values, **self._entries(initial_epoch=values["tuner/epochs"]), "tuner/trial_id": parent}

    def _entries(self, *, initial_epoch: int) -> dict[str, int]:
        return {
            "tuner/epochs": self._schedule[self._round].epochs,
            "tuner/initial_epoch": initial_epoch,
            "tuner/bracket": len(self._schedule) - 1,
            "tuner/round": self._round,
        }

    def _advance(self) -> None:
        """Goes to the next rung, or to the next bracket when nothing is promoted."""
        self._parents = self._promoted()
        self._rung, self._places, self._ranks = [], {}, []
        if self._parents:
            self._round += 1
        else:
            self._bracket, self._round = self._bracket + 1, 0
            self._fresh = self._schedule[0].size

    def _promoted(self) -> list[str]:
        """The trials of this rung that are, as far as is known, to be continued in the next: best first."""
        if self._round + 1 == len(self._schedule):
            return []
        return [trial_id for _, _, trial_id in self._ranks[: self._schedule[self._round + 1].size]]

    def _rank(self, trial_id: str) -> None:
        place = self._places.get(trial_id)
        if place is not None and self.trials[trial_id].status == "COMPLETED":
            bisect.insort(self._ranks, (self.loss(trial_id), place, trial_id))

    def _unended(self) -> list[Any]:
        """The trials that run, and those that wait to be run again."""
        return [*self.ongoing_trials.values(), *(self.trials[trial_id] for trial_id in self._retry_queue)]

    def _ranked(self, trial_ids: Sequence[str]) -> list[str]:
        """The completed ones, best first, of equals the first asked."""
        return sorted((i for i in trial_ids if self.trials[i].status == "COMPLETED"), key=self.loss)

    def _stopped_below(self, epochs: int) -> list[str]:
        """The last trial of every cell that was completed with fewer epochs than these, best first."""
        self._index()
        last = {self._key_of[trial_id]: trial_id for trial_id in self.start_order}
        values = ((trial_id, self.trials[trial_id].hyperparameters.values) for trial_id in last.values())
        return self._ranked([trial_id for trial_id, v in values if v.get("tuner/epochs", math.inf) < epochs])

    def _may_run_out(self) -> bool:
        """Whether a later bracket may find no untried cell."""
        if not is_finite(self.hyperparameters):
            return False
        self._index()
        wanted = math.inf
        if self.iterations is not None:
            later = range(self._bracket + 1, self.iterations * len(self._schedules))
            wanted = self._fresh + sum(self._schedules[i % len(self._schedules)][0].size for i in later)
        return count_cells(self.hyperparameters) <= len(self._known) + wanted

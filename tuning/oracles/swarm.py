"""Particles that fly through the space, drawn to the best places seen."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from tuning.oracles.base import CellOracle, OracleOptions
from tuning.oracles.cells import Key, cell_key
from zoo.errors import UsageError

_INERTIA = 0.7298  # the constriction of Clerc and Kennedy for an attraction of 4.1
_PULL = 1.49618  # towards the particle's own best and towards the swarm's, each times a random number
_MAX_VELOCITY = 0.2  # of the range, an iteration
_STALE = 10  # iterations without a new cell after which the swarm is scattered
_EDGE = 1 - 1e-9  # a place is below 1


class SwarmOracle(CellOracle):
    """Particle swarm (Kennedy and Eberhart, 1995; constriction by Clerc and Kennedy, 2002: 0.7298 and 1.49618).

    A particle is a place in [0, 1) for every parameter, inactive ones included. Each iteration it moves on, drawn to the best
    place of its own and to that of the swarm; at the border it stops. In a cell whose score is known it pays nothing. When a
    swarm finds no new cell for ten iterations, its particles are scattered over untried cells; their memory remains.

    When to use it: for a handful of numerical parameters whose scores change smoothly. Values without an order are to it
    what their order in the list says.

    Cost before it starts: `max_trials` trials, each of all its epochs, at most `particles` of them an iteration. A finite
    space ends when every cell was tried.

    An iteration begins when the former has ended, so that the trials do not depend on how many run at once; meanwhile the
    oracle is idle.

    Args:
        objective: as for every oracle.
        particles: number of particles.
        **options: those of `CellOracle`.
    """

    asks_ahead = True

    def __init__(self, objective: Any = None, *, particles: int = 10, **options: Unpack[OracleOptions]) -> None:
        if particles < 1:
            raise UsageError(f"particles must be at least 1. Received: {particles}")
        super().__init__(objective, **options)
        self.particles = particles
        self._iteration = 0
        self._stale = 0
        self._swarm: list[dict[str, Any]] = []  # {"genes", "velocity", "best_genes", "best_trial", "trial"}

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next particle's cell, of this iteration or of the next in which one is new."""
        while True:
            for particle in self._swarm:
                if particle["trial"] is None:
                    values = self.express(particle["genes"])
                    known = self.known_trial(values)
                    particle["trial"] = known or trial_id
                    if known is None:
                        self._stale = 0
                        return {"status": "RUNNING", "values": values}
            if not all(self.has_ended(particle["trial"]) for particle in self._swarm):
                return {"status": "IDLE"}
            if not self._move():
                return self.stopped_or_idle()

    def get_state(self) -> dict[str, Any]:
        """Keras Tuner's state, and the swarm."""
        return {**super().get_state(), "iteration": self._iteration, "stale": self._stale, "swarm": self._swarm}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state."""
        super().set_state(state)
        self._iteration, self._stale, self._swarm = state["iteration"], state["stale"], state["swarm"]

    def _move(self) -> bool:
        """Moves every particle; false when there is nowhere left to go."""
        rng = self.generator(self._iteration)
        self._iteration += 1
        self._stale += 1
        for particle in self._swarm:
            if particle["best_trial"] is None or self.loss(particle["trial"]) < self.loss(particle["best_trial"]):
                particle.update(best_trial=particle["trial"], best_genes=particle["genes"])
        if not self._swarm or self._stale > _STALE:
            return self._scatter(rng)
        leader = min(self._swarm, key=lambda particle: self.loss(particle["best_trial"]))["best_genes"]
        for particle in self._swarm:
            self._fly(particle, leader, rng)
        return True

    def _scatter(self, rng: np.random.Generator) -> bool:
        """Puts the particles into untried cells, as many as there are."""
        if not self._swarm:
            self._swarm = [{"best_genes": {}, "best_trial": None} for _ in range(self.particles)]
        self._stale = 0
        taken: set[Key] = set()
        for particle in self._swarm:
            genes = self.untried_genes(rng, frozenset(taken))
            if genes is None:
                break
            taken.add(cell_key(self.express(genes)))
            velocity = {name: _MAX_VELOCITY * float(rng.uniform(-1, 1)) for name in genes}
            particle.update(genes=genes, velocity=velocity, trial=None)
        self._swarm = [particle for particle in self._swarm if "genes" in particle]  # a space smaller than the swarm
        return bool(taken)

    def _fly(self, particle: dict[str, Any], leader: dict[str, float], rng: np.random.Generator) -> None:
        genes, velocity = {}, {}
        for name in self.names():
            # Only a parameter that was declared on the way has no place yet.
            here = particle["genes"].get(name, 0.0)
            to_best = particle["best_genes"].get(name, here) - here
            to_leader = leader.get(name, here) - here
            own, social = rng.random(2)
            speed = _INERTIA * particle["velocity"].get(name, 0.0) + _PULL * (own * to_best + social * to_leader)
            speed = max(-_MAX_VELOCITY, min(_MAX_VELOCITY, float(speed)))
            genes[name] = max(0.0, min(_EDGE, here + speed))
            velocity[name] = genes[name] - here
        particle.update(genes=genes, velocity=velocity, trial=None)

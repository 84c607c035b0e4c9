"""A population of configurations that breeds."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from tuning.oracles.base import CellOracle, OracleOptions
from tuning.oracles.cells import Key, cell_key, is_ordered
from zoo.errors import UsageError

_ATTEMPTS = 20  # children that may be of known cells before a random untried cell takes their place
_TOURNAMENT = 3  # parents that compete to breed
_SPREAD = 0.2  # standard deviation of a mutation, of the whole range


class GeneticOracle(CellOracle):
    """A genetic algorithm, (μ + λ) with μ = λ (Eiben and Smith, 2015, "Introduction to evolutionary computing").

    A configuration is one gene in [0, 1) a parameter; those of inactive parameters are kept and inherited. A child has two
    parents, each the best of three drawn (tournament); every gene is from either with equal odds (uniform crossover), and on
    average one gene mutates: by a normal step where its values have an order, else to any value. The best of parents and
    children survive. A child whose cell was tried is bred again, so that no cell is paid for twice.

    When to use it: for many parameters of which several matter together, and when there are trials for ten generations. It
    needs no model of the scores, and conditional parameters do not trouble it.

    Cost before it starts: `max_trials` trials, each of all its epochs, `population` of them a generation. A finite space ends
    when every cell was tried.

    A generation is bred when the former has ended, so that the trials do not depend on how many run at once; meanwhile the
    oracle is idle.

    Args:
        objective: as for every oracle.
        population: configurations in a generation.
        **options: those of `CellOracle`.
    """

    asks_ahead = True

    def __init__(self, objective: Any = None, *, population: int = 10, **options: Unpack[OracleOptions]) -> None:
        if population < 2:
            raise UsageError(f"population must be at least 2. Received: {population}")
        super().__init__(objective, **options)
        self.population = population
        self._generation = 0
        self._survivors: list[dict[str, Any]] = []  # {"genes": name -> place, "trial": id}
        self._children: list[dict[str, Any]] = []  # the same; "trial" is None until it is asked

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next child of this generation, or the first of the next one."""
        if all(child["trial"] is not None for child in self._children):
            if not all(self.has_ended(child["trial"]) for child in self._children):
                return {"status": "IDLE"}
            self._breed()
        for child in self._children:
            if child["trial"] is None:
                child["trial"] = trial_id
                return {"status": "RUNNING", "values": self.express(child["genes"])}
        return self.stopped_or_idle()

    def get_state(self) -> dict[str, Any]:
        """Keras Tuner's state, and the population."""
        generation = {"generation": self._generation, "survivors": self._survivors, "children": self._children}
        return {**super().get_state(), **generation}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state."""
        super().set_state(state)
        self._generation = state["generation"]
        self._survivors, self._children = state["survivors"], state["children"]

    def _breed(self) -> None:
        """Selects the survivors and replaces the children by the next generation."""
        ranked = sorted([*self._survivors, *self._children], key=lambda one: self.loss(one["trial"]))
        self._survivors = ranked[: self.population]
        rng = self.generator(self._generation)
        self._generation += 1
        self._children = []
        taken: set[Key] = set()
        while len(self._children) < self.population:
            genes = self._child(rng, taken)
            if genes is None:
                break
            taken.add(cell_key(self.express(genes)))
            self._children.append({"genes": genes, "trial": None})

    def _child(self, rng: np.random.Generator, taken: set[Key]) -> dict[str, float] | None:
        """Genes of an untried cell: bred, else random; `None` when every cell was tried."""
        for _ in range(_ATTEMPTS if self._survivors else 0):
            genes = self._mutated(self._crossed(self._winner(rng), self._winner(rng), rng), rng)
            values = self.express(genes)
            if self.known_trial(values) is None and cell_key(values) not in taken:
                return genes
        return self.untried_genes(rng, frozenset(taken))

    def _winner(self, rng: np.random.Generator) -> dict[str, float]:
        """The genes of the best among a few; survivors stand best first."""
        place = int(rng.integers(len(self._survivors), size=_TOURNAMENT).min())
        genes: dict[str, float] = self._survivors[place]["genes"]
        return genes

    def _crossed(self, one: dict[str, float], other: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
        genes = {}
        for name in self.names():
            first, second = (one, other) if rng.random() < 0.5 else (other, one)
            # Only a parameter that was declared on the way has no gene yet.
            genes[name] = first.get(name, second.get(name, 0.0))
        return genes

    def _mutated(self, genes: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
        ordered = {parameter.name: is_ordered(parameter) for parameter in self.hyperparameters.space}
        mutated = dict(genes)
        for name, gene in genes.items():
            if rng.random() < 1 / len(genes):
                step = abs(gene + _SPREAD * rng.standard_normal())  # reflected at both ends
                mutated[name] = float(min(step, 2 - step) % 1 if ordered[name] else rng.random())
        return mutated

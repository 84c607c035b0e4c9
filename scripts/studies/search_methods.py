"""Which search method finds more at the same cost, and why is there no gradient descent on λ and η?

Command:  python scripts/study.py run search_methods
Runtime:  8 min on 2 cores that had other work too.
Expected: random search beats a grid, and halving and Hyperband beat random search, at 5 % of the grid's cost; Bayesian, genetic
          and swarm do at 20 %. A live search makes the trials of its replay. Descent on the training loss takes λ to 0, and η to
          what is best for one step.
Source:   Bergstra and Bengio (2012); Bergstra et al. (2011); Li et al. (2018); Wu et al. (2018) on short-horizon bias.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from studies.descent_on_rate import report_rates
from studies.descent_on_strength import report_strength
from studies.options import StudyOptions
from threadpoolctl import threadpool_limits

import tuning
import zoo
from tuning.oracles import make_oracle
from tuning.regret import compare_regrets, recorded_grid, regret_at, reordered, with_regret
from tuning.replay import RecordedGrid, load_recorded, replay
from zoo.drawing import finish_axes
from zoo.evaluation.bands import draw_band
from zoo.reporting.study import StudyReport

METHODS = ("grid", "random", "halving", "hyperband", "bayesian", "genetic", "swarm")
EARLY, LATE = 0.05, 0.2  # of the cost of the recorded grid
LIVE_BUDGET, AIM = 0.25, "val_accuracy"
FEW = 5  # so few seeds have no band: it would reach over all the others
Values = dict[str, list[Any]]
Trials = dict[str, list[pd.DataFrame]]  # method -> a table a seed, with `spent` and `regret`
RATES = [3e-4, 1e-3, 3e-3, 0.01, 0.05]
LIVE_VALUES: Values = {"units": [16, 64], "learning_rate": RATES, "l2": [1e-6, 1e-5, 1e-4, 1e-3]}
COUNTS = ("replays", "searches", "descents", "steps")
FULL: dict[str, Any] = {"replays": 40, "searches": 3, "descents": 20, "steps": 500, "budgets": [EARLY, LATE]}
FULL |= {"live": METHODS, "values": LIVE_VALUES, "epochs": 9, "limit": None}
CUT: dict[str, Any] = {"replays": 2, "searches": 1, "descents": 1, "steps": 50, "budgets": [0.02, EARLY]}
CUT |= {
    "live": ("random", "halving"),
    "values": {"units": [16], "learning_rate": RATES[1:], "l2": [1e-6]},
    "epochs": 3,
    "limit": 200,
}


def run(options: StudyOptions, report: StudyReport) -> None:
    """Replays a recorded grid, searches live, and descends on λ and η."""
    extent = CUT if options.fast else FULL
    (early, late), values = extent["budgets"], extent["values"]
    recipe = zoo.Recipe(epochs=extent["epochs"], batch_size=32, seed=options.seed)
    seeds, descents = (range(options.seed, options.seed + extent[name]) for name in ("replays", "descents"))
    report.settings.update(budgets=[early, late], live_budget=LIVE_BUDGET, values=values, recipe=recipe.as_config())
    report.settings.update({name: extent[name] for name in COUNTS})
    methods, grid = installed(report), load_recorded()
    trials = {method: [replayed(method, grid, late, seed) for seed in seeds] for method in methods}
    data = zoo.load_dataset("digits", limit=extent["limit"], validation=0.3, seed=options.seed)
    chosen = [method for method in methods if method in extent["live"]]
    live_grid, live = search_live(data, chosen, values, seeds[: extent["searches"]], recipe)
    caption = "How far the best cell so far is from the grid's best, both trained to the end: means, and where seeds are many 95 % intervals."
    panels = [("recorded grid, replayed", grid, trials, late), ("live", live_grid, live, LIVE_BUDGET)]
    report.figure("regret", draw(panels), caption)
    report_cost(report, grid, compare_regrets(trials, early * grid.cost), early, ("halving", "hyperband"))
    report_cost(report, grid, compare_regrets(trials, late * grid.cost), late, ("bayesian", "genetic", "swarm"))
    report_reasons(report, grid, trials, early)
    report_live(report, live_grid, live, seeds)
    with threadpool_limits(1):  # two threads would wait for each other more than they compute
        report_strength(report, descents, extent["steps"])
        report_rates(report, descents, (1, 10, 100))


def installed(report: StudyReport) -> list[str]:
    """The methods that can run here; of the others the report says what they need."""
    found = []
    for method in METHODS:
        try:
            make_oracle(method, load_recorded().space(), objective=AIM, max_epochs=9)
            found.append(method)
        except zoo.ZooError as error:
            report.not_run(method, f"{method}: regret", str(error))
    return found


def loops(method: str, grid: RecordedGrid, seed: int) -> RecordedGrid:
    """For a grid search the parameters in an order of the seed, since which loop is the innermost is arbitrary."""
    names = list(grid.parameters)
    return reordered(grid, np.random.default_rng(seed).permutation(names).tolist()) if method == "grid" else grid


def replayed(method: str, grid: RecordedGrid, budget: float, seed: int) -> pd.DataFrame:
    """One search on a recorded grid."""
    return replay(method, loops(method, grid, seed), budget=budget, seed=seed)


def search_live(
    data: zoo.DataSplits, methods: list[str], values: Values, seeds: range, recipe: zoo.Recipe
) -> tuple[RecordedGrid, Trials]:
    """Every cell trained once, which says what there is to find; and each method's searches, which train anew."""

    def search(**how: Any) -> tuning.SearchResult:
        with tempfile.TemporaryDirectory() as folder:
            return tuning.search("mlp", data, recipe=recipe, objective=AIM, directory=folder, verbose=False, **how)

    grid, found = recorded_grid(search(method="grid", values=values), values), Trials()
    for method in methods:
        found[method] = []
        for seed in seeds:
            own = loops(method, grid, seed)
            oracle = make_oracle(method, own.space(), objective=AIM, max_epochs=recipe.epochs, seed=seed, repeated=True)
            result = search(method=oracle, values=own.parameters, max_total_epochs=int(LIVE_BUDGET * grid.cost))
            found[method].append(with_regret(result.table, grid))
    return grid, found


def beats(found: zoo.Comparison, method: str, other: str) -> bool:
    """Whether a method has less regret than another, beyond chance."""
    pair = found.pair(method, other)
    return pair.difference < 0 and pair.p_holm < 0.05


def draw(panels: Sequence[tuple[str, RecordedGrid, Trials, float]]) -> Figure:
    """Regret against cost, a panel for each grid."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    for axes, (title, grid, trials, budget) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        costs = np.arange(grid.max_epochs, budget * grid.cost + 1)
        for method, tables in trials.items():
            samples = np.stack([regret_at(table, costs) for table in tables])
            lines = samples if len(samples) > FEW else samples.mean(axis=0, keepdims=True)
            draw_band(axes, costs, lines, label=method, colour=f"C{METHODS.index(method)}")
        axes.set_title(f"{title}: {len(grid.curves)} cells, {grid.max_epochs} epochs each, {len(samples)} seeds")
        finish_axes(axes, "epochs spent", "regret in validation accuracy")
        axes.set_yscale("symlog", linthresh=0.01)  # linear below one point, so that 0 has a place
        axes.set_ylim(0, max(line.get_ydata().max() for line in axes.get_lines()) * 1.3)
    return figure


def report_cost(
    report: StudyReport, grid: RecordedGrid, found: zoo.Comparison, budget: float, better: Sequence[str]
) -> None:
    """Regrets after a share of the grid's cost, and who beats whom."""
    pairs = [("random", "grid"), *((method, "random") for method in better if method in set(found.groups["group"]))]
    for winner, loser in pairs:
        label = f"after {budget:.0%} of the cost {winner} has less regret than {loser} (p < 0.05)"
        key, pair = f"{winner}_beats_{loser}_at_{100 * budget:.0f}", found.pair(winner, loser)
        report.claim(key, label, beats(found, winner, loser))
        why = "it has more regret" if pair.difference > 0 and pair.p_holm < 0.05 else "too near for these seeds"
        report.explain(
            key,
            f"its regret differs by {pair.difference:+.2g} ({pair.low:+.2g} to {pair.high:+.2g}), p = {pair.p_holm:.2g} after Holm: {why}",
        )
    for name, mean in zip(found.groups["group"], found.groups["mean"], strict=True):
        report.value(f"{name}_at_{100 * budget:.0f}", mean, label=f"{name}: regret after {budget:.0%} of the cost")
    report.table(f"Regret after {budget:.0%} of the grid's cost", found.groups)
    won = ", ".join(name for name in found.groups["group"] if name != "random" and beats(found, name, "random"))
    report.answer(
        f"Which method has found more after {budget:.0%} of the grid's cost?",
        f"That is {budget * grid.cost:.0f} epochs, or {budget * len(grid.curves):.3g} whole trainings. {' '.join(found.sentences()[:-1])} "
        f"Less regret than random search (p < 0.05 after Holm's correction over all pairs): {won or 'none'}.",
    )


def report_reasons(report: StudyReport, grid: RecordedGrid, trials: Trials, budget: float) -> None:
    """Why a grid loses, and why stopping early wins."""
    begun = {m: [t[t["spent"] <= budget * grid.cost] for t in tables] for m, tables in trials.items()}
    rates = {m: np.mean([t["learning_rate"].nunique() for t in begun[m]]) for m in ("grid", "random")}
    cells = {m: np.mean([t.groupby([*grid.parameters]).ngroups for t in begun[m]]) for m in ("random", "halving")}
    known = {e: spearmanr(grid.curves[:, e - 1], grid.final, nan_policy="omit").statistic for e in (1, 3, 9)}
    report.value("rank_correlation", known[1], label="rank correlation of the scores after epoch 1 and at the end")
    report.answer(
        "What does a grid search that is cut off miss?",
        f"Within {budget:.0%} of the cost a grid search has tried {rates['grid']:.2g} of the {len(grid.parameters['learning_rate'])} learning rates, as a mean over "
        f"orders of its loops, and random search {rates['random']:.2g}: a random cell has a new value of every parameter, a grid varies the inner loops "
        "first, whether they matter or not.",
    )
    report.answer(
        "What does stopping early buy?",
        f"For the same epochs halving has looked at {cells['halving']:.3g} cells and random search at {cells['random']:.3g}. It pays as far as early scores "
        f"tell: their rank correlation with the last ones is {', '.join(f'{c:.2f} after epoch {e}' for e, c in known.items())}.",
    )


def report_live(report: StudyReport, grid: RecordedGrid, live: Trials, seeds: range) -> None:
    """The live searches, and whether the replay of their grid has the same trials."""
    found, columns, same = compare_regrets(live, LIVE_BUDGET * grid.cost), [*grid.parameters, "score"], []
    for method, tables in live.items():
        for seed, table in zip(seeds, tables, strict=False):
            other = replayed(method, grid, LIVE_BUDGET, seed)[columns].to_numpy(float)
            own, count = table[columns].to_numpy(float), min(len(table), len(other))
            same += np.isclose(own[:count], other[:count], rtol=0, atol=1e-9, equal_nan=True).all(axis=1).tolist()
    share, label = float(np.mean(same)), "live trials with the values and the score of the replay, share"
    report.expect_at_least("live_as_replayed", label, share, 0.95)
    report.explain("live_as_replayed", "where rounding moves a score by an image, a method asks for other trials")
    report.table("Regret of live searches", found.groups)
    report.answer(
        "Is it the same live?",
        f"{len(grid.curves)} cells on digits, {LIVE_BUDGET * grid.cost:.0f} epochs a search: {' '.join(found.sentences()[:-1])} "
        f"{share:.0%} of the live trials are those of a replay of this grid, with the same score: a replay is the search without the training.",
    )

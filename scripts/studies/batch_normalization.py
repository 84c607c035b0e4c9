"""Does batch normalisation on every hidden layer help a CNN that is tuned already, when its rate is tuned anew?

Command:  python scripts/study.py run batch_normalization [--dataset NAME]
Runtime:  8 min on 2 cores that had other work too.
Expected: with it the network learns faster: a higher validation accuracy after one epoch. Whether it ends better is what is
          asked; the interval over seeds says how far it can be told.
Source:   coursework, continuing the grid search; Ioffe and Szegedy (2015): higher rates, and fewer steps to the same accuracy.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies import tuned_cnn
from studies.options import StudyOptions
from studies.seeds import fit_groups

import tuning
import zoo
from zoo.drawing import finish_axes
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories
from zoo.training.statistics import measure_statistics

RATES = [0.1, 0.3, 1.0, 3.0]
FULL: dict[str, Any] = {"rates": RATES, "repeats": 2, "seeds": 5}
CUT: dict[str, Any] = {"rates": RATES[:1], "repeats": 1, "seeds": 1}
WITH, WITHOUT = "with batch normalisation", "without it"
GROUPS = {WITHOUT: False, WITH: True}


def run(options: StudyOptions, report: StudyReport) -> None:
    """Tunes the rate with and without, then trains both with several seeds."""
    extent, verbose = CUT if options.fast else FULL, not options.fast
    data, seeds = tuned_cnn.load(options), range(options.seed, options.seed + extent["seeds"])
    chosen, recipe = tuned_cnn.winner(options)
    rates, repeats = extent["rates"], extent["repeats"]
    report.settings.update({"dataset": data.config, "options": chosen, "recipe": recipe.as_config()})
    report.settings.update({"seeds": list(seeds), "rates": rates, "repeats": repeats})
    values = {**tuned_cnn.fixed(chosen), "batch_normalization": list(GROUPS.values()), "learning_rate": rates}
    cells = scores_by_rate(data, values, recipe, repeats=repeats, verbose=verbose)
    tuned: dict[str, tuple[dict[str, Any], zoo.Recipe]] = {}
    for name, normalized in GROUPS.items():
        of_group = cells[cells["batch_normalization"] == normalized]
        rate = float(of_group["learning_rate"].iloc[int(of_group["score"].argmax())])
        tuned[name] = ({**chosen, "batch_normalization": normalized}, dataclasses.replace(recipe, learning_rate=rate))
    histories, table = fit_groups("cnn", data, tuned, seeds, verbose=verbose)
    found = zoo.compare(table, groups="group", units="seed", score="test_accuracy")
    measures = {"loss": "training cost", "val_accuracy": "validation accuracy"}
    what = f"{len(seeds)} seeds, each network at its best rate: the mean, and from the least to the largest."
    caption = f"Training cost, penalty included, and validation accuracy; {what}"
    report.figure("curves", plot_histories(histories, measures), caption)
    report.figure(
        "rates", draw_rates(cells), "Validation accuracy at the end against the learning rate, which it chose."
    )
    report.figure("accuracies", found.figure(), "Test accuracy of the seeds, mean and 95 % interval.")
    report.table("By rate", cells)
    report.table("By seed", table)
    conclude(report, {name: made.learning_rate for name, (_, made) in tuned.items()}, cells, histories, found)
    once = dataclasses.replace(recipe, learning_rate=rates[0], schedule=None, epochs=1)
    answer_lag(report, data, tuned_cnn.fit(data, {**chosen, "batch_normalization": True}, once, verbose=verbose))


def scores_by_rate(
    data: zoo.DataSplits, values: Mapping[str, Any], recipe: zoo.Recipe, *, repeats: int, verbose: bool
) -> pd.DataFrame:
    """A grid search: its validation accuracy at the end (score) and after the first epoch, a row a cell."""
    with tempfile.TemporaryDirectory() as folder:
        result = tuning.search(
            "cnn", data, method="grid", values=values, recipe=recipe, repeats=repeats, directory=folder, verbose=verbose
        )
    firsts = result.epochs[result.epochs["epoch"] == 0].groupby("trial")["val_accuracy"].mean()
    cells = result.table[["trial", "batch_normalization", "learning_rate", "score"]]
    return cells.assign(first_epoch=cells["trial"].map(firsts))


def draw_rates(cells: pd.DataFrame) -> Figure:
    """A line with and one without, over a logarithmic axis of rates."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, normalized in GROUPS.items():
        of_group = cells[cells["batch_normalization"] == normalized]
        axes.plot(of_group["learning_rate"], of_group["score"], "o-", label=name)
    axes.set_xscale("log")
    finish_axes(axes, "learning rate", "validation accuracy")
    return figure


def conclude(
    report: StudyReport,
    rates: Mapping[str, float],
    cells: pd.DataFrame,
    histories: Mapping[str, Sequence[pd.DataFrame]],
    found: zoo.Comparison,
) -> None:
    """Records rates, accuracies, the first epoch and the range of good rates, and answers."""
    first = [(name, i, h["val_accuracy"].iloc[0]) for name, of_name in histories.items() for i, h in enumerate(of_name)]
    at_first = zoo.compare(pd.DataFrame(first, columns=["group", "seed", "score"]), groups="group", units="seed")
    means, starts = found.groups.set_index("group")["mean"], at_first.groups.set_index("group")["mean"]
    cost = {name: float(np.mean([h["loss"].iloc[0] for h in of_name])) for name, of_name in histories.items()}
    best, good = cells["score"].max(), {}
    for name, normalized in GROUPS.items():
        good[name] = good_rates(cells[cells["batch_normalization"] == normalized], best)
        key = "with" if normalized else "without"
        report.value(f"rate_{key}", rates[name], label=f"{name}: tuned learning rate")
        report.value(f"first_{key}", starts[name], label=f"{name}: validation accuracy after one epoch")
        report.value(f"first_cost_{key}", cost[name], label=f"{name}: training cost of the first epoch")
        report.value(f"test_{key}", means[name], label=f"{name}: test accuracy, mean of the seeds")
        report.value(f"good_rates_{key}", len(good[name]), label=f"{name}: rates within a point of the best accuracy")
    is_faster = starts[WITH] > starts[WITHOUT]
    report.claim("faster_start", "with it the validation accuracy after one epoch is higher", is_faster)
    text, *numbers = tuned_cnn.difference(found, WITH, WITHOUT)
    for end, number in zip(("", "_low", "_high"), numbers, strict=True):
        report.value(f"gain{end}", number, label=f"test accuracy with it minus without{end.replace('_', ', ')}")
    equal = f"Mean training cost of the first epoch: {cost[WITHOUT]:.3f} without, {cost[WITH]:.3f} with it. "
    equal += at_equal_rates(cells)
    report.explain(
        "faster_start", f"each is at its own best rate, {rates[WITHOUT]:g} without, {rates[WITH]:g} with it. {equal}"
    )
    answer(report, rates, good, text, f"{tuned_cnn.difference(at_first, WITH, WITHOUT)[0]} {equal}")


def at_equal_rates(cells: pd.DataFrame) -> str:
    """What both have after one epoch at each rate, in words."""
    wide = cells.pivot(index="learning_rate", columns="batch_normalization", values="first_epoch")
    told = [f"{without:.4f} and {with_it:.4f} at {rate:g}" for rate, without, with_it in wide.itertuples()]
    return f"At equal rates, without and with it, validation accuracy after one epoch is {', '.join(told)}."


def answer(
    report: StudyReport, rates: Mapping[str, float], good: Mapping[str, Sequence[float]], helps: str, learns: str
) -> None:
    """Answers; `helps` and `learns` say what the seeds tell about the end and the first epoch."""
    report.answer("Does it help?", f"In test accuracy, {helps}")
    report.answer("Does it learn faster?", f"In validation accuracy after one epoch, {learns}")
    edge = [name for name, rate in rates.items() if rate in (RATES[0], RATES[-1])]
    report.answer(
        "What does it do to the learning rate?",
        f"The best rate is {rates[WITHOUT]:g} without it and {rates[WITH]:g} with it. Within a point of the best accuracy are "
        f"{listed(good[WITHOUT])} without it and {listed(good[WITH])} with it. A normalised layer gives the same for w and 2w, and its "
        "gradient shrinks as w grows, so that a step that is too large corrects itself; and the scale of what a layer receives "
        "does not depend on what the layers before it have just learned. "
        f"At an edge of what was tried, so that a better rate may lie beyond: {', '.join(edge) or 'none'}.",
    )


def answer_lag(report: StudyReport, data: zoo.DataSplits, run: zoo.TrainingRun) -> None:
    """What a first epoch at a small rate is worth with its moving statistics, and with the ones that its weights have."""
    assert data.validation is not None
    lagging, rate = run.metrics["val_accuracy"], run.recipes[0].learning_rate
    measure_statistics(run.model, data.train)
    anew = zoo.evaluate(run.model, data.validation).accuracy
    report.value("first_lagging", lagging, label=f"{WITH}, one epoch at {rate:g}: validation accuracy")
    report.value("first_anew", anew, label=f"{WITH}, the same weights, statistics measured anew: validation accuracy")
    report.answer(
        "Why is the accuracy after one epoch low with it where the rate is small?",
        f"One epoch at a rate of {rate:g} has {lagging:.4f} of the validation images right. With the means and variances measured anew on "
        f"the training images, without dropout and with the same weights, it is {anew:.4f}: "
        + (
            "the weights have learned; the moving statistics, which inference uses, lag behind them."
            if anew - lagging > 0.05
            else "here the moving statistics do not lag behind."
        ),
    )


def good_rates(cells: pd.DataFrame, best: float) -> list[float]:
    """The rates whose score is within a point of the best."""
    return [float(rate) for rate in cells.loc[cells["score"] >= best - 0.01, "learning_rate"]]


def listed(rates: Sequence[float]) -> str:
    """Rates in words."""
    return ", ".join(f"{rate:g}" for rate in rates) if rates else "none"

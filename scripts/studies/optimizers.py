"""How do SGD, SGD with momentum, AdaGrad and Adam train the same CNN, each with its own tuned rate?

Command:  python scripts/study.py run optimizers [--dataset NAME]
Runtime:  11 min on 2 cores that had other work too.
Expected: momentum is not worse than plain SGD, which is momentum 0; the other differences are what is asked.
Source:   coursework; Choi et al. (2019), On Empirical Comparisons of Optimizers for Deep Learning: where both are tuned, the
          more general optimizer is not worse than its special case.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from studies import tuned_cnn
from studies.options import StudyOptions
from studies.seeds import fit_groups

import tuning
import zoo
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "sgd", "learning_rate": [0.1, 0.3, 1.0]},
    "momentum": {"optimizer": "sgd", "momentum": [0.9, 0.95], "learning_rate": [0.01, 0.03, 0.1]},
    "AdaGrad": {"optimizer": "adagrad", "learning_rate": [0.01, 0.03, 0.1, 0.3]},
    "Adam": {"optimizer": "adam", "learning_rate": [3e-4, 1e-3, 3e-3, 1e-2]},
}
EPOCHS, SEEDS, REACHED = 5, 3, 0.97  # REACHED: an accuracy on validation images, to say how soon


def run(options: StudyOptions, report: StudyReport) -> None:
    """Tunes each optimizer on validation data, then trains it with several seeds and tests it."""
    data, seeds = tuned_cnn.load(options), range(options.seed, options.seed + (1 if options.fast else SEEDS))
    chosen, recipe = tuned_cnn.winner(options, epochs=EPOCHS)
    recipe = dataclasses.replace(recipe, schedule=None)  # so that nothing but the optimizer adapts the rate
    spaces = dict(list(OPTIMIZERS.items())[:2]) if options.fast else OPTIMIZERS
    report.settings.update({"dataset": data.config, "options": chosen, "recipe": recipe.as_config()})
    report.settings.update({"seeds": list(seeds), "optimizers": spaces})
    tuned, trials = {}, []
    for name, space in spaces.items():
        axes = {k: values[1:2] if options.fast else values for k, values in space.items() if k != "optimizer"}
        of_optimizer = dataclasses.replace(recipe, optimizer=space["optimizer"])
        result = search(data, {**tuned_cnn.fixed(chosen), **axes}, of_optimizer, verbose=not options.fast)
        tuned[name] = (result.best_options, result.best_recipe)
        trials.append(result.table[[*axes, "score"]].assign(optimizer=name))
    histories, table = fit_groups("cnn", data, tuned, seeds, verbose=not options.fast)
    found = zoo.compare(table, groups="group", units="seed", score="test_accuracy")
    measures = {"loss": "training cost", "val_accuracy": "validation accuracy"}
    what = f"each optimizer at its best rate: mean of {len(seeds)} seeds, and from the least to the largest."
    caption = f"Training cost, penalty included, and validation accuracy; {what}"
    report.figure("curves", plot_histories(histories, measures), caption)
    report.figure("accuracies", found.figure(), "Test accuracy of the seeds, mean and 95 % interval.")
    summary = pd.DataFrame([row(name, made, histories[name], found) for name, (_, made) in tuned.items()])
    report.table("Final parameters and accuracy", summary)
    report.table("All trials of the four searches", pd.concat(trials).sort_values("score", ascending=False))
    conclude(report, summary.set_index("optimizer"), found)


def search(
    data: zoo.DataSplits, values: Mapping[str, Any], recipe: zoo.Recipe, *, verbose: bool
) -> tuning.SearchResult:
    """A grid search whose files nobody needs."""
    with tempfile.TemporaryDirectory() as folder:
        return tuning.search(
            "cnn", data, method="grid", values=values, recipe=recipe, directory=folder, verbose=verbose
        )


def row(name: str, recipe: zoo.Recipe, histories: Sequence[pd.DataFrame], found: zoo.Comparison) -> dict[str, Any]:
    """An optimizer's final parameters, and what its seeds reached."""
    of_group = found.groups.set_index("group").loc[name]
    rates = OPTIMIZERS[name]["learning_rate"]
    soon = [first_epoch(history, REACHED) for history in histories]
    return {
        "optimizer": name,
        "learning_rate": recipe.learning_rate,
        "momentum": recipe.momentum,
        "rate_at_edge": recipe.learning_rate in (rates[0], rates[-1]),
        "training_cost": sum(history["loss"].iloc[-1] for history in histories) / len(histories),
        "val_accuracy": sum(history["val_accuracy"].iloc[-1] for history in histories) / len(histories),
        "test_accuracy": of_group["mean"],
        "test_low": of_group["low"],
        "test_high": of_group["high"],
        "epochs_to_accuracy": sum(soon) / len(soon),
        "first_val_accuracy": sum(history["val_accuracy"].iloc[0] for history in histories) / len(histories),
    }


def first_epoch(history: pd.DataFrame, accuracy: float) -> float:
    """The first epoch, from 1, whose validation accuracy is at least `accuracy`; NaN where there is none."""
    reached = (history["val_accuracy"] >= accuracy).to_numpy()
    return float(reached.argmax() + 1) if reached.any() else float("nan")


def conclude(report: StudyReport, summary: pd.DataFrame, found: zoo.Comparison) -> None:
    """Records the numbers of `summary`, a row an optimizer, and answers from them."""
    for name, numbers in summary.iterrows():
        key = str(name).lower()
        report.value(f"rate_{key}", numbers["learning_rate"], label=f"{name}: tuned learning rate")
        report.value(f"test_{key}", numbers["test_accuracy"], label=f"{name}: test accuracy, mean of the seeds")
        report.value(f"cost_{key}", numbers["training_cost"], label=f"{name}: training cost after the last epoch")
        label = f"{name}: epochs to a validation accuracy of {REACHED:g}, mean of the seeds"
        report.value(f"epochs_{key}", numbers["epochs_to_accuracy"], label=label)
    report.value("momentum", summary["momentum"]["momentum"], label="tuned momentum")
    text, _, _, high = tuned_cnn.difference(found, "momentum", "SGD")
    report.claim("momentum_not_worse", "the seeds do not show momentum worse than SGD", not high < 0)
    report.answer("Which optimizer has the best test accuracy?", " ".join(found.sentences()[:-1]))
    report.answer("What does momentum add to SGD?", text)
    first, cost = summary["first_val_accuracy"].sort_values(ascending=False), summary["training_cost"].sort_values()
    report.answer(
        "Which learns fastest?",
        f"Validation accuracy after one epoch: {listed(first)}. Training cost after the last one, measured while dropout is active: "
        f"{listed(cost)}.",
    )
    rates, edge = summary["learning_rate"], list(summary.index[summary["rate_at_edge"]])
    report.answer(
        "Why does each need a rate of its own?",
        f"The best rates lie between {rates.min():g} ({rates.idxmin()}) and {rates.max():g} ({rates.idxmax()}). Momentum μ adds up steps to "
        "1/(1 - μ) times the rate; Adam divides each gradient by its own recent size, so that the rate is nearly the step itself; "
        "AdaGrad divides by the root of the sum of all squares so far, so that its steps shrink. One rate for all would compare "
        + f"rates, not optimizers. At an edge of what was tried, so that a better one may lie beyond: {', '.join(edge) or 'none'}.",
    )


def listed(numbers: pd.Series) -> str:
    """Names and numbers in words."""
    return ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())

"""Which rate, schedule, dropout and L2 does a grid search choose for a CNN trained by plain SGD, and how good is it on MNIST?

Command:  python scripts/study.py run cnn_grid_search [--dataset NAME] [--set folds=K]
          (folds=5 scores each cell by a cross-validation in place of one validation split)
Runtime:  10 min on 2 cores that had other work too.
Expected: at least 0.98 test accuracy, and about 0.99.
Source:   coursework: two stages of convolution and max-pooling with dropout and L2, tuned by a grid search.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any

import pandas as pd
from studies import tuned_cnn
from studies.options import StudyOptions

import tuning
import zoo
from tuning.parameter_plots import objective_against
from tuning.plots import learning_curves
from zoo.evaluation.intervals import wilson_interval
from zoo.reporting.sections.model import model_section
from zoo.reporting.study import StudyReport

GRID: dict[str, list[Any]] = {
    "schedule": [None, "cosine"],
    "dropout": [0.1, 0.3],
    "l2": [1e-5, 1e-3],
    "learning_rate": [0.1, 0.3, 1.0],
}
SMALL_GRID: dict[str, list[Any]] = {"schedule": ["cosine"], "dropout": [0.1], "l2": [1e-5], "learning_rate": [0.1, 0.3]}
SEEDS, STUCK = 3, 0.5  # STUCK: below this accuracy a training has failed
QUESTIONS = {
    "learning_rate": "What does the learning rate do?",
    "schedule": "Adaptive rate or not: is a schedule worth it?",
    "dropout": "What does dropout do?",
    "l2": "What does the L2 penalty do?",
}


def run(options: StudyOptions, report: StudyReport) -> None:
    """Searches on a part of the images, then trains the winner on all of them and tests it."""
    folds, verbose = checked_folds(options), not options.fast
    grid, seeds = (SMALL_GRID, 1) if options.fast else (GRID, SEEDS)
    fixed, recipe = tuned_cnn.stages(options), dataclasses.replace(tuned_cnn.winner(options)[1], schedule=None)
    data = tuned_cnn.load(options)
    every = data if options.fast else zoo.load_dataset(options.dataset_or("mnist"), validation=None)
    report.settings.update({"dataset": data.config, "grid": grid, "fixed": fixed, "recipe": recipe.as_config()})
    report.settings.update({"folds": folds, "seeds": seeds})
    values = {**tuned_cnn.fixed(fixed), **grid}
    with tempfile.TemporaryDirectory() as folder:
        result = tuning.search(
            "cnn", data, method="grid", values=values, recipe=recipe, folds=folds, directory=folder, verbose=verbose
        )
        scores = result.retrain_best(seeds=seeds, data=every, verbose=verbose)
    record_test(report, scores, len(every.test or ()))
    record_choice(report, result, grid, len(data.validation or ()) + (len(data.train) if folds > 1 else 0))
    caption = "Validation accuracy of every cell against each axis of the grid; a bar is a median."
    report.figure("curves", learning_curves(result), "Validation accuracy by epoch of every cell.")
    report.figure("grid", objective_against(result), caption)
    design = model_section(zoo.build("cnn", data.input_shape, data.num_classes, **result.best_options))
    assert design is not None
    layers = pd.DataFrame(design.content["rows"]).rename(columns={"name": "layer", "shape": "output shape"})
    report.table("The design", layers[["layer", "kind", "output shape", "parameters"]])
    report.table("The winner by seed, trained on all images", scores[["seed", "test_accuracy", "test_loss", "epochs"]])
    cells = result.table.sort_values("score", ascending=False, kind="stable").fillna({"schedule": "constant"})
    report.table("All cells, the best first", cells[[*grid, "score", "val_loss", "seconds"]])
    answer_axis(report, cells, "learning_rate", [name for name in grid if name != "learning_rate"])
    at_best = cells[cells["learning_rate"] == result.best_values["learning_rate"]]
    for axis in (name for name in ("schedule", "dropout", "l2") if len(grid[name]) > 1):
        answer_axis(report, at_best, axis, [name for name in grid if name not in (axis, "learning_rate")])


def checked_folds(options: StudyOptions) -> int:
    """The setting `folds`, 1 without it."""
    unknown = set(options.settings) - {"folds"}
    folds = options.settings.get("folds", 1)
    if unknown or isinstance(folds, bool) or not isinstance(folds, int) or folds < 1:
        raise zoo.UsageError(
            f"cnn_grid_search takes --set folds=K, a whole number of 1 or more. Received: {dict(options.settings)}"
        )
    return folds


def record_test(report: StudyReport, scores: pd.DataFrame, images: int) -> None:
    """What the winner has right of images that chose nothing."""
    mean, least = scores["test_accuracy"].mean(), scores["test_accuracy"].min()
    low, high = wilson_interval(round(mean * images), images)
    report.expect("test_accuracy", f"test accuracy, mean of {len(scores)} seeds", mean, 0.99, 0.005)
    report.expect_at_least("least_test_accuracy", "test accuracy of the worst seed", least, 0.98)
    report.value("test_low", low, label="95 % interval for other images, from")
    report.value("test_high", high, label="95 % interval for other images, to")
    report.answer(
        "How good is the winner?",
        f"Trained on all images it has {100 * mean:.2f} % of {images:,} test images right (mean of {len(scores)} seeds, the worst "
        f"{100 * least:.2f} %). Other images of the same kind would give {100 * low:.2f} to {100 * high:.2f} % (95 %, Wilson). "
        "Neither the search nor the training saw the test images.",
    )


def record_choice(report: StudyReport, result: tuning.SearchResult, grid: Mapping[str, list[Any]], images: int) -> None:
    """The winner of the grid, beside the constants that the other studies of this network use."""
    best, table, constant = result.best_values, result.table, tuned_cnn.WINNER
    low, _ = wilson_interval(round(result.best_score * images), images)
    close = int((table["score"] >= low).sum())
    report.value("cells", len(table), label="cells of the grid")
    report.value("best_score", result.best_score, label="validation accuracy of the best cell")
    report.value("close_cells", close, label="cells within the 95 % interval of the best one, itself included")
    chosen = ", ".join(f"{name} {best[name]}" for name in grid)
    text = f"The best of {len(table)} cells: {chosen}; validation accuracy {result.best_score:.4f}. "
    is_same = all(best[name] == value for name, value in constant.items())
    report.value("winner_is_constant", float(is_same), label="the winner is what the other studies use (1: yes)")
    if is_same:
        text += "The other studies of this network use these values. "
    else:
        there = [all(is_value(row[name], value) for name, value in constant.items()) for _, row in table.iterrows()]
        behind = result.best_score - table.loc[there, "score"].max()  # NaN where the grid does not have it
        report.value("constant_behind", behind, label="validation accuracy of what the other studies use: behind by")
        text += f"The other studies of this network use {constant}, {behind:.4f} behind here. "
    edges = [name for name in grid if len(grid[name]) > 2 and best[name] in (min(grid[name]), max(grid[name]))]
    text += f"At an edge of what was tried, so that a better one may lie beyond: {', '.join(edges)}. " if edges else ""
    report.answer(
        "Which cell wins, and by how much?",
        f"{text}{close} cells, itself included, lie within what the choice of {images:,} images to validate on leaves open (above "
        f"{low:.4f}): the winner is a good choice and not a proven best, and as the best of many its score is too good.",
    )


def is_value(cell: Any, value: Any) -> bool:
    """Whether a cell of a table holds a value; where that is `None` the cell is empty."""
    return bool(pd.isna(cell) if value is None else cell == value)


def answer_axis(report: StudyReport, cells: pd.DataFrame, axis: str, others: list[str]) -> None:
    """What an axis does, by cells that differ in nothing else."""
    moved = cells[cells["score"] >= STUCK]
    compared = moved if moved[axis].nunique() > 1 else cells
    found = zoo.compare(compared, groups=axis, units=others)
    effects = "; ".join(f"{row['group']} {row['mean']:.4f}" for _, row in found.groups.iterrows())
    is_rate, worst = axis == "learning_rate", found.groups.iloc[-1]
    report.value(
        f"{axis}_effect", -worst["difference"], label=f"{axis}: best mean minus worst mean of the cells compared"
    )
    where = "Mean" if is_rate else f"At the best rate, {cells['learning_rate'].iloc[0]:g}, the mean"
    text = f"{where} validation accuracy over {len(found.scores)} otherwise equal cells, each trained once: {effects}."
    stuck = cells.loc[cells["score"] < STUCK, "learning_rate"]
    if is_rate and len(stuck):
        text += (
            f" {len(stuck)} cells end below {STUCK:g}, all at a rate of {stuck.min():g} or more: there SGD can diverge."
        )
    if len(compared) < len(cells):
        text += f" Cells below {STUCK:g} are left out of the means."
    report.answer(QUESTIONS[axis], f"{text} {' '.join(found.sentences()[1:-1])}")

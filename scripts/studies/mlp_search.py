"""Which MLP of half a million to a million parameters does a random search choose for MNIST, and does it reach 97 %?

Command:  python scripts/study.py run mlp_search [--dataset NAME]
Runtime:  9 min on 2 cores that had other work too.
Expected: at least 0.97 validation accuracy of the winner, trained at full length; 0.978 of the reference (Glorot, ReLU, SGD
          with rate 0.1, batch 100, ten epochs), within 0.002: the share of 10,000 images has a deviation of 0.0015.
Source:   coursework; Bergstra and Bengio (2012), Random search for hyper-parameter optimization.
"""

from __future__ import annotations

import dataclasses
import tempfile
from typing import Any

import pandas as pd
from studies.options import StudyOptions
from studies.seeds import fit_groups

import tuning
import zoo
from tuning.importance import MIN_TRIALS, permutation_importance
from zoo.evaluation.intervals import wilson_interval
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

VALUES: dict[str, Any] = {  # the budget decides the width of the hidden layers
    "parameter_budget": (505_000, 1_000_000),
    "num_layers": [1, 2, 3],
    "activation": ["relu", "tanh", "sigmoid"],
    "learning_rate": (0.01, 1.0, "log"),
    "batch_size": [25, 50, 100, 200],
}
TRIALS, SEARCHED = 30, zoo.Recipe(optimizer="sgd", epochs=5)
REFERENCE = zoo.Recipe(optimizer="sgd", learning_rate=0.1, batch_size=100, epochs=10)
REFERENCE_OPTIONS = {"units": [666, 666], "activation": "relu"}  # the network of the study `initialization`
IMAGES, HELD_OUT, SEEDS = 20_000, 0.25, 3
FIGURES = ("objective_against", "parallel_coordinates", "importance", "learning_curves")


def run(options: StudyOptions, report: StudyReport) -> None:
    """Searches on a part of the images, then trains the winner and the reference on all of them."""
    name, trials, seeds = (options.dataset_or("mnist"), *((3, 1) if options.fast else (TRIALS, SEEDS)))
    limit, epochs = (400, 1) if options.fast else (IMAGES, SEARCHED.epochs)
    part = zoo.load_dataset(name, limit=limit, validation=HELD_OUT, seed=options.seed)
    recipe = dataclasses.replace(SEARCHED, epochs=epochs, seed=options.seed)
    with tempfile.TemporaryDirectory() as folder:
        result = tuning.search(
            "mlp",
            part,
            method="random",
            values=VALUES,
            recipe=recipe,
            max_trials=trials,
            directory=folder,
            seed=options.seed,
            verbose=not options.fast,
        )
        figures = result.figures()
    validation = 10_000 if report.full else 1 / 6
    data = zoo.load_dataset(
        name, limit=1000 if options.fast else None, validation=validation, seed=options.seed
    )  # in MNIST's case its validation images are none that the search has seen
    length = dataclasses.replace(REFERENCE, epochs=2) if options.fast else REFERENCE
    groups = {
        "winner": (result.best_options, dataclasses.replace(result.best_recipe, epochs=length.epochs)),
        "reference": (REFERENCE_OPTIONS, length),
    }
    every = range(options.seed, options.seed + seeds)
    curves, scores = fit_groups("mlp", data, groups, every, verbose=not options.fast)
    report.settings.update(dataset=name, images=limit, held_out=HELD_OUT, values=VALUES, trials=trials)
    report.settings.update(search=recipe.as_config(), reference=[REFERENCE_OPTIONS, length.as_config()], seeds=seeds)
    state_scores(report, result, scores)
    for key in FIGURES:
        if key in figures:
            report.figure(key, figures[key][1], f"The search: {figures[key][0][0].lower()}{figures[key][0][1:]}.")
    labels = {"accuracy": "accuracy in training (mean of the epoch)", "val_accuracy": "validation accuracy"}
    report.figure(
        "winner", plot_histories(curves, labels), "Winner and reference on all images; bands from least to most."
    )
    report.table("Everything that was tried, the best first", tried(result, part))
    report.table("Winner and reference by seed", scores)
    answer_choice(report, result, part)
    answer_reference(report, result, scores, data)


def tried(result: tuning.SearchResult, data: zoo.DataSplits) -> pd.DataFrame:
    """The trials with the widths that their budgets gave, the best first."""
    models = [
        zoo.build("mlp", data.input_shape, data.num_classes, **result.options_of(t))
        for _, t in sorted(result.trials.items())
    ]
    table = result.table.assign(
        width=[model.get_layer("dense1").units for model in models],
        parameters=[model.count_params() for model in models],
    )
    columns = [
        "trial",
        "score",
        "num_layers",
        "width",
        "parameters",
        "activation",
        "learning_rate",
        "batch_size",
        "seconds",
    ]
    return table.sort_values("score", ascending=False, kind="stable")[columns]


def state_scores(report: StudyReport, result: tuning.SearchResult, scores: pd.DataFrame) -> None:
    """Expected beside measured, means over the seeds."""
    columns = ("val_accuracy", "test_accuracy", "parameters")
    means = {column: scores.groupby("group")[column].mean() for column in columns}
    winner, reference = ({column: float(means[column][name]) for column in columns} for name in ("winner", "reference"))
    report.expect_at_least("winner_accuracy", "winner: validation accuracy", winner["val_accuracy"], 0.97)
    report.expect("reference_accuracy", "reference: validation accuracy", reference["val_accuracy"], 0.978, 0.002)
    within = 500_000 <= winner["parameters"] <= 1_000_000
    report.claim("winner_within_budget", "the winner has 0.5 to 1.0 million parameters", within)
    report.value("winner_parameters", winner["parameters"], label="winner: parameters")
    report.value("winner_test_accuracy", winner["test_accuracy"], label="winner: test accuracy")
    report.value("reference_test_accuracy", reference["test_accuracy"], label="reference: test accuracy")
    report.value("search_accuracy", result.best_score, label="winner: validation accuracy in the search")


def answer_choice(report: StudyReport, result: tuning.SearchResult, data: zoo.DataSplits) -> None:
    """What was chosen, and what it depended on."""
    table = tried(result, data)
    best, last = table.iloc[0], table.iloc[-1]
    text = (
        f"Of {len(table)} trials the best has {best['num_layers']} hidden layers of {best['width']} {best['activation']} units, rate "
        f"{best['learning_rate']:.3g} and batches of {best['batch_size']}: {best['score']:.4f} of the held-out images; the worst had "
        f"{last['score']:.4f}. "
    )
    if len(table) >= MIN_TRIALS:
        mattered = permutation_importance(result)
        r2 = mattered.attrs["r2"]
        names = ", ".join(f"{row['parameter']} ({row['importance']:+.2f})" for _, row in mattered.iterrows())
        text += f"A random forest explains {max(0.0, r2):.0%} of the variance of the trials' ranks; what it loses without each: {names}. "
        text += (
            "This is a summary of these trials and these ranges, not a law. "
            if r2 >= 0.2
            else "That is too little to say what mattered. "
        )
        medians = table.groupby("activation")["score"].median().sort_values(ascending=False)
        text += f"Median score by activation: {', '.join(f'{name} {score:.4f}' for name, score in medians.items())}."
    report.answer("What did the search choose, and what mattered?", text)


def answer_reference(
    report: StudyReport, result: tuning.SearchResult, scores: pd.DataFrame, data: zoo.DataSplits
) -> None:
    """Whether the search was worth it."""
    found = zoo.compare(scores, groups="group", units="seed", score="val_accuracy")
    report.figure(
        "comparison", found.figure(), "Validation accuracy at full length: each seed, mean and 95 % interval."
    )
    means = scores.groupby("group")["val_accuracy"].mean()
    sentences = " ".join(found.sentences()[:-1])  # neither was chosen on these images
    scored_on = len(data.validation or ())
    low, high = wilson_interval(round(means["winner"] * scored_on), scored_on)
    unseen = "that took no part in the choice" if report.full else "some of which took part in the choice"
    report.answer(
        "Was the search worth it?",
        f"{sentences} Other seeds are meant, not other images: what the winner would have right of others lies between {low:.4f} and "
        f"{high:.4f} (95 %, Wilson, {scored_on:,} images). It was chosen for {result.best_score:.4f} after {result.best_recipe.epochs} "
        f"epochs on a part of the images; at full length it has {means['winner']:.4f}, on images {unseen}.",
    )

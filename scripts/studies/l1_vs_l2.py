"""Does an L1 penalty do better than L2 for a tuned CNN, and is it worth starting from the weights that L2 has trained?

Command:  python scripts/study.py run l1_vs_l2 [--dataset NAME]
Runtime:  13 min on 2 cores that had other work too.
Expected: L1 leaves more weights near zero than L2. Which penalty and which start has the better test accuracy is what is
          asked; the interval over seeds says how far it can be told.
Source:   coursework, continuing the grid search; Tibshirani (1996) for why L1 selects. Penalties are λ·Σ|w| and λ·Σw².
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies import tuned_cnn
from studies.options import StudyOptions

import tuning
import zoo
from tuning.spaces import ModelSpace
from zoo.drawing import TRAIN, VALIDATION, finish_axes
from zoo.reporting.study import StudyReport

STRENGTHS = {"l2": [1e-5, 1e-4, 1e-3], "l1": [1e-6, 1e-5, 1e-4]}
EPOCHS, SEEDS = 3, 4  # epochs of what is started from, and of what follows it
SMALL = 1e-3  # a weight below this size counts as near zero
RANDOM, TRAINED, BEGUN = "random start", "start from L2", "L2, where those start"
KEYS = {RANDOM: "random", TRAINED: "trained"}
RATES = {RANDOM: [0.1, 0.3], TRAINED: [0.03, 0.1, 0.3]}  # at 1.0 the grid search saw it diverge


class Setting(NamedTuple):
    """A penalty and a start, with the strength and the rate that were best for them, and the epochs from that start."""

    penalty: str
    start: str
    strength: float
    rate: float
    epochs: int
    val_accuracy: float

    @property
    def name(self) -> str:
        """How tables and pictures call it."""
        return f"{self.penalty.upper()}, {self.start}"

    @property
    def at_edge(self) -> bool:
        """Whether the best strength is an extreme one, or the best rate the least: a better one may lie beyond."""
        strengths = STRENGTHS[self.penalty]
        return self.strength in (strengths[0], strengths[-1]) or self.rate == RATES[self.start][0]


class StartedSpace(ModelSpace):
    """A space of which every model begins with the same weights."""

    start: Sequence[np.ndarray] = ()

    def build_model(self, options: Mapping[str, Any], seed: int) -> Any:
        """The model of the catalog, with the weights."""
        model = super().build_model(options, seed)
        model.set_weights(list(self.start))
        return model


def run(options: StudyOptions, report: StudyReport) -> None:
    """Tunes penalty and rate for both starts, then trains all four with several seeds, for equally many epochs in all."""
    data, seeds = tuned_cnn.load(options), range(options.seed, options.seed + (1 if options.fast else SEEDS))
    chosen, recipe = tuned_cnn.winner(options, epochs=EPOCHS)
    verbose, epochs = not options.fast, recipe.epochs
    rates = {start: values[-1:] if options.fast else values for start, values in RATES.items()}
    strengths = {name: values[-1:] if options.fast else values for name, values in STRENGTHS.items()}
    report.settings.update({"dataset": data.config, "options": chosen, "recipe": recipe.as_config()})
    report.settings.update({"strengths": strengths, "rates": rates, "seeds": list(seeds)})
    begun = {s: tuned_cnn.fit(data, chosen, dataclasses.replace(recipe, seed=s), verbose=verbose) for s in seeds}
    rows, settings = [tuned_cnn.scored(data, trained.model, BEGUN, seed) for seed, trained in begun.items()], []
    weights: dict[str, np.ndarray] = {}
    for penalty, of_penalty in strengths.items():
        plain = {name: value for name, value in chosen.items() if name != "l2"}
        for start in (RANDOM, TRAINED):
            values = {**tuned_cnn.fixed(plain), penalty: of_penalty, "learning_rate": rates[start]}
            starts = {s: None if start == RANDOM else trained.model.get_weights() for s, trained in begun.items()}
            whole = dataclasses.replace(recipe, epochs=2 * epochs if start == RANDOM else epochs)
            setting, searched = best_setting(data, penalty, whole, values, starts[options.seed], verbose=verbose)
            settings.append(setting)
            for seed in seeds:
                of_seed = dataclasses.replace(whole, seed=seed, learning_rate=setting.rate)
                changed, model = {**plain, penalty: setting.strength}, searched
                if seed != options.seed:  # else the search has trained it
                    model = tuned_cnn.fit(data, changed, of_seed, start=starts[seed], verbose=verbose).model
                kernels = np.concatenate([w.ravel() for w in model.get_weights() if w.ndim > 1])
                near_zero = float(np.mean(np.abs(kernels) < SMALL))
                rows.append(tuned_cnn.scored(data, model, setting.name, seed) | {"near_zero": near_zero})
                weights.setdefault(setting.name, kernels)
    conclude(report, settings, pd.DataFrame(rows), weights)


def best_setting(
    data: zoo.DataSplits,
    penalty: str,
    recipe: zoo.Recipe,
    values: Mapping[str, Any],
    start: Sequence[np.ndarray] | None,
    *,
    verbose: bool,
) -> tuple[Setting, Any]:
    """A grid search over strength and rate, from random weights or from `start`, and the model that was best."""
    kind = ModelSpace if start is None else StartedSpace
    space = kind("cnn", data.input_shape, data.num_classes, values=values, recipe=recipe)
    if isinstance(space, StartedSpace):
        space.start = start or ()
    with tempfile.TemporaryDirectory() as folder:
        found = tuning.search(space, data, method="grid", directory=folder, verbose=verbose)
        model = found.best_model()
    best, place = found.best_values, RANDOM if start is None else TRAINED
    return Setting(penalty, place, best[penalty], best["learning_rate"], recipe.epochs, found.best_score), model


def conclude(
    report: StudyReport, settings: Sequence[Setting], table: pd.DataFrame, weights: Mapping[str, np.ndarray]
) -> None:
    """Records accuracies, their differences and the share of small weights."""
    found = zoo.compare(table, groups="group", units="seed", score="test_accuracy")
    accuracies, near_zero = (table.groupby("group")[column].mean() for column in ("test_accuracy", "near_zero"))
    for s in settings:
        key = f"{s.penalty}_{KEYS[s.start]}"
        report.value(f"test_{key}", accuracies[s.name], label=f"{s.name}: test accuracy")
        report.value(f"near_zero_{key}", near_zero[s.name], label=f"{s.name}: share of weights below {SMALL:g}")
    for start, key in KEYS.items():
        text, *numbers = tuned_cnn.difference(found, f"L1, {start}", f"L2, {start}")
        for name, number in zip(("", "_low", "_high"), numbers, strict=True):
            label = f"test accuracy of L1 minus L2, {start}{name.replace('_', ', ')}"
            report.value(f"l1_minus_l2_{key}{name}", number, label=label)
        report.answer(f"Which penalty wins, {start}?", text)
    sparse = {name: float(near_zero[f"{name}, {RANDOM}"]) for name in ("L1", "L2")}
    report.claim("l1_sparser", "random start: L1 leaves more weights near zero than L2", sparse["L1"] > sparse["L2"])
    report.figure("accuracies", found.figure(), f"Test accuracy of {len(found.scores)} seeds, mean and 95 % interval.")
    report.figure("weights", draw_weights(weights), "All kernel weights of the first seed, from a random start.")
    tuned = pd.DataFrame([{"training": s.name, **s._asdict(), "at_edge": s.at_edge} for s in settings])
    report.table("Tuned by validation accuracy", tuned)
    report.table("By seed", table)
    answer(report, settings, found, sparse)


def answer(
    report: StudyReport, settings: Sequence[Setting], found: zoo.Comparison, sparse: Mapping[str, float]
) -> None:
    """Answers from the numbers; `sparse` is the share of weights near zero by penalty."""
    starts = [tuned_cnn.difference(found, f"{p}, {TRAINED}", f"{p}, {RANDOM}")[0] for p in ("L1", "L2")]
    more = [tuned_cnn.difference(found, f"{p}, {TRAINED}", BEGUN)[0] for p in ("L1", "L2")]
    report.answer(
        "Which start is better?",
        f"All have had {settings[0].epochs} epochs when they end: from random weights, or half of them under the tuned L2 and half "
        f"under the new penalty. {' '.join(starts)} Against the network that they start from, which has had half of the epochs: "
        f"{' '.join(more)} So far as that is a gain, more training explains it as well as the start. And one long "
        "fall of the rate has become two short ones, which this does not separate from the start.",
    )
    edge = [setting.name for setting in settings if setting.at_edge]
    chosen = [f"{s.name}: λ = {s.strength:g}, rate {s.rate:g}, validation {s.val_accuracy:.4f}" for s in settings]
    beyond = f"λ or rate at an edge of what was tried, so that a better one may lie beyond: {'; '.join(edge)}."
    report.answer("Which strengths and rates were best?", f"{'; '.join(chosen)}. {beyond if edge else ''}".strip())
    report.answer(
        "What does L1 do that L2 does not?",
        "In a step it pulls every weight towards zero by the same amount, rate·λ, where L2's pull, 2·rate·λ·w, fades with the weight. "
        f"{100 * sparse['L1']:.1f} % of the weights end below {SMALL:g} in size under L1, {100 * sparse['L2']:.1f} % under L2. SGD steps to "
        "and fro across zero, so that hardly any is exactly 0, and how many come close depends on the λ that validation chose.",
    )


def draw_weights(weights: Mapping[str, np.ndarray]) -> Figure:
    """Two histograms on a logarithmic axis of counts."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for penalty, colour in (("L1", VALIDATION), ("L2", TRAIN)):
        kernels = weights[f"{penalty}, {RANDOM}"]
        axes.hist(
            kernels,
            bins=np.linspace(-0.4, 0.4, 161).tolist(),
            histtype="step",
            linewidth=1.5,
            color=colour,
            label=penalty,
        )
    axes.set_yscale("log")
    finish_axes(axes, "weight", "number of weights")
    return figure

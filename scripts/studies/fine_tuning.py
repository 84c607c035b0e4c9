"""Which layers of a pretrained network should learn, and what are L2, a wider head and dropout worth beside that choice?

Command:  python scripts/study.py run fine_tuning [--dataset NAME] [--weights FILE] [--backbone NAME] [--set NAME=VALUE]
          --dataset: what is learned in place of the other five classes of CIFAR-10, a name or a folder of photographs.
          --weights cifar100_resnet20-23dac2f1.pt: the source's own case, half an hour. --backbone resnet50: a head of 32 units.
          --set images, validation, epochs, learning_rate, seeds, validation_freq, units, dropout, l2 and blur.
Runtime:  13 min on 2 cores that had other work too. The five-class ResNet-20 takes 6 more, once.
Expected: head only << backbone only < all layers; L2 and dropout worth less than 0.3 points.
Source:   a student's report: CIFAR-100 to CIFAR-10, SGD 0.001, momentum 0.9, batches of 64, 10 epochs. Offline a ResNet-20 that
          knows five classes of CIFAR-10 learns the other five from 2,000 images, in a twenty-fifth of the report's steps. So
          the rate is 0.02: twenty times 0.001, at which no row would come near its end.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pandas as pd
from studies import five_classes
from studies.five_classes import gap, interval_of, record_interval
from studies.options import StudyOptions

import zoo
from zoo.evaluation.robustness_plot import plot_robustness
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

DEFAULTS = {"images": 2000, "validation": 1000, "epochs": 10, "learning_rate": 0.02, "seeds": 3, "validation_freq": 2}
DEFAULTS |= {"units": 256, "dropout": 0.2, "l2": 0.001, "blur": 1.0}
OF_THE_SOURCE = {"images": 49_000, "learning_rate": 0.001, "seeds": 1}  # with --weights
CUT = {"images": 100, "validation": 50, "epochs": 1, "seeds": 1, "units": 8}
CUT_ROWS = ("head", "all", "backbone")
SCORE, SMALL = "test accuracy (%)", 0.3  # points that L2 and dropout are said to be worth at most
WORTH = (("l2", "head with L2", "head"), ("dropout", "all layers, dropout", "all layers"))
ABSENT = f"weights absent: give --weights {five_classes.CIFAR100.file_name}"
RECIPE = zoo.Recipe(optimizer="sgd", momentum=0.9, batch_size=64, monitor="val_accuracy")

Runs = dict[str, list[zoo.TrainingRun]]


class Row(NamedTuple):
    """A way to train: options of the head, and for each phase the layers that learn and the share of the rate."""

    key: str
    name: str
    published: float | None  # the source's accuracy
    head: tuple[str, ...] = ()
    phases: tuple[tuple[str, float], ...] = (("head", 1.0),)
    epochs: int | None = None


ALL, WIDE = (("all", 1.0),), ("units", "batch_normalization", "dropout", "l2")
ROWS = (
    Row("head_1_epoch", "head, 1 epoch", 65.10, epochs=1),
    Row("head", "head", 68.55),
    Row("head_l2", "head with L2", 68.65, ("l2",)),
    Row("wide_head", "wide head with L2", 68.52, WIDE),
    Row("all", "all layers", 84.46, (), ALL),
    Row("all_wide", "all layers, wide head", 84.44, WIDE, ALL),
    Row("backbone", "backbone only", 80.33, (), (("backbone", 1.0),)),
    Row("all_dropout", "all layers, dropout", 84.55, ("dropout",), ALL),
    Row("two_phases", "head, then all layers", None, (), (("head", 1.0), ("all", 0.1))),
)
ON_BACKBONE = (Row("plain_head", "head", None), Row("hidden_head", "head with a hidden layer", None, ("units",)))


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains every row once a seed: all from the same backbone, each seed with images and a head of its own."""
    defaults = DEFAULTS | (OF_THE_SOURCE if options.weights else {}) | ({"units": 32} if options.backbone else {})
    settings = five_classes.settled(defaults | (CUT if options.fast else {}), options.settings)
    rows, data = chosen_rows(options), five_classes.target(options)
    report.settings.update(settings, dataset=data.config["name"], classes=data.class_names, rows=[r.key for r in rows])
    if (start := five_classes.starting_point(options, report)) is None:
        return
    runs, table = train_rows(rows, data, start, settings, options)
    found = zoo.compare(table, groups="row", units="seed", score=SCORE)
    report.figure("rows", found.figure(), "Test accuracy of every row: mean, 95 % interval over seeds, and each seed.")
    curves = {r.name: [fit.validations for fit in runs[r.name]] for r in rows if options.backbone or not r.head}
    figure = plot_histories(curves, {"val_accuracy": "validation accuracy", "val_data_loss": "validation loss"})
    report.figure("curves", figure, "Validation by epoch: mean over seeds, and from the least to the largest of them.")
    record(report, rows, found, runs, options)
    if options.backbone:
        report.answer("What does a hidden layer in the head add?", " ".join(found.sentences()))
    else:
        judge(report, found, rows)
        answer(report, found, runs)
        if rows == ROWS:
            judge_additions(report, found)
    best = str(table.groupby("row")["validation accuracy"].mean().idxmax())  # the test images choose nothing
    look(report, {name: runs[name][0] for name in ("head", best)}, data, settings["blur"], options)


def chosen_rows(options: StudyOptions) -> tuple[Row, ...]:
    """The rows of the source, a few of them in a cut; on another backbone two heads."""
    every = ON_BACKBONE if options.backbone else ROWS
    return tuple(row for row in every if row.key in CUT_ROWS) if options.fast and not options.backbone else every


def train_rows(
    rows: tuple[Row, ...], data: zoo.DataSplits, start: dict[str, Any], settings: dict[str, Any], options: StudyOptions
) -> tuple[Runs, pd.DataFrame]:
    """Name of a row -> its runs, one a seed; and the accuracies of all."""
    runs: Runs = {row.name: [] for row in rows}
    scores = []
    for seed in range(options.seed, options.seed + settings["seeds"]):
        part = five_classes.drawn(data, settings["images"], settings["validation"], seed)
        for row in rows:
            head = {name: settings.get(name, True) for name in row.head}
            model = zoo.build("transfer", data.input_shape, data.num_classes, seed=seed, **start, **head)
            fit = zoo.train(model, part, recipes(row, settings, seed), verbose=not options.fast)
            runs[row.name].append(fit)
            scores.append((row.name, seed, 100 * zoo.evaluate(model, data.test).accuracy, fit.metrics["val_accuracy"]))
    return runs, pd.DataFrame(scores, columns=["row", "seed", SCORE, "validation accuracy"])


def recipes(row: Row, settings: dict[str, Any], seed: int) -> list[zoo.Recipe]:
    """The phases of a row; the weights of the best validation are kept."""
    epochs = row.epochs or settings["epochs"]
    every = min(settings["validation_freq"], epochs)
    recipe = dataclasses.replace(RECIPE, epochs=epochs, validation_freq=every, patience=epochs, seed=seed)
    rate = settings["learning_rate"]
    return [dataclasses.replace(recipe, trainable=part, learning_rate=share * rate) for part, share in row.phases]


def record(
    report: StudyReport, rows: tuple[Row, ...], found: zoo.Comparison, runs: Runs, options: StudyOptions
) -> None:
    """The accuracies beside the source's, which are judged where its weights are given."""
    lines = []
    for row in rows:
        interval, first = interval_of(found, row.name), runs[row.name][0]
        lines.append((row.name, first.phases[-1]["trainable"], *interval, row.published, first.seconds))
        report.value(f"accuracy_{row.key}", interval.mean, label=f"{row.name}: {SCORE}")
        label = f"CIFAR-100 to CIFAR-10, {row.name}: {SCORE}, {row.published} in the report"
        if row.published and five_classes.has_cifar100(options):
            report.check(f"real_{row.key}", label, interval.mean, row.published, 2.0)
        elif row.published:
            report.not_run(f"real_{row.key}", label, ABSENT)
    columns = ["row", "weights that learn", SCORE, "low", "high", "the report's", "seconds"]
    report.table("Rows", pd.DataFrame(lines, columns=columns))
    if not options.backbone:
        report.not_run("resnet50", f"32 units on ResNet-50: {SCORE}", "weights absent: give --backbone resnet50")


def judge(report: StudyReport, found: zoo.Comparison, rows: tuple[Row, ...]) -> None:
    """The order that the source lets expect."""
    over = {row.name: gap(found, "backbone only", row.name) for row in rows if row.phases == (("head", 1.0),)}
    nearest, added = min(over, key=lambda name: over[name].mean), gap(found, "all layers", "backbone only")
    record_interval(report, "backbone_over_heads", f"backbone only minus {nearest}, points", over[nearest])
    is_far = all(difference.low > 0 for difference in over.values())
    report.claim("heads_below_backbone", "every head only is below backbone only, intervals above 0", is_far)
    record_interval(report, "all_over_backbone", "all layers minus backbone only, points", added)
    report.claim("backbone_below_all", "backbone only is below all layers in the mean", added.mean > 0)


def judge_additions(report: StudyReport, found: zoo.Comparison) -> None:
    """What the source lets expect to be worth little, and what else can be added; of all rows."""
    more = f"{gap(found, 'head', 'head, 1 epoch')}, and a wider head {gap(found, 'wide head with L2', 'head')}"
    report.answer("What helps on the same features?", f"More epochs add {more}.")
    for key, a, b in WORTH:
        worth = gap(found, a, b)
        record_interval(report, key, f"{a} minus {b}, points", worth)
        report.expect_at_most(f"{key}_size", f"size of {a} minus {b}, points", abs(worth.mean), SMALL)
        reaches = (
            "reaches below it"
            if min(abs(worth.low), abs(worth.high)) <= SMALL or worth.low * worth.high < 0
            else "lies beyond it"
        )
        report.explain(
            f"{key}_size", f"the 95 % interval of the seeds, {worth.low:+.2f} to {worth.high:+.2f}, {reaches}"
        )
        told = "are" if max(abs(worth.low), abs(worth.high)) < SMALL else "are not"
        text = f"{worth}, {worth.verdict}. More than {SMALL} points either way {told} ruled out."
        report.answer(f"What is {'L2' if key == 'l2' else key} worth?", text)
    phases = gap(found, "head, then all layers", "all layers")
    report.answer(
        "Does it help to train the head first, and then all layers at a tenth of the rate?",
        f"Against all layers from the beginning: {phases}, {phases.verdict}. Of its twice as many epochs the first half costs next to "
        "nothing, because what is frozen is computed once.",
    )


def look(
    report: StudyReport, shown: dict[str, zoo.TrainingRun], data: zoo.DataSplits, blur: float, options: StudyOptions
) -> None:
    """Blurs the test images of the shown runs, and writes all images with the scores of the last one."""
    strengths = {"blur": (blur / 2, blur, 2 * blur)}
    found = {n: zoo.measure_robustness(r.model, data.test, strengths, verbose=False) for n, r in shown.items()}
    report.figure("blur", plot_robustness(found), "Test accuracy against blur, first seed, with 95 % intervals.")
    told = []
    for place, (name, result) in enumerate(found.items()):
        at_blur = result.table.loc[result.table["strength"] == blur, "accuracy"]
        before, after = 100 * result.clean_accuracy, 100 * float(at_blur.iloc[0])
        told.append(f"{name}: {before:.1f} % to {after:.1f} %, {after - before:+.1f} points")
        report.value(f"blurred_{place}", after, label=f"{name}, blur of {blur:g} pixels: {SCORE}")
    question = f"What does a blur of {blur:g} pixels do to the test images?"
    report.answer(question, f"{'; '.join(told)}. Every test image with its scores is in report.html beside this page.")
    name, trained = list(shown.items())[-1]
    page, title = options.folder(report.name) / "report.html", f"{name}: every test image with its scores"
    scored = zoo.evaluate(trained.model, data.test)
    zoo.write_report(page, run=trained, evaluation=scored, robustness=found, title=title)


def answer(report: StudyReport, found: zoo.Comparison, runs: Runs) -> None:
    """Answers the questions from the numbers."""
    mean, learn = found.groups.set_index("group")["mean"], {n: r[0].phases[-1]["trainable"] for n, r in runs.items()}
    whole, backbone = gap(found, "all layers", "head"), gap(found, "all layers", "backbone only")
    report.answer(
        "Is a new head alone enough?",
        f"All layers against the head: {whole}, {whole.verdict}. The head's {learn['head']:,} weights can only mix features that were "
        f"made for other classes ({mean['head']:.1f} %), where {learn['all layers']:,} weights can change them ({mean['all layers']:.1f} %).",
    )
    report.answer(
        "Why can the backbone learn under a head that keeps its random weights?",
        f"The head is {learn['all layers'] - learn['backbone only']:,} of {learn['all layers']:,} weights. Its random directions differ from "
        f"class to class, and the layers below can turn their features into them: {mean['backbone only']:.1f} %. "
        f"That the head learns too brings {backbone}, {backbone.verdict}.",
    )

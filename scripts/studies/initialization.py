"""What do zero, N(0, 1) and Glorot initial weights do to an MLP on MNIST, and what does a clipped loss hide of it?

Command:  python scripts/study.py run initialization [--dataset NAME]
Runtime:  10 min on 2 cores that had other work too.
Expected: cross entropy of the training set after ten epochs: 2.3020 from zeros, with every hidden kernel still exactly zero
          and 11.36 % right; 0.84 from Glorot (about 2.1 after the first epoch); 39 to 42 from N(0, 1) (180 to 200 after the
          first), of which a clipped loss shows about 1.1 (3). "About" is taken as one unit of the last digit given.
Source:   coursework, MLP 784-666-666-10 on the first 50,000 images of MNIST; Glorot and Bengio (2010) for the third.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from studies.options import StudyOptions

import zoo
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories
from zoo.training.split_recorder import SplitRecorder

ZEROS, NORMAL, GLOROT = "zeros", "N(0, 1)", "Glorot uniform"
INITIALIZERS: dict[str, Any] = {
    ZEROS: "zeros",
    NORMAL: keras.initializers.RandomNormal(stddev=1.0),
    GLOROT: "glorot_uniform",
}
KEYS = {ZEROS: "zeros", NORMAL: "normal", GLOROT: "glorot"}
UNITS, SEEDS = (666, 666), 3
LEAST = {"clipped": 1e-7, "clipped_lower": 1e-8}  # what probabilities are clipped at: 1e-7 is Keras's
MOST = -float(np.log(LEAST["clipped"]))  # what an image can cost then
RECIPE = zoo.Recipe(optimizer="sgd", learning_rate=0.001, batch_size=200, epochs=10)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains from each kind of weights with several seeds, and measures the training set after every epoch."""
    name, seeds = options.dataset_or("mnist"), 1 if options.fast else SEEDS
    recipe = dataclasses.replace(RECIPE, epochs=2) if options.fast else RECIPE
    validation = 10_000 if report.full else 1 / 6
    data = zoo.load_dataset(name, limit=2000 if options.fast else None, validation=validation, seed=options.seed)
    report.settings.update(dataset=name, units=UNITS, seeds=seeds, validation=validation, recipe=recipe.as_config())
    tables: dict[str, list[pd.DataFrame]] = {kind: [] for kind in INITIALIZERS}
    from_zeros: zoo.TrainingRun | None = None
    for seed in range(options.seed, options.seed + seeds):
        for kind in [NORMAL, GLOROT] if from_zeros else INITIALIZERS:  # of zeros the seed decides the order alone
            done, table = fit(data, kind, dataclasses.replace(recipe, seed=seed), verbose=not options.fast)
            tables[kind].append(table)
            from_zeros = done if kind == ZEROS else from_zeros
    by_epoch = {kind: pd.concat(several).groupby("epoch").mean() for kind, several in tables.items()}
    state_losses(report, tables, by_epoch)
    assert from_zeros is not None
    answer_zeros(report, data, from_zeros.model.get_weights(), by_epoch[ZEROS].iloc[-1])
    answer_scale(report, data, by_epoch)
    answer_clipping(report, by_epoch)


def fit(data: zoo.DataSplits, kind: str, recipe: zoo.Recipe, *, verbose: bool) -> tuple[zoo.TrainingRun, pd.DataFrame]:
    """One training, and its true and clipped loss and its accuracy on the training set, by epochs done."""
    model = build(data, kind, recipe.seed)
    losses = {column: partial(clipped_cross_entropy, least=least) for column, least in LEAST.items()}
    recorder = SplitRecorder(data.train, losses=losses)
    run = zoo.train(model, data, recipe, callbacks=[recorder], verbose=verbose)
    validated = run.history["val_accuracy"].set_axis(run.history["epoch"] + 1)
    return run, recorder.table.assign(val_accuracy=recorder.table["epoch"].map(validated))


def build(data: zoo.DataSplits, kind: str, seed: int, **options: Any) -> keras.Model:
    """The network with one kind of initial weights; biases are zero."""
    initial = {"units": UNITS, "kernel_initializer": INITIALIZERS[kind]}
    return zoo.build("mlp", data.input_shape, data.num_classes, seed=seed, **initial, **options)


def clipped_cross_entropy(labels: tf.Tensor, probabilities: tf.Tensor, *, least: float = LEAST["clipped"]) -> tf.Tensor:
    """What a loss shows that takes the logarithm of probabilities clipped to [least, 1 - least], as Keras's does."""
    of_truth = tf.gather(probabilities, labels, batch_dims=1)
    return -tf.reduce_mean(tf.math.log(tf.clip_by_value(of_truth, least, 1 - least)))


def state_losses(report: StudyReport, tables: dict[str, list[pd.DataFrame]], by_epoch: dict[str, pd.DataFrame]) -> None:
    """Expected beside measured, means over the seeds; pictures; the table."""
    expected = {  # (kind, column, row) -> what the source says; row 1 is after the first epoch, -1 after the last
        (ZEROS, "loss", -1): (2.3020, 0.0002),
        (GLOROT, "loss", 1): (2.1, 0.1),
        (GLOROT, "loss", -1): (0.84, 0.05),
        (NORMAL, "loss", 1): (190, 10),
        (NORMAL, "loss", -1): (40.5, 1.5),
        (NORMAL, "clipped", 1): (3, 1),
        (NORMAL, "clipped", -1): (1.1, 0.1),
        (ZEROS, "accuracy", -1): (0.1136, 0.00005),
    }
    for (kind, column, row), (value, tolerance) in expected.items():
        key = f"{column}_{KEYS[kind]}_{'first' if row == 1 else 'last'}"
        what = {"loss": "cross entropy", "clipped": "clipped cross entropy"}.get(column, column)
        label = f"{kind}: {what} of the training set after the {'first' if row == 1 else 'last'} epoch"
        report.expect(key, label, by_epoch[kind][column].iloc[row], value, tolerance)
    losses = {"loss": "cross entropy of the training set", "clipped": "the same, probabilities clipped at 1e-7"}
    caption = "Whole training set before training and after each epoch; means over seeds, bands from least to most."
    report.figure("losses", plot_histories(tables, losses, logarithmic=True), f"True and clipped loss. {caption}")
    accuracies = {"accuracy": "accuracy of the training set", "val_accuracy": "validation accuracy"}
    report.figure("accuracies", plot_histories(tables, accuracies), f"Accuracy. {caption}")
    every = [
        t.assign(weights=kind, seed=report.seed + i) for kind, several in tables.items() for i, t in enumerate(several)
    ]
    report.table("Every epoch", pd.concat(every)[["weights", "seed", *every[0].columns[:-2]]])


def answer_zeros(report: StudyReport, data: zoo.DataSplits, weights: list[np.ndarray], last: pd.Series) -> None:
    """What zero weights learn."""
    assert data.train.labels is not None
    *others, biases = weights
    largest = max(float(np.abs(w).max()) for w in others)
    report.check("largest_zero_weight", "zeros: largest |weight| after training, output biases apart", largest, 0, 0)
    shares = np.bincount(data.train.labels, minlength=data.num_classes) / len(data.train)
    entropy = -float(np.sum(shares * np.log(np.maximum(shares, LEAST["clipped"]))))
    learned, even = np.exp(biases) / np.exp(biases).sum(), 1 / data.num_classes
    report.value("entropy_of_classes", entropy, label="entropy of the class frequencies of the training set")
    way = float(np.dot(learned - even, shares - even) / max(np.sum((shares - even) ** 2), 1e-12))
    report.value("way_to_frequencies", way, label="zeros: part of the way from equal probabilities to the frequencies")
    shown = {"share of the training images": shares, "predicted for every image": learned}
    tables = {label: pd.DataFrame({"class": np.arange(len(shares)), "share": value}) for label, value in shown.items()}
    drawn = plot_histories(tables, {"share": "share of the class"}, x="class")
    drawn.axes[0].set_xticks(np.arange(len(shares)), data.class_names)
    report.figure("frequencies", drawn, "What zero weights learn: shares of the classes, from equal ones on.")
    most = int(learned.argmax())
    report.answer(
        "Why do zero weights learn nothing but the class frequencies?",
        "ReLU(0) = 0, so the output kernel's gradient (hidden outputs times errors) is zero, and so is that of the hidden layers "
        f"(the error comes back through a kernel of zeros). After training the largest |weight| among them is {largest:g}. "
        "Only the output biases learn, by predicted minus actual frequency, and the prediction is the same for every image. From "
        f"{even:.3g} for each class it has gone {way:.0%} of the way to the frequencies, at this rate in this time. The loss of "
        f"{last['loss']:.4f} lies {last['loss'] - entropy:.4f} above their entropy, the least for a constant prediction. Every image is "
        f'taken for "{data.class_names[most]}", which is right for {last["accuracy"]:.2%} of them: its share is {shares[most]:.2%}.',
    )


def answer_scale(report: StudyReport, data: zoo.DataSplits, by_epoch: dict[str, pd.DataFrame]) -> None:
    """What the size of the weights does: to the logits, the loss and the accuracy."""
    inputs = next(iter(data.train.batches(1000)))[0].numpy()
    size, predicted = {}, {}
    for kind in (NORMAL, GLOROT):
        model = build(data, kind, report.seed, classifier_activation=None)
        size[kind] = float(np.sqrt(np.mean(np.square(model(inputs).numpy()))))
        predicted[kind] = predicted_logits(inputs, [w for w in model.get_weights() if w.ndim == 2])
        report.value(f"logits_{KEYS[kind]}", size[kind], label=f"{kind}: root mean square of the initial logits")
    normal, glorot = by_epoch[NORMAL], by_epoch[GLOROT]
    higher = normal["accuracy"].iloc[-1] > glorot["accuracy"].iloc[-1]
    wrong = 1 - normal["accuracy"].iloc[-1]
    report.answer(
        "Why does N(0, 1) begin so high, and is it the worse start?",
        "A layer of n inputs, half of which a ReLU has set to zero, multiplies its signal by σ√(n/2). With σ = 1 that makes logits of "
        f"{predicted[NORMAL]:,.0f} (root mean square; measured {size[NORMAL]:,.0f}), with Glorot's σ = √(2/(n_in + n_out)) of "
        f"{predicted[GLOROT]:.2f} ({size[GLOROT]:.2f}). A softmax of logits in the thousands is certain, right or wrong: the loss begins at "
        f"{normal['loss'].iloc[0]:,.0f}, against {np.log(data.num_classes):.2f} for no opinion. After the last epoch it is "
        f"{normal['loss'].iloc[-1]:.1f} against {glorot['loss'].iloc[-1]:.2f}. The accuracy of the training set is "
        f"{normal['accuracy'].iloc[-1]:.4f} against {glorot['accuracy'].iloc[-1]:.4f}, of validation "
        f"{normal['val_accuracy'].iloc[-1]:.4f} against {glorot['val_accuracy'].iloc[-1]:.4f}: "
        + (
            "by accuracy N(0, 1) is ahead. Its gradients are as large as its signals, so it moves far at a rate that is small for Glorot. "
            f"What it has wrong it is sure of: a loss of about {normal['loss'].iloc[-1] / wrong:,.0f} for each wrong image."
            if higher
            else "it is the worse start by both."
        ),
    )


def predicted_logits(inputs: np.ndarray, kernels: list[np.ndarray]) -> float:
    """The root mean square of the logits: ‖x‖ times the deviations of the weights times √(n/2) for each hidden layer."""
    length = np.sqrt(np.mean(np.sum(np.square(inputs.reshape(len(inputs), -1)), axis=1)))
    halved = np.prod([np.sqrt(len(kernel) / 2) for kernel in kernels[1:]])
    return float(length * halved * np.prod([kernel.std() for kernel in kernels]))


def answer_clipping(report: StudyReport, by_epoch: dict[str, pd.DataFrame]) -> None:
    """What clipping does."""
    normal, glorot = by_epoch[NORMAL], by_epoch[GLOROT]
    first, last = normal.iloc[1], normal.iloc[-1]
    change = float((glorot["loss"] - glorot["clipped"]).abs().max())
    counted = (1 - last["accuracy"]) * MOST
    report.value(
        "clipping_changes_glorot", change, label="Glorot: largest change of the loss by clipping, in any epoch"
    )
    lower = f"{first['clipped_lower']:.2f} after the first epoch and {last['clipped_lower']:.2f} after the last"
    for key in ("clipped_normal_first", "clipped_normal_last"):
        report.explain(key, f"The source does not say where it clips; 1e-7 is Keras's. Clipped at 1e-8 it is {lower}.")
    report.answer(
        "What does a clipped loss show?",
        f"No image can cost more than -ln 1e-7 = {MOST:.1f}. For N(0, 1) it shows {first['clipped']:.2f} after the first epoch and "
        f"{last['clipped']:.2f} after the last, where the truth is {first['loss']:.0f} and {last['loss']:.1f}. "
        f"The error rate times {MOST:.1f} is {counted:.2f}: the nearer the two are, the more it merely counts the wrong images. It depends on "
        f"where one clips: at 1e-8 it is {lower}. For Glorot the true and the clipped loss never differ by more than {change:.2g}. A clipped loss also has "
        "no gradient where it clips, so the worst images teach nothing; here losses and gradients come from the logits.",
    )

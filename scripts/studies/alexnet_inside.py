"""What does AlexNet's first layer see of a picture, what do changes do to it, and how much noise does an answer stand?

Command:  python scripts/study.py run alexnet_inside [--weights FILE] [--data FILE]
          --weights: bvlc_alexnet.npy (Caffe's net) or torchvision's alexnet-owt-7be5be79.pth; --data: an image or a folder
Runtime:  about 1 min on 2 cores.
Expected: 60,965,224 and 61,100,840 weights; 55x55 maps of 96 and of 64 filters; 724 and 714 million multiplications an image;
          a picture that moves by the stride of 4 pixels moves the maps by one.
Source:   Krizhevsky et al. (2012); Krizhevsky (2014, arXiv:1404.5997); Sze et al. (2017, arXiv:1703.09039, table II); torchvision.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_sample_images
from studies.options import StudyOptions, local_folder

import zoo
from zoo import inspection
from zoo.data.folder import image_files
from zoo.evaluation.intervals import median_interval
from zoo.inspection.changed_maps import plot_changed_maps
from zoo.inspection.layer_costs import layer_table
from zoo.models.published import PublishedModel, load_published
from zoo.reporting.prediction_plots import plot_top_classes
from zoo.reporting.study import StudyReport

if TYPE_CHECKING:
    import keras

VARIANTS = {"alexnet": (227, 60_965_224, 96, 724e6, 0.5e6), "alexnet_v2": (224, 61_100_840, 64, 714e6, 5e6)}
CHANGES = {"crop": 0.3, "blur": 3.0, "rotation": 20.0, "noise": 0.15}
FIRST, LAST, STRIDE = "conv1_activation", "fc7_activation", 4
SHOWN, ALIKE = 6, 0.5
FULL: dict[str, Any] = {"variants": tuple(VARIANTS), "files": None, "patterns": 40, "at_once": (1, 16), "times": 7}
CUT: dict[str, Any] = {"variants": ("alexnet_v2",), "files": 1, "patterns": 6, "at_once": (1,), "times": 1}


def run(options: StudyOptions, report: StudyReport) -> None:
    """Measures the variants, looks into one of them, and asks a trained network."""
    extent = CUT if options.fast else FULL
    files, patterns = chosen_files(options)[: extent["files"]], extent["patterns"]
    report.settings.update({"images": [file.name for file in files], "changes": CHANGES, "noise_patterns": patterns})
    models = {name: measure(report, name, options.seed, extent) for name in extent["variants"]}
    if options.weights is not None:
        own = load_published("alexnet" if options.weights.suffix == ".npy" else "alexnet_v2", options.weights)
        look_inside(report, own, files[0], "published weights")
        ask(report, own, files, patterns, options.seed)
        return
    look_inside(report, PublishedModel(models["alexnet_v2"], 224, []), files[0], "random weights")
    for key, label in (("filters", "trained filters"), ("top5", "five best classes"), ("noise", "noise it stands")):
        why = "weights absent: give --weights bvlc_alexnet.npy or alexnet-owt-7be5be79.pth"
        report.not_run(f"alexnet_{key}", f"AlexNet: {label}", why)
    try:
        if options.fast:
            raise zoo.WeightsError("a cut looks for none")
        small = load_published("resnet20", "cifar10")
    except zoo.WeightsError as error:
        report.not_run("resnet20", "ResNet-20: filters and answers", f"weights absent: {error}")
        return
    compare_filters(report, small, options.seed)
    ask(report, small, files, patterns, options.seed)


def chosen_files(options: StudyOptions) -> list[Path]:
    """The images that were given, else those beside the data sets, else the two of scikit-learn."""
    folder = options.data or local_folder("alexnet_images")
    return image_files(folder) if folder else [Path(name) for name in load_sample_images().filenames]


def measure(report: StudyReport, name: str, seed: int, extent: dict[str, Any]) -> keras.Model:
    """Checks weights, maps and multiplications of a variant with random weights, and times it."""
    size, weights, maps, products, tolerance = VARIANTS[name]
    model = zoo.build(name, (size, size, 3), 1000, seed=seed)
    table = layer_table(model)
    side, _, found = model.get_layer("conv1").output.shape[1:]
    total = float(table["multiplications"].sum())
    report.check(f"{name}_weights", f"{name}: weights", model.count_params(), weights, 0)
    report.check(f"{name}_map_size", f"{name}: side of the first layer's maps", side, 55, 0)
    report.check(f"{name}_maps", f"{name}: maps of the first layer", found, maps, 0)
    report.check(f"{name}_multiplications", f"{name}: multiplications an image", total, products, tolerance)
    for count in extent["at_once"]:
        seconds = passes(model, count, extent["times"]) / count
        report.value(f"{name}_ms_{count}", 1000 * seconds, label=f"{name}: ms an image, {count} at once")
    report.table(f"Layers of {name}", table)
    dense = ~table["layer"].str.startswith("conv")
    shares = {column: table.loc[dense, column].sum() / table[column].sum() for column in ("weights", "multiplications")}
    report.answer(
        f"Where are the weights of {name}, and where is its work?",
        f"The three dense layers have {shares['weights']:.0%} of the weights and {shares['multiplications']:.0%} of the multiplications: "
        f"a dense layer uses a weight once for an image, the first convolution at {side} x {side} places.",
    )
    return model


def passes(model: keras.Model, count: int, times: int) -> float:
    """Median of the seconds of a pass over `count` images, after one to warm up."""
    images, seconds = np.zeros((count, *model.input_shape[1:]), np.float32), []
    for _ in range(times + 1):
        start = time.perf_counter()
        model(images, training=False).numpy()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def look_inside(report: StudyReport, network: PublishedModel, file: Path, origin: str) -> None:
    """Filters, maps of an image, the same under changes, and what a shift does."""
    model, image = network.model, zoo.load_images([file], network.image_size)
    stack = np.concatenate([image, *(zoo.corrupt(image, name, strength) for name, strength in CHANGES.items())])
    names = ["original", *(f"{name} {strength:g}" for name, strength in CHANGES.items())]
    maps, codes = inspection.activations(model, stack, FIRST), inspection.activations(model, stack, LAST)
    whose = f"{model.name}'s first layer, {origin}"
    report.figure("changes", plot_changed_maps(stack, maps, names), f"{file.name} and its maps in {whose}.")
    report.figure("maps", inspection.plot_activations(maps[0]), f"The maps of the unchanged image in {whose}.")
    kernels = inspection.filters(model)
    report.figure("filters", inspection.plot_filters(kernels), f"The filters of {whose}, in colours.")
    report.figure("filters_red", inspection.plot_filters(kernels, channel=0), "The same on the first channel, red.")
    moved = {"image": relative_changes(stack), "maps": relative_changes(maps), LAST: relative_changes(codes)}
    table = pd.DataFrame({"change": names[1:], **moved})
    report.table(f"Relative changes, {origin}", table)
    shifted = inspection.activations(model, zoo.corrupt(image, "shift_x", STRIDE), FIRST)[0]
    error = np.abs(shifted[:, 3:-2] - maps[0][:, 2:-3]).max() / maps[0].max()  # away from the borders
    report.check("shift_moves_maps", "moved by the stride: maps off the moved maps, relative", error, 0.0, 1e-5)
    report.answer(
        "What do a shift and a rotation do to the maps?",
        f"{STRIDE} pixels, the stride, to the right move every map by one to the right and change nothing else (off by {error:.1g} of the largest "
        f"value, away from the borders): the same filter stands everywhere. A rotation by {CHANGES['rotation']:g} degrees has no such "
        f"rule, as the filters do not turn with it; the maps change by {moved['maps'][list(CHANGES).index('rotation')]:.0%} of their length.",
    )


def relative_changes(stack: np.ndarray) -> np.ndarray:
    """‖x' - x‖ / ‖x‖ of all rows against the first."""
    flat = stack.reshape(len(stack), -1).astype(np.float64)
    changes: np.ndarray = np.linalg.norm(flat[1:] - flat[0], axis=1) / np.linalg.norm(flat[0])
    return changes


def compare_filters(report: StudyReport, small: PublishedModel, seed: int) -> None:
    """ResNet-20's trained first filters beside the same net's random ones."""
    random = inspection.filters(zoo.build("resnet20", (32, 32, 3), 10, seed=seed))
    trained = inspection.filters(small.model)
    report.figure(
        "resnet20_filters", inspection.plot_filters(trained), "ResNet-20's first filters, trained on CIFAR-10."
    )
    alike = [colours_alike(kernels) for kernels in (random, trained)]
    few, many = (int((of_net > ALIKE).sum()) for of_net in alike)
    report.value("alike_trained", many, label=f"ResNet-20, trained: filters whose colours correlate above {ALIKE}")
    report.answer(
        "How can one see that filters are trained?",
        f"In {many} of ResNet-20's {len(trained)} trained first filters the weights of red, green and blue correlate by more than {ALIKE}: the colours share a "
        f"pattern, an edge or a spot. Of its random filters {few} do: coloured noise. The means are {alike[1].mean():+.2f} and {alike[0].mean():+.2f}.",
    )


def colours_alike(kernels: np.ndarray) -> np.ndarray:
    """Of each filter (h, w, 3) the mean correlation of the weights of two colours."""
    flat = np.moveaxis(kernels, -1, 1).reshape(len(kernels), 3, -1)
    return np.array([np.corrcoef(of_filter)[np.triu_indices(3, 1)].mean() for of_filter in flat])


def ask(report: StudyReport, network: PublishedModel, files: list[Path], patterns: int, seed: int) -> None:
    """The five most probable classes of each image, cropped and padded, and the noise that changes the answer."""
    name, size, images, answers, rows = network.model.name, network.image_size, {}, {}, []
    for fit in ("crop", "pad"):
        images[fit] = zoo.load_images(files, size, fit=fit)
        scores = np.asarray(network.model(images[fit], training=False))
        answers[fit] = zoo.decode_predictions(scores, classes=network.class_names)
        for file, guesses in zip(files, answers[fit], strict=True):
            rows += [{"file": file.name, "fit": fit, "class": g.name, "probability": g.probability} for g in guesses]
    shown = plot_top_classes(images["crop"][:SHOWN], answers["crop"][:SHOWN])
    report.figure("answers", shown, f"What {name} says of images, cropped to {size} x {size} pixels.")
    report.table(f"Top classes by {name}", pd.DataFrame(rows))
    same = np.mean([a[0].name == b[0].name for a, b in zip(*answers.values(), strict=True)])
    report.value("same_padded", float(same), label=f"{name}: share of images with one answer, cropped or padded")
    first = [f"{file.name}, {guesses[0].name}" for file, guesses in zip(files, answers["crop"], strict=True)]
    add_noise(report, network, images["crop"], first, patterns, seed)


def add_noise(
    report: StudyReport, network: PublishedModel, images: np.ndarray, names: list[str], count: int, seed: int
) -> None:
    """The least noise that changes each answer, over many patterns."""
    answers = np.asarray(network.model(images, training=False)).argmax(axis=1)
    repeated = [np.repeat(values, count, axis=0) for values in (images, answers)]
    split = zoo.Split.from_arrays(*repeated, class_names=network.class_names)
    fooled = zoo.fool(network.model, split, "noise", num_halvings=8, seed=seed, verbose=False)
    needed = fooled.table["strength"].fillna(np.inf).to_numpy().reshape(len(images), count)
    medians, bounds = np.median(needed, axis=1), [median_interval(of_image) for of_image in needed]
    low, high = zip(*bounds, strict=True)
    table = pd.DataFrame({"image_and_answer": names, "noise": medians, "low": low, "high": high}).sort_values("noise")
    report.table(f"Noise that changes an answer of {network.model.name}", table)
    places = [int(i) * count for i in dict.fromkeys(table.index[[0, len(table) // 2, -1]])]
    report.figure("noise", fooled.figure(places), "The noise that is enough: the least, a middle and the most robust.")
    report.value("median_noise", float(np.median(medians)), label="noise that changes an answer, median image")
    told = [f"{n:.2g} ({a:.2g} to {b:.2g}) for {name}" for name, n, a, b in table.itertuples(index=False)]
    report.answer(
        "How much noise does an answer stand?",
        f"The answer of {network.model.name} changes for half of {count} patterns of Gaussian noise at a standard deviation, as a share of the range, of "
        f"{'; '.join(told)}. In brackets: 95 % intervals of the median over patterns{'; inf: not even 1 is enough' if np.isinf(medians).any() else ''}.",
    )

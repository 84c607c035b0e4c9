"""Classifies image files with an exported model, or with a published network and its weights."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import arguments
import command
import folders

import zoo
from zoo.errors import unknown_name, visible

_PROGRESS_AFTER = 2.0  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__,
        usage="%(prog)s [options] EXPORT IMAGE [IMAGE ...]\n"
        "       %(prog)s [options] --model NAME [--weights NAME_OR_PATH] IMAGE [IMAGE ...]",
        epilog="example: python scripts/predict.py --model resnet50 photo.jpg",
    )
    parser.add_argument(
        "paths",
        type=arguments.path,
        nargs="+",
        metavar="PATH",
        help="a folder that export.py wrote (or a run folder that has one), unless --model is given; then image files or "
        "folders of them",
    )
    parser.add_argument("--model", metavar="NAME", help="a network with published weights, e.g. alexnet or resnet50")
    parser.add_argument(
        "--weights", metavar="WEIGHTS", help="with --model: a name of its weights, or a file (imagenet or cifar10)"
    )
    parser.add_argument(
        "--fit",
        choices=("crop", "pad", "stretch"),
        help="how an image is brought to the model's size (crop with --model, else stretch)",
    )
    parser.add_argument(
        "--export-format", metavar="NAME", help="which file of an export answers (the quickest to start)"
    )
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes shown for each image (5)")
    parser.add_argument("--format", choices=tuple(_SHOWN), default="table", help="how they are shown (table)")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="images computed at once (16)")
    command.add_device_option(parser)
    return command.run(parser, predict, argv)


class _Classifier(NamedTuple):
    """What classifies: (height, width, channels), one name a class, and uint8 images -> probabilities."""

    shape: tuple[int, int, int]
    class_names: Sequence[str]
    probabilities: Callable[[Any], Any]


class _Answer(NamedTuple):
    """What is said of one file: the most probable classes, the most probable first."""

    file: Path
    best: list[tuple[str, float]]


def predict(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    if args.top < 1:
        raise zoo.UsageError(f"--top must be at least 1. Received: {args.top}")
    if args.batch_size < 1:
        raise zoo.UsageError(f"--batch-size must be at least 1. Received: {args.batch_size}")
    if args.model is None and args.weights is not None:
        raise zoo.UsageError("--weights goes with --model; an export has its own")
    if args.model is not None and args.export_format is not None:
        raise zoo.UsageError("--export-format is of an export; --model has none")
    if args.model is not None and args.model not in zoo.list_models():
        raise unknown_name("model", args.model, zoo.list_models())
    if args.model is None and len(args.paths) < 2:
        raise zoo.UsageError("give an export and one or more images, or --model and images")
    from zoo.data.folder import image_files

    files = [file for path in (args.paths if args.model else args.paths[1:]) for file in image_files(path)]
    classifier = _published(args.model, args.weights) if args.model else _exported(args.paths[0], args.export_format)
    problems: list[str] = []
    answers = _answers(
        classifier,
        files,
        fit=args.fit or ("crop" if args.model else "stretch"),
        top=min(args.top, len(classifier.class_names)),
        batch_size=args.batch_size,
        problems=problems,
    )
    _SHOWN[args.format](answers, min(args.top, len(classifier.class_names)))
    if problems:
        raise zoo.DataError(f"{len(problems)} of {len(files)} images could not be read")


def _answers(
    classifier: _Classifier, files: Sequence[Path], *, fit: str, top: int, batch_size: int, problems: list[str]
) -> Iterator[_Answer]:
    """Classifies a batch of files at a time; a file that is no image is told of at once, and passed over."""
    import numpy as np

    from zoo.data.images import read_image

    progress = _Progress(len(files))
    for start in range(0, len(files), batch_size):
        read, pixels = [], []
        for file in files[start : start + batch_size]:
            try:
                with warnings.catch_warnings(action="ignore"):  # Pillow's, of what it reads all the same
                    pixels.append(read_image(file, classifier.shape[:2], classifier.shape[2], fit))
                read.append(file)
            except zoo.DataError as error:
                problems.append(str(error))
                progress.clear()
                print(f"error: {error}", file=sys.stderr)
        if read:
            scores = classifier.probabilities(np.stack(pixels))
            found = zoo.decode_predictions(scores, top=top, classes=classifier.class_names)
            progress.clear()
            for file, best in zip(read, found, strict=True):
                yield _Answer(file, [(name, score) for _, name, score in best])
        progress.tell(start + batch_size)
    progress.clear()


def _print_table(answers: Iterator[_Answer], top: int) -> None:
    for file, best in answers:
        print(f"{visible(file)}  " + "  ".join(f"{name} {score:.3f}" for name, score in best))


def _print_csv(answers: Iterator[_Answer], top: int) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(["file", *(f"{kind}{k}" for k in range(1, top + 1) for kind in ("class", "probability"))])
    for file, best in answers:
        scores = [cell for name, score in best for cell in (_csv_text(name), f"{score:.6f}")]
        writer.writerow([_csv_text(visible(file)), *scores])


def _print_json(answers: Iterator[_Answer], top: int) -> None:
    separator = "["
    for file, best in answers:
        classes = [{"class": name, "probability": round(score, 6)} for name, score in best]
        print(separator + json.dumps({"file": str(file), "classes": classes}), end="", flush=True)
        separator = ",\n "
    print("[]" if separator == "[" else "]")


_SHOWN = {"table": _print_table, "csv": _print_csv, "json": _print_json}


def _csv_text(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class _Progress:
    """A line on standard error that is written over, on a terminal, once it has taken two seconds."""

    def __init__(self, total: int) -> None:
        self._total, self._started, self._width = total, time.monotonic(), 0

    def tell(self, done: int) -> None:
        """Shows how far it is."""
        if sys.stderr.isatty() and time.monotonic() - self._started > _PROGRESS_AFTER:
            text = f"{min(done, self._total):,} of {self._total:,} images"
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def clear(self) -> None:
        """Makes room for other lines."""
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
            self._width = 0


def _published(name: str, weights: str | None) -> _Classifier:
    from zoo.models.published import load_published

    published = load_published(name, weights)
    model, size = published.model, published.image_size
    return _Classifier(
        (size, size, 3), published.class_names, lambda images: model(images / 255.0, training=False).numpy()
    )


def _exported(directory: Path, format_name: str | None) -> _Classifier:
    try:
        predictor = zoo.load_exported(folders.export_directory(directory), format=format_name)
    except zoo.UsageError as error:
        if "holds no export" in str(error):
            raise zoo.UsageError(f"{error}, or name a network with --model") from None
        raise
    if not predictor.takes_images:
        raise zoo.UsageError(f"{directory} takes no images but inputs of shape {predictor.input_shape}")
    height, width, channels = predictor.input_shape
    return _Classifier((height, width, channels), predictor.class_names, predictor.predict)


if __name__ == "__main__":
    sys.exit(main())

"""Classifies image files with an exported model, or with a published network and its weights."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import command

import zoo
from zoo.errors import unknown_name

_BATCH = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage="%(prog)s [options] EXPORT IMAGE [IMAGE ...]\n"
        "       %(prog)s [options] --model NAME [--weights NAME_OR_PATH] IMAGE [IMAGE ...]",
        epilog="example: python scripts/predict.py --model resnet50 photo.jpg",
    )
    parser.add_argument(
        "paths",
        type=Path,
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
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes shown for each image (5)")
    parser.add_argument("--format", choices=("table", "csv"), default="table", help="how they are shown (table)")
    command.add_device_option(parser)
    return command.run(parser, predict, argv)


class _Classifier(NamedTuple):
    """What classifies: (height, width, channels), one name a class, and uint8 images -> probabilities."""

    shape: tuple[int, int, int]
    class_names: list[str]
    probabilities: Callable[[Any], Any]


def predict(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    if args.top < 1:
        raise zoo.UsageError(f"--top must be at least 1. Received: {args.top}")
    if args.model is None and args.weights is not None:
        raise zoo.UsageError("--weights goes with --model; an export has its own")
    if args.model is not None and args.model not in zoo.list_models():
        raise unknown_name("model", args.model, zoo.list_models())
    if args.model is None and len(args.paths) < 2:
        raise zoo.UsageError("give an export and one or more images, or --model and images")
    files = list(_image_files(args.paths if args.model else args.paths[1:]))
    classifier = _published(args.model, args.weights) if args.model else _exported(args.paths[0])
    fit = args.fit or ("crop" if args.model else "stretch")
    top = min(args.top, len(classifier.class_names))
    writer = csv.writer(sys.stdout)
    if args.format == "csv":
        writer.writerow(["file", *(f"{kind}{k}" for k in range(1, top + 1) for kind in ("class", "probability"))])
    for start in range(0, len(files), _BATCH):
        batch = files[start : start + _BATCH]
        scores = classifier.probabilities(_read(batch, classifier.shape, fit))
        for file, best in zip(
            batch, zoo.decode_predictions(scores, top=top, classes=classifier.class_names), strict=True
        ):
            if args.format == "csv":
                writer.writerow([file, *(cell for _, name, score in best for cell in (name, f"{score:.6f}"))])
            else:
                print(f"{file}  " + "  ".join(f"{name} {score:.3f}" for _, name, score in best))


def _published(name: str, weights: str | None) -> _Classifier:
    from zoo.models.published import load_published

    published = load_published(name, weights)
    model, size = published.model, published.image_size
    return _Classifier(
        (size, size, 3), published.class_names, lambda images: model(images / 255.0, training=False).numpy()
    )


def _exported(directory: Path) -> _Classifier:
    directory = directory / "export" if (directory / "export").is_dir() else directory
    certificate = _certificate(directory)
    import zoo.startup as _startup  # noqa: F401  (before TensorFlow)

    import tensorflow as tf

    serve = tf.saved_model.load(str(directory / "saved_model")).signatures["serving_default"]
    return _Classifier(
        tuple(certificate["input"]["shape"]),
        certificate["class_names"],
        lambda images: serve(inputs=tf.constant(images))["probabilities"].numpy(),
    )


def _certificate(directory: Path) -> dict[str, Any]:
    try:
        certificate: dict[str, Any] = json.loads((directory / "certificate.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise zoo.UsageError(
            f"{directory} holds no export (no certificate.json); make one with scripts/export.py, or name a network with "
            "--model"
        ) from None
    if certificate["input"]["dtype"] != "uint8" or len(certificate["input"]["shape"]) != 3:
        raise zoo.UsageError(f"{directory} takes no images but inputs of shape {certificate['input']['shape']}")
    if "saved_model" not in certificate["checks"]:
        raise zoo.UsageError(f"{directory} holds no SavedModel; export one with --formats saved_model")
    return certificate


def _image_files(paths: Sequence[Path]) -> Iterator[Path]:
    from zoo.data.folder import SUFFIXES

    for path in paths:
        if path.is_dir():
            found = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
            if not found:
                raise zoo.DataError(f"{path}: no images in this folder")
            yield from found
        elif path.exists():
            yield path
        else:
            raise zoo.UsageError(f"{path}: no such file")


def _read(files: Sequence[Path], shape: tuple[int, int, int], fit: str) -> Any:
    import numpy as np

    from zoo.data.images import read_image

    return np.stack([read_image(file, shape[:2], shape[2], fit) for file in files])


if __name__ == "__main__":
    sys.exit(main())

"""Classifies image files with an exported model."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import command

import zoo


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "export", type=Path, metavar="EXPORT", help="a folder that export.py wrote, or a run folder that has one"
    )
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="classes shown for each image (3)")
    parser.add_argument("--format", choices=("table", "csv"), default="table", help="how they are shown (table)")
    command.add_device_option(parser)
    return command.run(parser, predict, argv)


def predict(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    if args.top < 1:
        raise zoo.UsageError(f"--top must be at least 1. Received: {args.top}")
    directory = args.export / "export" if (args.export / "export").is_dir() else args.export
    certificate = _certificate(directory)
    files = list(_image_files(args.images))
    pixels = _read(files, certificate["input"])
    import zoo.startup as _startup  # noqa: F401  (before TensorFlow)

    import tensorflow as tf

    serve = tf.saved_model.load(str(directory / "saved_model")).signatures["serving_default"]
    names, writer = certificate["class_names"], csv.writer(sys.stdout)
    top = min(args.top, len(names))
    if args.format == "csv":
        writer.writerow(["file", *(f"{kind}{k}" for k in range(1, top + 1) for kind in ("class", "probability"))])
    for file, image in zip(files, pixels, strict=True):
        scores = serve(inputs=tf.constant(image[None]))["probabilities"].numpy()[0]
        best = [(names[k], float(scores[k])) for k in scores.argsort()[::-1][:top]]
        if args.format == "csv":
            writer.writerow([file, *(cell for name, score in best for cell in (name, f"{score:.6f}"))])
        else:
            print(f"{file}  " + "  ".join(f"{name} {score:.3f}" for name, score in best))


def _certificate(directory: Path) -> dict[str, Any]:
    try:
        certificate: dict[str, Any] = json.loads((directory / "certificate.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise zoo.UsageError(
            f"{directory} holds no export (no certificate.json); make one with scripts/export.py"
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


def _read(files: Sequence[Path], spec: dict[str, Any]) -> list[Any]:
    from zoo.data.images import read_image

    height, width, channels = spec["shape"]
    return [read_image(file, (height, width), channels) for file in files]


if __name__ == "__main__":
    sys.exit(main())

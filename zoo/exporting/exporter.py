"""`export`: a model as files that other programs run, with a certificate that they compute what the model computes."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np

from zoo.data.images import are_images
from zoo.data.split import Split, as_split
from zoo.data.streaming import naming_files
from zoo.errors import ExportError, UsageError, one_line
from zoo.evaluation.scoring import fitting_split
from zoo.exporting import writers
from zoo.exporting.card import default_intended_use, limits_of, model_card
from zoo.exporting.certificate import CARD, EXAMPLES, NAME, Certificate
from zoo.exporting.checking import Reference, compare, failure, measure_latency
from zoo.exporting.formats import BFLOAT16_TOLERANCE, FORMATS, ROUNDING_TOLERANCE, checked_formats
from zoo.exporting.measuring import encoded_examples, measure, measure_accuracy, model_runtime
from zoo.exporting.runtimes import SavedModelRuntime, load_runtime
from zoo.exporting.serving import foreign_layers, serving_model
from zoo.paths import checked_path
from zoo.plain import check_json
from zoo.replacing import check_replaceable
from zoo.storage import atomic_directory, manifest, read_json, write_text
from zoo.version import versions

# A file may be off by so many times what the model is off from itself, run as a graph.
_TIMES_ROUNDING = 4
_CALIBRATED = 256  # examples that the ranges of 8-bit integers are chosen by


@naming_files()
def export(
    model: keras.Model,
    directory: str | os.PathLike[str],
    *,
    formats: str | Sequence[str] = ("saved_model", "keras"),
    check_with: Split | tuple[Any, Any] | Any,
    calibrate_with: Split | tuple[Any, Any] | Any | None = None,
    split_name: str = "test",
    data_config: dict[str, Any] | None = None,
    recipes: Sequence[dict[str, Any]] = (),
    intended_use: str | None = None,
) -> Certificate:
    """Writes a model as files that take raw inputs as they are stored: uint8 pixels (scaling is inside), or floats.

    Every file is loaded again and compared with the model on real examples, alone and in batches, and on all 0 and all 255. Only
    when all agree does the export appear at `directory`, as a whole, in place of an earlier one.

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits.
        directory: the export: certificate.json, README.md (a model card), examples.npz (64 of the examples, by which others
            check the files), and of what is asked for: model.keras (one input, (N, K) probabilities), saved_model/
            (signature `serving_default`: `inputs` -> `probabilities`, `class_index`, `class_name`; and for images
            `serving_encoded`: the same from `image_bytes`, JPEG or PNG of any size), model.onnx, model.tflite, model_int8.tflite.
        formats: some of "saved_model", "keras", "onnx" (the extra `onnx`), "litert" and "litert_int8" (the extra `litert`).
            ONNX and LiteRT files compute in float32 whatever the model does, and the last in 8-bit integers.
        check_with: a `Split`: its first 512 examples are compared, accuracy is measured on all of it, and the files carry its
            class names and scaling.
        calibrate_with: training or validation examples, of which up to 256 choose the ranges of 8-bit integers; only
            "litert_int8" needs them.
        split_name: what the certificate calls `check_with`.
        data_config: plain values that name the data, for the certificate; e.g. `data.config`.
        recipes: how the model was trained, as plain values; e.g. `run.config["recipes"]`.
        intended_use: a sentence or two for the model card; by default what the data say.

    Raises:
        UsageError: an unknown format, a model whose inputs or classes are not those of the data, or a directory that holds
            something other than an export.
        ZooError: a format whose packages are not installed.
        ExportError: a file does not compute what the model computes; nothing is put in place.

    Examples:
        >>> data = zoo.load_dataset("digits")
        >>> model = zoo.build("softmax", data.input_shape, data.num_classes)
        >>> zoo.export(model, "runs/export", check_with=data.test).checks["keras"]["top1_agreement"]
        1.0
    """
    split, directory = fitting_split(model, check_with), checked_path(directory)
    names = checked_formats(formats)
    _check_facts(split_name=split_name, data_config=data_config or {}, recipes=recipes, intended_use=intended_use or "")
    calibration = _calibration(calibrate_with, names)
    check_replaceable(directory, _files_of_export)
    run = model_runtime(model, split)
    reference, metrics = measure(run, split)
    metrics = {"split": split_name, **metrics}
    with atomic_directory(directory, owned=_files_of_export) as temporary:
        checks = {}
        for name in names:
            path = temporary / FORMATS[name].path
            write_format(name, model, path, split, calibration)
            checks[name] = _check(name, path, reference, split, _Bound(model, split, name))
        reference.save(temporary / EXAMPLES)
        certificate = Certificate(
            directory=directory,
            checks=checks,
            files={},
            class_names=split.class_names,
            input={"shape": list(split.input_shape), "dtype": str(split.dtype), **dataclasses.asdict(split.scaling)},
            versions=versions() | _versions_beside(names),
            data=data_config or {},
            created=time.strftime("%Y-%m-%d %H:%M:%S"),
            model=_described(model) | measure_latency(run, reference.inputs[:1]),
            recipes=tuple(recipes),
            metrics=metrics,
            intended_use=intended_use
            or default_intended_use(split.dtype, split.input_shape, split.class_names, data_config or {}),
            limits=(
                *limits_of(metrics, split.class_names, takes_images=are_images(split.dtype, split.input_shape)),
                *(_limits_of_file(model) if "keras" in names else ()),
            ),
        )
        write_text(temporary / CARD, model_card(certificate))
        certificate = dataclasses.replace(certificate, files=manifest(temporary))
        write_text(temporary / NAME, certificate.text())
    return certificate


_WRITERS: dict[str, Callable[[keras.Model, Path, Split], None]] = {
    "saved_model": writers.write_saved_model,
    "keras": writers.write_keras,
    "onnx": writers.write_onnx,
    "litert": writers.write_litert,
}


def write_format(
    name: str, model: keras.Model, path: Path, split: Split, calibration: np.ndarray | None = None
) -> None:
    """Writes one format and checks nothing.

    Args:
        name: of `formats.FORMATS`.
        model: the model; in the formats whose runtimes know no other precision it is converted to float32.
        path: the file or folder to write.
        split: what knows inputs, scaling and classes.
        calibration: (n, ...) stored inputs, for a quantized format.
    """
    is_own = name in ("keras", "saved_model") or _dtypes(model) <= {"float32"}
    serving = serving_model(model, split, None if is_own else "float32")
    if FORMATS[name].is_quantized:
        assert calibration is not None
        writers.write_litert_int8(serving, path, split, calibration)
    else:
        _WRITERS[name](serving, path, split)


class _Bound:
    """The difference that is accepted from a format: that of its table, of the precision, or of the model's own rounding."""

    def __init__(self, model: keras.Model, split: Split, name: str) -> None:
        self._model, self._split = model, split
        self._tolerance = FORMATS[name].tolerance
        if self._tolerance is not None and "bfloat16" in _dtypes(model):
            self._tolerance = BFLOAT16_TOLERANCE

    def for_difference(self, difference: float, reference: Reference) -> float | None:
        """The tolerance; the model is only run again where that of the table is missed."""
        tolerance = self._tolerance
        if tolerance is None or difference <= tolerance or tolerance >= ROUNDING_TOLERANCE:
            return tolerance
        own: float = compare(model_runtime(self._model, self._split, in_graph=True), reference)["max_abs_difference"]
        return max(tolerance, min(_TIMES_ROUNDING * own, ROUNDING_TOLERANCE))


def _dtypes(model: keras.Model) -> set[str]:
    """The precisions that a model computes in."""
    return {layer.compute_dtype for layer in model._flatten_layers() if layer.weights}


def _check(name: str, path: Path, reference: Reference, split: Split, bound: _Bound) -> dict[str, Any]:
    """Loads a file again and compares it; a quantized one is measured on the whole split too."""
    kind = FORMATS[name]
    try:
        run = load_runtime(name, path)
        found = compare(run, reference)
    except Exception as error:  # of several kinds, with pages of inner places
        raise ExportError(f"the {name} export cannot be run ({one_line(error)}); nothing was put in place") from error
    tolerance = bound.for_difference(found["max_abs_difference"], reference)
    if (problem := failure(found, tolerance, kind)) is not None:
        raise ExportError(f"the {name} export {problem}; nothing was put in place")
    found["tolerance"] = tolerance
    if kind.is_quantized:
        found |= {"min_top1_agreement": kind.agreement, **measure_accuracy(run, split)}
    if isinstance(run, SavedModelRuntime) and are_images(split.dtype, split.input_shape):
        found["encoded_max_abs_difference"] = _check_encoded(run, reference, tolerance, path.parent)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return found | {"size_bytes": sum(f.stat().st_size for f in files), **measure_latency(run, reference.inputs[:1])}


def _check_encoded(run: SavedModelRuntime, reference: Reference, tolerance: float | None, place: Path) -> float:
    """Largest difference between images decoded in the SavedModel and by the reader that training has used."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        encoded, pixels = encoded_examples(reference, Path(folder))
    got = run.predict_encoded(encoded)
    difference = float(np.abs(got - run(pixels)).max())
    if tolerance is not None and not difference <= tolerance:
        raise ExportError(
            f"the saved_model export differs by {difference:.2g} on JPEG and PNG bytes (at most {tolerance:g} is accepted); "
            "nothing was put in place"
        )
    return difference


def _calibration(calibrate_with: Any, names: Sequence[str]) -> np.ndarray | None:
    """(n, ...) stored inputs from all over the examples, which may stand in the order of their classes."""
    if not any(FORMATS[name].is_quantized for name in names):
        return None
    if calibrate_with is None:
        raise UsageError("litert_int8 needs calibrate_with: training or validation examples")
    split = as_split(calibrate_with)
    if split.labels is not None and split.stream is None:
        split = split.subset(np.unique(np.linspace(0, len(split) - 1, _CALIBRATED).round().astype(int)))
    parts = []
    for stored, _ in split.stored_batches(32).take(_CALIBRATED // 32):
        parts.append(stored.numpy())
    return np.concatenate(parts)


def _versions_beside(names: Sequence[str]) -> dict[str, str]:
    """Versions of what writes and runs formats, besides what every export is made with."""
    packages = dict.fromkeys(p for name in names for p in (*FORMATS[name].writers, *FORMATS[name].runners))
    return {p: metadata.version(p) for p in packages if p not in ("tensorflow", "keras")}


def _limits_of_file(model: keras.Model) -> list[str]:
    """What is to be known of a .keras file, whose layers may be defined in the user's program."""
    names = foreign_layers(model)
    return [f"`model.keras` loads only in a program that defines {', '.join(names)}."] if names else []


def _described(model: keras.Model) -> dict[str, Any]:
    facts = {"name": model.name, "parameters": model.count_params()}
    return facts | ({"build": model.zoo_build} if hasattr(model, "zoo_build") else {})


def _check_facts(**facts: Any) -> None:
    """Refuses now what the certificate could not be written with, after all the work."""
    kinds = {"split_name": str, "data_config": dict, "recipes": Sequence, "intended_use": str}
    for name, value in facts.items():
        if not isinstance(value, kinds[name]):
            raise UsageError(f"{name} must be of the type {kinds[name].__name__}. Received: {name}={value!r:.80}")
    check_json(**facts)


def _files_of_export(directory: Path) -> set[str]:
    """What a certificate names, itself included: the mark by which an export knows what it may replace."""
    try:
        files = read_json(directory / NAME)["files"]
    except (OSError, ValueError, KeyError):
        return set()
    return {NAME, *files} if isinstance(files, dict) else set()

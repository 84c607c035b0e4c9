"""`export`: a model as files that other programs run, with a certificate that they compute what the model computes."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.pipeline import scale
from zoo.data.split import Split, as_split
from zoo.errors import ExportError, UsageError, unknown_name
from zoo.exporting.serving import serving_model, write_saved_model
from zoo.models.outputs import class_probabilities, known_output_kind
from zoo.storage import atomic_directory, manifest, write_json
from zoo.training.run import versions

_FILES = {"keras": "model.keras", "saved_model": "saved_model"}
# largest absolute difference of a probability: the same arithmetic gives about 1e-7, and 8-bit mantissas about 1e-3
TOLERANCE, BFLOAT16_TOLERANCE = 1e-5, 1e-2
_CHECKED = 512  # examples compared


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Evidence that exported files compute what the model computes; certificate.json holds the same.

    Attributes:
        directory: where the export lies.
        checks: format -> `examples`, `max_abs_difference`, `top1_agreement`, `tolerance`.
        files: relative path -> SHA-256 of every exported file.
        class_names: one name a class.
        input: `shape` and `dtype` of what the files take, and how it is `scaled` inside.
        versions: what computed it.
        data: what names the data of the examples.
        created: local time.
    """

    directory: Path
    checks: dict[str, dict[str, float]]
    files: dict[str, str]
    class_names: tuple[str, ...]
    input: dict[str, Any]
    versions: dict[str, str]
    data: dict[str, Any]
    created: str


def export(
    model: keras.Model,
    directory: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("saved_model", "keras"),
    check_with: Split | tuple[Any, Any] | Any,
    data_config: dict[str, Any] | None = None,
) -> Certificate:
    """Writes a model as files that take raw inputs as they are stored: uint8 pixels (scaling is inside), or floats.

    Every file is loaded again and compared with the model on real examples. Only when all agree does the export appear at
    `directory`, as a whole, in place of an earlier one.

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits.
        directory: the export: certificate.json, model.keras (one input, (N, K) probabilities) and saved_model/
            (signature `serving_default`: `inputs` -> `probabilities`, `class_index`, `class_name`).
        formats: some of "saved_model" and "keras".
        check_with: a `Split`, whose first 512 examples are compared and whose class names and scaling the files carry.
        data_config: plain values that name the data, for the certificate; e.g. `data.config`.

    Raises:
        UsageError: an unknown format, or a directory that holds something other than an export.
        ExportError: a file does not compute what the model computes; nothing is put in place.
    """
    split, directory = as_split(check_with), Path(directory)
    formats = (formats,) if isinstance(formats, str) else tuple(dict.fromkeys(formats))
    for name in formats:
        if name not in _FILES:
            raise unknown_name("export format", name, _FILES)
    if not formats:
        raise UsageError(f"formats is empty; give some of {', '.join(_FILES)}")
    _check_replaceable(directory)
    examples = next(iter(split.stored_batches(min(_CHECKED, len(split)))))[0].numpy()
    expected = _model_probabilities(model, split, examples)
    serving = serving_model(model, split)
    bfloat16 = any(layer.compute_dtype == "bfloat16" for layer in model._flatten_layers())
    tolerance = BFLOAT16_TOLERANCE if bfloat16 else TOLERANCE
    with atomic_directory(directory) as temporary:
        checks = {}
        for name in formats:
            predict = _WRITERS[name](serving, temporary / _FILES[name], split)
            checks[name] = _compare(name, predict, examples, expected, tolerance)
        certificate = Certificate(
            directory=directory,
            checks=checks,
            files=manifest(temporary),
            class_names=split.class_names,
            input={"shape": list(split.input_shape), "dtype": str(split.dtype), **dataclasses.asdict(split.scaling)},
            versions=versions(),
            data=data_config or {},
            created=time.strftime("%Y-%m-%d %H:%M:%S"),
        )
        facts = {k: v for k, v in dataclasses.asdict(certificate).items() if k != "directory"}
        write_json(temporary / "certificate.json", {"format_version": 1, **facts})
    return certificate


def _write_keras(serving: keras.Model, path: Path, split: Split) -> Callable[[np.ndarray], np.ndarray]:
    serving.save(path)
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda x: np.asarray(loaded(x, training=False))


def _write_saved_model(serving: keras.Model, path: Path, split: Split) -> Callable[[np.ndarray], np.ndarray]:
    write_saved_model(serving, path, split)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda x: signature(inputs=tf.constant(x))["probabilities"].numpy()


_WRITERS = {"keras": _write_keras, "saved_model": _write_saved_model}


def _compare(
    name: str, predict: Callable[[np.ndarray], np.ndarray], examples: np.ndarray, expected: np.ndarray, tolerance: float
) -> dict[str, float]:
    """Compares probabilities in one batch, and the first example alone: a batch of 1 takes other kernels."""
    got = predict(examples)
    single = predict(examples[:1])
    difference = float(max(np.abs(got - expected).max(), np.abs(single - expected[:1]).max()))
    agreement = float(np.mean(got.argmax(axis=1) == expected.argmax(axis=1)))
    if not difference <= tolerance:
        raise ExportError(
            f"the {name} export differs from the model by {difference:.2g} (at most {tolerance:g} is accepted, "
            f"top-1 agreement {agreement:.3f}); nothing was put in place"
        )
    return {
        "examples": len(examples),
        "max_abs_difference": difference,
        "top1_agreement": agreement,
        "tolerance": tolerance,
    }


def _model_probabilities(model: keras.Model, split: Split, examples: np.ndarray) -> np.ndarray:
    """What the model itself says, with the scaling of the pipeline that trained it, not with the exported layer."""
    inputs = scale(tf.constant(examples), split.scaling)
    return np.asarray(class_probabilities(model(inputs, training=False), known_output_kind(model)))


def _check_replaceable(directory: Path) -> None:
    """An existing folder is replaced only when it is an export of ours and holds nothing else."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; choose another directory")
    if not directory.is_dir():
        return
    present = {f.relative_to(directory).as_posix() for f in directory.rglob("*") if f.is_file()}
    try:
        ours = {"certificate.json", *json.loads((directory / "certificate.json").read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    if present - ours:
        raise UsageError(f"{directory} holds {min(present - ours)}, which is of no export; choose another directory")

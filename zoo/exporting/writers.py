"""The model that serves -> files of each format, with the names of the classes in them."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.images import are_images
from zoo.data.split import Split
from zoo.errors import ExportError
from zoo.exporting.encoded import decode_images
from zoo.exporting.serving import serving_function
from zoo.models.saving import write_model
from zoo.quiet import quiet_stderr

LABELS = "labels.txt"  # in a LiteRT file, where its metadata have it: the file is a ZIP archive too
_OPSET = 18  # of ONNX, of December 2022


def write_keras(serving: keras.Model, path: Path, split: Split) -> None:
    """Writes a .keras file; the names of its classes are in the certificate alone."""
    write_model(serving, path)


def write_saved_model(serving: keras.Model, path: Path, split: Split) -> None:
    """Writes a SavedModel that names the class: `serving_default` on raw inputs, `serving_encoded` on JPEG or PNG bytes."""
    names = tf.constant(split.class_names)
    module = serving_function(serving, split)
    probabilities_of = module.serve

    def named(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = probabilities_of(inputs)["probabilities"]
        index = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"probabilities": probabilities, "class_index": index, "class_name": tf.gather(names, index)}

    # Only in `probabilities_of` there may be somebody's layers, whose Python TensorFlow has to convert.
    module.serve = tf.function(named, input_signature=probabilities_of.input_signature, autograph=False)
    signatures = {"serving_default": module.serve}
    if are_images(split.dtype, split.input_shape):

        def serve_encoded(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return named(decode_images(image_bytes, split.input_shape))

        encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
        module.serve_encoded = tf.function(serve_encoded, input_signature=[encoded], autograph=False)
        signatures["serving_encoded"] = module.serve_encoded
    tf.saved_model.save(module, str(path), signatures=signatures)


def write_onnx(serving: keras.Model, path: Path, split: Split) -> None:
    """Writes an ONNX file: `inputs` -> `probabilities`; its metadata have `class_names`, a JSON list."""
    import tf2onnx

    function = serving_function(serving, split).serve
    with _one_line_error("onnx"):
        proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=_OPSET)
    for key, value in (("class_names", json.dumps(split.class_names)), ("input_shape", json.dumps(split.input_shape))):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(proto.SerializeToString())


def write_litert(serving: keras.Model, path: Path, split: Split) -> None:
    """Writes a LiteRT file in float32: the signature `serving_default` maps `inputs` to `probabilities`."""
    _convert_to_litert(serving, path, split, "litert", lambda converter: None)


def write_litert_int8(serving: keras.Model, path: Path, split: Split, examples: np.ndarray) -> None:
    """Writes a LiteRT file that computes with 8-bit integers; it takes and gives what the one in float32 does.

    Args:
        serving: the model.
        path: the file.
        split: what knows inputs and classes.
        examples: (n, ...) stored inputs that the ranges of its integers are chosen by.
    """

    def quantize(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({"inputs": one[np.newaxis]} for one in examples)

    _convert_to_litert(serving, path, split, "litert_int8", quantize)


def _convert_to_litert(
    serving: keras.Model, path: Path, split: Split, name: str, configure: Callable[[Any], None]
) -> None:
    module = serving_function(serving, split)
    # Only from a SavedModel the converter takes signatures; beside the file, for there has to be room anyway.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        configure(converter)
        with _one_line_error(name):
            content = converter.convert()
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:  # behind the model, whose own length is written in it
        archive.writestr(zipfile.ZipInfo(LABELS), "\n".join(split.class_names) + "\n")


@contextlib.contextmanager
def _one_line_error(name: str) -> Iterator[None]:
    """Silences a converter, and makes its error, with pages of its own inner places, one line."""
    logger, failure = logging.getLogger("tf2onnx"), None
    level = logger.level
    with quiet_stderr(), warnings.catch_warnings(action="ignore"):
        try:
            logger.setLevel(logging.ERROR)
            yield
        except Exception as error:  # of several kinds
            failure = error
        finally:
            logger.setLevel(level)
    if failure is not None:
        reason = next((line.strip() for line in str(failure).splitlines() if line.strip()), type(failure).__name__)
        raise ExportError(f"this model cannot be converted to {name}: {reason[:200]}") from failure

"""`load_exported`: an export -> a predictor with one interface over all formats. Imports only what runs the format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.images import FITS, are_images, read_image
from zoo.errors import ExportError, UsageError, check_count, one_line, unknown_name
from zoo.exporting.certificate import Certificate, read_certificate
from zoo.exporting.checking import in_batches
from zoo.exporting.formats import FORMATS, PREFERRED, check_installed, is_runnable
from zoo.exporting.runtimes import Runtime, load_runtime
from zoo.paths import checked_path


class Predictor:
    """An exported model, whatever runs it. Threads may share it.

    Attributes:
        format: "saved_model", "keras", "onnx", "litert" or "litert_int8".
        class_names: one name for each column of `predict`.
        input_shape: shape of one input, without the batch axis; (height, width, channels) for images.
        dtype: NumPy dtype of the inputs as they are stored; uint8 for images.
        certificate: what the export says of itself.
    """

    def __init__(self, run: Runtime, certificate: Certificate, format: str) -> None:  # noqa: A002
        self._run = run
        self.format = format
        self.certificate = certificate
        self.class_names = certificate.class_names
        self.input_shape = certificate.input_shape
        self.dtype = np.dtype(certificate.input["dtype"])

    def __repr__(self) -> str:
        return f"Predictor({self.format}, {self.input_shape} {self.dtype} -> {len(self.class_names)} classes)"

    @property
    def takes_images(self) -> bool:
        """Whether inputs are grey or RGB images, so that `predict` takes files."""
        return are_images(self.dtype, self.input_shape)

    def predict(self, images: Any, *, fit: str = "stretch", batch_size: int = 64) -> np.ndarray:
        """Class probabilities.

        Args:
            images: an (N, ...) array of inputs as they are stored (pixels 0 to 255, not scaled), or a list of image files of
                any size and mode.
            fit: how the image of a file is brought to `input_shape`: "stretch" (as data sets are read), "crop" or "pad".
            batch_size: inputs that are computed at once.

        Returns:
            (N, K) float32, a column a class.

        Raises:
            UsageError: an array of another shape or type, files for a model that takes no images, an unknown `fit`.
            DataError: a file is no readable image; the message names it.
        """
        check_count("batch_size", batch_size)
        if fit not in FITS:
            raise unknown_name("fit", fit, FITS)
        is_one = isinstance(images, str | bytes | os.PathLike | dict) or getattr(images, "ndim", 1) == 0
        if is_one or not hasattr(images, "__len__"):
            raise UsageError(f"images must be a list of files or an array. Received: {images!r:.200}")
        if isinstance(images, list | tuple) and not images:
            return self._nothing()
        if all(isinstance(image, str | os.PathLike) for image in images) and len(images):
            return self._predict_files([Path(image) for image in images], fit, batch_size)
        try:
            inputs = np.asarray(images)
        except ValueError as error:  # of several shapes, or files among arrays
            raise UsageError(f"images must be a list of files or an array: {one_line(error)}") from None
        return self._predict_array(inputs, batch_size)

    def _nothing(self) -> np.ndarray:
        return np.empty((0, len(self.class_names)), np.float32)

    def _predict_files(self, files: Sequence[Path], fit: str, batch_size: int) -> np.ndarray:
        if not self.takes_images:
            raise UsageError(f"this model takes no images but inputs of shape {self.input_shape}; give an array")
        height, width, channels = self.input_shape
        parts = []
        for start in range(0, len(files), batch_size):
            pixels = [read_image(file, (height, width), channels, fit) for file in files[start : start + batch_size]]
            parts.append(self._predict_array(np.stack(pixels), batch_size))
        return np.concatenate(parts)

    def _predict_array(self, inputs: np.ndarray, batch_size: int) -> np.ndarray:
        if inputs.shape[1:] != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            hint = "; for one input give inputs[np.newaxis]" if inputs.shape == self.input_shape else ""
            raise UsageError(f"inputs must have the shape (N, {shape}). Received: {inputs.shape}{hint}")
        if inputs.dtype != self.dtype:
            stored = " as they are stored, 0 to 255" if self.dtype == np.uint8 else ""
            if self.dtype == np.uint8 or inputs.dtype.kind not in "iuf":
                raise UsageError(f"inputs must be {self.dtype}{stored}. Received: {inputs.dtype}")
            inputs = inputs.astype(self.dtype)
        if not len(inputs):
            return self._nothing()
        return in_batches(self._run, inputs, batch_size).astype(np.float32, copy=False)


def load_exported(directory: str | os.PathLike[str], *, format: str | None = None) -> Predictor:  # noqa: A002
    """Loads an export, after the SHA-256 of every file in it was found to be that of its certificate.

    That finds what was changed by accident. It is no proof of where an export comes from: whoever writes one writes its
    certificate. Load exports, as programs, from those you trust.

    Args:
        directory: what `zoo.export` wrote.
        format: which of its formats; by default the first of "onnx", "litert", "saved_model" and "keras" that it has and
            that can run here.

    Raises:
        UsageError: there is no export, or none in this format.
        ExportError: a file was changed, is missing or does not belong to it, and nothing was loaded; or a file cannot be run.
        ZooError: what runs the format is not installed.

    Examples:
        >>> predictor = zoo.load_exported("runs/cnn/export")  # doctest: +SKIP
        >>> probabilities = predictor.predict(["photo.jpg"])  # doctest: +SKIP
        >>> predictor.class_names[probabilities[0].argmax()]  # doctest: +SKIP
        'cat'
    """
    directory = checked_path(directory)
    certificate = read_certificate(directory)
    chosen = _chosen_format(certificate, format)
    certificate.check_files()
    try:
        run = load_runtime(chosen, directory / FORMATS[chosen].path)
    except Exception as error:  # of several kinds, with pages of inner places
        raise ExportError(f"{directory}: the {chosen} file cannot be run: {one_line(error, 400)}") from error
    if read_certificate(directory).files != certificate.files:
        raise ExportError(f"{directory} was replaced by another export while it was loaded; load it again")
    return Predictor(run, certificate, chosen)


def _chosen_format(certificate: Certificate, wanted: str | None) -> str:
    held = certificate.checks
    if wanted is not None:
        certificate.check_format(wanted)
        check_installed(wanted)
        return wanted
    order = [name for name in (*PREFERRED, *FORMATS) if name in held]
    chosen = next((name for name in order if is_runnable(name)), order[0])
    check_installed(chosen)
    return chosen

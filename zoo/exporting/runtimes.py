"""Exported files -> functions from stored inputs to probabilities. Each imports what runs its format, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from zoo.exporting.formats import check_installed
from zoo.quiet import quiet_stderr

Runtime = Callable[[np.ndarray], np.ndarray]


def load_runtime(name: str, path: Path) -> Runtime:
    """The function of an exported file: (N, ...) inputs as stored -> (N, K) probabilities.

    Args:
        name: of `formats.FORMATS`.
        path: the file or folder.

    Raises:
        ZooError: what runs the format is not installed, or a `.keras` file is no model.
    """
    check_installed(name)
    return _RUNTIMES[name](path)


class SavedModelRuntime:
    """A SavedModel's function of inputs as they are stored."""

    def __init__(self, path: Path) -> None:
        import zoo.startup  # noqa: F401  (before TensorFlow)

        import tensorflow as tf

        self._constant, self._signatures = tf.constant, tf.saved_model.load(str(path)).signatures

    def __call__(self, inputs: np.ndarray) -> np.ndarray:  # noqa: D102
        found = self._signatures["serving_default"](inputs=self._constant(inputs))
        probabilities: np.ndarray = found["probabilities"].numpy()
        return probabilities

    def predict_encoded(self, encoded: Sequence[bytes]) -> np.ndarray:
        """The same of JPEG or PNG bytes."""
        found = self._signatures["serving_encoded"](image_bytes=self._constant(encoded))
        probabilities: np.ndarray = found["probabilities"].numpy()
        return probabilities


def _keras(path: Path) -> Runtime:
    import zoo.startup  # noqa: F401  (before TensorFlow)

    from zoo.models.saved import load_model_file

    model = load_model_file(path)
    return lambda inputs: np.asarray(model(inputs, training=False))


def _onnx(path: Path) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are exceptions too
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["probabilities"], {"inputs": inputs})[0]


def _litert(path: Path) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    with quiet_stderr():  # it says which delegate computes
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("serving_default")
    lock = threading.Lock()  # inputs are put in, computed and taken out one after another: threads would mix them

    def run(inputs: np.ndarray) -> np.ndarray:
        with lock:
            probabilities: np.ndarray = runner(inputs=inputs)["probabilities"]
            return probabilities

    return run


_RUNTIMES: dict[str, Callable[[Path], Runtime]] = {
    "saved_model": SavedModelRuntime,
    "keras": _keras,
    "onnx": _onnx,
    "litert": _litert,
    "litert_int8": _litert,
}

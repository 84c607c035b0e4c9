"""The table of formats: where a file lies in an export, what writes it, what runs it, how exact it has to be."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Sequence
from typing import NamedTuple

from zoo.errors import UsageError, ZooError, unknown_name


class Format(NamedTuple):
    """A kind of file that a model is exported as.

    Attributes:
        path: its file or folder in the export.
        tolerance: largest absolute difference of a probability that is accepted; `None` where only answers are compared.
        agreement: smallest share of examples whose most probable class is the model's.
        extra: the extra of this package that installs what it needs.
        writers: packages that write it, besides TensorFlow and Keras.
        runners: packages that run it.
        is_quantized: whether it computes with 8-bit integers.
    """

    path: str
    tolerance: float | None
    agreement: float = 0.0
    extra: str = ""
    writers: tuple[str, ...] = ()
    runners: tuple[str, ...] = ("tensorflow",)
    is_quantized: bool = False


# The same kernels differ by about 1e-7 and others, in another order, by about 1e-6.
FORMATS = {
    "saved_model": Format("saved_model", 1e-5),
    "keras": Format("model.keras", 1e-5, runners=("keras",)),
    "onnx": Format("model.onnx", 1e-4, extra="onnx", writers=("tf2onnx", "onnx"), runners=("onnxruntime",)),
    "litert": Format("model.tflite", 1e-4, extra="litert", runners=("ai_edge_litert",)),
    "litert_int8": Format(
        "model_int8.tflite", None, 0.95, extra="litert", runners=("ai_edge_litert",), is_quantized=True
    ),
}
# A deep network whose logits are large may differ by more from itself, computed in another order: so much is accepted, but never more.
ROUNDING_TOLERANCE = 1e-4
BFLOAT16_TOLERANCE = 1e-2  # 8-bit mantissas give about 1e-3
# What a predictor takes where nothing is asked for: the quickest to start and to answer, and none that is quantized.
PREFERRED = ("onnx", "litert", "saved_model", "keras")


def checked_formats(formats: str | Sequence[str]) -> tuple[str, ...]:
    """Names of formats, each once.

    Raises:
        UsageError: none, or an unknown one.
        ZooError: one that cannot be written and run here.
    """
    if not isinstance(formats, Collection):
        raise UsageError(f"formats must be names. Received: formats={formats!r:.80}")
    names = (formats,) if isinstance(formats, str) else tuple(dict.fromkeys(formats))
    for name in names:
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
        check_installed(name, writing=True)
    if not names:
        raise UsageError(f"formats is empty; give some of {', '.join(FORMATS)}")
    return names


def installed_formats() -> tuple[str, ...]:
    """The formats that can be written and run here."""
    return tuple(name for name in FORMATS if not _missing(name, writing=True))


def is_runnable(name: str) -> bool:
    """Whether what runs a format is installed."""
    return not _missing(name)


def check_installed(name: str, *, writing: bool = False) -> None:
    """Raises a ZooError that says what to install, when packages are missing that run (and write) a format."""
    missing = _missing(name, writing=writing)
    if missing:
        raise ZooError(f"the format {name} needs {', '.join(missing)}: pip install 'keras-zoo[{FORMATS[name].extra}]'")


def _missing(name: str, *, writing: bool = False) -> list[str]:
    needed = (*FORMATS[name].writers, *FORMATS[name].runners) if writing else FORMATS[name].runners
    return [package for package in needed if importlib.util.find_spec(package) is None]

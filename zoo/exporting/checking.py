"""What an exported file is compared with, and how: the same examples and edge cases for every format."""

from __future__ import annotations

import dataclasses
import math
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ExportError, one_line
from zoo.exporting.formats import Format
from zoo.exporting.runtimes import Runtime

_KEPT = 64  # examples that stay in an export, so that it can be checked where the data are not
_BATCH_NUMBERS = 2**23  # of the inputs of a batch: 512 small images, 55 photographs
_LATENCY_SECONDS, _LATENCY_CALLS = 0.5, (5, 500)  # for each format: at most so long, but five calls


@dataclasses.dataclass(frozen=True)
class Reference:
    """Inputs, and what the model itself says.

    Attributes:
        inputs: (n, ...) examples as stored.
        probabilities: (n, K) float32 or float64.
        edges: (2, ...) inputs at the ends of their range: all 0 and all 255 for pixels.
        edge_probabilities: (2, K).
    """

    inputs: np.ndarray
    probabilities: np.ndarray
    edges: np.ndarray
    edge_probabilities: np.ndarray

    def save(self, path: Path) -> None:
        """Writes the first 64 examples and the edges, without pickle."""
        kept = dataclasses.replace(self, inputs=self.inputs[:_KEPT], probabilities=self.probabilities[:_KEPT])
        np.savez_compressed(path, **vars(kept))


def load_reference(path: Path, input_shape: tuple[int, ...], num_classes: int) -> Reference:
    """Reads what `save` wrote.

    Raises:
        ExportError: it is no such file, or larger than it can be.
    """
    most = (_KEPT + 2) * 8 * (math.prod(input_shape) + num_classes) + 4096
    try:
        with zipfile.ZipFile(path) as archive:  # what it unfolds to, before it does
            if sum(member.file_size for member in archive.infolist()) > most:
                raise ValueError("larger than its examples can be")
        with np.load(path, allow_pickle=False) as arrays:
            reference = Reference(**{field.name: arrays[field.name] for field in dataclasses.fields(Reference)})
        for inputs, probabilities in (
            (reference.inputs, reference.probabilities),
            (reference.edges, reference.edge_probabilities),
        ):
            if inputs.shape[1:] != input_shape or probabilities.shape != (len(inputs), num_classes):
                raise ValueError("arrays of other shapes")
            if probabilities.dtype.kind != "f" or len(inputs) < 1:
                raise ValueError("no probabilities of examples")
    except Exception as error:  # of a dozen kinds: of ZIP, of its compressions, of NumPy's headers, MemoryError
        raise ExportError(f"{path} holds no examples of this export: {one_line(error, 120)}") from None
    return reference


def edge_cases(examples: np.ndarray) -> np.ndarray:
    """(2, ...) inputs at the ends of the range: 0 and 255 for pixels, the extremes of the examples for other numbers."""
    if examples.dtype == np.uint8:
        return np.stack([np.zeros_like(examples[0]), np.full_like(examples[0], 255)])
    return np.stack([examples.min(axis=0), examples.max(axis=0)])


def batch_size_for(shape: tuple[int, ...]) -> int:
    """How many inputs of a shape are computed at once."""
    return max(1, min(512, _BATCH_NUMBERS // math.prod(shape)))


def in_batches(run: Runtime, inputs: np.ndarray, size: int | None = None) -> np.ndarray:
    """The probabilities of any number of inputs."""
    size = batch_size_for(inputs.shape[1:]) if size is None else size
    parts = [run(inputs[start : start + size]) for start in range(0, len(inputs), size)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def compare(run: Runtime, reference: Reference) -> dict[str, Any]:
    """Largest difference of a probability, and how many answers are the model's.

    The examples go in as batches; the first one and each edge case also alone, because a batch of 1 takes other kernels.
    """
    examples = in_batches(run, reference.inputs)
    pairs = [
        (examples, reference.probabilities),
        (run(reference.inputs[:1]), reference.probabilities[:1]),
        (run(reference.edges), reference.edge_probabilities),
        *((run(reference.edges[i : i + 1]), reference.edge_probabilities[i : i + 1]) for i in range(2)),
    ]
    if any(got.shape != expected.shape for got, expected in pairs):
        return {"examples": len(examples), "max_abs_difference": math.inf, "top1_agreement": 0.0}
    return {
        "examples": len(examples),
        "max_abs_difference": float(np.max([np.abs(got - expected).max() for got, expected in pairs])),  # NaN if one is
        "top1_agreement": float(np.mean(examples.argmax(axis=1) == reference.probabilities.argmax(axis=1))),
    }


def failure(found: dict[str, Any], tolerance: float | None, kind: Format) -> str | None:
    """Why a comparison is not accepted, or `None`. NaN is not."""
    difference, agreement = found["max_abs_difference"], found["top1_agreement"]
    if tolerance is not None and not difference <= tolerance:
        return f"differs from the model by {difference:.2g} (at most {tolerance:g} is accepted, top-1 agreement {agreement:.3f})"
    if not (agreement >= kind.agreement and math.isfinite(difference)):
        return f"agrees with the model on {agreement:.1%} of the examples (at least {kind.agreement:.0%} is accepted)"
    return None


def measure_latency(run: Runtime, example: np.ndarray) -> dict[str, float]:
    """Milliseconds from one stored input to its probabilities: median, and the time that 95 % of the calls keep."""
    for _ in range(3):
        run(example)
    times: list[float] = []
    fewest, most = _LATENCY_CALLS
    started = time.perf_counter()
    while len(times) < fewest or (len(times) < most and time.perf_counter() - started < _LATENCY_SECONDS):
        before = time.perf_counter()
        run(example)
        times.append(1000 * (time.perf_counter() - before))
    median, slow = np.quantile(times, [0.5, 0.95])
    return {"latency_ms": round(float(median), 4), "latency_p95_ms": round(float(slow), 4)}

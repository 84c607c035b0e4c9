"""The certificate once more, on this machine: hashes, and every format on the examples that lie in the export."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, one_line
from zoo.exporting.certificate import EXAMPLES, read_certificate
from zoo.exporting.checking import compare, failure, load_reference, measure_latency
from zoo.exporting.formats import BFLOAT16_TOLERANCE, FORMATS
from zoo.exporting.runtimes import load_runtime


@dataclasses.dataclass(frozen=True)
class Verification:
    """What became of one format.

    Attributes:
        format: its name.
        problem: why it is not verified, or `None`.
        found: `examples`, `max_abs_difference`, `top1_agreement`, `latency_ms` and `latency_p95_ms`, as far as it came.
        tolerance: largest difference accepted, `None` for a quantized format.
    """

    format: str
    problem: str | None
    found: dict[str, Any]
    tolerance: float | None

    def __str__(self) -> str:
        if not self.found:
            return f"{self.format}: FAILED, {self.problem}"
        limit = "" if self.tolerance is None else f" (at most {self.tolerance:g})"
        return (
            f"{self.format}: {'ok' if self.problem is None else 'FAILED'}, largest difference "
            f"{self.found['max_abs_difference']:.1e}{limit}, top-1 agreement {self.found['top1_agreement']:.4f} on "
            f"{self.found['examples']} examples, {self.found['latency_ms']:.3g} ms an input"
        )


def verify(directory: Path, formats: Sequence[str] = ()) -> Iterator[Verification]:
    """Checks an export's files, then runs each of its formats (or those named) beside what the model said.

    Raises:
        UsageError: there is no export, or it lacks a format that is named.
        ExportError: a file was changed, is missing or does not belong to it.
    """
    certificate = read_certificate(directory)
    for name in formats:
        certificate.check_format(name)
    certificate.check_files()
    reference = load_reference(directory / EXAMPLES, certificate.input_shape, len(certificate.class_names))
    for name in formats or certificate.checks:
        kind, tolerance = FORMATS[name], certificate.checks[name].get("tolerance")
        if kind.tolerance is not None:  # a certificate cannot allow more than any export does
            tolerance = max(kind.tolerance, min(float(tolerance or 0.0), BFLOAT16_TOLERANCE))
        try:
            run = load_runtime(name, directory / kind.path)
            found = compare(run, reference) | measure_latency(run, reference.inputs[:1])
            yield Verification(name, failure(found, tolerance, kind), found, tolerance)
        except ZooError as error:  # its packages are not installed, or the `.keras` file is no model
            yield Verification(name, str(error), {}, tolerance)
        except Exception as error:  # whatever a runtime makes of a file that is none
            yield Verification(name, f"it cannot be run: {one_line(error)}", {}, tolerance)

"""Readers of what tells of trained models: certificates, tables, studies."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_inputs import image_samples
from fuzz_reading import put

CERTIFICATE: dict[str, Any] = {
    "checks": {
        "onnx": {
            "examples": 64,
            "max_abs_difference": 1e-7,
            "top1_agreement": 1.0,
            "tolerance": 1e-5,
            "size_bytes": 1000,
            "latency_ms": 0.1,
            "latency_p95_ms": 0.2,
        }
    },
    "files": {"model.onnx": "0" * 64, "examples.npz": "1" * 64, "README.md": "2" * 64},
    "class_names": ["cat", "dog"],
    "input": {"shape": [8, 8, 1], "dtype": "uint8", "scale": 1 / 255},
    "versions": {"keras": "3.15"},
    "data": {"name": "digits"},
    "created": "2026-01-01 12:00:00",
    "model": {"name": "cnn"},
    "recipes": [{"epochs": 3}],
    "metrics": {"accuracy": 0.9},
    "intended_use": "",
    "limits": ["none"],
}


def check_certificate(folder: Path, content: bytes) -> None:
    from zoo.exporting.certificate import read_certificate

    put(folder, "certificate.json", content)
    certificate = read_certificate(folder)
    certificate.check_files()


def check_signed_certificate(folder: Path, content: bytes) -> None:
    from zoo.exporting.certificate import _signed

    try:
        facts = json.loads(content)
        signed = _signed({k: v for k, v in facts.items() if k != "sha256"}).encode()
    except (ValueError, AttributeError, RecursionError, TypeError):
        signed = content
    check_certificate(folder, signed)


def certificate_samples() -> list[bytes]:
    return [json.dumps({"format_version": 2, **CERTIFICATE}).encode()]


def read_examples(folder: Path, content: bytes) -> None:
    from zoo.exporting.checking import load_reference

    load_reference(put(folder, "examples.npz", content), (4, 4, 1), 3)


def example_samples() -> list[bytes]:
    inputs, scores = np.zeros((5, 4, 4, 1), np.uint8), np.full((5, 3), 1 / 3, np.float32)
    arrays = {"inputs": inputs, "probabilities": scores, "edges": inputs[:2], "edge_probabilities": scores[:2]}
    plain, small = io.BytesIO(), io.BytesIO()
    np.savez(plain, **arrays)
    np.savez_compressed(small, **arrays)
    return [plain.getvalue(), small.getvalue()]


# Tables, reports and studies


def report_certificate(folder: Path, content: bytes) -> None:
    import report

    from zoo.reporting.page import write_report

    put(folder, "certificate.json", content)
    write_report(folder / "report.html", certificate=report._read_certificate(folder))


def read_predictions(folder: Path, content: bytes) -> None:
    import report

    report._read_predictions(put(folder, "predictions.csv", content))


def read_robustness(folder: Path, content: bytes) -> None:
    import report

    put(folder, "robustness.csv", content)
    report._read_robustness(folder)


def write_study(folder: Path, content: bytes) -> None:
    from zoo.reporting.studies import write_document, write_index

    (folder / "momentum").mkdir(exist_ok=True)
    put(folder / "momentum", "a.png", image_samples()[0])
    put(folder / "momentum", "result.json", content)
    write_index(folder, ["momentum"])
    write_document(folder / "studies.md", folder, ["momentum"])


def write_study_picture(folder: Path, content: bytes) -> None:
    from zoo.reporting.studies import write_document, write_index

    (folder / "momentum").mkdir(exist_ok=True)
    put(folder / "momentum", "a.png", content)
    put(folder / "momentum", "result.json", study_samples()[0])
    write_index(folder, ["momentum"])
    write_document(folder / "studies.md", folder, ["momentum"])


def study_samples() -> list[bytes]:
    entry = {"label": "a", "measured": 0.5, "expected": 0.6, "verdict": "not met", "tolerance": 0.01, "why": "x"}
    other = {"label": "b", "measured": None, "expected": None, "verdict": None, "relation": "at least"}
    result = {
        "numbers": {"a": entry, "b": other},
        "answers": [{"question": "Why?", "answer": "So."}],
        "figures": {"a.png": "A picture"},
        "question": "Is it?",
        "command": "study.py run momentum",
        "full": True,
        "seconds": 12.5,
        "cores": 2,
        "versions": {"keras": "3.15", "torch": None},
    }
    return [json.dumps(result).encode()]


def describe_holder(folder: Path, content: bytes) -> None:
    from zoo.storage import DirectoryLock

    put(folder, ".lock-holder.json", content)
    DirectoryLock(folder)._describe_holder()


PREDICTIONS = (
    b"index,true,predicted,correct,confidence,loss,p(a),p(b)\n0,a,a,True,0.9,0.1,0.9,0.1\n1,b,a,False,0.6,0.9,0.6,0.4\n"
)

ROBUSTNESS = b"corruption,strength,unit,n,correct,accuracy,low,high\nnoise,0.5,sigma,10,9,0.9,0.8,0.95\n"

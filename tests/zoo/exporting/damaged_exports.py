"""What somebody may have made of an export: certificates that lie, examples that are none."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import zoo.startup

# isort: split
import numpy as np
import pytest

import zoo
from zoo.errors import ExportError, UsageError
from zoo.exporting import loading
from zoo.exporting.certificate import read_certificate
from zoo.exporting.verifying import verify


def assert_refused(folder: Path, words: str, monkeypatch) -> None:
    """Neither loaded nor run by anybody."""
    monkeypatch.setattr(loading, "load_runtime", lambda *a: pytest.fail("something was loaded"))
    monkeypatch.setattr("zoo.exporting.verifying.load_runtime", lambda *a: pytest.fail("something was run"))
    with pytest.raises((ExportError, UsageError), match=words):
        zoo.load_exported(folder)
    with pytest.raises((ExportError, UsageError), match=words):
        list(verify(folder))


LIES = {
    "a path upwards": lambda c: c["files"].update({"../../etc/passwd": "0" * 64}),
    "an absolute path": lambda c: c["files"].update({"/etc/passwd": "0" * 64}),
    "a drive": lambda c: c["files"].update({"C:\\x": "0" * 64}),
    "no hash": lambda c: c["files"].update({"model.keras": 5}),
    "a file for a format": lambda c: c.update(files={"examples.npz": "0" * 64}),
    "no files": lambda c: c.update(files=[]),
    "huge inputs": lambda c: c["input"].update(shape=[10**6, 10**6, 3]),
    "a size without bound": lambda c: c["input"].update(shape=[10**4000]),
    "a negative size": lambda c: c["input"].update(shape=[-1, 5]),
    "a size that is a word": lambda c: c["input"].update(shape="88"),
    "no shape": lambda c: c["input"].pop("shape"),
    "objects as inputs": lambda c: c["input"].update(dtype="object"),
    "an unknown format": lambda c: c["checks"].update(pickle=c["checks"]["keras"]),
    "no formats": lambda c: c.update(checks={}),
    "infinite sizes": lambda c: c["checks"]["keras"].update(size_bytes=1e300),
    "a number that is a word": lambda c: c["checks"]["keras"].update(latency_ms="1"),
    "a tolerance that is a word": lambda c: c["checks"]["keras"].update(tolerance="x"),
    "control characters": lambda c: c.update(class_names=["a", "b\x1b[31m", "c"]),
    "the same class twice": lambda c: c.update(class_names=["a", "a", "c"]),
    "another version": lambda c: c.update(format_version=3),
    "something more": lambda c: c.update(command="rm -rf /"),
    "something less": lambda c: c.pop("data"),
}


def sign_again(folder: Path, name: str) -> None:
    """What somebody does who changes a file and its hash."""
    own, digest = read_certificate(folder), hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "certificate.json").write_text(dataclasses.replace(own, files=own.files | {name: digest}).text())


def write_header(file: Path, header: bytes) -> None:
    """An archive whose first array says what it likes of itself."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inputs.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


HEADER = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }\n"
EXAMPLES = {
    "not a zip": lambda file, held: file.write_bytes(b"PK\x03\x04 and no more"),
    "objects": lambda file, held: np.savez(file, **(held | {"edges": np.array([print], object)})),
    "a bomb": lambda file, held: np.savez_compressed(
        file, **(held | {"inputs": np.zeros((10**5, 10, 12, 3), np.uint8)})
    ),
    "other shapes": lambda file, held: np.savez(file, **(held | {"probabilities": held["probabilities"][:, :2]})),
    "no probabilities": lambda file, held: np.savez(file, **(held | {"probabilities": held["probabilities"] + 1j})),
    "no examples": lambda file, held: np.savez(
        file, **(held | {"inputs": held["inputs"][:0], "probabilities": held["probabilities"][:0]})
    ),
    "petabytes": lambda file, held: write_header(file, HEADER % 10**15),
    "a header without end": lambda file, held: write_header(file, b"{'shape': ((((1\n"),
}

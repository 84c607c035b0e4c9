"""Readers of what trainings write: runs, states, features and models."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tempfile
import types
import zipfile
from pathlib import Path

import numpy as np
from fuzz_reading import put

RUN = {
    "config.json": json.dumps(
        {
            "data": {"name": "digits", "limit": 10},
            "model": {"name": "mlp", "options": {"units": [8]}, "input_shape": [8, 8, 1], "num_classes": 10},
            "recipes": [{"optimizer": "adam", "epochs": 2, "augment": ["crop"]}],
            "versions": {"keras": "3.15"},
        }
    ).encode(),
    "result.json": json.dumps(
        {
            "metrics": {"loss": 0.5, "x": None},
            "best": {"epoch": 1},
            "stopped_early": False,
            "phases": [],
            "seconds": 1.5,
        }
    ).encode(),
    "history.csv": b"phase,epoch,loss,data_loss,accuracy\n0,0,1.5,1.25,0.5\n0,1,1.0,,0.75\n",
    "steps.csv": b"step,loss,data_loss\n0,1.5,1.25\n",
    "validations.csv": b"phase,epoch,step,val_loss\n0,0,10,1.5\n",
}


def load_run_file(name: str, folder: Path, content: bytes) -> None:
    from zoo.training import run

    run._load_model = lambda path: types.SimpleNamespace()  # the files of models have a reader of their own
    for other, sound in RUN.items():
        put(folder, other, sound)
    put(folder, name, content)
    run.config_changes(folder, {"data": {}, "model": {}, "recipes": []})
    loaded = run.load_run(folder)
    loaded.recipes  # noqa: B018


def load_state(folder: Path, content: bytes) -> None:
    from zoo.training.state import State

    State.load(put(folder, "state.npz", content)).group("model")


def state_samples() -> list[bytes]:
    records = {
        "epochs": [{"epoch": 0}],
        "earlier_validations": [],
        "phase_start": 0,
        "phase_first_step": 0,
        "elapsed": 0.5,
    }
    facts = {"phase": 0, "epoch": 1, "step": 2, "seconds": 1.5, "records": records, "validations": {"best": None}}
    file = io.BytesIO()
    arrays = {"model/0": np.ones((2, 3), np.float32), "losses": np.zeros((1, 2)), "steps": np.zeros((2, 2))}
    np.savez(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
    return [file.getvalue()]


def read_features(folder: Path, content: bytes) -> None:
    from zoo.features.cache import _begun, _read

    path = put(folder, "features.npy", content)
    put(folder, "about.json", json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode())
    _read(folder, (3, 4), np.dtype(np.float32))
    put(folder, "done.json", content[-12:])
    path.write_bytes(content)
    _begun(folder, (3, 4), np.dtype(np.float32))


def feature_samples() -> list[bytes]:
    file = io.BytesIO()
    np.save(file, np.zeros((3, 4), np.float32))
    return [file.getvalue(), file.getvalue()[:-12] + b'{"rows": 02}']


# Models


@functools.cache
def model_parts() -> dict[str, bytes]:
    import zoo

    model = zoo.build("mlp", (4, 4, 1), 3, units=4, dropout=0.25, batch_normalization=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        with zipfile.ZipFile(Path(folder) / "model.keras") as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def load_model(folder: Path, content: bytes) -> None:
    from zoo.models.saved import load_model_file

    load_model_file(put(folder, "model.keras", content))


def load_model_part(name: str, folder: Path, content: bytes) -> None:
    load_model(folder, packed(model_parts() | {name: content}))
